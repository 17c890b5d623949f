"""Encode multipart/form-data (RFC 7578).

A boundary has 128 random bits and is made after the parts. A part contains it only by a chance as
small as that of guessing a key, so the parts are not searched for it. The head of a part has the
fields that RFC 7578 4.8 allows, in the order of browsers; a length is not among them.

Names are quoted as in browsers (WHATWG HTML, "multipart/form-data encoding algorithm"): a quote, CR
and LF are percent-encoded, other characters are UTF-8. A ``%22`` in a name is therefore read as a
quote by servers that know this rule. The ``filename*=`` of RFC 5987 is forbidden here (RFC 7578
4.2), and a backslash is no escape.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from restkit.errors import PayloadError, PayloadNotReplayable, RequestError
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.values import BytesPayload

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# Parts in memory join the head before them up to this size, so that a small form is one chunk.
_MAX_JOINED = 64 * 1024
_BOUNDARY = re.compile(r';[ \t]*boundary=("?)([^";]*)\1', re.IGNORECASE)
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_CONTROLS = re.compile("[\0-\x08\x0a-\x1f\x7f]")  # a tab may stand between parameters
_NO_FILE_NAME = re.compile("<.*>")  # the name of sys.stdin and of files from os.fdopen()


class Part(NamedTuple):
    """One field, checked: its payload, and the values of its head.

    ``one_shot_source`` is the value behind a payload that can be sent once.
    """

    name: str
    payload: Payload
    file_name: str | None = None
    content_type: str | None = None
    transfer_encoding: str | None = None
    one_shot_source: object = None

    @property
    def is_plain(self) -> bool:
        """Whether it is only text, so that it can also be sent urlencoded."""
        return self.file_name is self.content_type is self.transfer_encoding is None

    def encode_head(self) -> bytes:
        r"""Return the head with the empty line.

        >>> Part('a', BytesPayload(b'1')).encode_head()
        b'Content-Disposition: form-data; name="a"\r\n\r\n'
        """
        lines = [_format_disposition(self.name, self.file_name)]
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if self.transfer_encoding is not None:
            lines.append(f"Content-Transfer-Encoding: {self.transfer_encoding}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8")


class _Step(NamedTuple):
    """A payload, and the bytes before it: delimiters, heads, and perhaps complete small parts."""

    before: bytes
    payload: Payload


class MultipartPayload(Payload):
    """The parts of a form, with one boundary for its whole life.

    It has a length if every part has one, which is known without reading any. It is replayable if
    every part is. Trailers of parts are not sent. Raises PayloadNotReplayable for a pipe or
    generator in two parts, because the second part would be empty.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        _check_sources(parts)
        self.boundary = os.urandom(16).hex()
        self.headers = (("Content-Type", f"{MULTIPART}; boundary={self.boundary}"),)
        self.source = "of 1 field" if len(parts) == 1 else f"of {len(parts)} fields"
        self.replayable = all(part.payload.replayable for part in parts)
        self._steps, self._end = _make_steps(parts, self.boundary)
        self.length = self._compute_length()
        self._current: Payload | None = None

    @property
    def started(self) -> bool:
        """Whether it has begun, or a part that can be sent once has."""
        payloads = (step.payload for step in self._steps)
        return self._started or any(each.started and not each.replayable for each in payloads)

    @property
    def waits_on(self) -> int | None:
        """The descriptor of the current part; None if several passes may run at the same time."""
        return None if self.replayable or not self._current else self._current.waits_on

    def chunks(self) -> Iterator[Buffer]:
        try:
            for before, payload in self._steps:
                # Set before the head is sent, as the sender then waits for the part.
                self._current = payload
                yield before
                yield from payload
            yield self._end
        finally:
            self._current = None

    def _compute_length(self) -> int | None:
        length = len(self._end)
        for before, payload in self._steps:
            if payload.length is None:
                return None
            length += len(before) + payload.length
        return length


def _check_sources(parts: Sequence[Part]) -> None:
    """Raise PayloadNotReplayable if two parts share a source that can be sent once."""
    first: dict[int, Part] = {}
    for part in parts:
        source = part.one_shot_source
        if source is not None and first.setdefault(id(source), part) is not part:
            raise PayloadNotReplayable(
                f"the fields {first[id(source)].name!r} and {part.name!r} have the same "
                f"{type(source).__name__}, which can be sent once: give each field its own"
            )


