"""What restkit does, in one minute: `make demo`."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import restkit
from restkit.server import App, Request, receive, serve
from restkit.server.response import stream, text
from restkit.server.responses import Response
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
        a_file_goes_out_with_its_length(observed)
        a_generator_goes_out_as_it_comes(observed)
    with serve(app) as server:
        an_echo_answers_while_it_is_asked(server.url)
        bodies = [
            ("with a Content-Length", restkit.get(server.url + "/length")),
            ("in chunks", restkit.get(server.url + "/chunks")),
        ]
        for kind, response in bodies:
            a_body_is_a_file(kind, response)
    for kind, response in bodies:
        and_stays_one(kind, response)
    a_file_is_received_as_it_comes()


def a_file_goes_out_with_its_length(server: LocalServer) -> None:
    title("A file goes out from where it stands, with its length")
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"all that is in the file\n")
        file.seek(4)
        response = restkit.request(server.url + "/count", "POST", payload=file)
    wire(server)
    print(f"answer:  {response.status} {response.text.strip()!r}")


def a_generator_goes_out_as_it_comes(server: LocalServer) -> None:
    title("A generator goes out as it comes, one chunk for each item")

    def rows() -> Iterator[bytes]:
        for number in range(3):
            yield b"row %d\n" % number

    response = restkit.request(server.url + "/count", "POST", payload=rows())
    wire(server)
    print(f"answer:  {response.status} {response.text.strip()!r}")


def an_echo_answers_while_it_is_asked(url: str) -> None:
    title("An echo answers while it is still being asked")
    sent = hashing((LINE * 1024 for _ in range(1024)), "sha256")
    came = hashlib.sha256()
    size = 0
    with restkit.post(url + "/echo", sent) as response:
        for piece in response.payload_stream or ():
            came.update(piece)
            size += len(piece)
    print(f"there and back:    {size:,} bytes")
    print(f"the same bytes:    {came.hexdigest() == sent.hexdigest()}")


def a_body_is_a_file(kind: str, response: restkit.HttpResponse) -> None:
    title(f"A body of 2 MiB, {kind}, is a file")
    body = response.body_file
    print(f"first line:        {body.readline()!r}")
    size = len(body.readline())
    for block in iter(lambda: body.read(64 * 1024), b""):
        size += len(block)
    print(f"then, in blocks:   {size:,} bytes")


def and_stays_one(kind: str, response: restkit.HttpResponse) -> None:
    title(f"The server is gone; the body that came {kind} is still here")
    body = response.body_file
    body.seek(0)
    print(f"again, by lines:   {sum(1 for _ in body):,} lines")
    body.seek(-6, 2)
    print(f"its last bytes:    {body.read()!r}")
    response.close()


def a_file_is_received_as_it_comes() -> None:
    title("A file goes compressed, and is in its place when all of it has come")
    with tempfile.TemporaryDirectory() as folder, serve(receive(folder)) as server:
        headers = {"X-Filename": "lines.txt"}
        response = restkit.put(server.url, LINE * LINES, headers, compress="gzip")
        print(f"answer:            {response.status} {response.text.strip()!r}")
        for path in Path(folder).iterdir():
            print(f"received:          {path.name}, {path.stat().st_size:,} bytes")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def wire(server: LocalServer) -> None:
    request = server.received[-1]
    for line in (request.head + request.body).splitlines(keepends=True):
        print(f"wire:    {line!r}".replace("b'", "", 1).removesuffix("'"))


if __name__ == "__main__":
    main()
