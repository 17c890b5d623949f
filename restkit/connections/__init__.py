"""Connections: the pool, and one exchange on a connection."""
