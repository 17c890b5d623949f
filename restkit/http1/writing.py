"""Write request heads and HTTP chunks."""

from __future__ import annotations

from restkit.io.buffers import Buffer

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body without trailers (RFC 9112 7.1)."""


def encode_request_head(method: str, target: str, lines: str) -> bytes:
    r"""Return the head of a request; ``lines`` are the checked fields, from ``Headers.lines()``.

    >>> encode_request_head('GET', '/', 'Host: api.test\r\n')
    b'GET / HTTP/1.1\r\nHost: api.test\r\n\r\n'
    """
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def encode_chunk(data: Buffer) -> list[Buffer]:
    r"""Return one HTTP chunk as the buffers to send; ``data`` is not copied and not empty.

    >>> encode_chunk(b'hello')
    [b'5\r\n', b'hello', b'\r\n']
    """
    return [b"%x\r\n" % len(data), data, b"\r\n"]


def encode_last_chunk(lines: str) -> bytes:
    r"""Return the last HTTP chunk with trailers; ``lines`` is from ``Headers.lines()``.

    >>> encode_last_chunk('Expires: 0\r\n')
    b'0\r\nExpires: 0\r\n\r\n'
    """
    return f"0\r\n{lines}\r\n".encode("latin-1")
