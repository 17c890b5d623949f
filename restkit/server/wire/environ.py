"""The environ of PEP 3333, made of a request's head: pure.

A field whose name has an underscore is dropped, since ``X_Y`` and ``X-Y`` would have one name
here, and who stands before the server may have judged only one of the two. Several values of a
name are joined with a comma (RFC 9110 5.3), those of Cookie with a semicolon (RFC 6265 5.4).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from restkit._version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from restkit.server.wire.request_body import RequestFile
    from restkit.wire.request_head import RequestHead


def server_environ(scheme: str, host: str, port: int) -> dict[str, Any]:
    """What is the same for every request of a server."""
    return {
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": f"restkit/{__version__}",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


def request_environ(
    common: dict[str, Any], head: RequestHead, length: int | None, file: RequestFile
) -> WSGIEnvironment:
    """The environ of one request; ``length`` is its body's, None for a chunked one."""
    path, _, query = head.local_target.partition("?")
    environ = {
        **common,
        "REQUEST_METHOD": head.method,
        "PATH_INFO": _path_info(path),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
        "RAW_URI": head.target,
        "REQUEST_URI": head.target,
        "wsgi.input": file,
        "wsgi.errors": sys.stderr,
    }
    for name, value in head.headers.pairs():
        _add(environ, name, value)
    if "CONTENT_LENGTH" in environ:
        environ["CONTENT_LENGTH"] = str(length)  # which may have been said twice
    if head.host is not None and not head.target.startswith("/"):
        environ["HTTP_HOST"] = head.host  # the target's own counts (RFC 9112 3.2.2)
    return environ


def _path_info(path: str) -> str:
    """The path, decoded; the ``*`` of OPTIONS, which asks for no path, is the empty one."""
    if "%" in path:
        return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return "" if path == "*" else path


def _add(environ: dict[str, Any], name: str, value: str) -> None:
    if "_" in name:
        return
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value
