"""Sockets, TLS and proxies."""
