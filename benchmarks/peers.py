"""How each peer is opened: once for a whole run, and the way its documentation says it is fast.

Imports stand inside the functions, so that a child process loads the one library it measures.
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
    """`trust_env=False` saves the look for proxies and .netrc, which requests does per request."""
    import requests

    session = requests.Session()
    session.trust_env = trust_env
    session.verify = target.ca or True
    return session


def httpx_client(target: Target) -> httpx.Client:
    import httpx

    return httpx.Client(verify=_context(target) or True)


def http_connection(target: Target) -> http.client.HTTPConnection:
    """One connection, kept alive; it sends files in blocks of 8 KiB unless told of bigger ones."""
    import http.client

    place = urlsplit(target.url)
    context = _context(target)
    if context is None:
        return http.client.HTTPConnection(place.netloc, blocksize=MiB)
    return http.client.HTTPSConnection(place.netloc, context=context, blocksize=MiB)


def curl_handle(target: Target) -> Any:
    """One easy handle, reused, which keeps the connection; buffers as big as bulk can use."""
    handle = _pycurl().Curl()
    handle.setopt(handle.NOSIGNAL, 1)
    handle.setopt(handle.BUFFERSIZE, 512 * KiB)
    handle.setopt(handle.UPLOAD_BUFFERSIZE, 2 * MiB)
    handle.setopt(handle.HTTPHEADER, ["Expect:"])  # no other peer waits for a 100 Continue
    if target.ca is not None:
        handle.setopt(handle.CAINFO, target.ca)
    return handle


def bare_socket(target: Target) -> socket.socket:
    """No client at all: the calls to the system, from Python, that no client in Python can save."""
    place = urlsplit(target.url)
    name, port = place.hostname or "", place.port or 0
    sock = socket.create_connection((name, port))
    context = _context(target)
    return sock if context is None else context.wrap_socket(sock, server_hostname=name)


def bare_head(target: Target, *fields: str, method: str = "GET") -> bytes:
    place = urlsplit(target.url)
    lines = (f"{method} {place.path} HTTP/1.1", f"Host: {place.netloc}", *fields, "", "")
    return "\r\n".join(lines).encode()


def curl_command(target: Target, *arguments: str) -> None:
    """Run the program curl, once; its start is measured too, and weighs on the small rows."""
    secure = [] if target.ca is None else ["--cacert", target.ca]
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--header", "Expect:"]
    subprocess.run([*command, *secure, *arguments], check=True)


def libcurl_version() -> str:
    return " ".join(_pycurl().version.split()[1:3])


def _pycurl() -> Any:
    import pycurl  # type: ignore[import-untyped]  # it has no types; here alone it is imported

    return pycurl


def _context(target: Target) -> ssl.SSLContext | None:
    return None if target.ca is None else ssl.create_default_context(cafile=target.ca)
