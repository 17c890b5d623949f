"""Row 3: download a large body into a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import BinaryIO

from benchmarks.peers import (
    bare_head,
    bare_socket,
    curl_handle,
    httpx_client,
    requests_session,
    restkit_client,
    urllib3_pool,
)
from benchmarks.row import Goal, KiB, MiB, Row, Target, Work


def by_restkit(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        client.get(target.url).save(target.file)
        return os.path.getsize(target.file)

    return work


def by_urllib3(target: Target) -> Work:
    """Copy the response with ``shutil.copyfileobj``, as the user guide of urllib3 shows."""
    pool = urllib3_pool(target)

    def save(target: Target, file: BinaryIO) -> None:
        response = pool.request("GET", target.url, preload_content=False)
        shutil.copyfileobj(response, file, MiB)
        response.release_conn()

    return _save_to_file(save)


def by_requests_64k(target: Target) -> Work:
    return _by_requests(target, 64 * KiB)


def by_requests_1m(target: Target) -> Work:
    return _by_requests(target, MiB)


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def save(target: Target, file: BinaryIO) -> None:
        with client.stream("GET", target.url) as response:
            for chunk in response.iter_raw():  # noqa: FURB122  as in its guide
                file.write(chunk)

    return _save_to_file(save)


def by_pycurl(target: Target) -> Work:
    handle = curl_handle(target)

    def save(target: Target, file: BinaryIO) -> None:
        handle.setopt(handle.URL, target.url)
        handle.setopt(handle.WRITEDATA, file)
        handle.perform()

    return _save_to_file(save)


def by_bare_socket(target: Target) -> Work:
    sock = bare_socket(target)
    buffer = memoryview(bytearray(MiB))

    def save(target: Target, file: BinaryIO) -> None:
        sock.sendall(bare_head(target))
        head = sock.recv(MiB)
        left = target.size - file.write(head[head.index(b"\r\n\r\n") + 4 :])
        while left:
            got = sock.recv_into(buffer)
            left -= file.write(buffer[:got])

    return _save_to_file(save)


def _by_requests(target: Target, chunk_size: int) -> Work:
    session = requests_session(target)

    def save(target: Target, file: BinaryIO) -> None:
        with session.get(target.url, stream=True) as response:
            for chunk in response.iter_content(chunk_size):  # noqa: FURB122  as in its guide
                file.write(chunk)

    return _save_to_file(save)


def _save_to_file(save: Callable[[Target, BinaryIO], None]) -> Work:
    def work(target: Target) -> int:
        with open(target.file, "wb") as file:
            save(target, file)
        return os.path.getsize(target.file)

    return work


ROW = Row(
    name="save",
    title="GET of {size} into a file",
    kind="down",
    writes=True,
    peers={
        "restkit": by_restkit,
        "urllib3": by_urllib3,
        "requests, 64 KiB": by_requests_64k,
        "requests, 1 MiB": by_requests_1m,
        "httpx": by_httpx,
        "pycurl": by_pycurl,
        "bare socket": by_bare_socket,
    },
    goals=(
        Goal("restkit", "requests, 64 KiB", 0.6),
        Goal("restkit", "requests, 1 MiB", 0.6),
    ),
)
