"""A small WSGI application framework that streams both ways, and a server to run it.

``App`` runs on any WSGI server; ``serve`` runs any WSGI application.
"""

from restkit.server.app import App
from restkit.server.app import App as Necktie
from restkit.server.engine.access_log import AccessRecord
from restkit.server.exceptions import HTTPError
from restkit.server.receiver import receive
from restkit.server.request import Request
from restkit.server.serve_options import ServeOptions
from restkit.server.serving import serve
from restkit.server.static_files import files
from restkit.server.trusted_proxies import TrustedProxies

__all__ = [
    "AccessRecord",
    "App",
    "HTTPError",
    "Necktie",
    "Request",
    "ServeOptions",
    "TrustedProxies",
    "files",
    "receive",
    "serve",
]
