"""What restkit does, in one minute: `make demo`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import restkit
from loopback import Loopback, loopback


def main() -> None:
    with loopback() as server:
        a_file_goes_out_with_its_length(server)
        a_generator_goes_out_as_it_comes(server)
        bodies = [
            ("with a Content-Length", restkit.get(server.url("/length"))),
            ("in chunks", restkit.get(server.url("/chunks"))),
        ]
        for kind, response in bodies:
            a_body_is_a_file(kind, response)
    for kind, response in bodies:
        and_stays_one(kind, response)


def a_file_goes_out_with_its_length(server: Loopback) -> None:
    title("A file goes out from where it stands, with its length")
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"all that is in the file\n")
        file.seek(4)
        response = restkit.request(server.url("/file"), "POST", payload=file)
    wire(server)
    print(f"answer:  {response.status} {response.text.strip()!r}")


def a_generator_goes_out_as_it_comes(server: Loopback) -> None:
    title("A generator goes out as it comes, one chunk for each item")

    def rows() -> Iterator[bytes]:
        for number in range(3):
            yield b"row %d\n" % number

    response = restkit.request(server.url("/rows"), "POST", payload=rows())
    wire(server)
    print(f"answer:  {response.status} {response.text.strip()!r}")


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


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def wire(server: Loopback) -> None:
    for line in server.received.splitlines(keepends=True):
        print(f"wire:    {line!r}".replace("b'", "", 1).removesuffix("'"))


if __name__ == "__main__":
    main()
