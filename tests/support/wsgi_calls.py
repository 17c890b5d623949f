"""A WSGI application called without a server, under ``wsgiref.validate``: held to PEP 3333.

``wsgi.input`` is a plain one: no ``read1``, and it does not end by itself.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator


class Answer:
    """What an application answered: ``pieces`` are its writes and items, in their order."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.left = False
        """Whether the head has left."""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        if exc_info is not None and self.left:
            raise exc_info[1]
        assert exc_info is not None or not self.status, "start_response was called twice"
        self.status, self.headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        assert type(data) is bytes, data
        assert self.status
        self.left = self.left or bool(data)
        self.pieces.append(data)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def header(self, name: str) -> str | None:
        """The one value of a name, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


def environ_of(
    method: str = "GET",
    target: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An environ of PEP 3333 and no more; ``more`` replaces its values."""
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


def call(
    app: Any,
    method: str = "GET",
    target: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """The application's answer, all of it; what it raises comes out."""
    answer = Answer()
    items: Iterable[bytes] = validator(app)(
        environ_of(method, target, body, headers, **more), answer.start_response
    )
    try:
        for item in items:
            answer.write(item)
    finally:
        items.close()  # type: ignore[attr-defined]  # the validator's has one
    return answer
