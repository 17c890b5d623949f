"""Functions that make responses: text, JSON, HTML, bytes, a file, a redirect, a stream."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from restkit.io.buffers import flat_view
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.values import json_payload
from restkit.server.exceptions import HeaderFields
from restkit.server.file_response import file
from restkit.server.responses import (
    PLAIN_TEXT,
    IteratedResponse,
    PayloadResponse,
    Response,
    StreamingFunction,
    StreamingHTTPResponse,
    as_bytes,
)
from restkit.server.routing import check_not_async

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

_HTML = "text/html; charset=utf-8"
_REDIRECTS = (301, 302, 303, 307, 308)


def text(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = PLAIN_TEXT,
) -> Response:
    """Respond with text, as UTF-8; other values are converted by ``str()``.

    Raises TypeError for None.

    >>> text('grüße').body.decode()
    'grüße'
    """
    return Response(as_bytes(body), status, headers, content_type)


def html(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
) -> Response:
    """Respond with HTML, as UTF-8; nothing is escaped.

    >>> html('<p>Hello</p>').headers['Content-Type']
    'text/html; charset=utf-8'
    """
    return Response(as_bytes(body), status, headers, _HTML)


def json(
    body: object,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = "application/json",
) -> Response:
    """Respond with a value as compact JSON; raise PayloadError if it cannot be serialized.

    >>> json({'count': 3}).body
    b'{"count":3}'
    """
    payload = json_payload(body, "json()")
    return Response(b"".join(bytes(chunk) for chunk in payload), status, headers, content_type)


def raw(
    body: bytes | bytearray | memoryview,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str = "application/octet-stream",
) -> Response:
    r"""Respond with bytes; raise TypeError for a str.

    >>> raw(b'\x89PNG', content_type='image/png')
    <Response 200 OK>
    """
    with flat_view(body) as view:
        data = body if isinstance(body, bytes) else bytes(view)
    return Response(data, status, headers, content_type)


def redirect(to: str, status: int = 302, headers: HeaderFields | None = None) -> Response:
    """Redirect the client to another URL; characters that a URL cannot have are percent-encoded.

    Raises ValueError unless the status is that of a redirect.

    >>> redirect('/grüße').headers['Location']
    '/gr%C3%BC%C3%9Fe'
    """
    if status not in _REDIRECTS:
        raise ValueError(f"the status of a redirect must be one of {_REDIRECTS}; got {status!r}")
    response = Response(b"", status, headers, _HTML)
    response.headers["Location"] = quote(to, safe="!#$%&'()*+,/:;=?@[]~")
    return response


def stream(
    source: StreamingFunction | Iterable[object] | Any,
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str | None = None,
) -> Response:
    """Respond with a body that is produced while it is sent.

    ``source`` is a function, which is called with the response and calls ``response.write(...)``;
    an iterable of values that ``write()`` accepts; or any payload that a client can send: an open
    file, a path, bytes, a gzip or zip stream, the response of another server. The content type is
    plain text for the first two, and that of the payload otherwise. The source is closed at the
    end, if it can be. Raises TypeError for any other source, and for an asynchronous one.

    >>> stream(letter.upper() for letter in 'abc')
    <IteratedResponse 200 OK>
    """
    _check_source_not_async(source)
    if _is_payload_source(source):
        payload = as_payload(source)
        assert payload is not None
        return PayloadResponse(payload, source, status, headers, content_type)
    if callable(source):
        return StreamingHTTPResponse(source, status, headers, content_type or PLAIN_TEXT)
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return IteratedResponse(source, status, headers, content_type or PLAIN_TEXT)
    raise TypeError(
        f"stream() takes a function that writes, an iterable, a file or another payload; "
        f"got {source!r}"
    )


def _check_source_not_async(source: object) -> None:
    if callable(source):
        check_not_async(source, "the function")
    elif hasattr(source, "__aiter__") or inspect.isawaitable(source):
        raise TypeError(
            f"{source!r} is asynchronous, but restkit.server is blocking: remove async and await"
        )


def _is_payload_source(source: object) -> bool:
    return (
        isinstance(source, Payload | str | bytes | bytearray | memoryview | os.PathLike)
        or hasattr(type(source), "__payload__")
        or hasattr(source, "read")
    )
