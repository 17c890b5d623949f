"""HTTP messages as bytes, for scripts and for looking at what was recorded.

Deliberately simple-minded and independent of restkit: what judges the package must not be built
from it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

HEAD_END = b"\r\n\r\n"


def response(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A response with a Content-Length and the given 'Name: value' fields."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return _head(lines) + body


def chunked_response(*pieces: bytes, fields: Iterable[str] = (), status: str = "200 OK") -> bytes:
    """A response that gives each piece as one chunk, and the last chunk."""
    lines = [f"HTTP/1.1 {status}", "Transfer-Encoding: chunked", *fields]
    return _head(lines) + chunks(*pieces) + LAST_CHUNK


def chunks(*pieces: bytes) -> bytes:
    """Each piece as one chunk, without the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


LAST_CHUNK = b"0\r\n\r\n"


def head_of(message: bytes) -> bytes:
    """The head of a recorded message, blank line included."""
    return message[: message.index(HEAD_END) + len(HEAD_END)]


def body_of(message: bytes) -> bytes:
    """What follows the head of a recorded message, in the framing it had on the wire."""
    return message[len(head_of(message)) :]


def payload_of(message: bytes) -> bytes:
    """What a recorded message carried, with the framing taken off."""
    if is_chunked(head_of(message)):
        return dechunk(body_of(message))
    return body_of(message)


def fields_of(message: bytes) -> list[tuple[str, str]]:
    """The header fields of a recorded message, names in lower case, in the order of the wire."""
    lines = head_of(message).decode("latin-1").split("\r\n")[1:-2]
    pairs = (line.split(":", 1) for line in lines)
    return [(name.lower(), value.strip()) for name, value in pairs]


def field(message: bytes, name: str) -> str | None:
    """The one value of a header field, None when it is not there, ValueError when it is twice."""
    values = [value for key, value in fields_of(message) if key == name.lower()]
    if len(values) > 1:
        raise ValueError(f"{name} is there {len(values)} times: {values!r}")
    return values[0] if values else None


def is_chunked(head: bytes) -> bool:
    """Whether the head announces chunks."""
    return any(
        name == "transfer-encoding" and value.lower().endswith("chunked")
        for name, value in fields_of(head)
    )


def dechunk(body: bytes) -> bytes:
    """The payload of a chunked body; ValueError when it is not whole."""
    scan = ChunkScan()
    if scan.feed(body) != len(body) or not scan.done:
        raise ValueError(f"not one whole chunked body: ...{body[-80:]!r}")
    return bytes(scan.payload)


class ChunkScan:
    """Finds where a chunked body ends; keeps what the chunks carried."""

    def __init__(self, *, keep: bool = True) -> None:
        self.done = False
        self.payload = bytearray()
        self._keep = keep
        self._rest = bytearray()
        self._missing = 0  # bytes of the open chunk still to come, its line end included
        self._in_trailers = False

    def feed(self, data: bytes) -> int:
        """Take bytes; returns how many of these belong to the body (fewer only when done)."""
        self._rest += data
        while self._rest and not self.done and self._step():
            pass
        if not self.done:
            return len(data)
        left = len(self._rest)
        return len(data) - left

    def _step(self) -> bool:
        if self._missing:
            return self._take_chunk()
        end = self._rest.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._rest[:end])
        del self._rest[: end + 2]
        if self._in_trailers:
            self.done = not line
            return True
        size = int(line.split(b";")[0], 16)
        self._in_trailers = size == 0
        self._missing = size + 2 if size else 0
        return True

    def _take_chunk(self) -> bool:
        piece = self._rest[: self._missing]
        del self._rest[: self._missing]
        if self._keep:
            body_bytes = max(0, min(len(piece), self._missing - 2))
            self.payload += piece[:body_bytes]
        self._missing -= len(piece)
        return True


def ends_itself(answer: bytes, *, to_head: bool = False) -> bool:
    """Whether a client can tell where this answer ends, and may then use the connection again.

    False for an answer that is cut short, runs to the end of the connection, says
    'Connection: close' or is no HTTP at all: a server closes after those.
    """
    try:
        while True:
            head, rest = head_of(answer), body_of(answer)
            if head[9:10] != b"1":  # an interim head: the answer proper follows
                return _complete(head, rest, to_head)
            answer = rest
    except ValueError:
        return False


def digest_of(data: bytes, algorithm: str = "sha-256") -> str:
    """What a Content-Digest or Repr-Digest says of these bytes (RFC 9530 2)."""
    digest = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def _complete(head: bytes, body: bytes, to_head: bool) -> bool:
    fields = dict(fields_of(head))
    if fields.get("connection", "").lower() == "close" or not head.startswith(b"HTTP/1.1 "):
        return False
    if to_head or head[9:12] in (b"204", b"304"):
        return True
    if is_chunked(head):
        scan = ChunkScan(keep=False)
        scan.feed(body)
        return scan.done
    return "content-length" in fields and len(body) >= int(fields["content-length"])


def _head(lines: Iterable[str]) -> bytes:
    return "\r\n".join(lines).encode("latin-1") + HEAD_END
