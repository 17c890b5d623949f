"""The body of a response as text, as lines and as JSON."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, AnyStr, Literal, Protocol, overload

from restkit.body.files import BodyFile
from restkit.errors import DecodingError
from restkit.headers import Headers
from restkit.message.header_values import charset_of, is_charset
from restkit.redaction import redact_excerpt

_BLOCK = 64 * 1024
_SHOWN = 60


class _Response(Protocol):
    _charset: str | None

    @property
    def status_line(self) -> str: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def body(self) -> bytes: ...

    def tee(self) -> BodyFile: ...

    def _check_decoded(self) -> None: ...

    def _decoding_error(self, message: str) -> DecodingError: ...


# Only for type checkers: the metaclass of a protocol would be that of HttpResponse too.
if TYPE_CHECKING:
    _Base = _Response
else:
    _Base = object


class TextViews(_Base):
    """The views of a body as text, which ``HttpResponse`` inherits."""

    @property
    def charset(self) -> str:
        """The charset that ``text`` uses: as set by ``encoding``, in Content-Type, or UTF-8."""
        return self._charset or charset_of(self.headers.get("content-type", "")) or "utf-8"

    @property
    def text(self) -> str:
        """The body as text in its charset, or else UTF-8; raises DecodingError for other bytes."""
        return self.body_string()

    def json(self) -> Any:
        """Return the parsed JSON body; raise DecodingError, a ValueError, for anything else."""
        import json

        body = self.body
        self._check_decoded()
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as exc:
            message = f"the body is not JSON: {exc}; {_describe(self, body)}"
            raise self._decoding_error(message) from exc

    def body_string(self, charset: str | None = None, unicode_errors: str = "strict") -> str:
        """Return the body as text in the given charset, in its own, or in UTF-8."""
        body = self.body
        self._check_decoded()
        name = charset or self._get_charset()
        try:
            return body.decode(name, unicode_errors)
        except (ValueError, LookupError) as exc:
            raise self._decoding_error(f"the body is not text in {name}: {exc}") from exc

    @overload
    def iter_lines(self, *, text: Literal[False] = False) -> Iterator[bytes]: ...
    @overload
    def iter_lines(self, *, text: Literal[True]) -> Iterator[str]: ...
    @overload
    def iter_lines(self, *, text: bool) -> Iterator[bytes] | Iterator[str]: ...
    def iter_lines(self, *, text: bool = False) -> Iterator[bytes] | Iterator[str]:
        r"""Iterate over the lines of the body, without their ``\n`` or ``\r\n``.

        ``text=True`` gives str, in the charset of ``text``. No other character ends a line.
        """
        return self._iter_text_lines() if text else self._iter_byte_lines()

    def _iter_byte_lines(self) -> Iterator[bytes]:
        return split_lines(_chunks(self.tee()), b"\n", b"\r")

    def _iter_text_lines(self) -> Iterator[str]:
        file = self.tee()
        self._check_decoded()
        name = self._get_charset()
        try:
            # Errors of reading are no ValueError; a DecodingError of a content coding is one.
            yield from split_lines(codecs.iterdecode(_chunks(file), name), "\n", "\r")
        except DecodingError:
            raise
        except (ValueError, LookupError) as exc:
            raise self._decoding_error(f"the body is not text in {name}: {exc}") from exc

    def _get_charset(self) -> str:
        """Return the charset; raise DecodingError for one of a header that is unknown."""
        name = self.charset
        if self._charset is None and not is_charset(name):
            raise self._decoding_error(f"the charset of the body is unknown: {name:.60}")
        return name


def _chunks(file: BodyFile) -> Iterator[bytes]:
    """Return the chunks of a body as they arrive."""
    return iter(partial(file.read1, _BLOCK), b"")


def split_lines(chunks: Iterable[AnyStr], newline: AnyStr, cr: AnyStr) -> Iterator[AnyStr]:
    r"""Yield the lines of a body, without their ``\n`` or ``\r\n``, as they arrive.

    >>> list(split_lines(["a\r", "\nb\x85\n\nc"], "\n", "\r"))
    ['a', 'b\x85', '', 'c']
    """
    start: list[AnyStr] = []  # of the line that is not complete yet
    empty = newline[:0]
    for chunk in chunks:
        lines = chunk.split(newline)
        if len(lines) > 1:
            start.append(lines[0])
            yield empty.join(start).removesuffix(cr)
            start = []
            rest = lines[1:-1]
            yield from [line.removesuffix(cr) for line in rest] if cr in chunk else rest
        start.append(lines[-1])
    if last := empty.join(start):
        yield last


def _describe(response: _Response, body: bytes) -> str:
    """Return status, type and the first characters of a body, without secrets, for an error."""
    content_type = response.headers.get("content-type", "no Content-Type")
    # More than is shown: the name and the value of a secret must be complete.
    text = redact_excerpt(body[: 10 * _SHOWN].decode("utf-8", "replace"))[:_SHOWN]
    start = f"the body begins with {text!r}" if body else "the body is empty"
    return f"the response is {response.status_line}, {content_type:.60}; {start}"
