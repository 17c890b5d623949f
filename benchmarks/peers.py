"""Open each peer once for a run, as its documentation recommends for speed.

Imports are inside the functions, so that a child process only loads the library that it measures.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.row import KiB, MiB, Target

if TYPE_CHECKING:
    import http.client

    import httpx
    import requests
    import urllib3

    import restkit


def restkit_client(target: Target) -> restkit.Client:
    import restkit

    return restkit.Client(verify=target.ca or True)


def urllib3_pool(target: Target) -> urllib3.PoolManager:
    import urllib3

    return urllib3.PoolManager(ca_certs=target.ca)


def requests_session(target: Target, *, trust_env: bool = True) -> requests.Session:
    """Return a session. ``trust_env=False`` saves the search for proxies and .netrc per request."""
    import requests

    session = requests.Session()
    session.trust_env = trust_env
    session.verify = target.ca or True
    return session


def httpx_client(target: Target) -> httpx.Client:
    import httpx

    return httpx.Client(verify=_context(target) or True)


def http_connection(target: Target) -> http.client.HTTPConnection:
    """Return one connection. Its default for files is chunks of 8 KiB; this one sends 1 MiB."""
    import http.client

    parts = urlsplit(target.url)
    context = _context(target)
    if context is None:
        return http.client.HTTPConnection(parts.netloc, blocksize=MiB)
    return http.client.HTTPSConnection(parts.netloc, context=context, blocksize=MiB)


def curl_handle(target: Target) -> Any:
    """Return one easy handle, which keeps its connection and has large buffers."""
    handle = _pycurl().Curl()
    handle.setopt(handle.NOSIGNAL, 1)
    handle.setopt(handle.BUFFERSIZE, 512 * KiB)
    handle.setopt(handle.UPLOAD_BUFFERSIZE, 2 * MiB)
    handle.setopt(handle.HTTPHEADER, ["Expect:"])  # no other peer waits for 100 Continue
    if target.ca is not None:
        handle.setopt(handle.CAINFO, target.ca)
    return handle


def bare_socket(target: Target) -> socket.socket:
    """Return a socket. It shows the cost of the system calls, which every client needs."""
    parts = urlsplit(target.url)
    name, port = parts.hostname or "", parts.port or 0
    sock = socket.create_connection((name, port))
    context = _context(target)
    return sock if context is None else context.wrap_socket(sock, server_hostname=name)


def bare_head(target: Target, *fields: str, method: str = "GET") -> bytes:
    parts = urlsplit(target.url)
    lines = (f"{method} {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *fields, "", "")
    return "\r\n".join(lines).encode()


def curl_command(target: Target, *arguments: str) -> None:
    """Run the program curl once. Its start is measured too, and is large in the small rows."""
    secure = [] if target.ca is None else ["--cacert", target.ca]
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--header", "Expect:"]
    subprocess.run([*command, *secure, *arguments], check=True)


def libcurl_version() -> str:
    return " ".join(_pycurl().version.split()[1:3])


def _pycurl() -> Any:
    import pycurl  # type: ignore[import-untyped]  # it has no types

    return pycurl


def _context(target: Target) -> ssl.SSLContext | None:
    return None if target.ca is None else ssl.create_default_context(cafile=target.ca)
