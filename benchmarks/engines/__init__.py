"""Compare four WSGI engines, with one application and a raw socket as the client."""
