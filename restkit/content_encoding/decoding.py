"""Decode gzip, deflate, brotli and zstd as a stream.

Every step has a bounded output, and a stream without its proper end is a DecodingError. urllib3's
decoders are not used, because those of 2.8.0 accept a gzip, deflate or brotli stream that ends
early (their ``flush()`` does not check for an end) and ignore data after a gzip or deflate stream.
The rules here:

- gzip (RFC 1952): members, one after another. Zeros after a member are padding, as in gzip(1). Any
  other data that does not begin a member is an error. zlib checks CRC and length.
- deflate: zlib's format (RFC 9110 8.4.1.2), or raw deflate, which some servers send by this name.
  The first byte decides. A raw stream begins like zlib's header only if the padding bits of a
  stored block are set, and no encoder sets them.
- br (RFC 7932): ``brotli``, else ``brotlicffi``. Versions from 1.2 on can bound their output.
- zstd (RFC 8878): the standard library from Python 3.14 on, else ``backports.zstd``. Frames, one
  after another, with a window of at most 8 MiB (RFC 9659 3). By default libzstd would allocate
  128 MiB if a frame asks for it.

An empty body is valid with any coding: servers declare a coding for responses without content.

The work is bounded too, as some streams make none or little output: empty gzip members, blocks and
frames. With several codings, a few bytes can expand to gigabytes of these. See ``DecodingWork``.
"""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from restkit.errors import DecodingError, TransportError
from restkit.io.buffers import Buffer, Source

if TYPE_CHECKING:
    import zlib
    from typing import Any, ClassVar, Protocol

    class _Stream(Protocol):
        """One compressed stream: a gzip member, a zstd frame."""

        repeats: ClassVar[bool]
        """Whether another stream may follow."""
        padded: ClassVar[bool]
        """Whether zeros may follow."""
        ended: bool
        pending: bool
        """Whether there is more output before it takes more input."""

        @abstractmethod
        def step(self, data: memoryview) -> tuple[bytes, int]:
            """Return at most about MAX_OUTPUT bytes, and how many bytes of ``data`` were used.

            The count is negative if bytes taken earlier turn out to follow the end.
            """


MAX_OUTPUT = 256 * 1024
"""The output limit of one step. brotli 1.2.1 doubles its buffers and may return twice as much."""
ZSTD_WINDOW_LOG = 23
"""The largest window of a zstd frame: 8 MiB (RFC 9659 3)."""
FREE_WORK = 1024 * 1024
"""The coded bytes, in all codings of a body together, that may decode to nothing."""
WORK_PER_BYTE = 16
"""The coded bytes that each decoded byte may need."""
STREAM_WORK = 128
"""A gzip member or zstd frame takes as much time as this many coded bytes (6 to 60 us)."""
CODED_OVERHEAD = 64 * 1024
"""The bytes that a body with codings may have beyond a limit for the decoded body."""

_MAX_INPUT = 64 * 1024  # zlib copies all unused input at every step
_MAX_CODINGS = 5
_ALIASES = {"x-gzip": "gzip"}
_ZEROS = re.compile(b"\0*")
_EMPTY = memoryview(b"")


@cache
def supported_codings() -> tuple[str, ...]:
    """Return the codings that can be decoded: by zlib, and by the installed packages.

    The packages are imported at the first call, and not with restkit, as most programs only meet
    gzip.
    """
    optional = (("br", _import_brotli()), ("zstd", import_zstd()))
    return "gzip", "deflate", *(name for name, module in optional if module)


@cache
def accept_encoding() -> str:
    """Return the value of Accept-Encoding: every coding that can be decoded."""
    return ", ".join(supported_codings())


def parse_codings(values: Sequence[str]) -> tuple[str, ...] | None:
    """Return the codings in Content-Encoding fields, in the order applied; None if one is unknown.

    ``identity`` is left out. Raises DecodingError for more than five codings: nobody needs as many,
    each one takes time, and a decompression bomb multiplies with each one.

    >>> parse_codings(['deflate, x-gzip', 'identity']), parse_codings(['rot13'])
    (('deflate', 'gzip'), None)
    """
    names = [name.strip(" \t").lower() for value in values for name in value.split(",")]
    codings = tuple(_ALIASES.get(name, name) for name in names if name not in ("", "identity"))
    if not set(codings).issubset(supported_codings()):
        return None
    if len(codings) > _MAX_CODINGS:
        raise DecodingError(
            f"the body has {len(codings)} content codings; at most {_MAX_CODINGS} are allowed"
        )
    return codings


class DecodingWork:
    """The work of decoding one body: checked against its output, and against a deadline.

    All decoders of a body share it. It counts the coded bytes of every coding. ``decoded`` is the
    number of bytes that the last decoder returned. ``check_time`` is called before each step; it
    raises an error when the time is over.
    """

    __slots__ = ("_done", "check_time", "decoded")

    def __init__(self, check_time: Callable[[], object] | None = None) -> None:
        self.decoded = 0
        self.check_time = check_time
        self._done = 0

    def count(self, coded: int) -> bool:
        """Count coded bytes; return False if they are too many for the output."""
        self._done += coded
        return self._done <= FREE_WORK + WORK_PER_BYTE * self.decoded


