"""Payloads: everything that is sent."""
