"""Bytes, files, sockets and the spool."""
