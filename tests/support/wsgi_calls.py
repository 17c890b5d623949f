"""Call a WSGI application without a server, under ``wsgiref.validate``, which checks PEP 3333.

``wsgi.input`` is a plain one: it has no ``read1`` and no defined end.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator


class RecordedResponse:
    """The response of an application; ``chunks`` are its writes and items, in order."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.chunks: list[bytes] = []
        self.head_sent = False
        """Whether the head was sent."""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        if exc_info is not None and self.head_sent:
            raise exc_info[1]
        assert exc_info is not None or not self.status, "start_response was called twice"
        self.status, self.headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        assert type(data) is bytes, data
        assert self.status
        self.head_sent = self.head_sent or bool(data)
        self.chunks.append(data)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        """Return the only value of a name, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


def make_environ(
    method: str = "GET",
    target: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a minimal environ of PEP 3333; ``more`` replaces its values."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "server",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.org",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"" if body is None else body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[
            key
            if key.startswith("CONTENT_") and key.endswith(("TYPE", "LENGTH"))
            else f"HTTP_{key}"
        ] = value
    return environ | more


def call_app(
    app: Any,
    method: str = "GET",
    target: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> RecordedResponse:
    """Call an application and return its whole response; its exceptions pass through."""
    response = RecordedResponse()
    items: Iterable[bytes] = validator(app)(
        make_environ(method, target, body, headers, **more), response.start_response
    )
    try:
        for item in items:
            response.write(item)
    finally:
        items.close()  # type: ignore[attr-defined]  # the validator's has one
    return response
