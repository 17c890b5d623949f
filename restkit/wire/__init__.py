"""HTTP/1.1 on a socket: heads, framing, connections."""
