"""Run nginx on loopback during a benchmark. It serves files and drops uploads.

Uploads go to ``return 200``, which reads and drops a GiB in 0.2 s of CPU, less than the fastest
client needs to send it. A PUT to the dav module writes a file in 1 to 3 s, and would be measured
instead of the client. With ``return 200``, the response arrives before the end of the body. An
early 200 is not a refusal, and every peer continues to send. The small response is a ``return``
too: one write for head and body, as from most services. A file would be two writes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_CONFIGURATION = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    lingering_time 1h;
    lingering_timeout 1m;
    client_max_body_size 0;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp;
    uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port};
        {tls}
        location / {{ root files; }}
        location /take {{ return 200 "taken"; }}
        location /small {{ default_type text/plain; return 200 "{small}"; }}
    }}
}}
"""
_TLS = """listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};"""
SMALL = 100  # bytes of the body at /small
_STARTS_WITHIN = 10.0  # seconds


class NginxMissing(Exception):
    """nginx is not installed."""


class Site:
    """The running server: its URLs, its process, and the authority of its certificate, or None."""

    def __init__(self, root: Path, port: int, tls_port: int, ca: Path | None) -> None:
        self.files = root / "files"
        self.ca = ca
        self.port = port
        self.process = 0
        self._tls_port = tls_port

    def url(self, path: str, *, tls: bool = False) -> str:
        if tls:
            return f"https://localhost:{self._tls_port}/{path}"
        return f"http://127.0.0.1:{self.port}/{path}"


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Site]:
    """Run nginx with the files in ``root/files``, on two free ports and in one process."""
    path = os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"])
    if (program := shutil.which("nginx", path=path)) is None:
        raise NginxMissing("no nginx found: apt install nginx-light, or brew install nginx")
    for folder in ("files", "temp"):
        (root / folder).mkdir(exist_ok=True)
    site = _site(root)
    process = subprocess.Popen([program, "-p", str(root), "-c", str(root / "nginx.conf")])
    site.process = process.pid
    try:
        _wait_for_port(site, process)
        yield site
    finally:
        process.terminate()
        process.wait()


def _site(root: Path) -> Site:
    port, tls_port = _free_port(), _free_port()
    ca = _certificates(root)
    tls = "" if ca is None else _TLS.format(port=tls_port, certificate=root / "server.pem")
    text = _CONFIGURATION.format(port=port, tls=tls, small="x" * SMALL)
    (root / "nginx.conf").write_text(text)
    return Site(root, port, tls_port, ca)


def _certificates(root: Path) -> Path | None:
    try:
        import trustme
    except ImportError:
        return None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(root / "ca.pem"))
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(str(root / "server.pem"))
    return root / "ca.pem"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(site: Site, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _STARTS_WITHIN
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", site.port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"nginx did not start within {_STARTS_WITHIN:g} s, see its message above")
