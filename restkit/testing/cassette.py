"""``Cassette``: record the exchanges of Clients in a file, and play them without a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from threading import RLock
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, TypeAlias

from restkit.connections.outgoing import (
    ChunkedFraming,
    FramedPayload,
    OutgoingRequest,
    SizedFraming,
)
from restkit.connections.pool import ConnectionPool
from restkit.connections.reply import Reply
from restkit.errors import BodyTooLarge, RequestError
from restkit.headers import Headers
from restkit.http1.framing import SizedBody
from restkit.io.buffers import Buffer
from restkit.io.spool import Spool
from restkit.message.request import ReadOptions, Request
from restkit.message.response import HttpResponse
from restkit.network.route import Route
from restkit.payload.base import Payload, TransparentWrapper
from restkit.payload.spooled import spool_payload
from restkit.testing.cassette_bodies import decode_body, to_json_body
from restkit.testing.cassette_file import (
    Content,
    Exchange,
    check_exchange,
    dump,
    load_content,
    make_content,
    write_content,
)
from restkit.testing.cassette_masks import Masking
from restkit.testing.cassette_match import Recordings, name_request
from restkit.testing.cassette_reply import describe_response, make_reply
from restkit.timeouts import Deadline

Mode: TypeAlias = Literal["once", "none", "new", "all"]
Edit: TypeAlias = Callable[[Exchange], "Exchange | None"]

_MODES = ("once", "none", "new", "all")
_MAX_BODY = 16 * 1024 * 1024
_MAX_PAYLOAD = 64 * 1024
_RAW = ReadOptions(decompress=False, check_digest=False)


class UnknownRequest(RequestError):
    """A request that a Cassette has no recording for, in a mode that sends none."""


class Cassette:
    """Records the exchanges of all Clients inside its ``with`` block; plays them the next time.

    ``mode`` is ``'once'`` (record if the file does not exist, otherwise play), ``'none'`` (play),
    ``'new'`` (play what is recorded, record the rest) or ``'all'`` (record everything again). A
    request that may not be sent raises UnknownRequest, which names the nearest recording.

    Method and URL select the recording; ``match_headers`` and ``match_body`` add to these. A
    recording is played once, in order; ``repeat=True`` plays the last one again. ``secrets`` are
    further names of headers, parameters and fields to mask; all their values count as equal.
    ``edit`` is called with each exchange before it is kept. It returns the exchange, or None to
    leave it out. The file is written when the block ends without an exception.

    >>> import restkit, tempfile
    >>> from restkit.testing import LocalServer
    >>> with tempfile.TemporaryDirectory() as folder, LocalServer() as server:
    ...     for _ in range(2):
    ...         with Cassette(f'{folder}/missing.json'):
    ...             restkit.get(server.url).status
    ...     len(server.received)
    404
    404
    1
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Mode = "once",
        *,
        match_headers: Iterable[str] = (),
        match_body: bool = False,
        repeat: bool = False,
        secrets: Iterable[str] = (),
        edit: Edit | None = None,
        max_body: int = _MAX_BODY,
    ) -> None:
        if mode not in _MODES:
            raise RequestError(f"mode must be 'once', 'none', 'new' or 'all'; got {mode!r:.60}")
        for name, value in (("match_headers", match_headers), ("secrets", secrets)):
            if isinstance(value, str):
                raise RequestError(f"{name} must be a list of names, such as [{value!r}]")
        self._path = os.fsdecode(path)
        self._mode: Mode = mode
        self._match_headers = tuple(match_headers)
        self._match_body = match_body
        self._repeat = repeat
        self._secrets = tuple(secrets)
        self._edit = edit
        self._max_body = max_body
        self._records = False
        self._begin(make_content())
        self._lock = RLock()

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges of the file at the start of the block."""
        return list(self._recordings.exchanges)

    @property
    def unused(self) -> list[Exchange]:
        """The exchanges of the file that were not played."""
        return self._recordings.unused()

    def __enter__(self) -> Cassette:
        if self in _active:
            raise RequestError(f"{self!r} is in use already; create a new one")
        exists = os.path.exists(self._path)
        if self._mode == "none" or (exists and self._mode != "all"):
            loaded = load_content(self._path)
        else:
            loaded = make_content()
        self._records = self._mode in ("new", "all") or (self._mode == "once" and not exists)
        self._begin(loaded)
        _insert(self)
        return self

    def _begin(self, loaded: Content) -> None:
        self._loaded = loaded
        self._recordings = Recordings(
            loaded.exchanges, self._match_headers, body=self._match_body, repeat=self._repeat
        )
        self._masking = Masking(
            self._secrets, loaded.key, self._match_headers, match_body=self._match_body
        )
        self._recorded = Spool()
        self._edit_error: RequestError | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _remove(self)
        with self._lock:
            try:
                if kind is None and self._edit_error is not None:
                    raise self._edit_error
                if kind is None and (
                    self._recorded.size or (self._mode == "all" and self._records)
                ):
                    write_content(self._path, self._loaded, self._recorded)
            finally:
                self._recorded.close()

    def __repr__(self) -> str:
        return f"<Cassette {self._path!r}, mode {self._mode}>"

    # One exchange

    def _play_or_record(
        self, pool: ConnectionPool, outgoing: OutgoingRequest, route: Route, options: dict[str, Any]
    ) -> Reply:
        """Play the recording of a request, or send and record it; see ``ConnectionPool.send``."""
        if outgoing.method == "CONNECT" or pool.closed:
            return _real_send(pool, outgoing, route, **options)
        observed = None if outgoing.body is None else _ObservedPayload(outgoing.body.payload)
        if observed is not None and self._match_body and self._records:
            observed.make_replayable(outgoing.new_spool)
        outgoing = outgoing._replace(body=_reframe(outgoing.body, observed))
        request, headers = self._describe(outgoing, route)
        if observed is not None and self._match_body:
            _read(outgoing.body)
            request["body"] = self._describe_payload(observed, headers)
        exchange = self._recordings.take(request)
        if exchange is not None:
            if observed is not None and not self._match_body:
                _read(outgoing.body)
            return make_reply(exchange["response"])
        if not self._records:
            raise UnknownRequest(
                f"{self._path!r} has no recording for this request, and "
                f"mode={self._mode!r} sends nothing: {self._recordings.describe_nearest(request)}",
                sent="nothing",
            )
        reply = _real_send(pool, outgoing, route, **options)
        if reply.upgraded is not None or reply.failure is not None:
            return reply
        if observed is not None:
            request["body"] = self._describe_payload(observed, headers)
        return self._record(request, reply, outgoing, route)

    def _describe(self, outgoing: OutgoingRequest, route: Route) -> tuple[Exchange, Headers]:
        """Return method, URL and header fields as in the file, and the fields unmasked."""
        _, *lines = outgoing.head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = Headers([(name, value) for name, _, value in (x.partition(": ") for x in lines)])
        request = {
            "method": outgoing.method,
            "url": self._masking.mask_url(str(route.url_of(outgoing.target))),
            "headers": self._masking.mask_request_fields(headers.pairs()),
        }
        return request, headers

    def _describe_payload(self, observed: _ObservedPayload, headers: Headers) -> dict[str, Any]:
        if observed.size > _MAX_PAYLOAD:
            return {"size": observed.size, "sha256": observed.digest.hexdigest()}
        codings = headers.get_all("content-encoding")
        data = decode_body(bytes(observed.start), codings, self._max_body)
        if data is None:
            data = bytes(observed.start)
        elif len(data) > _MAX_PAYLOAD:
            return {"size": len(data), "sha256": sha256(data).hexdigest()}
        return to_json_body(self._masking.mask_payload(data, headers.get("content-type", "")))

    def _record(
        self, request: Exchange, reply: Reply, outgoing: OutgoingRequest, route: Route
    ) -> Reply:
        """Read the body to its end, keep the exchange, and return a reply with the same body."""
        described = Request(outgoing.method, route.url_of(outgoing.target), read_options=_RAW)
        with HttpResponse(described, reply, 0.0) as response:
            spool = outgoing.new_spool()
            for chunk in response.payload_stream or ():
                spool.append(chunk)
                if spool.size > self._max_body:
                    raise BodyTooLarge(
                        f"the body of {name_request(request)} has more than {self._max_body} "
                        "bytes, the most that this Cassette records; give it a larger max_body"
                    )
            trailers = response.trailers.pairs()
            exchange: Exchange | None = {
                "request": request,
                "response": describe_response(
                    response, spool.read_at(0, spool.size), trailers, self._masking, self._max_body
                ),
            }
        if self._edit is not None:
            exchange = self._edit(exchange or {})
        if exchange is not None:
            text = self._check_and_dump(exchange)
            with self._lock:
                self._recorded.append(b",\n" + text if self._recorded.size else text)
        content = spool.read_at(0, spool.size) if spool.in_memory else b""
        following = Reply(reply.head, SizedBody(spool.size), content)
        following.body_reader.trailers[:] = trailers
        following.early = None if spool.in_memory else spool
        following.sent = reply.sent
        following.connected_at, following.secured_at = reply.connected_at, reply.secured_at
        following.sent_at, following.first_byte_at = reply.sent_at, reply.first_byte_at
        following.done_at = perf_counter()
        return following

    def _check_and_dump(self, exchange: Exchange) -> bytes:
        """Return the text of an exchange. If ``edit`` made it wrong, the block raises too."""
        if self._edit is None:
            return dump(exchange)
        try:
            check_exchange(exchange)
            return dump(exchange)
        except (ValueError, TypeError) as exc:
            error = RequestError(
                f"edit= of the cassette {self._path!r} must return the exchange, with its request "
                f"and response, or None; it returned one with this mistake: {exc}"
            )
            self._edit_error = error
            raise error from exc


# Every Client sends through the method ``send`` of its pool. It is replaced only while a Cassette
# is in use, so that other programs are not slower.

_active: list[Cassette] = []
_active_lock = RLock()
_real_send = ConnectionPool.send


def _send(
    pool: ConnectionPool, request: OutgoingRequest, route: Route, deadline: Deadline, **options: Any
) -> Reply:
    options["deadline"] = deadline
    with _active_lock:
        cassette = _active[-1] if _active else None
    if cassette is None:
        return _real_send(pool, request, route, **options)
    return cassette._play_or_record(pool, request, route, options)


def _insert(cassette: Cassette) -> None:
    with _active_lock:
        _active.append(cassette)
        ConnectionPool.send = _send  # type: ignore[method-assign,assignment]  # see above


def _remove(cassette: Cassette) -> None:
    with _active_lock:
        with suppress(ValueError):
            _active.remove(cassette)
        if not _active:
            ConnectionPool.send = _real_send  # type: ignore[method-assign]  # see above


class _ObservedPayload(TransparentWrapper):
    """A payload that keeps the first bytes and the digest of its latest pass."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self._reset()

    def _reset(self) -> None:
        self.start = bytearray()
        self.size = 0
        self.digest = sha256()

    def make_replayable(self, new_spool: Callable[[], Spool]) -> None:
        """Read a payload with one pass now, so that it can be compared and then sent."""
        if not self._payload.replayable:
            self._payload = spool_payload(self._payload, new_spool)
            self.replayable = True

    def chunks(self) -> Iterator[Buffer]:
        self._reset()
        for chunk in self._payload:
            self.size += len(chunk)
            self.digest.update(chunk)
            if self.size <= _MAX_PAYLOAD:
                self.start += chunk
            yield chunk


def _reframe(body: FramedPayload | None, observed: _ObservedPayload | None) -> FramedPayload | None:
    if body is None or observed is None:
        return None
    return ChunkedFraming(observed) if isinstance(body, ChunkedFraming) else SizedFraming(observed)


def _read(body: FramedPayload | None) -> None:
    """Read a payload to its end, as sending it would."""
    for _ in body or ():
        pass
