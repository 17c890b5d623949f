"""Cookies: parse, store and send them."""
