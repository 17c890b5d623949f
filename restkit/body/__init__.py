"""Received bodies."""
