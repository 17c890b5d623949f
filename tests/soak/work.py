"""The mixed work of a soak run: each function makes one call, and checks every byte of it."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from restkit import Client, HttpResponse
from restkit.server import App, Request
from restkit.server.response import raw, redirect, stream, text
from restkit.server.responses import Response
from support.nginx import Nginx

DATA = Random("soak").randbytes(700_000)
FILE = "data.bin"
TEXT_FILE = "text.txt"
TEXT = b"".join(b"%d: a line that compresses well\n" % number for number in range(20_000))
_ITEM = 16_411


class WrongBytes(AssertionError):
    """A call that ended without an error and with wrong bytes."""


class Ports(NamedTuple):
    """The ports of the proxies; those before nginx are None without it."""

    own: int
    nginx: int | None
    nginx_tls: int | None


@dataclass
class Site:
    """The ports of the proxies, the Client of all threads, and a folder for files."""

    client: Client
    folder: Path
    ports: Ports
    nginx: Nginx | None

    def own(self, path: str) -> str:
        """Return a URL of our own server."""
        return f"http://127.0.0.1:{self.ports.own}{path}"

    def works(self) -> list[Work]:
        """Return the works for which a server is running."""
        return OWN if self.nginx is None else OWN + WITH_NGINX


Work = Callable[[Site, Random], None]


def make_app() -> App:
    """Return our own server's application."""
    app = App("soak")
    counts = iter(range(10**12))

    @app.post("/digest")
    def digest(request: Request) -> Response:
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return text(hashlib.sha256(body).hexdigest())

    @app.post("/echo")
    def echo(request: Request) -> Response:
        return raw(request.body)

    @app.post("/elsewhere")
    def elsewhere(request: Request) -> Response:
        return redirect("/digest", 307)

    @app.get("/flaky")
    def flaky(request: Request) -> Response:
        if next(counts) % 2:
            return text("later", status=503, headers={"Retry-After": "0"})
        return text("now")

    @app.get("/data")
    def data(request: Request) -> Response:
        return stream(_items(DATA))

    return app


def _items(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _ITEM] for at in range(0, len(data), _ITEM))


def _check(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise WrongBytes(f"{what}: got {got!r:.80}; expected {expected!r:.80}")


def _check_digest(response: HttpResponse, data: bytes) -> None:
    _check("digest", (response.status, response.text), (200, hashlib.sha256(data).hexdigest()))


def _part(rng: Random) -> bytes:
    return DATA[: rng.choice((0, 1, 5_000, 70_000, len(DATA)))]


# Our own server


def post_bytes(site: Site, rng: Random) -> None:
    data = _part(rng)
    _check_digest(site.client.post(site.own("/digest"), data), data)


def post_generator(site: Site, rng: Random) -> None:
    data = _part(rng)
    got = site.client.post(site.own("/digest"), _items(data), replay="spool")
    _check_digest(got, data)


def post_file(site: Site, rng: Random) -> None:
    data = _part(rng)
    with tempfile.NamedTemporaryFile(dir=site.folder) as file:
        file.write(data)
        file.seek(0)
        _check_digest(site.client.post(site.own("/digest"), file), data)


def post_gzip(site: Site, rng: Random) -> None:
    _check_digest(site.client.post(site.own("/digest"), TEXT, compress="gzip"), TEXT)


def echo(site: Site, rng: Random) -> None:
    data = _part(rng)
    _check("echo", site.client.post(site.own("/echo"), data).body, data)


def follow_redirect(site: Site, rng: Random) -> None:
    data = _part(rng)
    _check_digest(site.client.post(site.own("/elsewhere"), data), data)


def retry_status(site: Site, rng: Random) -> None:
    got = site.client.get(site.own("/flaky"))
    _check("retried status", got.text, "now" if got.status == 200 else "later")


def read_chunks(site: Site, rng: Random) -> None:
    with site.client.get(site.own("/data")) as response:
        _check("chunks", b"".join(map(bytes, response.body_chunks or ())), DATA)


def close_early(site: Site, rng: Random) -> None:
    with site.client.get(site.own("/data")) as response:
        _check("beginning", response.body_file.read(1_000), DATA[:1_000])


# nginx


def get_body(site: Site, rng: Random) -> None:
    _check("body", site.client.get(_nginx(site, rng, f"/file/{FILE}")).body, DATA)


def get_gzip(site: Site, rng: Random) -> None:
    _check("gzip", site.client.get(_nginx(site, rng, f"/gzip/{TEXT_FILE}")).body, TEXT)


def get_range(site: Site, rng: Random) -> None:
    start = rng.randrange(len(DATA))
    end = rng.randrange(start, len(DATA))
    url = _nginx(site, rng, f"/file/{FILE}")
    with site.client.get(url, headers={"Range": f"bytes={start}-{end}"}) as response:
        _check("range", (response.status, response.body), (206, DATA[start : end + 1]))


def save(site: Site, rng: Random) -> None:
    path = site.folder / f"saved-{rng.getrandbits(64)}"
    try:
        site.client.get(_nginx(site, rng, f"/file/{FILE}")).save(path)
        _check("saved file", path.read_bytes(), DATA)
    finally:
        path.unlink(missing_ok=True)


def put_file(site: Site, rng: Random) -> None:
    assert site.nginx is not None
    data, name = _part(rng), f"put-{rng.getrandbits(64)}"
    uploaded = site.nginx.uploads / name
    try:
        got = site.client.put(_nginx(site, rng, f"/put/{name}"), data)
        _check("status of PUT", got.status in (201, 204), True)
        _check("uploaded file", uploaded.read_bytes(), data)
    finally:
        uploaded.unlink(missing_ok=True)


def _nginx(site: Site, rng: Random, path: str) -> str:
    if rng.random() < 1 / 3:
        return f"https://127.0.0.1:{site.ports.nginx_tls}{path}"
    return f"http://127.0.0.1:{site.ports.nginx}{path}"


OWN: list[Work] = [
    post_bytes,
    post_generator,
    post_file,
    post_gzip,
    echo,
    follow_redirect,
    retry_status,
    read_chunks,
    close_early,
]
WITH_NGINX: list[Work] = [get_body, get_gzip, get_range, save, put_file]
