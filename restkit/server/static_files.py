"""Serve the files of a folder: ``files``.

A request names one file, by the names of folders and a file below the folder. Each name is checked,
and then looked up in the folder before it, without following a symbolic link. So a request cannot
leave the folder, even if somebody replaces a folder by a link at the same time. Everything that is
not served gets the same 404.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOTDIR, ENXIO
from html import escape
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from restkit.headers import Headers
from restkit.io.file_names import is_special_on_windows
from restkit.io.files import open_below, open_folder_below, stat_below
from restkit.server.app import App
from restkit.server.environ import ENCODED_SLASH, quote_non_ascii
from restkit.server.exceptions import Forbidden, HeaderFields, NotFound
from restkit.server.file_response import FileResponse
from restkit.server.request import Request
from restkit.server.response import html, redirect
from restkit.server.responses import Response

MAX_LISTED = 10_000
"""The number of entries in the list of a folder."""

# A symbolic link is ENOTDIR or ELOOP, and EMLINK on FreeBSD. A socket is ENXIO. A name that Windows
# does not allow is EINVAL.
_NOT_FOUND = (EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENXIO)
_NOT_IN_NAMES = frozenset(f"/\\\0{ENCODED_SLASH}")


def files(
    folder: str | os.PathLike[str],
    *,
    index: str | None = "index.html",
    listing: bool = False,
    hidden: bool = False,
    headers: HeaderFields | None = None,
) -> App:
    """Return an App that serves the files of a folder, with ranges, entity tags and conditions.

    The path of a request is the path of a file below the folder. A folder is served by its file
    ``index``, or else, with ``listing``, by an HTML list of its files. Its path ends with a slash:
    one without is redirected. With ``hidden``, names that begin with a dot are served too.
    ``headers`` are sent with each file.

    Symbolic links below the folder are not followed, and only regular files are served. Everything
    else is a 404, and a file that the process may not read is a 403.

    Raises OSError if the folder does not exist, ValueError if ``index`` is not a file name.

    >>> files('public').run(port=8000)                   # doctest: +SKIP

    >>> site = App('site')
    >>> site.mount('/static', files('public'))           # doctest: +SKIP
    """
    path = os.path.abspath(os.fsdecode(folder))
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path)
    if index is not None and not _is_file_name(index):
        raise ValueError(f"index must be the name of a file in each folder, or None; got {index!r}")
    app = App("files")
    served = _ServedFolder(path, index, listing, hidden, Headers(headers))
    app.add_route(served.respond, "/<path:.*>", methods=("GET",))
    return app


class _ServedFolder(NamedTuple):
    """A folder, and the options of ``files``."""

    folder: str
    index_name: str | None
    listing: bool
    hidden: bool
    headers: Headers

    def respond(self, request: Request, path: str) -> Response:  # noqa: ARG002  # the route passes it
        """Return the response for a file or a folder; the handler of the only route."""
        *names, last = request.target.match_path.removeprefix("/").split("/")
        if last:
            names.append(last)
        if not all(self._is_served_name(name) for name in names):
            raise _not_found(request)
        with _convert_errors(request):
            mode = stat_below(self.folder, names).st_mode
            if stat.S_ISDIR(mode):
                if last or _is_mount_without_slash(request):
                    return _redirect_to_folder(request, names)
                return self._respond_for_folder(request, names)
        if not last or not stat.S_ISREG(mode):
            raise _not_found(request)
        return self._make_file_response(request, names)

    def _is_served_name(self, name: str) -> bool:
        return _is_file_name(name) and (self.hidden or not name.startswith("."))

    def _respond_for_folder(self, request: Request, names: Sequence[str]) -> Response:
        if self.index_name is not None and self._has_regular_file([*names, self.index_name]):
            return self._make_file_response(request, [*names, self.index_name])
        if not self.listing:
            raise _not_found(request)
        with open_folder_below(self.folder, names) as entries:
            listed = list(islice(self._iter_links(entries), MAX_LISTED + 1))
        return _make_listing(request.path, listed, is_root=not names)

    def _has_regular_file(self, names: Sequence[str]) -> bool:
        try:
            return stat.S_ISREG(stat_below(self.folder, names).st_mode)
        except FileNotFoundError:
            return False

    def _make_file_response(self, request: Request, names: Sequence[str]) -> Response:
        def open_file(_path: str, flags: int) -> int:
            with _convert_errors(request):
                return open_below(self.folder, names, flags)

        return FileResponse(
            os.path.join(self.folder, *names), headers=self.headers, opener=open_file
        )

    def _iter_links(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[str]:
        """Yield the names of the files that are served; those of folders end with a slash."""
        for entry in entries:
            if not self._is_served_name(entry.name) or not _is_utf_8(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield f"{entry.name}/"
            elif entry.is_file(follow_symlinks=False):
                yield entry.name


def _is_file_name(name: str) -> bool:
    """Return whether a text names one file of a folder, on this system."""
    if name in ("", ".", "..") or not _NOT_IN_NAMES.isdisjoint(name):
        return False
    return os.name != "nt" or not is_special_on_windows(name)


def _is_utf_8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a path of a request is UTF-8
        return False
    return True


@contextmanager
def _convert_errors(request: Request) -> Iterator[None]:
    """Convert errors of the file system to HTTP errors."""
    try:
        yield
    except PermissionError as exc:
        raise Forbidden from exc
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError) as exc:
        raise _not_found(request) from exc
    except OSError as exc:
        if exc.errno not in _NOT_FOUND:
            raise
        raise _not_found(request) from exc


def _not_found(request: Request) -> NotFound:
    return NotFound(f"Requested URL {request.encoded_path} not found")


def _is_mount_without_slash(request: Request) -> bool:
    environ = request.environ
    return not environ.get("PATH_INFO") and bool(environ.get("SCRIPT_NAME"))


def _redirect_to_folder(request: Request, names: Sequence[str]) -> Response:
    """Redirect to the path of a folder with a slash at its end.

    The URL is relative to that of the request, and begins with a dot. So it leads to no other host,
    whatever the name is, and through a proxy that has changed the path.
    """
    script = request.environ.get("SCRIPT_NAME", "").encode("latin-1")
    last = quote(names[-1] if names else script.rpartition(b"/")[2], safe="")
    query = f"?{quote_non_ascii(request.query_string)}" if request.query_string else ""
    return redirect(f"./{last}/{query}")


def _make_listing(path: str, names: Sequence[str], *, is_root: bool) -> Response:
    title = escape(path)
    items = [] if is_root else ["../"]
    items += sorted(names[:MAX_LISTED])
    lines = [f'<li><a href="./{quote(name)}">{escape(name)}</a></li>' for name in items]
    if len(names) > MAX_LISTED:
        lines.append(f"<li>and more: only {MAX_LISTED} are listed</li>")
    text = "\n".join(lines)
    return html(
        f'<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body>\n<h1>{title}</h1>\n<ul>\n{text}\n</ul>\n</body>\n</html>\n"
    )
