"""Rows 12 and 13: an app that receives a large body, and one that sends it.

The client is the program curl for all apps, and its CPU counts too. Flask runs on restkit's engine
and, for information, on plain cheroot.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import TYPE_CHECKING, Any

from benchmarks.row import AHEAD, Goal, KiB, Peer, Row, Target, Work

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from flask import Flask

_CHUNK = 64 * KiB


def restkit_app(_: Target) -> str:
    from restkit.server import App
    from restkit.server.response import stream, text

    app = App("benchmark")

    @app.put("/take", stream=True)
    def take(request: Any) -> Any:
        return text(str(sum(len(piece) for piece in request.stream)))

    @app.get("/give/<size:int>")
    def give(request: Any, size: int) -> Any:
        return stream(_chunks(size))

    return _serve(app)


def flask_on_restkit(_: Target) -> str:
    return _serve(_flask_app())


def flask_on_cheroot(_: Target) -> str:
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", 0), _flask_app())

    def start() -> str:
        server.prepare()
        threading.Thread(target=server.serve).start()
        return f"http://127.0.0.1:{server.bind_addr[1]}"

    return _start_with_daemon_threads(start)


def _serve(app: WSGIApplication) -> str:
    from restkit.server import serve

    return _start_with_daemon_threads(lambda: serve(app).url)


def _start_with_daemon_threads(start: Callable[[], str]) -> str:
    """Start a server on daemon threads, because nothing closes it."""
    urls: Queue[str] = Queue()
    threading.Thread(target=lambda: urls.put(start()), daemon=True).start()
    return urls.get()


def _flask_app() -> Flask:
    from flask import Flask, Response, request

    app = Flask("benchmark")

    @app.put("/take")
    def take() -> str:
        return str(sum(len(piece) for piece in iter(lambda: request.stream.read(_CHUNK), b"")))

    @app.get("/give/<int:size>")
    def give(size: int) -> Response:
        return Response(_chunks(size))

    return app


def _chunks(size: int) -> Iterator[bytes]:
    chunk = b"x" * _CHUNK
    for _ in range(size // _CHUNK):
        yield chunk
    yield chunk[: size % _CHUNK]


def taking(app: Callable[[Target], str]) -> Peer:
    """Upload a file; the app returns the number of bytes that it received."""

    def peer(target: Target) -> Work:
        url = app(target)
        return lambda target: int(_curl("--upload-file", target.file, f"{url}/take"))

    return peer


def giving(app: Callable[[Target], str]) -> Peer:
    """Download a body; curl prints the number of bytes that it received."""

    def peer(target: Target) -> Work:
        url = app(target)
        told = ("--output", "/dev/null", "--write-out", "%{size_download}")
        return lambda target: int(_curl(*told, f"{url}/give/{target.size}"))

    return peer


def _curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--fail", "--header", "Expect:", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


_APPS = {
    "restkit": restkit_app,
    "Flask, same engine": flask_on_restkit,
    "Flask on cheroot": flask_on_cheroot,
}
_BARS = (Goal("restkit", "Flask, same engine", AHEAD),)

TAKING = Row(
    name="serve-take",
    title="An app takes a PUT of {size}",
    kind="up",
    peers={name: taking(app) for name, app in _APPS.items()},
    goals=_BARS,
)
GIVING = Row(
    name="serve-give",
    title="An app sends {size} from a generator of 64 KiB chunks",
    kind="down",
    peers={name: giving(app) for name, app in _APPS.items()},
    goals=_BARS,
)
