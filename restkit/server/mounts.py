"""WSGI applications below a path of another application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from restkit.annotations import OptExcInfo, StartResponse, WSGIApplication, WSGIEnvironment
from restkit.server.engine.body_collection import read_max_collected
from restkit.server.responses import Response


class Mount(NamedTuple):
    """An application and its path, which has no slash at its end."""

    prefix: str
    app: WSGIApplication

    def make_environ(self, environ: WSGIEnvironment) -> WSGIEnvironment:
        """Return the environ that the application gets: its prefix is in SCRIPT_NAME."""
        prefix = self.prefix.encode().decode("latin-1")  # as text of WSGI
        return {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": environ.get("PATH_INFO", "").removeprefix(prefix),
        }

    def max_collected(self, environ: WSGIEnvironment) -> int:
        """Return what ``App.max_collected`` of the application returns; 0 without this method."""
        return read_max_collected(self.app, self.make_environ(environ))


class Mounts:
    """The mounted applications of an App. They may be added while requests are handled.

    >>> mounts = Mounts()
    >>> mounts.add('/a/', print)
    >>> mounts.find('/a/b') == mounts.find('/a') == Mount('/a', print), mounts.find('/ab')
    (True, None)
    """

    def __init__(self) -> None:
        self._mounts: list[Mount] = []

    def add(self, prefix: str, app: WSGIApplication) -> None:
        """Add an application; raise ValueError for a malformed prefix, or one in use."""
        if not prefix.startswith("/") or "//" in prefix or set(prefix) & set("<>%?#"):
            raise ValueError(
                f"the path of a mount must begin with a slash, without parameters and "
                f"percent-encoding, such as '/static'; got {prefix!r}"
            )
        if not callable(app):
            raise TypeError(f"a mount needs a WSGI application; got {app!r}")
        mount = Mount(prefix.removesuffix("/"), app)
        if any(each.prefix == mount.prefix for each in self._mounts):
            raise ValueError(f"another application is already mounted at {prefix!r}")
        self._mounts = sorted([*self._mounts, mount], key=_prefix_length, reverse=True)

    def find(self, path: str) -> Mount | None:
        """Return the mount with the longest prefix of a decoded path, or None.

        A slash that was sent as ``%2F`` ends no prefix.
        """
        for mount in self._mounts:
            if path == mount.prefix or path.startswith(f"{mount.prefix}/"):
                return mount
        return None


def _prefix_length(mount: Mount) -> int:
    return len(mount.prefix)


class MountedResponse(Response):
    """The response of a mounted application, which gets the environ of the request.

    Fields in ``headers``, which are empty at first, replace those of the application; cookies are
    added. Status and body are those of the application.
    """

    def __init__(self, mount: Mount) -> None:
        super().__init__()
        self.mount = mount

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        below = self.mount.make_environ(environ)

        def start_with_headers(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            kept = [pair for pair in headers if pair[0].lower() not in replaced]
            return start_response(status, [*kept, *self.headers.pairs()], exc_info)

        replaced = {name.lower() for name in self.headers} - {"set-cookie"}
        return self.mount.app(below, start_with_headers if self.headers else start_response)

    def __repr__(self) -> str:
        return f"<MountedResponse of {self.mount.prefix or '/'}>"
