"""Digest fields (RFC 9530): compute, send and check them."""
