"""The response: a head, and one body with many views."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from functools import partial
from threading import RLock
from typing import IO, Any, NamedTuple

from restkit.body.body import Body
from restkit.body.files import BodyFile, BodyStream, PayloadStream, body_as_payload, save_body
from restkit.connections.reply import Reply
from restkit.errors import DecodingError, Error, InvalidUrl, RequestError, Sent, make_status_error
from restkit.headers import GivenFields, HeaderName, Headers
from restkit.message.aliases import Aliases
from restkit.message.file_name import file_name_of
from restkit.message.header_values import (
    as_utf_8,
    locations_of,
    parse_links,
    read_set_cookies,
)
from restkit.message.pickling import UNREAD_BODY, PickledResponse, make_reply, restore_reply
from restkit.message.request import Request
from restkit.message.response_body import (
    ErrorContext,
    broken_body,
    codings_of,
    is_coded,
    make_body,
    may_have_digests,
)
from restkit.message.text import TextViews
from restkit.payload.base import Payload
from restkit.redaction import redact_url
from restkit.url.url import Link

_MAX_SKIPPED = 256 * 1024
_SKIP_SECONDS = 1.0


class Timings(NamedTuple):
    """Seconds from the start of the call; None for an event that did not happen (yet).

    ``connect`` and ``tls`` are None if an idle connection was used.
    """

    connect: float | None
    tls: float | None
    sent: float
    first_byte: float
    done: float | None


class HttpResponse(TextViews, Aliases):
    """The response to a request. Leaving ``with response`` closes it; so does garbage collection.

    ``status`` is a number, ``headers`` are case-insensitive. The body can be read in several
    ways, at any time and again: ``body``, ``text``, ``json()``, ``body_file``. At the end of the
    body the connection goes back to the Client.

    >>> from restkit import Request, parse_url
    >>> request = Request("GET", parse_url("http://host/"))
    >>> response = HttpResponse.made(request, 200, {"Content-Type": "text/plain"}, "hello")
    >>> response.status, response.headers["content-type"], response.text
    (200, 'text/plain', 'hello')
    >>> response.body_file.read(2)
    b'he'
    """

    # response[name] is a header: without this, iter() would take a response for a sequence.
    __iter__ = None

    history: tuple[HttpResponse | Error, ...] = ()
    """The earlier attempts of the call, in order: responses and errors."""

    tries: int = 1
    """The number of attempts: 1, and 1 for each retry. Redirects and challenges do not count."""

    # Class attributes: most responses never replace them, which makes a small GET faster.
    _body: Body | None = None
    _body_file: BodyFile | None = None
    _charset: str | None = None  # set by ``encoding``
    _was_read_in_memory: bool = False
    _decoded: bool = False  # the body was decoded before this object was made

    def __init__(
        self, request: Request, reply: Reply, started: float, *, decoded: bool = False
    ) -> None:
        self.request = request
        self.status = reply.head.status
        self._reply = reply
        self._started = started
        # Two threads may be the first to read the body, and must get the same one.
        self._body_lock = RLock()
        if decoded:
            self._decoded = True

    @classmethod
    def made(
        cls,
        request: Request,
        status: int = 200,
        headers: GivenFields = (),
        body: bytes | str = b"",
    ) -> HttpResponse:
        """Make a response without a server, for a filter or a test; a str is encoded as UTF-8."""
        return cls(request, make_reply(status, Headers(headers), body), 0.0, decoded=True)

    # Status line and headers

    @property
    def reason(self) -> str:
        """The reason phrase of the status line."""
        return self._reply.head.reason

    @property
    def status_line(self) -> str:
        """Status and reason, such as '200 OK'."""
        return f"{self.status} {self.reason}".rstrip()

    @property
    def version(self) -> tuple[int, int]:
        """The HTTP version of the response: (1, 1) or (1, 0)."""
        return 1, self._reply.head.minor

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self._reply.head.headers

    @property
    def headerslist(self) -> list[tuple[str, str]]:
        """Every header field in order, unchanged; each Set-Cookie is an entry of its own."""
        return self.headers.pairs()

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked body; empty until the body has been read to its end."""
        return Headers.from_trusted(self._reply.body_reader.trailers)

    @property
    def final_url(self) -> str:
        """The URL of the last request, after redirects, without user info."""
        return str(self.request.url)

    @property
    def location(self) -> str | None:
        """The Location as an absolute URL; None without one, or with several different ones.

        A Location that is not an http URL is returned unchanged.
        """
        locations = locations_of(self.headers)
        if len(locations) != 1:
            return None
        try:
            return str(self.request.url.join(as_utf_8(locations[0])))
        except InvalidUrl:
            return locations[0]

    @property
    def links(self) -> dict[str, Link]:
        """The Link headers by relation (RFC 8288): ``client.get(response.links['next'])``."""
        links = [as_utf_8(value) for value in self.headers.get_all("link")]
        return parse_links(links, self.request.url)

    @property
    def filename(self) -> str:
        """A file name that is safe in any folder: from Content-Disposition, or else the URL."""
        return file_name_of(self.headers, self.request.url)

    @property
    def sets_cookies(self) -> bool:
        """Whether there is a Set-Cookie header."""
        return self._reply.head.has(b"\r\nset-cookie:")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response sets; those of the Client are in ``client.cookies``."""
        return read_set_cookies(self.headers.get_all("set-cookie"))

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def timings(self) -> Timings:
        """The seconds until each step of the call was complete."""
        reply, start = self._reply, self._started
        done = reply.done_at if reply.live is None else reply.live.done_at
        return Timings(
            None if reply.connected_at is None else reply.connected_at - start,
            None if reply.secured_at is None else reply.secured_at - start,
            reply.sent_at - start,
            reply.first_byte_at - start,
            done - start if done else None,
        )

    @property
    def sent(self) -> Sent:
        """The part of the request that was sent before the response: 'nothing', 'part' or 'all'."""
        return self._reply.sent

    def raise_for_status(self) -> HttpResponse:
        """Return this response; raise a ResourceError for a status of 400 or more."""
        if self.status >= 400:
            raise make_status_error(self, self.status_line)
        return self

    def __getitem__(self, name: HeaderName) -> str:
        return self.headers[name]

    def __contains__(self, name: object) -> bool:
        return name in self.headers

    # The body from the spool, as often as needed

    @property
    def body(self) -> bytes:
        """The whole body, decoded, as bytes."""
        if self._body is None and self._is_complete_in_memory():
            self._was_read_in_memory = True
            return self._reply.content
        return self._get_body().read_all()

    @property
    def body_file(self) -> BodyFile:
        """The body as a file, always the same one: it can be read, seeked and read again."""
        file = self._body_file  # close() in a signal handler may set it to None
        if file is None or file.closed:
            file = self._body_file = BodyFile(self._get_body())
        return file

    def tee(self) -> BodyFile:
        """Return another file over the same body, with a position of its own."""
        return BodyFile(self._get_body())

    def iter_blocks(self, size: int = 64 * 1024) -> Iterator[bytes]:
        """Iterate over the body in chunks of ``size`` bytes; the last one may be shorter."""
        given: object = size
        if not isinstance(given, int) or not 1 <= given <= sys.maxsize:
            raise RequestError(f"size must be a number of bytes, 1 or more; got {size!r:.60}")
        return iter(partial(self.tee().read, size), b"")

    # The body straight from the connection: once

    def body_stream(self) -> BodyStream:
        """Return the body as a single-pass file, read straight from the connection, not spooled."""
        return BodyStream(self._get_body())

    @property
    def payload_stream(self) -> PayloadStream | None:
        """The chunks of the body as they arrive, in a single pass; None without a body."""
        if self._reply.body_reader.length != 0:
            return PayloadStream(self._get_body())
        if may_have_digests(self._reply.head):
            self._get_body().read_all()  # raises IntegrityError if the body must not be empty
        return None

    def save(self, target: str | os.PathLike[str] | IO[bytes]) -> int:
        """Write the body to a path or an open file, and return its number of bytes.

        A path gets the whole body or nothing: a temporary file is written and renamed. In an
        existing directory the file gets the name ``filename``; it is never overwritten
        (FileExistsError). An unread body is written straight from the connection, not spooled.
        """
        return save_body(self._get_body(), target, lambda: self.filename)

    def skip_body(self) -> None:
        """Discard the rest of the body. A short rest is read, so that the connection stays open.

        The connection is closed if this would take more than 256 KiB or more than one second.
        """
        if self._reply.live is not None:
            self._reply.live.limit_time(_SKIP_SECONDS)
        self._get_body(to_discard=True).skip(_MAX_SKIPPED)

    def can_read(self) -> bool:
        """Whether the body can be read from its beginning."""
        return self._body is None or self._body.is_readable

    def __payload__(self) -> Payload:
        return body_as_payload(self._get_body())

    # Closing

    def close(self) -> None:
        """Close the response, from any thread; a completely received body stays readable.

        If the rest of the body is small and has arrived, it is discarded, and the connection
        stays open. Otherwise the connection is closed.
        """
        if self._reply.upgraded is not None:
            self._reply.upgraded.close()
        if self._body is not None or self._reply.live is not None:
            body = self._get_body(to_discard=True)
            body.close()
            if not body.is_readable:
                self._body_file = None  # its buffer may hold a part of the body

    def detach(self) -> tuple[socket.socket, bytes]:
        """Return the blocking socket and the bytes after the head; only after 101 or CONNECT."""
        upgraded = self._reply.upgraded
        if upgraded is not None and not upgraded.closed:
            return upgraded.detach()
        if upgraded is not None:
            reason = "the socket of this response was detached or closed already"
        else:
            reason = (
                "only a response of 101, or of 2xx to CONNECT, has a socket to detach; this one is "
                f"{self.status_line} to {self.request.method}"
            )
        raise RequestError(reason, sent=self.sent, request=self.request, response=self)

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        request = f"{self.request.method} {redact_url(str(self.request.url))}"
        return f"<HttpResponse {self.status_line}, {request}>"

    # Pickling

    def without_unread_body(self) -> HttpResponse:
        """Return this response, or a copy without a body that is still arriving.

        For an error that is pickled with its response and must not wait for the network.
        """
        live, body = self._reply.live, self._body
        if live is None or live.error is not None or (body is not None and body.is_complete):
            return self
        state = self._pickle_state(b"", UNREAD_BODY, decoded=False)
        return self._unpickle(state, self.request, self.history, self.tries)

    def __reduce__(self) -> tuple[Any, ...]:
        body, fault, decoded = b"", None, self._decoded
        try:
            body = self.body
            codings = codings_of(self._reply.head)
            decoded = decoded or (self.request.read_options.decompress and bool(codings))
        except Error as exc:
            # Pickle the head anyway: an error that holds this response must be picklable.
            fault = (type(exc), exc.message)
        state = self._pickle_state(body, fault, decoded=decoded)
        attributes = {"_charset": self._charset}
        return self._unpickle, (state, self.request, self.history, self.tries), attributes

    def _pickle_state(
        self, body: bytes, fault: tuple[type[Error], str] | None, *, decoded: bool
    ) -> PickledResponse:
        return PickledResponse(
            self._reply.head.minor,
            self.status,
            self.reason,
            self.headerslist,
            self._reply.body_reader.trailers,
            body,
            fault,
            decoded,
            tuple(self.timings),
            self.sent,
        )

    @classmethod
    def _unpickle(
        cls,
        state: PickledResponse,
        request: Request,
        history: tuple[HttpResponse | Error, ...],
        tries: int,
    ) -> HttpResponse:
        response = cls(request, restore_reply(state), 0.0, decoded=state.decoded)
        response.history, response.tries = history, tries
        if state.fault:
            kind, message = state.fault
            response._body = broken_body(
                kind(message), ErrorContext(request, response.sent, response)
            )
        return response

    # Internals

    def _get_body(self, *, to_discard: bool = False) -> Body:
        if self._body is None:
            with self._body_lock:
                if self._body is None:
                    self._body = make_body(
                        self._reply,
                        self.request,
                        ErrorContext(self.request, self.sent, self),
                        decoded=self._decoded,
                        to_discard=to_discard,
                    )
                    if self._was_read_in_memory:
                        self._body.spool_all()
        return self._body

    def _is_complete_in_memory(self) -> bool:
        """Whether ``reply.content`` is the body, without decoding, checks or reports."""
        reply, options = self._reply, self.request.read_options
        return (
            reply.live is None
            and reply.early is None
            and options.max_body is None
            and options.on_received is None
            and (self._decoded or not (options.decompress and is_coded(reply.head)))
            and (self._decoded or not may_have_digests(reply.head))
        )

    def _seconds_to_head(self) -> float:
        return max(0.0, self._reply.first_byte_at - self._started)

    def _check_decoded(self) -> None:
        head, decompress = self._reply.head, self.request.read_options.decompress
        if self._decoded or not is_coded(head):
            return
        if not decompress or codings_of(head) is None:
            coding = head.headers["content-encoding"]
            reason = "restkit cannot decode" if decompress else "decompress=False keeps"
            raise self._decoding_error(f"the body is encoded as {coding}, which {reason}")

    def _decoding_error(self, message: str) -> DecodingError:
        return DecodingError(message, sent=self.sent, request=self.request, response=self)
