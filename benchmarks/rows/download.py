"""Row 2: download a large body, and read and drop each chunk."""

from __future__ import annotations

from benchmarks.peers import (
    bare_head,
    bare_socket,
    curl_command,
    curl_handle,
    http_connection,
    httpx_client,
    requests_session,
    restkit_client,
    urllib3_pool,
)
from benchmarks.row import AHEAD, LEVEL, Goal, MiB, Row, Target, Work


def restkit_payload_stream(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        return sum(len(chunk) for chunk in client.get(target.url).payload_stream or ())

    return work


def restkit_body_stream(target: Target) -> Work:
    """Read the same body as a file, by ``read(1 MiB)``."""
    client = restkit_client(target)

    def work(target: Target) -> int:
        stream = client.get(target.url).body_stream()
        total = 0
        while chunk := stream.read(MiB):
            total += len(chunk)
        return total

    return work


def by_urllib3(target: Target) -> Work:
    pool = urllib3_pool(target)

    def work(target: Target) -> int:
        response = pool.request("GET", target.url, preload_content=False)
        total = sum(len(chunk) for chunk in response.stream(MiB))
        response.release_conn()
        return total

    return work


def by_requests(target: Target) -> Work:
    session = requests_session(target)

    def work(target: Target) -> int:
        with session.get(target.url, stream=True) as response:
            return sum(len(chunk) for chunk in response.iter_content(MiB))

    return work


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def work(target: Target) -> int:
        with client.stream("GET", target.url) as response:
            return sum(len(chunk) for chunk in response.iter_raw())

    return work


def by_http_client(target: Target) -> Work:
    """Read into one buffer, the cheapest way of the standard library."""
    connection = http_connection(target)
    buffer = bytearray(MiB)

    def work(target: Target) -> int:
        connection.request("GET", target.url)
        response = connection.getresponse()
        total = 0
        while got := response.readinto(buffer):
            total += got
        return total

    return work


def by_pycurl(target: Target) -> Work:
    handle = curl_handle(target)

    def work(target: Target) -> int:
        total = 0

        def drop(chunk: bytes) -> None:
            nonlocal total
            total += len(chunk)

        handle.setopt(handle.URL, target.url)
        handle.setopt(handle.WRITEFUNCTION, drop)
        handle.perform()
        return total

    return work


def by_curl(_target: Target) -> Work:
    def work(target: Target) -> int:
        curl_command(target, target.url)
        return target.size

    return work


def by_bare_socket(target: Target) -> Work:
    sock = bare_socket(target)
    buffer = bytearray(MiB)

    def work(target: Target) -> int:
        sock.sendall(bare_head(target))
        total = sock.recv_into(buffer)
        total -= buffer.index(b"\r\n\r\n") + 4
        while total < target.size:
            total += sock.recv_into(buffer)
        return total

    return work


ROW = Row(
    name="download",
    title="GET of {size}, read and dropped",
    kind="down",
    peers={
        "restkit": restkit_payload_stream,
        "restkit body_stream": restkit_body_stream,
        "urllib3": by_urllib3,
        "requests": by_requests,
        "httpx": by_httpx,
        "http.client": by_http_client,
        "pycurl": by_pycurl,
        "curl": by_curl,
        "bare socket": by_bare_socket,
    },
    goals=(
        Goal("restkit", "pycurl", LEVEL),
        Goal("restkit", "urllib3", AHEAD),
        Goal("restkit body_stream", "pycurl", LEVEL),
        Goal("restkit body_stream", "urllib3", AHEAD),
    ),
)
