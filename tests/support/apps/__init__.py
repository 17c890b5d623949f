"""WSGI applications that several files of tests serve."""
