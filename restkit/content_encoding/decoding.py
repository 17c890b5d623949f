"""Decode gzip, deflate, brotli and zstd as a stream.

One content coding, taken off in memory: pure, bounded at every step, strict about the end.

urllib3's decoders do not serve here. Those of 2.8.0 take a gzip, deflate or brotli stream that
ends early for a whole one (their ``flush()`` asks for no end), and pass over what follows a gzip
or deflate stream without a word. Here, what is not a whole stream is a DecodingError:

- gzip (RFC 1952): members one after another. Zeros behind one are padding, as gzip(1) has it
  from tapes; anything else that begins no member is an error. zlib checks CRC and length;
- deflate: zlib's format (RFC 9110 8.4.1.2), and raw from senders who took the name at its
  word. The first byte tells: no raw stream begins like zlib's header unless the padding of a
  stored block has bits set, and no encoder sets them;
- br (RFC 7932): ``brotli``, else ``brotlicffi``; from 1.2 on their steps can be bounded;
- zstd (RFC 8878): the standard library from Python 3.14 on, else ``backports.zstd``. Frames one
  after another, their window at most the 8 MiB that RFC 9659 3 allows: left alone, libzstd takes
  128 MiB where a frame asks for it.

Content-Encoding: what its fields say, what is asked for, and a source without it.

A body of no bytes at all is empty, whatever its codings: servers announce a coding over answers
that have no content.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from restkit.errors import DecodingError, TransportError

if TYPE_CHECKING:
    import zlib
    from collections.abc import Sequence
    from typing import Any, ClassVar, Protocol

    class _Stream(Protocol):
        """One compressed stream: a gzip member, a zstd frame."""

        repeats: ClassVar[bool]
        """Whether one may follow another."""
        padded: ClassVar[bool]
        """Whether zeros may follow it."""
        ended: bool
        pending: bool
        """Whether it has more to give before it takes more."""

        def step(self, data: memoryview) -> tuple[bytes, int]:
            """What came out, at most about STEP, and how many bytes of ``data`` that took.

            The number is below 0 when bytes taken earlier turn out to be behind the end.
            """

    class ByteSource(Protocol):
        """Where bytes come from, as they arrive."""

        def read_piece(self) -> bytes | bytearray | memoryview:
            """The next piece, good until the next call; blocks; empty at the end."""

        def close(self) -> None:
            """Let go of what is behind it; may be called twice."""


# What a step gives at most; brotli 1.2.1, whose buffers double, may give twice as much.
STEP = 256 * 1024
# What a step takes at most: zlib copies what it did not get to, every time.
_SLICE = 64 * 1024
_WINDOW_LOG = 23
_ZEROS = re.compile(b"\0*")
_NOTHING = memoryview(b"")


@cache
def supported_codings() -> tuple[str, ...]:
    """The codings that can be decoded here: by zlib, and by the packages that are installed.

    The packages are imported at the first call, not with restkit: most programs meet gzip alone.
    """
    optional = (("br", _brotli()), ("zstd", _zstd()))
    return "gzip", "deflate", *(name for name, module in optional if module)


class Decoder:
    """One content coding taken off, in memory and without I/O.

    Feed it a piece, ask it to ``produce()`` until there is nothing, feed it the next, and
    ``finish()`` at the end. Once it has raised a DecodingError it raises at every call.

    >>> import gzip
    >>> decoder = Decoder('gzip')
    >>> decoder.feed(gzip.compress(b'some words'))
    >>> decoder.produce(), decoder.produce(), decoder.finish()
    (b'some words', b'', None)
    """

    __slots__ = (
        "_at",
        "_data",
        "_fault",
        "_faults",
        "_open",
        "_stream",
        "_streams",
        "decoded",
        "name",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.decoded = 0
        self._open, self._faults = _format(name)
        self._data = _NOTHING
        self._at = 0
        self._stream: _Stream | None = None
        self._streams = 0
        self._fault: str | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next piece, which must stay as it is until ``produce()`` gives nothing."""
        self._data = memoryview(data)
        self._at = 0

    def produce(self) -> bytes:
        """What the next step decodes; ``b''`` when that takes another piece."""
        if self._fault:
            raise DecodingError(self._fault)
        try:
            piece = self._produce()
        except self._faults as exc:
            raise self._broken(str(exc)) from exc
        self.decoded += len(piece)
        return piece

    def finish(self) -> None:
        """No more pieces come: raises DecodingError unless the last stream is whole."""
        if self._fault:
            raise DecodingError(self._fault)
        if self._stream is not None:
            raise self._broken("the stream ends early")

    def _produce(self) -> bytes:
        while True:
            stream = self._stream or self._next_stream()
            part = self._data[self._at : self._at + _SLICE]
            if stream is None or not (part or stream.pending):
                # Even an empty view of the caller's buffer would keep it from being resized.
                self._data = _NOTHING
                self._at = 0
                return b""
            piece, taken = stream.step(part)
            self._at += taken
            if stream.ended:
                self._stream = None
            if piece:
                return piece

    def _next_stream(self) -> _Stream | None:
        if self._streams and self._open.padded:
            zeros = _ZEROS.match(self._data, self._at)
            self._at = zeros.end() if zeros else self._at
        if self._at == len(self._data):
            return None
        if self._streams and not self._open.repeats:
            raise self._broken("something follows the end of the stream")
        self._stream = self._open()
        self._streams += 1
        return self._stream

    def _broken(self, why: str) -> DecodingError:
        which = f" (stream {self._streams})" if self._streams > 1 else ""
        self._fault = f"{self.name} body{which}, after {self.decoded} decoded bytes: {why}"
        return DecodingError(self._fault)


