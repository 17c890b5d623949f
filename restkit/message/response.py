"""The response: a head, and one body with many views.

The head of a response, as callers read it.

The response, as callers read it: a head, and one body with many views.
"""

from __future__ import annotations

from functools import partial
from threading import RLock
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from restkit.body.files import BodyFile, BodyStream, PayloadStream, save_body
from restkit.connections.reply import Times
from restkit.errors import AlreadyRead, DecodingError, Error, InvalidUrl, RequestError, error_for
from restkit.headers import Headers
from restkit.message.aliases import OriginalNames
from restkit.message.header_values import as_utf_8, charset_of, is_charset
from restkit.message.pickling import Kept, kept_reply, made_reply
from restkit.message.response_body import (
    broken_body,
    codings_of,
    is_coded,
    make_body,
    may_have_digests,
)
from restkit.redaction import redact_url

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Iterable, Iterator, Mapping

    from restkit.body.body import Body
    from restkit.connections.reply import Reply
    from restkit.errors import Sent
    from restkit.headers import HeaderValue
    from restkit.http1.response_head import ResponseHead
    from restkit.message.request import Request
    from restkit.payload.base import Payload


class ResponseInfo:
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
        from restkit.message.header_values import parse_links

        links = [as_utf_8(value) for value in self.headers.get_all("link")]
        return parse_links(links, self.request.url)

    @property
    def sets_cookies(self) -> bool:
        """Whether there is a Set-Cookie; costs next to nothing where there is none."""
        return self._head.has(b"\r\nset-cookie:")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this very answer sets; a Client keeps its own in ``client.cookies``."""
        from restkit.message.header_values import cookies_set_by

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


class ErrorContext:
    """Whose body it is; it does not keep the response, or neither would end before a collection."""

    __slots__ = ("_response", "_sent", "request")

    def __init__(self, response: HttpResponse) -> None:
        self.request = response.request
        self._sent = response.sent
        self._response = ref(response)

    def blame(self, error: Error) -> None:
        """Complete an error with what it is about."""
        if error.request is None:
            error.request = self.request
        if error.sent is None:
            error.sent = self._sent
        if error.response is None:
            error.response = self._response()


_SKIPPED = 256 * 1024
_PATIENCE = 1.0


class Timings(NamedTuple):
    """Seconds from the start of the call; None for what did not happen, or not yet.

    ``connect`` and ``tls`` are there only when the connection was opened for this request.
    """

    connect: float | None
    tls: float | None
    sent: float
    first_byte: float
    done: float | None


class HttpResponse(ResponseInfo, OriginalNames):
    """The answer to a request; use it in a ``with``, or let it go: either closes what is open.

    ``status`` is a number; ``headers`` are there in any case; the body is read in whatever way
    suits, at any moment and again: ``body``, ``text``, ``json()``, ``body_file``. One that is
    read to its end has given its connection back by itself.
    """

    # r[0] must not make a response look like a sequence.
    __iter__ = None

    history: tuple[HttpResponse | Error, ...] = ()
    """What came before, in order: answers that led on, and errors that were tried past."""

    def __init__(
        self, request: Request, reply: Reply, started: float, *, decoded: bool = False
    ) -> None:
        self.request = request
        self.status = reply.head.status
        self._head = reply.head
        self._reply = reply
        self._started = started
        self._body: Body | None = None
        self._body_file: BodyFile | None = None
        self._read = False
        # Two threads may be the first to look at the body, and must see the same one.
        self._making = RLock()
        # Whether the body has been decoded before this object was made.
        self._decoded = decoded

    @classmethod
    def made(
        cls,
        request: Request,
        status: int = 200,
        headers: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]] = (),
        body: bytes | str = b"",
    ) -> HttpResponse:
        """An answer that no peer has given: for a filter to give, or a test; a str is its UTF-8."""
        return cls(request, made_reply(status, Headers(headers), body), 0.0, decoded=True)

    @property
    def trailers(self) -> Headers:
        """The fields behind a chunked body; empty until that has been read to its end."""
        return Headers.from_trusted(self._reply.deframer.trailers)

    @property
    def timings(self) -> Timings:
        """When this exchange was connected, sent, answered and done."""
        times, live, began = self._reply.times, self._reply.live, self._started
        done = times.done if live is None else live.done_at
        return Timings(
            None if times.connected is None else times.connected - began,
            None if times.secured is None else times.secured - began,
            times.sent - began,
            times.first_byte - began,
            done - began if done else None,
        )

    @property
    def sent(self) -> Sent:
        """How much of the request had left when the answer was there, as errors say it."""
        return self._reply.sent

    def raise_for_status(self) -> HttpResponse:
        """Itself if the status is below 400; raises ResourceError, or a child of it, if not."""
        if self.status >= 400:
            kind = error_for(self.status)
            raise kind(self.status_line, sent=self.sent, request=self.request, response=self)
        return self

    # The body, through the spool: as often as you like

    @property
    def body(self) -> bytes:
        """The whole body, decoded, as bytes."""
        if self._body is None and self._came_whole():
            self._read = True
            return self._reply.content
        return self._the_body().content()

    @property
    def text(self) -> str:
        """The body as text, by its charset or else as UTF-8; a byte that is neither raises."""
        return self.body_string()

    def json(self) -> Any:
        """The body as JSON says it; raises DecodingError (a ValueError) if it is none."""
        import json

        body = self.body
        self._must_be_decoded()
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise self._not_what_it_says(f"the body is not JSON: {exc}") from exc

    def body_string(self, charset: str | None = None, unicode_errors: str = "strict") -> str:
        """The body as text, by this charset, its own, or UTF-8."""
        body = self.body
        self._must_be_decoded()
        name = charset or self.charset
        if not charset and not is_charset(name):
            raise self._not_what_it_says(f"the body is not text in {name:.60}: that is no charset")
        try:
            return body.decode(name, unicode_errors)
        except (ValueError, LookupError) as exc:
            raise self._not_what_it_says(f"the body is not text in {name}: {exc}") from exc

    @property
    def body_file(self) -> BodyFile:
        """The body as a file, the same at every look; it can be read, sought and read again."""
        if self._body_file is None or self._body_file.closed:
            self._body_file = BodyFile(self._the_body())
        return self._body_file

    def tee(self) -> BodyFile:
        """One more file over the same body, with a place of its own."""
        return BodyFile(self._the_body())

    def iter_blocks(self, size: int = 64 * 1024) -> Iterator[bytes]:
        """The body in blocks of this size, the last one shorter."""
        if size < 1:
            raise RequestError(f"size={size!r}: a number of bytes, 1 or more, is wanted")
        return iter(partial(self.tee().read, size), b"")

    def iter_lines(self) -> Iterator[bytes]:
        r"""The body's lines, whatever their length, without their ``\n`` or ``\r\n``."""
        for line in iter(self.tee().readline, b""):
            yield line[: -2 if line.endswith(b"\r\n") else -1 if line.endswith(b"\n") else None]

    # The body, live: once

    def body_stream(self) -> BodyStream:
        """The body as a file read straight from the wire, once; nothing of it is kept."""
        return BodyStream(self._the_body())

    @property
    def payload_stream(self) -> PayloadStream | None:
        """The body's pieces as they arrive, once; None where the answer has no body."""
        return None if self._reply.deframer.length == 0 else PayloadStream(self._the_body())

    def save(self, target: str | os.PathLike[str] | IO[bytes]) -> int:
        """Write the body to a path or an open file; how many bytes it has.

        A path gets it whole or not at all: it is written beside it and moved in place. A body
        that nobody has read is taken live, and kept nowhere else.
        """
        return save_body(self._the_body(), target)

    def skip_body(self) -> None:
        """Let the body go, unread: a short rest is read away so that the connection can stay.

        One that is longer, or does not come at once, is not waited for: its connection is closed.
        """
        if self._reply.live is not None:
            self._reply.live.hurry(_PATIENCE)
        self._the_body(told=False).skip(_SKIPPED)

    def can_read(self) -> bool:
        """Whether the body can be read from its beginning."""
        return self._body is None or self._body.readable

    def __payload__(self) -> Payload:
        body = self._the_body()
        return body.live_payload() if body.untouched else body.spooled_payload()

    # The end

    def close(self) -> None:
        """Let go of connection and spool, from any thread; what is whole in memory stays."""
        reply = self._reply
        if reply.given is not None:
            reply.given.close()
        if self._body is not None or reply.live is not None or reply.early is not None:
            self._the_body(told=False).close()

    def detach(self) -> tuple[socket.socket, bytes]:
        """After 101 or CONNECT: the socket, blocking and yours, and what came behind the head."""
        given = self._reply.given
        if given is not None and not given.closed:
            return given.detach()
        if given is not None:
            why = "the socket of this answer has been given away already, or closed"
        else:
            why = (
                f"only an answer of 101, or 2xx to CONNECT, gives its socket away; this is "
                f"{self.status_line} to {self.request.method}"
            )
        raise RequestError(why, sent=self.sent, request=self.request, response=self)

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        asked = f"{self.request.method} {redact_url(str(self.request.url))}"
        return f"<HttpResponse {self.status_line}, {asked}>"

    def as_far_as_read(self) -> HttpResponse:
        """Itself if its body has come; or the same without a body that is still to be waited for.

        An error takes that with it where it goes: to pickle it must not wait for anybody.
        """
        if self._reply.live is None or (self._body is not None and self._body.complete):
            return self
        unread = AlreadyRead, "the body had not been read when this response was put away"
        return self._thawed(self._kept(b"", unread, decoded=False), self.request, self.history)

    def __reduce__(self) -> tuple[Any, ...]:
        body, fault, decoded = b"", None, self._decoded
        try:
            body = self.body
            codings = codings_of(self._reply.head)
            decoded = decoded or (self.request.settings.decompress and bool(codings))
        except Error as exc:
            # The head goes along all the same: an error that holds this response must pickle.
            fault = (type(exc), exc.message)
        kept = self._kept(body, fault, decoded=decoded)
        return self._thawed, (kept, self.request, self.history)

    def _kept(self, body: bytes, fault: tuple[type[Error], str] | None, *, decoded: bool) -> Kept:
        head, trailers = self._reply.head, self._reply.deframer.trailers
        said = (head.minor, self.status, self.reason, self.headerslist, trailers)
        return Kept(*said, body, fault, decoded, Times(*self.timings), self.sent)

    @classmethod
    def _thawed(
        cls, kept: Kept, request: Request, history: tuple[HttpResponse | Error, ...]
    ) -> HttpResponse:
        response = cls(request, kept_reply(kept), 0.0, decoded=kept.decoded)
        response.history = history
        if kept.fault:
            kind, message = kept.fault
            response._body = broken_body(kind(message), ErrorContext(response))
        return response

    # Inside

    def _the_body(self, *, told: bool = True) -> Body:
        if self._body is None:
            with self._making:
                if self._body is None:
                    self._body = make_body(
                        self._reply, ErrorContext(self), decoded=self._decoded, told=told
                    )
                    if self._read:
                        self._body.pull_all()
        return self._body

    def _came_whole(self) -> bool:
        """Whether the reply's content is the body, with nothing to be done to it."""
        reply, settings = self._reply, self.request.settings
        return (
            reply.live is None
            and reply.early is None
            and settings.max_body is None
            and (settings.progress is None or settings.progress.received is None)
            and (self._decoded or not (settings.decompress and is_coded(reply.head)))
            and (self._decoded or not may_have_digests(reply.head))
        )

    def _must_be_decoded(self) -> None:
        settings, head = self.request.settings, self._reply.head
        if self._decoded or not is_coded(head):
            return
        if not settings.decompress or codings_of(head) is None:
            coding = head.headers["content-encoding"]
            why = "nothing here decodes" if settings.decompress else "decompress=False left"
            raise self._not_what_it_says(f"the body is in {coding}, which {why}")

    def _not_what_it_says(self, message: str) -> DecodingError:
        return DecodingError(message, sent=self.sent, request=self.request, response=self)