class DecodedSource:
    """Another source without its content codings, which are given in the order of their header.

    Holds at most about MAX_OUTPUT decoded bytes for each coding, however far the data expands.
    Returns bytes as soon as they are available. Raises DecodingError if the coded bytes, of all
    codings together, are more than FREE_WORK and WORK_PER_BYTE for each decoded byte.
    ``check_time`` is called before each step. ``close()`` closes the inner source.
    """

    __slots__ = ("_closed", "_decoders", "_ended", "_held", "_source", "_work")

    def __init__(
        self,
        source: Source,
        codings: Sequence[str],
        check_time: Callable[[], object] | None = None,
    ) -> None:
        self._source = source
        self._work = DecodingWork(check_time)
        # The coding that was applied last is removed first.
        self._decoders = [Decoder(name, self._work) for name in reversed(codings)]
        self._held = _EMPTY
        self._ended = False
        self._closed = False

    def read_chunk(self) -> bytes:
        """Return the next decoded chunk, or b'' at the end. Blocks, and raises DecodingError."""
        if self._held:
            chunk = bytes(self._held)
            self._held = _EMPTY
            return chunk
        return self._decode()

    def readinto(self, view: memoryview) -> int:
        """Decode into ``view``; return the count, 0 at the end. Blocks; raises DecodingError."""
        held = self._held or memoryview(self._decode())
        size = min(len(view), len(held))
        view[:size] = held[:size]
        self._held = held[size:] or _EMPTY
        return size

    def _decode(self) -> bytes:
        chunk = self._produce(len(self._decoders) - 1)
        self._work.decoded += len(chunk)
        return chunk

    def _produce(self, index: int) -> bytes:
        """Return the next output of one decoder, or b'' at its end."""
        decoder = self._decoders[index]
        while not (chunk := decoder.produce()):
            data = self._produce(index - 1) if index else self._read_coded()
            if not data:
                decoder.finish()
                break
            decoder.feed(data)
        return chunk

    def _read_coded(self) -> Buffer:
        data = _EMPTY if self._ended else self._source.read_chunk()
        if self._closed:
            # Another thread closed it, so b'' from the source does not mean the end.
            raise TransportError("the body was closed before its end")
        self._ended = not data
        return data

    def close(self) -> None:
        """Close the inner source, from any thread: a blocked reader gets an error. Idempotent."""
        self._closed = True
        self._source.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "at its end" if self._ended else "open"
        return f"<DecodedSource of {self._decoders[-1].name}, {state}>"


class Decoder:
    """The decoder of one content coding, in memory and without I/O.

    Call ``feed()`` with a chunk, then ``produce()`` until it returns b'', and so on with the next
    chunk; call ``finish()`` at the end. After a DecodingError every call raises it again.
    ``work`` is shared with the other decoders of the same body, and its owner counts the output.

    >>> import gzip
    >>> decoder = Decoder('gzip')
    >>> decoder.feed(gzip.compress(b'some words'))
    >>> decoder.produce(), decoder.produce(), decoder.finish()
    (b'some words', b'', None)
    """

    __slots__ = (
        "_at",
        "_counts_output",
        "_data",
        "_fault",
        "_library_errors",
        "_stream",
        "_stream_count",
        "_stream_type",
        "_work",
        "decoded",
        "name",
    )

    def __init__(self, name: str, work: DecodingWork | None = None) -> None:
        self.name = name
        self.decoded = 0
        self._counts_output = work is None
        self._work = DecodingWork() if work is None else work
        self._stream_type, self._library_errors = _find_stream_type(name)
        self._data = _EMPTY
        self._at = 0
        self._stream: _Stream | None = None
        self._stream_count = 0
        self._fault: str | None = None

    def feed(self, data: Buffer) -> None:
        """Take the next chunk, which must not change until ``produce()`` returns b''."""
        self._data = memoryview(data)
        self._at = 0

    def produce(self) -> bytes:
        """Return the output of the next step, or b'' if another chunk is needed."""
        if self._fault:
            raise DecodingError(self._fault)
        try:
            chunk = self._produce()
        except self._library_errors as exc:
            raise self._make_error(str(exc)) from exc
        self.decoded += len(chunk)
        if self._counts_output:
            self._work.decoded = self.decoded
        return chunk

    def finish(self) -> None:
        """Raise DecodingError unless the last stream is complete."""
        if self._fault:
            raise DecodingError(self._fault)
        if self._stream is not None:
            raise self._make_error("the stream ends early")

    def _produce(self) -> bytes:
        while True:
            stream = self._stream or self._next_stream()
            part = self._data[self._at : self._at + _MAX_INPUT]
            if stream is None or not (part or stream.pending):
                # Even an empty view of the caller's buffer would keep it from being resized.
                self._data = _EMPTY
                self._at = 0
                return b""
            if self._work.check_time is not None:
                self._work.check_time()
            chunk, used = stream.step(part)
            self._at += used
            if stream.ended:
                self._stream = None
            self._count_work(used + 1)  # 1: a step that uses nothing must not be free
            if chunk:
                return chunk

    def _next_stream(self) -> _Stream | None:
        if self._stream_count and self._stream_type.padded:
            zeros = _ZEROS.match(self._data, self._at)
            if zeros and zeros.end() > self._at:
                self._count_work(zeros.end() - self._at)
                self._at = zeros.end()
        if self._at == len(self._data):
            return None
        if self._stream_count and not self._stream_type.repeats:
            raise self._make_error("data follows the end of the stream")
        self._stream = self._stream_type()
        self._stream_count += 1
        self._count_work(STREAM_WORK)
        return self._stream

    def _count_work(self, coded: int) -> None:
        if not self._work.count(coded):
            raise self._make_error(
                f"the coded bytes decode to almost nothing: more than {FREE_WORK}, and "
                f"{WORK_PER_BYTE} for each decoded byte"
            )

    def _make_error(self, reason: str) -> DecodingError:
        stream = f" (stream {self._stream_count})" if self._stream_count > 1 else ""
        self._fault = f"{self.name} body{stream}, after {self.decoded} decoded bytes: {reason}"
        return DecodingError(self._fault)