def _make_steps(parts: Sequence[Part], boundary: str) -> tuple[list[_Step], bytes]:
    """Return the payloads with the bytes before them, and the bytes after the last one."""
    steps: list[_Step] = []
    before = bytearray()
    for part in parts:
        before += b"--%b\r\n%b" % (boundary.encode(), part.encode_head())
        payload = part.payload
        if isinstance(payload, BytesPayload) and len(before) + (payload.length or 0) <= _MAX_JOINED:
            before += b"".join(payload.chunks())
        else:
            steps.append(_Step(bytes(before), payload))
            before.clear()
        before += b"\r\n"
    before += b"--%b--\r\n" % boundary.encode()
    return steps, bytes(before)


def _format_disposition(name: str, file_name: str | None) -> str:
    """Return the Content-Disposition of a part with checked names."""
    line = f'Content-Disposition: form-data; name="{name.translate(_QUOTED)}"'
    if file_name is None:
        return line
    return f'{line}; filename="{file_name.translate(_QUOTED)}"'


def add_boundary(content_type: str, payload: Payload) -> str:
    """Return the caller's Content-Type, with the boundary of the payload if it needs one.

    A multipart type without a boundary gets that of a MultipartPayload. Raises RequestError for
    another boundary, and for the urlencoded type with a MultipartPayload. Any other type, or
    payload, is the caller's choice.

    >>> payload = MultipartPayload([Part('a', BytesPayload(b'1'))])
    >>> payload.boundary in add_boundary('multipart/form-data', payload)
    True
    """
    if not isinstance(payload, MultipartPayload):
        return content_type
    media_type = parse_media_type(content_type)
    if media_type == URLENCODED:
        raise RequestError(
            f"the Content-Type is {media_type}, but a form with a file or a stream is sent as "
            f"{MULTIPART}: leave the header out"
        )
    if not media_type.startswith("multipart/"):
        return content_type
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return f"{content_type.rstrip('; ')}; boundary={payload.boundary}"
    if boundary[2] != payload.boundary:
        raise RequestError(
            f"the Content-Type has the boundary {boundary[2]!r}, but the form has its own: leave "
            "the boundary out, it is added"
        )
    return content_type


def parse_media_type(content_type: str) -> str:
    """Return a Content-Type in lower case, without its parameters.

    >>> parse_media_type('Text/Plain; charset=utf-8')
    'text/plain'
    """
    return content_type.partition(";")[0].strip().lower()


def check_name(name: object, label: str) -> str:
    """Return a name as a plain str. ``label`` names it in errors.

    Raises TypeError for a value that is no str, PayloadError for one that cannot be sent.
    """
    text = _check_text(name, label)
    if "\0" in text:
        raise PayloadError(f"{label} has a NUL at {text.index(chr(0))}; remove it")
    return text


def check_content_type(value: object, label: str) -> str:
    """Return a content type as a plain str of one line.

    Raises TypeError for a value that is no str, PayloadError for one that cannot be sent.
    """
    text = _check_text(value, label)
    fault = _CONTROLS.search(text)
    if fault:
        raise PayloadError(f"{label} must be one line of text; got {fault[0]!a} at {fault.start()}")
    if not text.strip():
        raise PayloadError(f"{label} is empty; it must be a type such as 'text/csv', or None")
    return text


def _check_text(value: object, label: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{label} must be str; got {type(value).__name__}")
    text = str.__str__(value)  # the str() of an enum member would be something else
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise PayloadError(
            f"{label} has a lone surrogate, {text[exc.start]!a}, at {exc.start}: it cannot be UTF-8"
        ) from exc
    return text


def find_file_name(value: object) -> str | None:
    """Return the name of a path or of an opened file, without its folders; None without one."""
    name = value if isinstance(value, os.PathLike) else getattr(value, "name", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return None  # the name of a temporary file is a number
    base = os.path.basename(os.fsdecode(name))
    return None if _NO_FILE_NAME.fullmatch(base) else base or None
