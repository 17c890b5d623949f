"""The methods of HTTP as methods of Python, for whatever can ``request``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from restkit.choices import RequestOptions
    from restkit.message.response import HttpResponse
    from restkit.preparing import GivenHeaders
    from restkit.url import URL


class Verbs(ABC):
    """``get`` and the others, by a ``request`` that a subclass has."""

    @abstractmethod
    def request(
        self,
        url: str | URL,
        method: str = "GET",
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """Send one request; see the subclass."""

    def get(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with GET."""
        return self.request(url, "GET", payload, headers, **options)

    def head(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with HEAD."""
        return self.request(url, "HEAD", payload, headers, **options)

    def post(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with POST."""
        return self.request(url, "POST", payload, headers, **options)

    def put(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PUT."""
        return self.request(url, "PUT", payload, headers, **options)

    def patch(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PATCH."""
        return self.request(url, "PATCH", payload, headers, **options)

    def delete(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with DELETE."""
        return self.request(url, "DELETE", payload, headers, **options)

    def options(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with OPTIONS."""
        return self.request(url, "OPTIONS", payload, headers, **options)