def _format(name: str) -> tuple[type[_Stream], type[Exception]]:
    """What a stream of this coding is, and what its package raises."""
    if name == "br":
        return _BrotliStream, _brotli().error
    if name == "zstd":
        return _ZstdFrame, _zstd().ZstdError
    import zlib

    return _DeflateStream if name == "deflate" else _GzipMember, zlib.error


class _GzipMember:
    __slots__ = ("_zlib", "ended", "pending")
    repeats: ClassVar[bool] = True
    padded: ClassVar[bool] = True

    def __init__(self) -> None:
        self._zlib = _inflating(31)
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        piece = self._zlib.decompress(data, STEP)
        self.ended = self._zlib.eof
        left = self._zlib.unused_data if self.ended else self._zlib.unconsumed_tail
        # A full step may leave more inside zlib though it has taken all of the input.
        self.pending = len(piece) == STEP and not self.ended
        return piece, len(data) - len(left)


class _DeflateStream(_GzipMember):
    __slots__ = ("_begun",)
    repeats: ClassVar[bool] = False
    padded: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._begun = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        if not self._begun:
            self._begun = True
            # Method 8, and a window of up to 32 KiB: RFC 1950 2.2.
            self._zlib = _inflating(15 if data[0] & 0x8F == 0x08 else -15)
        return super().step(data)


class _BrotliStream:
    __slots__ = ("_brotli", "ended", "pending")
    repeats: ClassVar[bool] = False
    padded: ClassVar[bool] = False

    def __init__(self) -> None:
        self._brotli = _brotli().Decompressor()
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        # brotlicffi 1.2 takes no memoryview.
        part = b"" if self.pending else bytes(data)
        piece = self._brotli.process(part, output_buffer_limit=STEP)
        self.ended = self._brotli.is_finished()
        # brotli 1.2.1 says that it can accept more while a full step left some inside.
        full = len(piece) >= STEP or not self._brotli.can_accept_more_data()
        self.pending = full and not self.ended
        return piece, len(part)


class _ZstdFrame:
    __slots__ = ("_zstd", "ended", "pending")
    repeats: ClassVar[bool] = True
    padded: ClassVar[bool] = False

    def __init__(self) -> None:
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        self._zstd = zstd.ZstdDecompressor(options=options)
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        part = _NOTHING if self.pending else data
        piece = self._zstd.decompress(part, STEP)
        self.ended = self._zstd.eof
        self.pending = not self.ended and not self._zstd.needs_input
        left = self._zstd.unused_data if self.ended else b""
        return piece, len(part) - len(left)


def _inflating(window_bits: int) -> zlib._Decompress:
    import zlib

    return zlib.decompressobj(window_bits)


@cache
def _brotli() -> Any:
    for name in ("brotli", "brotlicffi"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        # It came with the bound on output, 1.2; without that one step is a bomb's whole swell.
        if hasattr(module.Decompressor, "can_accept_more_data"):
            return module
    return None


@cache
def _zstd() -> Any:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(name)
    except ImportError:
        return None


_ALIASES = {"x-gzip": "gzip"}
_MOST_CODINGS = 5
_EMPTY = memoryview(b"")


class DecodedSource:
    """Another source without its content codings, which are given in the order of their header.

    At most about STEP decoded bytes are held for each coding, whatever the bytes would swell
    to. Bytes come out as soon as they can be had. ``close()`` closes the other source.
    """

    __slots__ = ("_closed", "_decoder", "_ended", "_held", "_source")

    def __init__(self, source: ByteSource, codings: Sequence[str]) -> None:
        # The coding that was applied last is the first to come off.
        first, *others = codings
        self._source: ByteSource = DecodedSource(source, others) if others else source
        self._decoder = Decoder(first)
        self._held = _EMPTY
        self._ended = False
        self._closed = False

    def read_piece(self) -> bytes:
        """The next decoded piece, ``b''`` at the end; blocks, and raises DecodingError."""
        if self._held:
            piece = bytes(self._held)
            self._held = _EMPTY
            return piece
        return self._decode()

    def readinto(self, view: memoryview) -> int:
        """Fill some of ``view``; 0 at the end; blocks, and raises DecodingError."""
        held = self._held or memoryview(self._decode())
        size = min(len(view), len(held))
        view[:size] = held[:size]
        self._held = held[size:] or _EMPTY
        return size

    def _decode(self) -> bytes:
        while True:
            piece = self._decoder.produce()
            if piece:
                return piece
            data = _EMPTY if self._ended else self._source.read_piece()
            if self._closed:
                # By another thread, and so no end of the body, whatever the source has said.
                raise TransportError("the body was closed before its end had come")
            if not data:
                self._ended = True
                self._decoder.finish()
                return b""
            self._decoder.feed(data)

    def close(self) -> None:
        """Close the other source, from any thread: who reads gets an error; may be called twice."""
        self._closed = True
        self._source.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "at its end" if self._ended else "open"
        return f"<DecodedSource of {self._decoder.name}, {state}>"


def parse_codings(values: Sequence[str]) -> tuple[str, ...] | None:
    """The codings that Content-Encoding fields name, in the order applied; None: not known here.

    ``identity`` is left out. More than five raise DecodingError: no one applies that many, but
    each takes time, and a bomb in it multiplies.
    """
    names = [name.strip(" \t").lower() for value in values for name in value.split(",")]
    codings = tuple(_ALIASES.get(name, name) for name in names if name not in ("", "identity"))
    if not set(codings).issubset(supported_codings()):
        return None
    if len(codings) > _MOST_CODINGS:
        raise DecodingError(
            f"{len(codings)} content codings one over another; {_MOST_CODINGS} are the most"
        )
    return codings


@cache
def accept_encoding() -> str:
    """The value of Accept-Encoding that asks for no more than can be decoded."""
    return ", ".join(supported_codings())
