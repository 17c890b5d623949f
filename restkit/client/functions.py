"""Functions that send one request each, with a Client that the process shares."""

from __future__ import annotations

import atexit
from threading import RLock
from typing import NoReturn

from restkit.annotations import Unpack
from restkit.client.build import misplaced_error
from restkit.client.client import Client
from restkit.client.options import CallOptions, GivenHeaders
from restkit.io.processes import run_in_forked_child
from restkit.message.response import HttpResponse
from restkit.url.url import GivenURL


class _Shared:
    """The shared Client of this process; None before its first use."""

    client: Client | None = None
    lock = RLock()


def default_client() -> Client:
    """Return the Client that the functions of this module share; it is made at the first call.

    It keeps no cookies, and reads the environment once, when it is made. If it is closed, the next
    call makes another one.

    >>> default_client() is default_client()
    True
    """
    client = _Shared.client
    if client is None or client.closed:
        with _Shared.lock:
            client = _Shared.client
            if client is None or client.closed:
                client = _Shared.client = Client(cookies=False)
    return client


def request(
    url: GivenURL,
    method: str = "GET",
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send one request and return its response; see ``Client.request``.

    ``payload`` may be bytes, text, a file, a pipe, a generator, a form, a response, and more. A
    payload with a length is sent with Content-Length, any other one in chunks.

    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server:
    ...     response = request(server.url, "POST", payload=b"data")
    ...     response.status
    404
    """
    return default_client().request(url, method, payload, headers, **options)


def get(
    url: GivenURL,
    *misplaced: NoReturn,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a GET request; see ``request``.

    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server:
    ...     get(server.url, params={"page": 2}).status
    404
    """
    if misplaced:
        raise misplaced_error("get", misplaced)
    return default_client().request(url, "GET", payload, headers, **options)


def head(
    url: GivenURL,
    *misplaced: NoReturn,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a HEAD request; see ``request``."""
    if misplaced:
        raise misplaced_error("head", misplaced)
    return default_client().request(url, "HEAD", payload, headers, **options)


def post(
    url: GivenURL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a POST request; see ``request``."""
    return default_client().request(url, "POST", payload, headers, **options)


def put(
    url: GivenURL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a PUT request; see ``request``."""
    return default_client().request(url, "PUT", payload, headers, **options)


def patch(
    url: GivenURL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a PATCH request; see ``request``."""
    return default_client().request(url, "PATCH", payload, headers, **options)


def delete(
    url: GivenURL,
    *misplaced: NoReturn,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send a DELETE request; see ``request``."""
    if misplaced:
        raise misplaced_error("delete", misplaced)
    return default_client().request(url, "DELETE", payload, headers, **options)


def options(
    url: GivenURL,
    *misplaced: NoReturn,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[CallOptions],
) -> HttpResponse:
    """Send an OPTIONS request; see ``request``."""
    if misplaced:
        raise misplaced_error("options", misplaced)
    return default_client().request(url, "OPTIONS", payload, headers, **options)


def _close_shared() -> None:
    if _Shared.client is not None:
        _Shared.client.close()


def _drop_shared() -> None:
    """Drop the Client after a fork: its connections belong to the parent, its lock may be held."""
    _Shared.client, _Shared.lock = None, RLock()


atexit.register(_close_shared)
run_in_forked_child(_drop_shared)
