"""A file for downloads, its responses, and a download that ends after half of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from restkit import Client, UnexpectedEOF, download

from .scripted import ScriptedServer

DATA = random.Random(17).randbytes(200_000)
HALF = 100_000
WHOLE = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 200000\r\n\r\n' + DATA
BROKEN = WHOLE[:-HALF]
REST = (
    b"HTTP/1.1 206 P\r\nContent-Range: bytes 100000-199999/200000\r\nContent-Length: 100000\r\n"
    b'ETag: "v1"\r\n\r\n' + DATA[HALF:]
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def leave_half(server: ScriptedServer, sender: Client, path: Path, target: str = "/a?b=1") -> None:
    """Run a download that ends after half of the file; its first response must be broken."""
    with pytest.raises(UnexpectedEOF):
        download(server.url(target), path, client=sender, max_tries=1)
