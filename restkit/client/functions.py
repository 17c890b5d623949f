"""Functions that use one shared Client.

The functions of the package: one request each, on a Client that the process shares.
"""

from __future__ import annotations

import atexit
import os
from threading import Lock
from typing import TYPE_CHECKING

from restkit.client.client import Client

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from restkit.client.build import GivenHeaders
    from restkit.client.options import RequestOptions
    from restkit.message.response import HttpResponse
    from restkit.url.url import URL


class _Shared:
    """The one Client of this process, once it has been asked for."""

    client: Client | None = None
    lock = Lock()


def default_client() -> Client:
    """The Client of this process that the functions here use; made at the first call.

    It keeps no cookies, and reads the environment once, when it is made. Once somebody has closed
    it, the next call makes another one.
    """
    client = _Shared.client
    if client is None or client.closed:
        with _Shared.lock:
            client = _Shared.client
            if client is None or client.closed:
                client = _Shared.client = Client(cookies=False)
    return client


def request(
    url: str | URL,
    method: str = "GET",
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """Send one request and return its answer; see ``Client.request``.

    ``payload`` is anything: bytes, text, a file, a pipe, a generator, a response. What has a
    length is sent with it, what has none in chunks, as it comes.
    """
    return default_client().request(url, method, payload, headers, **options)


def get(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with GET."""
    return default_client().request(url, "GET", payload, headers, **options)


def head(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with HEAD."""
    return default_client().request(url, "HEAD", payload, headers, **options)


def post(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with POST."""
    return default_client().request(url, "POST", payload, headers, **options)


def put(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with PUT."""
    return default_client().request(url, "PUT", payload, headers, **options)


def patch(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with PATCH."""
    return default_client().request(url, "PATCH", payload, headers, **options)


def delete(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with DELETE."""
    return default_client().request(url, "DELETE", payload, headers, **options)


def options(
    url: str | URL,
    payload: object = None,
    headers: GivenHeaders | None = None,
    **options: Unpack[RequestOptions],
) -> HttpResponse:
    """``request`` with OPTIONS."""
    return default_client().request(url, "OPTIONS", payload, headers, **options)


def _close_shared() -> None:
    if _Shared.client is not None:
        _Shared.client.close()


def _forget_shared() -> None:
    """In the child of a fork: the connections are the parent's, and the lock may be held."""
    _Shared.client, _Shared.lock = None, Lock()


atexit.register(_close_shared)
os.register_at_fork(after_in_child=_forget_shared)
