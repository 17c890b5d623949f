"""The head of a response, as callers read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import InvalidUrl
from restkit.message.header_text import as_utf_8, charset_of

if TYPE_CHECKING:
    from restkit.headers import Headers
    from restkit.message.request import Request
    from restkit.wire.head import ResponseHead


class Heading:
    """Status line and header fields, and what they say of the answer."""

    request: Request
    status: int
    _head: ResponseHead

    @property
    def reason(self) -> str:
        return self._head.reason

    @property
    def status_line(self) -> str:
        """Status and reason, as in '200 OK'."""
        return f"{self.status} {self.reason}".rstrip()

    @property
    def version(self) -> tuple[int, int]:
        """The version of HTTP that the peer speaks: (1, 1) or (1, 0)."""
        return 1, self._head.minor

    @property
    def headers(self) -> Headers:
        return self._head.headers

    @property
    def headerslist(self) -> list[tuple[str, str]]:
        """Every header field, in order and as it came, each Set-Cookie by itself."""
        return self.headers.pairs()

    @property
    def final_url(self) -> str:
        """The URL that answered, without user info."""
        return str(self.request.url)

    @property
    def location(self) -> str | None:
        """Where the answer points to, as an absolute URL; None for nowhere, or several places.

        What is no http URL is given as it came.
        """
        found = locations_of(self.headers)
        if len(found) != 1:
            return None
        location = found[0]
        try:
            return str(self.request.url.join(as_utf_8(location)))
        except InvalidUrl:
            return location

    @property
    def charset(self) -> str:
        """The charset that ``text`` is read by: what Content-Type names, or else UTF-8."""
        return charset_of(self.headers.get("content-type", "")) or "utf-8"

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link headers by relation (RFC 8288): ``r.links['next']['url']``."""
        from restkit.message.links import parse_links

        links = [as_utf_8(value) for value in self.headers.get_all("link")]
        return parse_links(links, self.request.url)

    @property
    def sets_cookies(self) -> bool:
        """Whether there is a Set-Cookie; costs next to nothing where there is none."""
        return self._head.has(b"\r\nset-cookie:")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this very answer sets; a Client keeps its own in ``client.cookies``."""
        from restkit.message.set_cookie import cookies_set_by

        return cookies_set_by(self.headers.get_all("set-cookie"))

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    def __contains__(self, name: object) -> bool:
        return name in self.headers


def locations_of(headers: Headers) -> list[str]:
    """The places that Location names: one, unless its fields are empty, or do not agree."""
    return [*dict.fromkeys(filter(None, headers.get_all("location")))]
