"""Encode multipart/form-data (RFC 7578).

The fields of a form as one payload of many parts (RFC 7578).

A boundary is 128 random bits, made after the parts were given: that it occurs in one of them is
as likely as to guess a key, and the parts need not be searched for it. A part's head has what
RFC 7578 4.8 allows and no more, in the order in which browsers write it; the length of a part is
not among that.

Names and types as they stand in the head of a part of a form: looked at, and quoted.

Quoted as browsers do it (WHATWG HTML, "multipart/form-data encoding algorithm"): a quote, CR and
LF percent-encoded, UTF-8 for what is not ASCII, and everything else as it is. So a ``%22`` that
stands in a name already is read as a quote by whoever knows the rule. The ``filename*=`` of
RFC 5987 is forbidden here (RFC 7578 4.2), and a backslash escapes nothing.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from restkit.errors import PayloadError, PayloadNotReplayable, RequestError
from restkit.payload.base import Payload
from restkit.payload.values import BytesPayload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from restkit.io.buffers import Buffer


URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_BOUNDARY = re.compile(r';[ \t]*boundary=("?)([^";]*)\1', re.IGNORECASE)

# Parts in memory join the head before them up to this size: a form of a few words is one piece.
_JOINED = 64 * 1024


class Part(NamedTuple):
    """One field, checked: the payload as it goes, and what the head before it says.

    ``only`` is what the payload was made of, where that has one pass to give.
    """

    name: str
    payload: Payload
    file_name: str | None = None
    content_type: str | None = None
    transfer_encoding: str | None = None
    only: object = None

    @property
    def is_plain(self) -> bool:
        """Whether it is text and nothing more, so that it can also go urlencoded."""
        return self.file_name is self.content_type is self.transfer_encoding is None

    def head(self) -> bytes:
        """Its head, with the empty line."""
        lines = [disposition(self.name, self.file_name)]
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if self.transfer_encoding is not None:
            lines.append(f"Content-Transfer-Encoding: {self.transfer_encoding}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8")


class _Step(NamedTuple):
    """What goes before a payload, delimiter and head and maybe whole parts; and the payload."""

    before: bytes
    payload: Payload


class MultipartPayload(Payload):
    """The parts of a form, one after the other, with one boundary for as long as it lives.

    It has a length when every part has one, which is known without reading any; it is replayable
    when every part is. Trailers of parts have no place in a form. One pipe or one generator in
    two parts is PayloadNotReplayable: the second would be empty.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        _refuse_the_same_twice(parts)
        self.boundary = os.urandom(16).hex()
        self.headers = (("Content-Type", f"{MULTIPART}; boundary={self.boundary}"),)
        self.source = "of 1 field" if len(parts) == 1 else f"of {len(parts)} fields"
        self.replayable = all(part.payload.replayable for part in parts)
        self._steps, self._end = _steps(parts, self.boundary)
        self.length = self._measured()
        self._under_way: Payload | None = None

    @property
    def started(self) -> bool:
        """Whether it, or a part of it that can be sent once, has begun."""
        payloads = (step.payload for step in self._steps)
        return self._started or any(each.started and not each.replayable for each in payloads)

    @property
    def waits_on(self) -> int | None:
        """That of the part under way; passes that are side by side would see each other's."""
        return None if self.replayable or not self._under_way else self._under_way.waits_on

    def chunks(self) -> Iterator[Buffer]:
        try:
            for before, payload in self._steps:
                # Before the head goes, since what is waited for behind it is the part's.
                self._under_way = payload
                yield before
                yield from payload
            yield self._end
        finally:
            self._under_way = None

    def _measured(self) -> int | None:
        length = len(self._end)
        for before, payload in self._steps:
            if payload.length is None:
                return None
            length += len(before) + payload.length
        return length


