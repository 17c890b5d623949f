"""Functions that make responses.

What handlers return: text, JSON, HTML, bytes, a file, a redirect, a stream.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from restkit.io.buffers import flat_view
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.values import json_payload
from restkit.server.file_response import file
from restkit.server.responses import (
    TEXT,
    IteratedResponse,
    PayloadResponse,
    Response,
    StreamingFunction,
    StreamingHTTPResponse,
    as_bytes,
)
from restkit.server.routing import check_not_async

if TYPE_CHECKING:
    from restkit.server.exceptions import HeaderFields


__all__ = [
    "Response",
    "StreamingHTTPResponse",
    "file",
    "html",
    "json",
    "raw",
    "redirect",
    "stream",
    "text",
]

_REDIRECTS = (301, 302, 303, 307, 308)


def text(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = TEXT,
) -> Response:
    """Text, as UTF-8; of what is neither text nor bytes, its ``str()``; TypeError for None."""
    return Response(as_bytes(body), status, headers, content_type)


def html(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
) -> Response:
    """HTML, as UTF-8; nothing in it is escaped."""
    return Response(as_bytes(body), status, headers, "text/html; charset=utf-8")


def json(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = "application/json",
) -> Response:
    """A value as compact JSON, in UTF-8; PayloadError for what JSON cannot say."""
    payload = json_payload(body, "json()")
    return Response(b"".join(bytes(piece) for piece in payload), status, headers, content_type)


def raw(
    body: bytes | bytearray | memoryview,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = "application/octet-stream",
) -> Response:
    """Bytes as they are; TypeError for a str, which is text."""
    with flat_view(body) as view:
        data = body if isinstance(body, bytes) else bytes(view)
    return Response(data, status, headers, content_type)


def redirect(to: str, status: int = 302, headers: HeaderFields | None = None) -> Response:
    """Send the client to another URL; what a URL cannot hold is percent-encoded.

    Raises ValueError for a status that is no redirect.
    """
    from urllib.parse import quote

    if status not in _REDIRECTS:
        raise ValueError(f"status={status!r}: a redirect has one of {_REDIRECTS}")
    response = Response(b"", status, headers, "text/html; charset=utf-8")
    response.headers["Location"] = quote(to, safe="!#$%&'()*+,/:;=?@[]~")
    return response


def stream(
    source: StreamingFunction | Iterable[object] | Any,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str | None = None,
) -> Response:
    """An answer that is made while it is sent.

    From a function, which is called with the answer and does ``response.write(...)``; from an
    iterable of what ``write()`` takes; or from anything else that a client could send: an open
    file, a path, bytes, a payload such as a gzip or zip stream, an answer of another server. The
    content type is plain text for the first two, and for the others what they say. What can be
    closed is closed at the end. Raises TypeError for what is none of these, or asynchronous.
    """
    _refuse_async(source)
    if _is_for_a_payload(source):
        payload = as_payload(source)
        assert payload is not None
        return PayloadResponse(payload, source, status, headers, content_type)
    if callable(source):
        return StreamingHTTPResponse(source, status, headers, content_type or TEXT)
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return IteratedResponse(source, status, headers, content_type or TEXT)
    raise TypeError(
        f"stream() takes a function that writes, an iterable, a file or another payload; "
        f"{source!r} is none"
    )


def _refuse_async(source: object) -> None:
    if callable(source):
        check_not_async(source, "the function")
    elif hasattr(source, "__aiter__") or inspect.isawaitable(source):
        raise TypeError(
            f"{source!r} is asynchronous, and restkit.server is blocking: take its async and "
            "await out"
        )


def _is_for_a_payload(source: object) -> bool:
    return (
        isinstance(source, Payload | str | bytes | bytearray | memoryview | os.PathLike)
        or hasattr(type(source), "__payload__")
        or hasattr(source, "read")
    )
