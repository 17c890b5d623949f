"""Hide from restkit what Windows does not have, and behave as Windows does where that differs.

`RESTKIT_PORTABLE=1` turns this on for a test run, before restkit is imported. Only the modules of
restkit get other modules in place of `os`, `select`, `socket` and so on: the standard library, the
tests and their servers keep everything. What a hidden name is replaced by must be decided while
restkit is imported or later, by the missing name; there is no other sign.
"""

from __future__ import annotations

import builtins
import errno
import os
import selectors
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

IS_ON = bool(os.environ.get("RESTKIT_PORTABLE"))

HIDDEN = {
    "os": (
        "fork forkpty register_at_fork pread preadv pwrite pwritev sendfile fchmod fchown chown "
        "get_blocking set_blocking getuid geteuid getgid mkfifo mknod statvfs fdatasync "
        "memfd_create copy_file_range splice posix_fadvise uname "
        "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_TMPFILE"
    ),
    "select": "poll epoll kqueue devpoll POLLIN POLLOUT POLLHUP POLLERR POLLPRI POLLRDHUP POLLNVAL",
    "socket": (
        "AF_UNIX AF_NETLINK SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL SCM_RIGHTS CMSG_LEN "
        "TCP_CORK TCP_USER_TIMEOUT TCP_QUICKACK SOCK_NONBLOCK SOCK_CLOEXEC"
    ),
    "signal": "SIGHUP SIGUSR1 SIGUSR2 SIGPIPE SIGALRM SIGCHLD pthread_sigmask pthread_kill alarm",
    "time": "tzset clock_gettime CLOCK_MONOTONIC",
}
MISSING = ("fcntl", "grp", "posix", "pwd", "resource", "termios")

_WSAEWOULDBLOCK, _WSAENOTSOCK = 10035, 10038
_SELECT_LIMIT = 512
_BINARY = 1 << 30  # a flag of its own: Linux translates no line ends, and a test wants to know
_NO_MODULE = "the module {!r} does not exist on Windows"


class PartOfModule(ModuleType):
    """A module without some of its names, and with others in place of its own."""

    def __init__(self, module: ModuleType, hidden: str, **others: object) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(others)
        self._module = module
        self._hidden = frozenset(hidden.split())

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(f"{self.__name__}.{name} is hidden: Windows does not have it")
        return getattr(self._module, name)


class SocketsOnlySelector(selectors.SelectSelector):
    """`select` of Windows: sockets only, not more than 512, and never none at all."""

    def select(self, timeout: float | None = None) -> Any:
        numbers = [key.fd for key in self.get_map().values()]
        if not numbers:
            raise OSError(errno.EINVAL, "no socket was given")
        if len(numbers) > _SELECT_LIMIT:
            raise ValueError("too many file descriptors in select()")
        for number in numbers:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                raise OSError(_WSAENOTSOCK, "an operation was attempted on what is not a socket")
        return super().select(timeout)


class _EntryWithoutInode:
    """An entry of a folder whose `stat()` has neither device nor inode."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self._entry = entry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        status = list(self._entry.stat(follow_symlinks=follow_symlinks))
        status[1:3] = [0, 0]
        return os.stat_result(status)


class _Entries:
    """What `os.scandir` returns: an iterator, and a context manager."""

    def __init__(self, path: Any) -> None:
        if isinstance(path, int):
            raise TypeError("scandir: path should be string, bytes, os.PathLike or None, not int")
        self._entries = os.scandir(path)

    def __enter__(self) -> Iterator[_EntryWithoutInode]:
        return map(_EntryWithoutInode, self._entries)

    def __exit__(self, *exc: object) -> None:
        self._entries.close()


class _Absent:
    """An attribute of a class that the class does not have."""

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError("hidden: Windows does not have it")


def is_open_here(path: Any) -> bool:
    """Whether this process has the file at a path open."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode):
        return False
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.fstat(int(name)), status):
                return True
        except OSError:
            continue  # closed since
    return False


def _refuse_open_files(function: Callable[..., None]) -> Callable[..., None]:
    def call(*paths: Any) -> None:
        for path in paths:
            if is_open_here(path):
                raise PermissionError(errno.EACCES, "the file is used by another process", path)
        function(*paths)

    return call


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if not flags & _BINARY:
        raise AssertionError(f"{path!r} is opened without O_BINARY: Windows changes its line ends")
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return os.open(path, flags & ~_BINARY, mode)


def _connect_ex(self: Any, address: Any) -> int:
    code = _real_connect_ex(self, address)
    return _WSAEWOULDBLOCK if code == errno.EINPROGRESS else code


_real_connect_ex = socket.socket.connect_ex
_real_import = builtins.__import__


def _substitutes() -> dict[str, ModuleType]:
    parts = {name: PartOfModule(__import__(name), hidden) for name, hidden in HIDDEN.items()}
    parts["os"].__dict__.update(
        name="nt",
        open=_open,
        scandir=_Entries,
        unlink=_refuse_open_files(os.unlink),
        remove=_refuse_open_files(os.remove),
        replace=_refuse_open_files(os.replace),
        rename=_refuse_open_files(os.rename),
        O_BINARY=_BINARY,
    )
    return {
        **parts,
        "sys": PartOfModule(sys, "", platform="win32"),
        "errno": PartOfModule(errno, "", WSAEWOULDBLOCK=_WSAEWOULDBLOCK),
        "selectors": PartOfModule(
            selectors, "PollSelector EpollSelector", DefaultSelector=SocketsOnlySelector
        ),
        "tempfile": PartOfModule(tempfile, "", TemporaryFile=tempfile.NamedTemporaryFile),
    }


def hide_posix() -> None:
    """Hide the names from every module of restkit that is imported from now on."""
    loaded = [name for name in sys.modules if name.partition(".")[0] == "restkit"]
    if loaded:
        raise RuntimeError(f"restkit has been imported before its names were hidden: {loaded}")
    substitutes = _substitutes()

    def import_portable(name: str, *args: Any, **options: Any) -> ModuleType:
        given = dict(zip(("globals", "locals", "fromlist", "level"), args, strict=False))
        importer = ({**given, **options}.get("globals") or {}).get("__name__") or ""
        if importer.partition(".")[0] == "restkit":
            if name in MISSING:
                raise ModuleNotFoundError(_NO_MODULE.format(name), name=name)
            if name in substitutes:
                return substitutes[name]
        return _real_import(name, *args, **options)

    builtins.__import__ = import_portable
    socket.socket.sendmsg = _Absent()  # type: ignore[assignment, method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]


if IS_ON:
    hide_posix()
