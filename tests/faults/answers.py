"""Responses of a server, right and faulty, each with the outcome that a client must report."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from random import Random

from restkit import (
    BadStatusLine,
    DecodingError,
    Error,
    IntegrityError,
    ParserError,
    RedirectLimit,
    ResponseError,
    TransportError,
    UnexpectedEOF,
)
from support.messages import LAST_CHUNK, chunked_response, chunks, digest_of, head_of, response

SIZES = {"empty": 0, "small": 300, "medium": 9_000, "large": 150_000}

# Bytes behind a response must arrive with it: no client can tell later ones from the next response.
_ONE_SEGMENT = 9_000
ARRIVE_AT_ONCE = ("too_short_a_length", "bytes_behind")

Errors = tuple[type[Error], ...]


@dataclass
class Answer:
    """A response on the wire.

    ``body`` is the right body, None if there is none; ``errors`` are the errors that are right.
    ``ends``: the number of bytes after which the client knows the outcome; None if it waits for the
    end of the connection. ``closes``: the server ends the connection after the response.
    """

    wire: bytes
    body: bytes | None
    errors: Errors = ()
    ends: int | None = 0
    closes: bool = False
    status: int = 200
    coded: bytes | None = None  # the body without decoding
    interims: int = 0  # bytes of interim responses, which come before the payload was read

    def __post_init__(self) -> None:
        if self.ends == 0:
            self.ends = len(self.wire)


def _zstd(data: bytes) -> bytes:
    try:
        module = import_module("compression.zstd")
    except ImportError:
        module = import_module("backports.zstd")
    options = {module.CompressionParameter.checksum_flag: 1}
    return bytes(module.compress(data, options=options))


def _brotli(data: bytes) -> bytes:
    return bytes(import_module("brotli").compress(data, quality=1))


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": lambda data: zlib.compress(data, 1),
    "br": _brotli,
    "zstd": _zstd,
}


def split(data: bytes, rng: Random) -> list[bytes]:
    """Split into chunks of random sizes, none of them empty."""
    cuts = sorted({rng.randrange(1, len(data)) for _ in range(5)}) if len(data) > 1 else []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


# Right responses


def with_length(body: bytes, rng: Random) -> Answer:
    return Answer(response(body), body)


def in_chunks(body: bytes, rng: Random) -> Answer:
    return Answer(chunked_response(*split(body, rng)), body)


def in_chunks_with_trailers(body: bytes, rng: Random) -> Answer:
    wire = chunked_response(*split(body, rng), fields=["Trailer: Content-Digest"])
    trailer = f"0\r\nContent-Digest: {digest_of(body)}\r\n\r\n".encode()
    return Answer(wire[: -len(LAST_CHUNK)] + trailer, body)


def to_the_end(body: bytes, rng: Random) -> Answer:
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body
    return Answer(wire, body, ends=None, closes=True)


def with_close(body: bytes, rng: Random) -> Answer:
    return Answer(response(body, "Connection: close"), body, closes=True)


def old_version(body: bytes, rng: Random) -> Answer:
    return Answer(response(body).replace(b"HTTP/1.1", b"HTTP/1.0", 1), body, closes=True)


def compressed(body: bytes, rng: Random) -> Answer:
    name, code = rng.choice(list(CODINGS.items()))
    coded = code(body)
    field = f"Content-Encoding: {name}"
    if rng.random() < 0.5:
        wire = response(coded, field)
    else:
        wire = chunked_response(*split(coded, rng), fields=[field])
    return Answer(wire, body, coded=coded)


def with_digests(body: bytes, rng: Random) -> Answer:
    coded = gzip.compress(body, 1)
    fields = ["Content-Encoding: gzip", f"Content-Digest: {digest_of(coded)}"]
    return Answer(response(coded, *fields), body, coded=coded)


def after_interims(body: bytes, rng: Random) -> Answer:
    interims = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"]
    interims.append(b"HTTP/1.1 102 Processing\r\n\r\n")
    interims.append(b"HTTP/1.1 100 Continue\r\n\r\n")
    flood = b"".join(rng.choice(interims) for _ in range(rng.choice((1, 2, 31))))
    return Answer(flood + response(body), body, interims=len(flood))


def unknown_coding(body: bytes, rng: Random) -> Answer:
    return Answer(response(body, "Content-Encoding: x-unknown"), body)


def no_content(body: bytes, rng: Random) -> Answer:
    return Answer(b"HTTP/1.1 204 No Content\r\n\r\n", b"", status=204)


def refused(body: bytes, rng: Random) -> Answer:
    status = rng.choice((400, 403, 404, 409, 413, 500, 502, 503, 504))
    closing = ["Connection: close"] if rng.random() < 0.5 else []
    wire = response(body, *closing, status=f"{status} Refused")
    return Answer(wire, body, status=status, closes=bool(closing))


def not_followed(body: bytes, rng: Random) -> Answer:
    status = rng.choice((300, 304, 306))
    content = b"" if status == 304 else body
    wire = response(content, status=f"{status} Not a redirect")
    return Answer(wire, content, status=status)


# Redirects and further attempts: "/final" has the right response


def redirect(body: bytes, rng: Random) -> Answer:
    status = rng.choice((301, 302, 303, 307, 308))
    wire = response(body, "Location: /final", status=f"{status} Elsewhere")
    return Answer(wire, None, status=status)


def redirect_loop(body: bytes, rng: Random) -> Answer:
    wire = response(b"", "Location: /case", status="307 Again")
    return Answer(wire, None, (RedirectLimit,), status=307)


def unavailable(body: bytes, rng: Random) -> Answer:
    wire = response(body, "Retry-After: 0", status="503 Later")
    return Answer(wire, body, status=503)


def length_required(body: bytes, rng: Random) -> Answer:
    return Answer(response(body, status="411 Length Required"), body, status=411)


def expectation_failed(body: bytes, rng: Random) -> Answer:
    return Answer(response(body, status="417 Expectation Failed"), body, status=417)


# Lengths and bytes that are wrong


def too_long_a_length(body: bytes, rng: Random) -> Answer:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) + rng.choice((1, 7, 100_000))}\r\n\r\n"
    return Answer(head.encode() + body, None, (UnexpectedEOF,), ends=None, closes=True)


def too_short_a_length(body: bytes, rng: Random) -> Answer:
    body = body[:_ONE_SEGMENT] or b"1"
    declared = body[: rng.randrange(len(body))]
    wire = response(declared) + body[len(declared) :]
    return Answer(wire, declared, ends=len(response(declared)))


def bytes_behind(body: bytes, rng: Random) -> Answer:
    body = body[:_ONE_SEGMENT]
    whole = in_chunks(body, rng) if rng.random() < 0.5 else with_length(body, rng)
    extra = rng.choice((b"\r\n", b"x" * 100, response(b"smuggled"), whole.wire))
    return Answer(whole.wire + extra, body, ends=len(whole.wire))


def different_lengths(body: bytes, rng: Random) -> Answer:
    wire = response(body, f"Content-Length: {len(body) + 1}")
    return Answer(wire, None, (ParserError,), ends=len(head_of(wire)))


def malformed_length(body: bytes, rng: Random) -> Answer:
    value = rng.choice(("12a", "-5", "+5", "0x10", "", "1 2", "1_0", "\u00b2"))
    wire = f"HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n".encode("latin-1")
    return Answer(wire + body, None, (ParserError,), ends=len(wire))


# HTTP chunks that are wrong


def _broken_chunks(body: bytes, rng: Random, line: Callable[[int], bytes]) -> Answer:
    """Replace the size line of one chunk."""
    parts = split(body or b"some body", rng)
    broken = parts.index(max(parts, key=len))
    wire = chunked_response()[: -len(LAST_CHUNK)]
    for number, part in enumerate(parts):
        if number == broken:
            wire += line(len(part)) + b"\r\n" + part + b"\r\n"
        else:
            wire += chunks(part)
    # The client may know it earlier, but not later than at the end of the connection.
    return Answer(wire + LAST_CHUNK, None, (ParserError, UnexpectedEOF), ends=None, closes=True)


def malformed_chunk_size(body: bytes, rng: Random) -> Answer:
    bad = rng.choice((b"-1", b"+5", b"0x5", b"zz", b"", b" 5", b"5" * 17, b"1_0", b"5\r"))
    return _broken_chunks(body, rng, lambda size: bad)


def chunk_longer_than_its_size(body: bytes, rng: Random) -> Answer:
    return _broken_chunks(
        (body or b"some body") * 3, rng, lambda size: b"%x" % max(1, size - 1 - size // 3)
    )


def chunk_shorter_than_its_size(body: bytes, rng: Random) -> Answer:
    more = rng.choice((1, 2, 3, 1_000_000))
    return _broken_chunks(body, rng, lambda size: b"%x" % (size + more))


def last_chunk_missing(body: bytes, rng: Random) -> Answer:
    wire = chunked_response(*split(body, rng))
    cut = rng.choice((1, 2, 3, 4, len(LAST_CHUNK)))
    return Answer(wire[:-cut], None, (UnexpectedEOF,), ends=None, closes=True)


# Codings and digests that are wrong


def cut_coding(body: bytes, rng: Random) -> Answer:
    name, code = rng.choice(list(CODINGS.items()))
    coded = code(body or b"some body")
    coded = coded[: rng.randrange(1, len(coded))]
    wire = response(coded, f"Content-Encoding: {name}")
    return Answer(wire, None, (DecodingError,), coded=coded)


def flipped_bit(body: bytes, rng: Random) -> Answer:
    name = rng.choice(("gzip", "deflate"))
    coded = bytearray(CODINGS[name](body or b"some body"))
    at = rng.choice((rng.randrange(-4, 0) - (4 if name == "gzip" else 0), len(coded) // 2 + 3))
    coded[at] ^= 1 << rng.randrange(8)
    wire = response(bytes(coded), f"Content-Encoding: {name}")
    return Answer(wire, None, (DecodingError,), coded=bytes(coded))


def bytes_behind_the_coding(body: bytes, rng: Random) -> Answer:
    name, code = rng.choice(list(CODINGS.items()))
    coded = code(body) + b"more bytes that are not coded"
    wire = response(coded, f"Content-Encoding: {name}")
    return Answer(wire, None, (DecodingError,), coded=coded)


def wrong_coding(body: bytes, rng: Random) -> Answer:
    name = rng.choice(("gzip", "zstd"))
    body = b"no such coding " + body
    wire = response(body, f"Content-Encoding: {name}")
    return Answer(wire, None, (DecodingError,), coded=body)


def wrong_digest(body: bytes, rng: Random) -> Answer:
    field = f"Content-Digest: {digest_of(body + b'!')}"
    if rng.random() < 0.5:
        wire = response(body, field)
    else:
        wire = chunked_response(*split(body, rng), fields=[field])
    return Answer(wire, None, (IntegrityError,))


def wrong_repr_digest(body: bytes, rng: Random) -> Answer:
    """Return a digest that only a GET can check: that of PUT is about another resource state."""
    return Answer(response(body, f"Repr-Digest: {digest_of(body + b'!')}"), body, (IntegrityError,))


def doubled_chunk_with_digest(body: bytes, rng: Random) -> Answer:
    body = body or b"some body"
    parts = split(body, rng)
    doubled = rng.randrange(len(parts))
    parts.insert(doubled, parts[doubled])
    wire = chunked_response(*parts, fields=[f"Content-Digest: {digest_of(body)}"])
    return Answer(wire, None, (IntegrityError,))


# Heads that are wrong


def malformed_status_line(body: bytes, rng: Random) -> Answer:
    line = rng.choice((b"HTP/1.1 200 OK", b"HTTP 200 OK", b"HTTP/1.1 2000 OK", b"\x16\x03\x01"))
    wire = line + b"\r\nContent-Length: 0\r\n\r\n"
    return Answer(wire, None, (BadStatusLine, ResponseError), ends=None, closes=True)


def malformed_head(body: bytes, rng: Random) -> Answer:
    bad = rng.choice(("Na me: value", "Name : value", "Name: va\rlue", "Name: va\0lue", ": value"))
    wire = response(body, bad)
    return Answer(wire, None, (ParserError,), ends=len(head_of(wire)))


def too_large_head(body: bytes, rng: Random) -> Answer:
    field = "Name: " + "x" * 100
    count = rng.choice((1_001, 2_700))
    wire = response(body, *[field] * count)
    return Answer(wire, None, (ParserError,), ends=len(head_of(wire)))


def too_many_interims(body: bytes, rng: Random) -> Answer:
    flood = b"HTTP/1.1 103 Early Hints\r\n\r\n" * rng.choice((33, 400))
    return Answer(flood + response(body), None, (ParserError,))


def nothing(body: bytes, rng: Random) -> Answer:
    # With a 100 Continue before it, the response has begun.
    return Answer(b"", None, (TransportError, UnexpectedEOF), ends=None, closes=True)


RIGHT = (
    with_length,
    in_chunks,
    in_chunks_with_trailers,
    to_the_end,
    with_close,
    old_version,
    compressed,
    with_digests,
    after_interims,
    unknown_coding,
    no_content,
    refused,
    not_followed,
    redirect,
    unavailable,
    length_required,
    expectation_failed,
)
WRONG = (
    redirect_loop,
    too_long_a_length,
    too_short_a_length,
    bytes_behind,
    different_lengths,
    malformed_length,
    malformed_chunk_size,
    chunk_longer_than_its_size,
    chunk_shorter_than_its_size,
    last_chunk_missing,
    cut_coding,
    flipped_bit,
    bytes_behind_the_coding,
    wrong_coding,
    wrong_digest,
    wrong_repr_digest,
    doubled_chunk_with_digest,
    malformed_status_line,
    malformed_head,
    too_large_head,
    too_many_interims,
    nothing,
)
MAKERS: dict[str, Callable[[bytes, Random], Answer]] = {
    make.__name__: make for make in (*RIGHT, *WRONG)
}
