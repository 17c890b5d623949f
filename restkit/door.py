"""From whatever a caller has to a payload: the one place that looks at types."""

from __future__ import annotations

import codecs
import errno
import io
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Any

from restkit.errors import Error, PayloadError
from restkit.files import (
    FilePayload,
    PathPayload,
    PipePayload,
    SeekablePayload,
    SocketPayload,
    StreamPayload,
    UnsizedPathPayload,
    content_type,
    source_of,
)
from restkit.payload import Payload
from restkit.sources import (
    BufferPayload,
    BytesPayload,
    CallPayload,
    IterablePayload,
    IteratorPayload,
    TextPayload,
)

_IS_A_FORM = "is a form, and a request makes one of it by itself: here, FormData.from_fields() does"
_RUN_IT = (
    "and restkit is blocking: run it in an event loop of yours, and pass what it gives "
    "(bytes, a list, a file)"
)
_ACCEPTED = (
    "bytes or anything with a buffer, str, an os.PathLike, an open file or anything with read(), "
    "a socket, an iterable of bytes or str, a callable that gives one of these, or an object "
    "with __payload__()"
)

_MARKED = ("utf-16", "utf-32")

# They read ahead of what tell() says, and give even to read(0) whatever they hold.
_READERS_AHEAD = (codecs.StreamReader, codecs.StreamReaderWriter, codecs.StreamRecoder)


def as_payload(value: object) -> Payload | None:  # noqa: C901  # one visible chain
    """The payload that a value stands for; None stands for none.

    A Payload is itself, and an object with ``__payload__()`` says how it is sent. Nothing of the
    value is read, but a path is looked up, and what can seek is measured. Raises TypeError for
    what cannot be sent, PayloadError for what could be in another state, and the OSError of a
    path that cannot be opened.

    >>> as_payload('grüße')
    <TextPayload 7 bytes, replayable>
    """
    if value is None:
        return None
    if type(value) is bytes:
        return BytesPayload(value)
    if isinstance(value, Payload):
        return value
    if hasattr(type(value), "__payload__"):
        return _own_payload(value)
    if isinstance(value, str):
        return TextPayload(value)
    if isinstance(value, os.PathLike):
        return _of_path(os.fspath(value))
    if isinstance(value, Mapping | set | frozenset | int | float) or _is_number(value):
        raise _refused(value)  # some of these can be iterated, or have a buffer (numpy.float64)
    if _has_buffer(value):
        return BufferPayload(value)
    if isinstance(value, socket.socket):
        return _of_socket(value)
    if isinstance(value, type):
        return _of_callable(value)  # what its instances have it only seems to have itself
    if hasattr(value, "__aiter__") or hasattr(value, "__await__"):
        raise TypeError(f"a payload of type {type(value).__name__} is asynchronous, {_RUN_IT}")
    if hasattr(value, "read"):
        return _of_file(value)
    if hasattr(value, "__iter__"):
        return _of_items(value)
    if callable(value):
        return _of_callable(value)
    raise _refused(value)


def _own_payload(value: Any) -> Payload:
    try:
        payload = value.__payload__()
    except Error as error:
        # It may be about another request, one that was sent: of this payload nothing was.
        error.sent, error.out_of_payload = "nothing", True
        raise
    if not isinstance(payload, Payload):
        raise TypeError(
            f"{type(value).__name__}.__payload__() returned {type(payload).__name__}; "
            "a Payload is wanted"
        )
    return payload


def _of_path(path: str | bytes) -> Payload:
    """The payload of what is at a path; the system's OSError where that cannot be read."""
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        # To open one of these can wait, or do something; it can be asked for permission.
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return UnsizedPathPayload(path, replayable=False, watchable=stat.S_ISFIFO(mode))
    with io.FileIO(path) as file:
        if _tells_its_size(file):
            return PathPayload(path, os.fstat(file.fileno()).st_size)
    return UnsizedPathPayload(path, replayable=True, watchable=False)


def _of_file(file: Any) -> Payload:
    if getattr(file, "closed", False) is True:
        raise PayloadError(f"the file {source_of(file)} is closed")
    if hasattr(file, "readable") and not file.readable():
        raise PayloadError(f"the file {source_of(file)} is not open for reading")
    if type(file) is io.BytesIO or type(file) is io.StringIO:
        return _of_memory(file)
    raw = _plain_file(file)
    if raw is not None and _tells_its_size(raw):
        return FilePayload(file, _plain_position(file))
    if raw is not None and (type(file) is not io.TextIOWrapper or _is_undecoded(file)):
        return _of_pipe(file, raw)
    if _can_seek(file):
        return _of_seekable(file) or StreamPayload(file, _reader_of(file))
    return StreamPayload(file, _reader_of(file))


def _of_memory(file: io.BytesIO | io.StringIO) -> Payload:
    at, whole = file.tell(), file.getvalue()
    headers = content_type(getattr(file, "name", None))
    if isinstance(whole, str):
        return TextPayload(whole[at:], headers)
    return BytesPayload(memoryview(whole)[at:] if at else whole, headers)


def _plain_position(file: Any) -> int:
    """Where in its bytes a regular file stands, in text mode too."""
    try:
        at: int = file.tell()
    except OSError as exc:
        raise _no_position(file) from exc
    # Above these bits a text file's position holds the state of its decoder.
    if at >> 64 or (at and _needs_its_mark(file)):
        raise _no_position(file)
    return at


def _needs_its_mark(file: Any) -> bool:
    """Whether the bytes of a file mean nothing without the byte order mark at its beginning."""
    return isinstance(file, io.TextIOWrapper) and codecs.lookup(file.encoding).name in _MARKED


