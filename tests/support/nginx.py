"""An nginx on loopback: a peer that was not written by us, and is fast enough for bulk.

| path | what it does |
|---|---|
| /small | a 200 with `Hello, world!` |
| /file/NAME | the file that `make_file(NAME, size)` or `files` holds; ranges, ETag, HEAD |
| /gzip/NAME | the same, compressed as it goes (chunked) |
| /put/NAME | PUT: 201 or 204, the body of any size is then in `uploads / NAME` |
| /drop | 200 at once, while the body is still being read |
| /one | like /small, each answer with `Connection: close` |
| /drop-one | like /drop, each answer with `Connection: close` |
| /connection | says `SERIAL REQUESTS`: which connection this is, how many requests it has had |
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

from .certs import Certs

_CONFIG = """
{user}
daemon off;
worker_processes 1;
error_log {prefix}/error.log warn;
pid {prefix}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    types {{ text/plain txt; application/json json; }}
    default_type application/octet-stream;
    log_format connections '$connection $connection_requests $status "$request" $request_length';
    access_log {prefix}/access.log connections;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    keepalive_requests 1000000;
    client_max_body_size 0;
    sendfile on;
    tcp_nodelay on;
    ssl_certificate {certs.server_cert};
    ssl_certificate_key {certs.server_key};
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        server_name localhost;
        location = /small {{ return 200 'Hello, world!'; }}
        location /file/ {{ alias {files}/; }}
        location /gzip/ {{ alias {files}/; gzip on; gzip_types *; gzip_min_length 1; }}
        location /put/ {{ alias {uploads}/; dav_methods PUT; }}
        location = /drop {{ return 200 'dropped'; }}
        location = /one {{ keepalive_requests 1; return 200 'Hello, world!'; }}
        location = /drop-one {{ keepalive_requests 1; return 200 'dropped'; }}
        location = /connection {{ return 200 '$connection $connection_requests'; }}
    }}
}}
"""

# nginx outlives whoever started it; this shell does not let it: when its stdin ends, because the
# fixture closed it or because the test process is no more, it ends the nginx it started.
_KEEPER = '"$0" -p "$1" -c "$1/nginx.conf" -e "$1/error.log" <&- & pid=$!; read _; kill $pid; wait'


class Nginx:
    """A context manager; `folder` gets everything nginx writes."""

    def __init__(self, folder: Path, certs: Certs) -> None:
        program = find_nginx()
        if program is None:
            raise FileNotFoundError("nginx is not installed")
        self.prefix = folder
        self.files = folder / "files"
        self.uploads = folder / "uploads"
        for path in (self.files, self.uploads):
            path.mkdir()
        listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(2)]
        self.port, self.tls_port = (listener.getsockname()[1] for listener in listeners)
        (folder / "nginx.conf").write_text(self._config(certs))
        self._process = self._start(program, listeners)

    def _config(self, certs: Certs) -> str:
        return _CONFIG.format(
            # The folder of a test run is closed to others, also to the user nginx would change to.
            user="user root;" if os.geteuid() == 0 else "",
            prefix=self.prefix,
            certs=certs,
            port=self.port,
            tls_port=self.tls_port,
            files=self.files,
            uploads=self.uploads,
        )

    def _start(self, program: str, listeners: list[socket.socket]) -> subprocess.Popen[bytes]:
        # nginx takes over listening sockets named in $NGINX (made for its upgrades): nobody else
        # can have the ports in between, and a connection made before it runs only waits.
        numbers = [listener.fileno() for listener in listeners]
        try:
            with (self.prefix / "stderr.log").open("wb") as log:
                return subprocess.Popen(
                    ["sh", "-c", _KEEPER, program, str(self.prefix)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=numbers,
                    env={**os.environ, "NGINX": "".join(f"{number};" for number in numbers)},
                )
        finally:
            for listener in listeners:
                listener.close()

    def __repr__(self) -> str:
        state = "ended" if self._process.poll() is not None else "running"
        return f"<Nginx {self.url('/')} {state}>"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def tls_url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.tls_port}{path}"

    def make_file(self, name: str, size: int) -> str:
        """Put `size` bytes that look random at /file/NAME; their SHA-256 in hex."""
        # A block whose length is a prime: blocks of the wire that change places are noticed.
        block = random.Random(name).randbytes(1_000_003)
        digest = hashlib.sha256()
        with (self.files / name).open("wb") as file:
            while size > 0:
                piece = block[:size]
                file.write(piece)
                digest.update(piece)
                size -= len(piece)
        return digest.hexdigest()

    def log(self) -> list[str]:
        """A line for each answered request: CONNECTION NUMBER STATUS "REQUEST" LENGTH."""
        return (self.prefix / "access.log").read_text().splitlines()

    def __enter__(self) -> Nginx:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            client.request("GET", "/small")
            client.getresponse().read()
        except (OSError, http.client.HTTPException) as failure:
            self.close()
            raise RuntimeError(f"nginx did not start: {self._said()}") from failure
        finally:
            client.close()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and wait for its end."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(20)

    def _said(self) -> str:
        logs = (self.prefix / "stderr.log", self.prefix / "error.log")
        return "\n".join(log.read_text() for log in logs if log.exists())


def find_nginx() -> str | None:
    """The program, also where Debian keeps it, out of an ordinary user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/sbin")
