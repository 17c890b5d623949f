"""Row 1: small GETs on one connection; each body is read."""

from __future__ import annotations

from functools import partial
from io import BytesIO

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
from benchmarks.row import LEVEL, Goal, KiB, Row, Target, Work


def restkit_by_client(target: Target) -> Work:
    client = restkit_client(target)
    return lambda target: sum(len(client.get(target.url).body) for _ in range(target.times))


def restkit_by_function(target: Target) -> Work:
    import restkit

    get = restkit.request if target.ca is None else partial(restkit.request, verify=target.ca)
    return lambda target: sum(len(get(target.url).body) for _ in range(target.times))


def by_urllib3(target: Target) -> Work:
    pool = urllib3_pool(target)
    return lambda target: sum(
        len(pool.request("GET", target.url).data) for _ in range(target.times)
    )


def by_requests(target: Target) -> Work:
    session = requests_session(target)
    return lambda target: sum(len(session.get(target.url).content) for _ in range(target.times))


def by_requests_without_env(target: Target) -> Work:
    session = requests_session(target, trust_env=False)
    return lambda target: sum(len(session.get(target.url).content) for _ in range(target.times))


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)
    return lambda target: sum(len(client.get(target.url).content) for _ in range(target.times))


def by_http_client(target: Target) -> Work:
    connection = http_connection(target)

    def work(target: Target) -> int:
        total = 0
        for _ in range(target.times):
            connection.request("GET", target.url)
            total += len(connection.getresponse().read())
        return total

    return work


def by_pycurl(target: Target) -> Work:
    """Read only status and body, the least work for pycurl; the caller gets no headers."""
    handle = curl_handle(target)

    def get(url: str) -> int:
        body = BytesIO()
        handle.setopt(handle.URL, url)
        handle.setopt(handle.WRITEDATA, body)
        handle.perform()
        return len(body.getvalue()) if handle.getinfo(handle.RESPONSE_CODE) == 200 else 0

    return lambda target: sum(get(target.url) for _ in range(target.times))


def by_pycurl_with_headers(target: Target) -> Work:
    """Also make a dict of headers, which every other peer does."""
    handle = curl_handle(target)

    def get(url: str) -> int:
        body = BytesIO()
        headers: dict[str, str] = {}

        def keep(line: bytes) -> None:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                headers[name.lower()] = value.strip()

        handle.setopt(handle.URL, url)
        handle.setopt(handle.WRITEDATA, body)
        handle.setopt(handle.HEADERFUNCTION, keep)
        handle.perform()
        return len(body.getvalue()) if handle.getinfo(handle.RESPONSE_CODE) == 200 else 0

    return lambda target: sum(get(target.url) for _ in range(target.times))


def by_bare_socket(target: Target) -> Work:
    sock = bare_socket(target)
    request = bare_head(target)
    buffer = bytearray(64 * KiB)

    def get() -> int:
        """Read a response, which arrives in one chunk on loopback; otherwise the count is wrong."""
        sock.sendall(request)
        got = sock.recv_into(buffer)
        return got - buffer.index(b"\r\n\r\n") - 4

    return lambda target: sum(get() for _ in range(target.times))


def by_curl(_target: Target) -> Work:
    """Run one process for all requests: the globbing of curl repeats the URL."""

    def work(target: Target) -> int:
        curl_command(target, f"{target.url}?[1-{target.times}]")
        return target.size * target.times

    return work


ROW = Row(
    name="small-get",
    title="{times} GETs of 100 bytes, kept alive, each body read",
    kind="small",
    peers={
        "restkit": restkit_by_client,
        "restkit.request": restkit_by_function,
        "urllib3": by_urllib3,
        "requests": by_requests,
        "requests, no trust_env": by_requests_without_env,
        "httpx": by_httpx,
        "http.client": by_http_client,
        "pycurl": by_pycurl,
        "pycurl + headers": by_pycurl_with_headers,
        "curl": by_curl,
        "bare socket": by_bare_socket,
    },
    goals=(
        Goal("restkit", "urllib3", 0.35),
        Goal("restkit", "requests", 0.15),
        Goal("restkit", "pycurl", LEVEL),
        Goal("restkit.request", "urllib3", 0.35),
        Goal("restkit.request", "requests", 0.15),
        Goal("restkit.request", "pycurl", LEVEL),
    ),
)
