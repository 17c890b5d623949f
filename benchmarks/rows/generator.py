"""Row 5: upload chunks of 64 KiB from a generator of unknown length."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.peers import (
    curl_handle,
    http_connection,
    httpx_client,
    requests_session,
    restkit_client,
    urllib3_pool,
)
from benchmarks.row import AHEAD, LEVEL, Goal, KiB, Row, Target, Work

_CHUNK = bytes(64 * KiB)


def by_restkit(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        response = client.put(target.url, payload=_chunks(target.size))
        response.skip_body()
        return target.size if response.status == 200 else 0

    return work


def by_urllib3(target: Target) -> Work:
    pool = urllib3_pool(target)

    def work(target: Target) -> int:
        response = pool.request("PUT", target.url, body=_chunks(target.size))
        return target.size if response.status == 200 else 0

    return work


def by_requests(target: Target) -> Work:
    session = requests_session(target)

    def work(target: Target) -> int:
        response = session.put(target.url, data=_chunks(target.size))
        return target.size if response.status_code == 200 else 0

    return work


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def work(target: Target) -> int:
        response = client.put(target.url, content=_chunks(target.size), timeout=60)
        return target.size if response.status_code == 200 else 0

    return work


def by_http_client(target: Target) -> Work:
    connection = http_connection(target)

    def work(target: Target) -> int:
        chunked = {"Transfer-Encoding": "chunked"}
        body = _chunks(target.size)
        connection.request("PUT", target.url, body=body, headers=chunked, encode_chunked=True)
        response = connection.getresponse()
        response.read()
        return target.size if response.status == 200 else 0

    return work


def by_pycurl(target: Target) -> Work:
    """Send with curl, which asks for a number of bytes and must not get more."""
    handle = curl_handle(target)
    handle.setopt(handle.UPLOAD, 1)
    handle.setopt(handle.HTTPHEADER, ["Expect:", "Transfer-Encoding: chunked"])
    handle.setopt(handle.WRITEFUNCTION, lambda _chunk: None)

    def work(target: Target) -> int:
        chunks = _chunks(target.size)
        rest = memoryview(b"")

        def read(size: int) -> bytes:
            nonlocal rest
            rest = rest or memoryview(next(chunks, b""))
            part, rest = rest[:size], rest[size:]
            return bytes(part)

        handle.setopt(handle.URL, target.url)
        handle.setopt(handle.READFUNCTION, read)
        handle.perform()
        return target.size if handle.getinfo(handle.RESPONSE_CODE) == 200 else 0

    return work


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(_CHUNK)):
        yield _CHUNK


ROW = Row(
    name="generator",
    title="PUT of a generator, {size} in chunks of 64 KiB",
    kind="up",
    share=1 / 2,
    peers={
        "restkit": by_restkit,
        "urllib3": by_urllib3,
        "requests": by_requests,
        "httpx": by_httpx,
        "http.client": by_http_client,
        "pycurl": by_pycurl,
    },
    goals=(
        Goal("restkit", "urllib3", LEVEL),
        Goal("restkit", "httpx", AHEAD),
    ),
)
