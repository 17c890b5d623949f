"""Rows 12 and 13: the other end, an app that takes a big body, and one that gives it.

The client is the program curl, the same for all, and its CPU is counted too. Flask runs on
restkit's engine and, for information, on cheroot as it comes.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import TYPE_CHECKING, Any

from benchmarks.row import AHEAD, Bar, KiB, Peer, Row, Target, Work

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from flask import Flask

_BLOCK = 64 * KiB


def restkit_app(_: Target) -> str:
    from restkit.server import App
    from restkit.server.response import stream, text

    app = App("benchmark")

    @app.put("/take", stream=True)
    def take(request: Any) -> Any:
        return text(str(sum(len(piece) for piece in request.stream)))

    @app.get("/give/<size:int>")
    def give(request: Any, size: int) -> Any:
        return stream(_blocks(size))

    return _served(app)


def flask_on_restkit(_: Target) -> str:
    return _served(_flask_app())


def flask_on_cheroot(_: Target) -> str:
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", 0), _flask_app())

    def started() -> str:
        server.prepare()
        threading.Thread(target=server.serve).start()
        return f"http://127.0.0.1:{server.bind_addr[1]}"

    return _daemonic(started)


def _served(app: WSGIApplication) -> str:
    from restkit.server import serve

    return _daemonic(lambda: serve(app).url)


def _daemonic(start: Callable[[], str]) -> str:
    """Let a server's threads be daemons, as their parent is: nobody closes it."""
    urls: Queue[str] = Queue()
    threading.Thread(target=lambda: urls.put(start()), daemon=True).start()
    return urls.get()


def _flask_app() -> Flask:
    from flask import Flask, Response, request

    app = Flask("benchmark")

    @app.put("/take")
    def take() -> str:
        return str(sum(len(piece) for piece in iter(lambda: request.stream.read(_BLOCK), b"")))

    @app.get("/give/<int:size>")
    def give(size: int) -> Response:
        return Response(_blocks(size))

    return app


def _blocks(size: int) -> Iterator[bytes]:
    block = b"x" * _BLOCK
    for _ in range(size // _BLOCK):
        yield block
    yield block[: size % _BLOCK]


def taking(app: Callable[[Target], str]) -> Peer:
    """A file goes up; the app says how many bytes it has seen."""

    def peer(target: Target) -> Work:
        url = app(target)
        return lambda target: int(_curl("--upload-file", target.file, f"{url}/take"))

    return peer


def giving(app: Callable[[Target], str]) -> Peer:
    """A body comes down; curl says how many bytes it has seen."""

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
_BARS = (Bar("restkit", "Flask, same engine", AHEAD),)

TAKING = Row(
    name="serve-take",
    title="An app takes a PUT of {size}",
    kind="up",
    peers={name: taking(app) for name, app in _APPS.items()},
    bars=_BARS,
)
GIVING = Row(
    name="serve-give",
    title="An app gives {size}, a generator of 64 KiB blocks",
    kind="down",
    peers={name: giving(app) for name, app in _APPS.items()},
    bars=_BARS,
)
