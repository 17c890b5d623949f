"""WSGI applications that several test files serve."""
