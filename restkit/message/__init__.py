"""Requests and responses, as filters and callers see them."""
