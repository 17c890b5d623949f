"""Four WSGI engines, one application, one raw socket: what each does on the wire."""
