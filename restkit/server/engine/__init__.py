"""The server engines: WSGI on one connection."""
