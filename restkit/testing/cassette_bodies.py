"""The bodies of a Cassette: as JSON in its file, and without their content codings."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

from restkit.content_encoding.decoding import Decoder, parse_codings
from restkit.errors import DecodingError

_LINE = 76  # characters of base64
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_CHUNK = 64 * 1024


def to_json_body(data: bytes) -> dict[str, Any]:
    r"""Return the bytes as JSON: text where it is UTF-8 without control characters.

    >>> to_json_body(b"one\ntwo"), to_json_body(b"\x00\x01")
    ({'text': ['one\n', 'two']}, {'base64': 'AAE='})
    """
    if not data:
        return {}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not _NOT_TEXT.search(text):
        lines = re.findall(".*\n|.+$", text)
        return {"text": text if len(lines) == 1 else lines}
    encoded = b64encode(data).decode()
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return {"base64": encoded if len(lines) == 1 else lines}


def from_json_body(body: dict[str, Any]) -> bytes:
    """Return the bytes of a body in JSON; raise ValueError if it is damaged."""
    for name in ("text", "base64"):
        value = body.get(name, "")
        lines = value if isinstance(value, list) else [value]
        if not all(isinstance(line, str) for line in lines):
            raise ValueError(f"the {name} of the body must be a string or a list of strings")
    if "text" in body:
        return "".join(body["text"]).encode()
    return b64decode("".join(body.get("base64", "")), validate=True)


def decode_body(body: bytes, values: Sequence[str], limit: int) -> bytes | None:
    """Return the body without the codings in its Content-Encoding fields.

    None if a coding is unknown, or the body is damaged or, decoded, larger than the limit.
    """
    try:
        codings = parse_codings(values)
        if codings is None:
            return None
        for name in reversed(codings):
            decoded = _decode(body, name, limit)
            if decoded is None:
                return None
            body = decoded
    except DecodingError:
        return None
    return body


def _decode(body: bytes, coding: str, limit: int) -> bytes | None:
    decoder, decoded = Decoder(coding), bytearray()
    for start in range(0, len(body), _CHUNK):
        decoder.feed(body[start : start + _CHUNK])
        while chunk := decoder.produce():
            decoded += chunk
            if len(decoded) > limit:
                return None
    decoder.finish()
    return bytes(decoded)


def can_encode(coding: str) -> bool:
    """Return whether ``encode_body`` knows a coding."""
    return coding.strip().lower() in _WINDOW_BITS


def encode_body(body: bytes, coding: str) -> bytes:
    """Return the body with gzip or deflate."""
    encoder = zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS[coding.strip().lower()])
    return encoder.compress(body) + encoder.flush()
