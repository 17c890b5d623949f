"""HTTP messages as bytes, for scripts and for checking recorded ones.

Deliberately simple and independent of restkit: the code that checks the package must not use it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

HEAD_END = b"\r\n\r\n"


def response(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """Return a response with a Content-Length and these 'Name: value' fields."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return _head(lines) + body


def chunked_response(*data: bytes, fields: Iterable[str] = (), status: str = "200 OK") -> bytes:
    """Return a response with these HTTP chunks and the last chunk."""
    lines = [f"HTTP/1.1 {status}", "Transfer-Encoding: chunked", *fields]
    return _head(lines) + chunks(*data) + LAST_CHUNK


def chunks(*data: bytes) -> bytes:
    """Return the data as HTTP chunks, without the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in data)


LAST_CHUNK = b"0\r\n\r\n"


def head_of(message: bytes) -> bytes:
    """Return the head of a message, with the blank line."""
    return message[: message.index(HEAD_END) + len(HEAD_END)]


def body_of(message: bytes) -> bytes:
    """Return the bytes after the head of a message, with their framing."""
    return message[len(head_of(message)) :]


def payload_of(message: bytes) -> bytes:
    """Return the payload of a message, without its framing."""
    if is_chunked(head_of(message)):
        return dechunk(body_of(message))
    return body_of(message)


def fields_of(message: bytes) -> list[tuple[str, str]]:
    """Return the header fields of a message in order, names in lower case."""
    lines = head_of(message).decode("latin-1").split("\r\n")[1:-2]
    pairs = (line.split(":", 1) for line in lines)
    return [(name.lower(), value.strip()) for name, value in pairs]


def field(message: bytes, name: str) -> str | None:
    """Return the value of a header field, or None; raise ValueError if it is there twice."""
    values = [value for key, value in fields_of(message) if key == name.lower()]
    if len(values) > 1:
        raise ValueError(f"{name} is there {len(values)} times: {values!r}")
    return values[0] if values else None


def is_chunked(head: bytes) -> bool:
    """Return whether the head declares chunks."""
    return any(
        name == "transfer-encoding" and value.lower().endswith("chunked")
        for name, value in fields_of(head)
    )


def dechunk(body: bytes) -> bytes:
    """Return the payload of a chunked body; raise ValueError if it is incomplete."""
    scan = ChunkScan()
    if scan.feed(body) != len(body) or not scan.done:
        raise ValueError(f"not one whole chunked body: ...{body[-80:]!r}")
    return bytes(scan.payload)


class ChunkScan:
    """Finds the end of a chunked body; keeps its payload."""

    def __init__(self, *, keep: bool = True) -> None:
        self.done = False
        self.payload = bytearray()
        self._keep = keep
        self._held = bytearray()
        self._missing = 0  # bytes of the current chunk that are missing, with its line end
        self._in_trailers = False

    def feed(self, data: bytes) -> int:
        """Parse bytes; return how many belong to the body (fewer only when done)."""
        self._held += data
        while self._held and not self.done and self._step():
            pass
        if not self.done:
            return len(data)
        left = len(self._held)
        return len(data) - left

    def _step(self) -> bool:
        if self._missing:
            return self._read_chunk()
        end = self._held.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._held[:end])
        del self._held[: end + 2]
        if self._in_trailers:
            self.done = not line
            return True
        size = int(line.split(b";")[0], 16)
        self._in_trailers = size == 0
        self._missing = size + 2 if size else 0
        return True

    def _read_chunk(self) -> bool:
        part = self._held[: self._missing]
        del self._held[: self._missing]
        if self._keep:
            body_bytes = max(0, min(len(part), self._missing - 2))
            self.payload += part[:body_bytes]
        self._missing -= len(part)
        return True


def ends_itself(message: bytes, *, to_head: bool = False) -> bool:
    """Return whether a client knows where this response ends, and can reuse the connection.

    False for a response that is incomplete, ends with the connection, has 'Connection: close' or
    is not HTTP: a server closes after those.
    """
    try:
        while True:
            head, rest = head_of(message), body_of(message)
            if head[9:10] != b"1":  # an interim head: the final response follows
                return _is_complete(head, rest, to_head)
            message = rest
    except ValueError:
        return False


def digest_of(data: bytes, algorithm: str = "sha-256") -> str:
    """Return the value of Content-Digest or Repr-Digest for these bytes (RFC 9530 2)."""
    digest = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def _is_complete(head: bytes, body: bytes, to_head: bool) -> bool:
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
