"""Credentials: Basic, Bearer, Digest, OAuth 1 and netrc."""
