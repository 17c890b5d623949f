"""WSGI made true on one accepted socket, for any application and under any engine."""
