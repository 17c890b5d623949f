"""Zip archives that are written while they are sent."""
