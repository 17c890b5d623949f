"""Row 4: upload a large file of known length."""

from __future__ import annotations

from typing import BinaryIO

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
from benchmarks.row import LEVEL, Goal, MiB, Row, Target, Work


def by_restkit(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = client.put(target.url, payload=file)
            response.skip_body()
            return target.size if response.status == 200 else 0

    return work


def by_urllib3(target: Target) -> Work:
    """Set the Content-Length: otherwise urllib3 sends the file chunked."""
    pool = urllib3_pool(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            length = {"Content-Length": str(target.size)}
            response = pool.request("PUT", target.url, body=file, headers=length)
            return _count_sent(target, response.status, file)

    return work


def by_urllib3_with_large_chunks(target: Target) -> Work:
    """Use chunks of 1 MiB instead of 16 KiB, by an argument that few people know."""
    import urllib3

    pool = urllib3.PoolManager(ca_certs=target.ca, blocksize=MiB)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            length = {"Content-Length": str(target.size)}
            response = pool.request("PUT", target.url, body=file, headers=length)
            return _count_sent(target, response.status, file)

    return work


def by_requests(target: Target) -> Work:
    session = requests_session(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = session.put(target.url, data=file)
            return _count_sent(target, response.status_code, file)

    return work


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = client.put(target.url, content=file, timeout=60)
            return _count_sent(target, response.status_code, file)

    return work


def by_http_client(target: Target) -> Work:
    connection = http_connection(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            length = {"Content-Length": str(target.size)}
            connection.request("PUT", target.url, body=file, headers=length)
            response = connection.getresponse()
            response.read()
            return _count_sent(target, response.status, file)

    return work


def by_pycurl(target: Target) -> Work:
    handle = curl_handle(target)
    handle.setopt(handle.UPLOAD, 1)
    handle.setopt(handle.WRITEFUNCTION, lambda _block: None)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            handle.setopt(handle.URL, target.url)
            handle.setopt(handle.READDATA, file)
            handle.setopt(handle.INFILESIZE_LARGE, target.size)
            handle.perform()
            return _count_sent(target, handle.getinfo(handle.RESPONSE_CODE), file)

    return work


def by_curl(_target: Target) -> Work:
    def work(target: Target) -> int:
        curl_command(target, "--upload-file", target.file, target.url)
        return target.size

    return work


def by_bare_socket(target: Target) -> Work:
    """Use ``socket.sendfile``: it is ``os.sendfile`` without TLS, and reads and sends with TLS."""
    sock = bare_socket(target)

    def work(target: Target) -> int:
        sock.sendall(bare_head(target, f"Content-Length: {target.size}", method="PUT"))
        with open(target.file, "rb") as file:
            sent = sock.sendfile(file)
        return sent if sock.recv(MiB).startswith(b"HTTP/1.1 200") else 0

    return work


def _count_sent(target: Target, status: int, file: BinaryIO) -> int:
    return min(target.size, file.tell()) if status == 200 else 0


ROW = Row(
    name="upload",
    title="PUT of a file of {size}",
    kind="up",
    peers={
        "restkit": by_restkit,
        "urllib3": by_urllib3,
        "urllib3, 1 MiB": by_urllib3_with_large_chunks,
        "requests": by_requests,
        "httpx": by_httpx,
        "http.client": by_http_client,
        "pycurl": by_pycurl,
        "curl": by_curl,
        "bare socket": by_bare_socket,
    },
    goals=(
        Goal("restkit", "pycurl", LEVEL),
        Goal("restkit", "requests", 0.6),
    ),
)