def with_boundary(content_type: str, payload: Payload) -> str:
    """The Content-Type that a caller has given, made to fit the payload it is given with.

    A multipart type without a boundary gets that of a MultipartPayload. Raises RequestError for
    one that names another boundary, or says that many parts are urlencoded. What is neither is
    the caller's, and stays as it is.
    """
    if not isinstance(payload, MultipartPayload):
        return content_type
    kind = media_type(content_type)
    if kind == URLENCODED:
        raise RequestError(
            f"Content-Type is given as {kind}, and a form with a file or a stream in it goes as "
            f"{MULTIPART}: leave the header out"
        )
    if not kind.startswith("multipart/"):
        return content_type
    given = _BOUNDARY.search(content_type)
    if given is None:
        return f"{content_type.rstrip('; ')}; boundary={payload.boundary}"
    if given[2] != payload.boundary:
        raise RequestError(
            f"Content-Type is given with the boundary {given[2]!r}, and the form has its own: "
            "leave the boundary out, it is added"
        )
    return content_type


def media_type(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _refuse_the_same_twice(parts: Sequence[Part]) -> None:
    first: dict[int, Part] = {}
    for part in parts:
        if part.only is not None and first.setdefault(id(part.only), part) is not part:
            raise PayloadNotReplayable(
                f"the fields {first[id(part.only)].name!r} and {part.name!r} are of the same "
                f"{type(part.only).__name__}, which can be sent once: give each its own"
            )


def _steps(parts: Sequence[Part], boundary: str) -> tuple[list[_Step], bytes]:
    """The parts with what goes before each, and what goes behind the last."""
    steps: list[_Step] = []
    before = bytearray()
    for part in parts:
        before += b"--%b\r\n%b" % (boundary.encode(), part.head())
        payload = part.payload
        if isinstance(payload, BytesPayload) and len(before) + (payload.length or 0) <= _JOINED:
            before += b"".join(payload.chunks())
        else:
            steps.append(_Step(bytes(before), payload))
            before.clear()
        before += b"\r\n"
    before += b"--%b--\r\n" % boundary.encode()
    return steps, bytes(before)


_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_CONTROLS = re.compile("[\0-\x08\x0a-\x1f\x7f]")  # a tab may stand between parameters
_OF_NO_FILE = re.compile("<.*>")  # what sys.stdin and os.fdopen() call themselves


def checked_name(name: object, what: str) -> str:
    """The name as plain text; TypeError for what is no str, PayloadError for what cannot go."""
    text = _plain(name, what)
    if "\0" in text:
        raise PayloadError(f"{what} has a NUL at {text.index(chr(0))}: no name may have one")
    return text


def checked_content_type(value: object, what: str) -> str:
    """The content type as plain text of one line; TypeError or PayloadError for what is none."""
    text = _plain(value, what)
    fault = _CONTROLS.search(text)
    if fault:
        raise PayloadError(f"{what} has {fault[0]!a} at {fault.start()}: it is one line of text")
    if not text.strip():
        raise PayloadError(f"{what} is empty: a type such as 'text/csv' is wanted, or None")
    return text


def disposition(name: str, file_name: str | None) -> str:
    """The Content-Disposition of a part; both names have been checked."""
    line = f'Content-Disposition: form-data; name="{name.translate(_QUOTED)}"'
    if file_name is None:
        return line
    return f'{line}; filename="{file_name.translate(_QUOTED)}"'


def own_file_name(value: object) -> str | None:
    """What a path, or a file that was opened by its name, is called, without its folders."""
    name = value if isinstance(value, os.PathLike) else getattr(value, "name", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return None  # a temporary file's is a number
    base = os.path.basename(os.fsdecode(name))
    return None if _OF_NO_FILE.fullmatch(base) else base or None


def _plain(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is of type {type(value).__name__}; str is wanted")
    text = str.__str__(value)  # a member of an enum would write itself in its own way
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise PayloadError(
            f"{what} has a lone surrogate, {text[exc.start]!a}, at {exc.start}: it cannot be UTF-8"
        ) from exc
    return text