def _find_stream_type(name: str) -> tuple[type[_Stream], type[Exception]]:
    """Return the stream class of a coding, and the exception that its library raises."""
    if name == "br":
        return _BrotliStream, _import_brotli().error
    if name == "zstd":
        return _ZstdFrame, import_zstd().ZstdError
    import zlib

    return _DeflateStream if name == "deflate" else _GzipMember, zlib.error


class _GzipMember:
    __slots__ = ("_zlib", "ended", "pending")
    repeats: ClassVar[bool] = True
    padded: ClassVar[bool] = True

    def __init__(self) -> None:
        self._zlib = _make_inflater(31)
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        chunk = self._zlib.decompress(data, MAX_OUTPUT)
        self.ended = self._zlib.eof
        left = self._zlib.unused_data if self.ended else self._zlib.unconsumed_tail
        # A full step may leave output inside zlib, even when it has used all input.
        self.pending = len(chunk) == MAX_OUTPUT and not self.ended
        return chunk, len(data) - len(left)


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
            # Method 8 with a window of up to 32 KiB (RFC 1950 2.2).
            self._zlib = _make_inflater(15 if data[0] & 0x8F == 0x08 else -15)
        return super().step(data)


class _BrotliStream:
    __slots__ = ("_brotli", "ended", "pending")
    repeats: ClassVar[bool] = False
    padded: ClassVar[bool] = False

    def __init__(self) -> None:
        self._brotli = _import_brotli().Decompressor()
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        # brotlicffi 1.2 does not accept a memoryview.
        part = b"" if self.pending else bytes(data)
        chunk = self._brotli.process(part, output_buffer_limit=MAX_OUTPUT)
        self.ended = self._brotli.is_finished()
        # After a full step, brotli 1.2.1 reports that it accepts input while it still has output.
        full = len(chunk) >= MAX_OUTPUT or not self._brotli.can_accept_more_data()
        self.pending = full and not self.ended
        return chunk, len(part)


class _ZstdFrame:
    __slots__ = ("_zstd", "ended", "pending")
    repeats: ClassVar[bool] = True
    padded: ClassVar[bool] = False

    def __init__(self) -> None:
        zstd = import_zstd()
        options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        self._zstd = zstd.ZstdDecompressor(options=options)
        self.ended = False
        self.pending = False

    def step(self, data: memoryview) -> tuple[bytes, int]:
        part = _EMPTY if self.pending else data
        chunk = self._zstd.decompress(part, MAX_OUTPUT)
        self.ended = self._zstd.eof
        self.pending = not self.ended and not self._zstd.needs_input
        left = self._zstd.unused_data if self.ended else b""
        return chunk, len(part) - len(left)


def _make_inflater(window_bits: int) -> zlib._Decompress:
    import zlib

    return zlib.decompressobj(window_bits)


@cache
def import_optional(name: str) -> Any:
    """Import a module, or return None if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def import_zstd() -> Any:
    """Import the zstd module of the standard library, or ``backports.zstd``; None without one."""
    if sys.version_info >= (3, 14) and (zstd := import_optional("compression.zstd")):
        return zstd
    return import_optional("backports.zstd")


def _import_brotli() -> Any:
    for name in ("brotli", "brotlicffi"):
        module = import_optional(name)
        # The method came in 1.2 together with the output limit. Without that limit, one step
        # would return the whole expansion of a decompression bomb.
        if module and hasattr(module.Decompressor, "can_accept_more_data"):
            return module
    return None