def _no_position(file: Any) -> PayloadError:
    return PayloadError(
        f"{source_of(file)} has been read as text, and cannot say at which byte it is: "
        "open it with 'rb'"
    )


def _of_pipe(file: Any, raw: io.FileIO) -> Payload:
    watchable = _is_watchable(raw)
    if file is raw:
        return StreamPayload(file, raw.read, watched=raw if watchable else None)
    return PipePayload(file, raw, watchable=watchable)


def _of_socket(source: socket.socket) -> Payload:
    if source.fileno() < 0:
        raise PayloadError("the socket is closed")
    # Of TLS, some may have come and be decrypted though the number shows nothing.
    return SocketPayload(source, watched=type(source) is socket.socket)


def _can_seek(file: Any) -> bool:
    if hasattr(file, "seekable"):
        return bool(file.seekable())
    return hasattr(file, "seek") and hasattr(file, "tell")


def _of_seekable(file: Any) -> Payload | None:
    """What is left of a file-like object, measured; None where it cannot seek after all."""
    try:
        start = file.tell()
    except (OSError, ValueError):
        return None
    if isinstance(file, _READERS_AHEAD):
        return None if start else SeekablePayload(file, start, None)
    if isinstance(file.read(0), str):
        return SeekablePayload(file, start, None)
    end = _end_of(file, start)
    return None if end is None else SeekablePayload(file, start, max(0, end - start))


def _end_of(file: Any, start: int) -> int | None:
    """Where a file-like object ends, leaving it at ``start``; None where it cannot go there."""
    try:
        file.seek(0, os.SEEK_END)
        end: int = file.tell()
    except (OSError, ValueError, NotImplementedError):
        if file.tell() != start:
            file.seek(start)
        return None
    file.seek(start)
    return end


def _plain_file(file: Any) -> io.FileIO | None:
    """The file under the layers that ``open()`` puts on it; None where there are others."""
    if type(file) is io.FileIO:
        return file
    if type(file) is io.TextIOWrapper:
        file = file.buffer
    if type(file) is io.BufferedReader or type(file) is io.BufferedRandom:
        raw = file.raw
        return raw if type(raw) is io.FileIO else None
    return None


def _is_undecoded(text: io.TextIOWrapper) -> bool:
    """Whether nothing of a text file has been read yet, so that its buffer still has every byte."""
    try:
        # The one question of this kind that it answers: an encoding can be set until then.
        text.reconfigure(encoding=text.encoding, errors=text.errors)
    except io.UnsupportedOperation:
        return False
    return True


def _tells_its_size(file: io.FileIO) -> bool:
    """Whether this is a regular file, of the size that the system says it has.

    The files of ``/proc`` claim 0 bytes and those of ``/sys`` a page; as with any sparse file no
    block of a disk is theirs, so these alone are asked where they end.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_blocks:
        return True
    size = status.st_size
    try:
        reached = not size or os.pread(file.fileno(), 1, size - 1)
        return bool(reached) and not os.pread(file.fileno(), 1, size)
    except OSError:
        return False


def _is_watchable(file: io.FileIO) -> bool:
    """Whether ``poll`` tells the truth about this file: a pipe, a FIFO, a socket or a terminal."""
    mode = os.fstat(file.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()


def _reader_of(file: Any) -> Callable[[int], Any]:
    """The method that gives what there is, as soon as there is something."""
    if isinstance(file, io.TextIOWrapper):
        raw = _plain_file(file)
        if raw is not None and not os.get_blocking(raw.fileno()):
            raise PayloadError(
                f"{source_of(file)} has been read as text and does not block: such text ends "
                "wherever nothing has come yet; open it with 'rb'"
            )
        return file.readline  # its read() would wait for as many characters as it is asked for
    # Of a wrapper's own: what it hands through to another object would leave its read() out.
    reader: Callable[[int], Any] = file.read1 if hasattr(type(file), "read1") else file.read
    return reader


def _of_items(items: Any) -> Payload:
    if isinstance(items, list | tuple) and items:
        first = items[0]
        if isinstance(first, list | tuple) and len(first) == 2:
            raise TypeError(f"a {type(items).__name__} of pairs {_IS_A_FORM}")
    return IteratorPayload(items) if hasattr(items, "__next__") else IterablePayload(items)


def _of_callable(function: Callable[..., object]) -> Payload:
    refuse_asynchronous(function)
    refuse_wanting_arguments(function)
    return CallPayload(function, as_payload)


def refuse_asynchronous(function: Callable[..., object]) -> None:
    """Raise TypeError for a function that nobody here would wait for."""
    import inspect  # dear to load, and no other payload asks for it

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"the payload {function!r} is asynchronous, {_RUN_IT}")


def refuse_wanting_arguments(function: Callable[..., object]) -> None:
    """Raise TypeError for a callable that cannot be called without arguments."""
    import inspect  # as above

    try:
        inspect.signature(function).bind()
    except TypeError as exc:
        raise TypeError(
            f"the payload {function!r} is called without arguments, and it is {exc}: "
            "functools.partial or a lambda can hold them"
        ) from exc
    except ValueError:
        pass  # some of what is written in C tells no signature; the call itself will show


def _is_number(value: object) -> bool:
    """Whether it is a number of numpy's: these have a buffer and, unlike its arrays, no length."""
    kind = type(value)
    return hasattr(kind, "__float__") and not hasattr(kind, "__len__")


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    except (ValueError, BufferError) as exc:  # a closed mmap; numpy's dates
        raise PayloadError(f"a {type(value).__name__} does not give its bytes: {exc}") from exc
    return True


def _refused(value: object) -> TypeError:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return TypeError(f"a payload of type {kind} {_IS_A_FORM}")
    return TypeError(f"a payload cannot be of type {kind}; it can be {_ACCEPTED}")
