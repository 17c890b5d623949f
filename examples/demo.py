"""A demonstration of restkit in one minute. ``make demo`` runs it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import restkit
from restkit.server import App, Request, receive, serve
from restkit.server.response import Response, stream, text
from restkit.streaming import hashing
from restkit.testing import LocalServer

LINE = b"a line of sixty-four bytes, to be read once and then once more.\n"
LINES = (2 << 20) // len(LINE)

app = App("demo")


@app.post("/count", stream=True)
def count(request: Request) -> Response:
    return text(f"{sum(map(len, request.stream or ()))} bytes, thank you\n")


@app.get("/length")
def length(_: Request) -> Response:
    return text(LINE * LINES)


@app.get("/chunks")
def chunks(_: Request) -> Response:
    return stream(LINE * 1024 for _ in range(LINES // 1024))


@app.post("/echo", stream=True)
def echo(request: Request) -> Response:
    return stream(request.stream)


def main() -> None:
    with LocalServer(app) as observed:
        send_file(observed)
        send_generator(observed)
    with serve(app) as server:
        echo_while_sending(server.url)
        bodies = [
            ("with a Content-Length", restkit.get(server.url + "/length")),
            ("without a length", restkit.get(server.url + "/chunks")),
        ]
        for kind, response in bodies:
            read_body_as_file(kind, response)
    for kind, response in bodies:
        read_body_again(kind, response)
    receive_compressed_file()


def send_file(server: LocalServer) -> None:
    print_title("Send a file from its position, with its length")
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"the content of the file\n")
        file.seek(4)
        response = restkit.request(server.url + "/count", "POST", payload=file)
    print_wire(server)
    print(f"response: {response.status} {response.text.strip()!r}")


def send_generator(server: LocalServer) -> None:
    print_title("Send a generator, one HTTP chunk for each item")

    def rows() -> Iterator[bytes]:
        for number in range(3):
            yield b"row %d\n" % number

    response = restkit.request(server.url + "/count", "POST", payload=rows())
    print_wire(server)
    print(f"response: {response.status} {response.text.strip()!r}")


def echo_while_sending(url: str) -> None:
    print_title("Receive an echo while the request is still being sent")
    sent = hashing((LINE * 1024 for _ in range(1024)), "sha256")
    received = hashlib.sha256()
    size = 0
    with restkit.post(url + "/echo", sent) as response:
        for chunk in response.body_chunks or ():
            received.update(chunk)
            size += len(chunk)
    print(f"received:          {size:,} bytes")
    print(f"the same bytes:    {received.hexdigest() == sent.hexdigest()}")


def read_body_as_file(kind: str, response: restkit.HttpResponse) -> None:
    print_title(f"Read a body of 2 MiB, {kind}, as a file")
    body = response.body_file
    print(f"first line:        {body.readline()!r}")
    size = len(body.readline())
    for chunk in iter(lambda: body.read(64 * 1024), b""):
        size += len(chunk)
    print(f"the rest:          {size:,} bytes")


def read_body_again(kind: str, response: restkit.HttpResponse) -> None:
    print_title(f"The server has stopped. Read the body {kind} again")
    body = response.body_file
    body.seek(0)
    print(f"lines:             {sum(1 for _ in body):,}")
    body.seek(-6, 2)
    print(f"last bytes:        {body.read()!r}")
    response.close()


def receive_compressed_file() -> None:
    print_title("Send data compressed; the file appears when it is complete")
    with tempfile.TemporaryDirectory() as folder, serve(receive(folder)) as server:
        headers = {"X-Filename": "lines.txt"}
        response = restkit.put(server.url, LINE * LINES, headers, compress="gzip")
        print(f"response:          {response.status} {response.text.strip()!r}")
        for path in Path(folder).iterdir():
            print(f"received:          {path.name}, {path.stat().st_size:,} bytes")


def print_title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def print_wire(server: LocalServer) -> None:
    request = server.received[-1]
    for line in (request.head + request.body).splitlines(keepends=True):
        print(f"wire:     {line!r}".replace("b'", "", 1).removesuffix("'"))


if __name__ == "__main__":
    main()
