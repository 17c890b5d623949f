"""Aliases of HttpResponse attributes: names of restkit 1 to 4, of requests and of httpx.

=========================  ==========================================  =====================
alias                      maps to                                     from
=========================  ==========================================  =====================
``status_int``             ``status``                                  restkit
``unicode_body``           ``text``                                    restkit
``body_chunks``            ``payload_stream``                          restkit
``status_code``            ``status``                                  requests, httpx
``content``                ``body``                                    requests, httpx
``url``                    ``final_url``                               requests, httpx
``encoding``               ``charset``, and sets it                    requests, httpx
``elapsed``                ``timings.first_byte``                      requests, httpx
``is_redirect``            status and ``location``                     requests
``iter_content(n)``        ``iter_blocks(n)``, ``tee().read1(n)``      requests
``iter_bytes(n)``          ``iter_content(n)``                         httpx
``apparent_encoding``      nothing: AttributeError                     requests
=========================  ==========================================  =====================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

from restkit.body.files import BodyFile, PayloadStream
from restkit.connections.reply import Reply
from restkit.errors import RequestError
from restkit.message.header_values import is_text_encoding

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BLOCK = 64 * 1024


class _Response(Protocol):
    status: int
    _reply: Reply
    _charset: str | None

    @property
    def payload_stream(self) -> PayloadStream | None: ...

    @property
    def body(self) -> bytes: ...

    @property
    def text(self) -> str: ...

    @property
    def charset(self) -> str: ...

    @property
    def final_url(self) -> str: ...

    @property
    def location(self) -> str | None: ...

    def iter_blocks(self, size: int = ...) -> Iterator[bytes]: ...

    def tee(self) -> BodyFile: ...

    def _seconds_to_head(self) -> float: ...


# Only for type checkers: the metaclass of a protocol would be that of HttpResponse too.
if TYPE_CHECKING:
    _Base = _Response
else:
    _Base = object


class Aliases(_Base):
    """Other names of attributes of HttpResponse."""

    @property
    def status_int(self) -> int:
        """The status: ``status``."""
        return self.status

    @property
    def unicode_body(self) -> str:
        """The body as text: ``text``."""
        return self.text

    @property
    def body_chunks(self) -> PayloadStream | None:
        """The chunks of the body as they arrive: ``payload_stream``."""
        return self.payload_stream

    @property
    def status_code(self) -> int:
        """The status: ``status``."""
        return self.status

    @property
    def content(self) -> bytes:
        """The whole body: ``body``."""
        return self.body

    @property
    def url(self) -> str:
        """The URL of the last request, after redirects, without user info: ``final_url``."""
        return self.final_url

    @property
    def encoding(self) -> str:
        """The charset that ``text`` uses: ``charset``. Set it to use another one.

        None uses the charset of the Content-Type again. Unlike in requests, the default is UTF-8.
        """
        return self.charset

    @encoding.setter
    def encoding(self, name: str | None) -> None:
        given: object = name
        if not (given is None or (isinstance(given, str) and is_text_encoding(given))):
            raise RequestError(f"encoding must be the name of a charset or None; got {given!r:.60}")
        self._charset = name

    @property
    def elapsed(self) -> timedelta:
        """The time from the start of the call to the head of this response."""
        return timedelta(seconds=self._seconds_to_head())

    @property
    def is_redirect(self) -> bool:
        """Whether this is a redirect with a Location: 301, 302, 303, 307 or 308."""
        return self.status in _REDIRECTS and self.location is not None

    @property
    def apparent_encoding(self) -> NoReturn:
        """Raise AttributeError: restkit does not guess charsets."""
        raise AttributeError(
            "restkit does not guess charsets: set response.encoding, or pass response.body to a "
            "package such as charset-normalizer"
        )

    def iter_content(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body in chunks of at most ``chunk_size`` bytes.

        If the body has a Content-Length, all chunks except the last have this size. Otherwise a
        chunk has the bytes that have arrived, so that a slow stream does not wait. None yields the
        bytes that have arrived, for every body.
        """
        given: object = chunk_size
        if not (given is None or (isinstance(given, int) and given >= 1)):
            raise RequestError(
                f"chunk_size must be a number of bytes, 1 or more, or None; got {given!r:.60}"
            )
        if chunk_size is not None and self._reply.body_reader.length is not None:
            return self.iter_blocks(chunk_size)
        return iter(partial(self.tee().read1, chunk_size or _BLOCK), b"")

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body in chunks: ``iter_content``."""
        return self.iter_content(chunk_size)
