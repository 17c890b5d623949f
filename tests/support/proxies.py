"""Real proxies on loopback: tinyproxy and squid for HTTP, microsocks for SOCKS5.

Each is a context manager, on a free port, with a configuration and a folder of its own.
``NestedServer`` is the origin's end of TLS inside TLS, for scripts that are proxy and origin.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .certs import Certs
from .peer import HANG_BOUND, ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

USER, PASSWORD = "aladdin", "open sesame"
_PATIENCE = HANG_BOUND

# As with nginx: none of them outlives the process that started it.
_KEEPER = '"$@" <&- & pid=$!; read _; kill $pid; wait $pid'

_TINYPROXY = """
Listen 127.0.0.1
Port {port}
Timeout 30
MaxClients 50
LogFile "{folder}/log"
LogLevel Connect
DisableViaHeader No
BasicAuth {user} {password}
"""

_SQUID = """
http_port 127.0.0.1:{port}
https_port 127.0.0.1:{tls_port} tls-cert={folder}/server.pem tls-key={folder}/server.key
auth_param basic program /bin/sh {folder}/judge.sh
auth_param basic children 1 startup=1 idle=1
auth_param basic realm the cave
acl known proxy_auth REQUIRED
acl forbidden dstdomain forbidden.test
http_access deny forbidden
http_access allow known
http_access deny all
access_log stdio:{folder}/log
cache_log {folder}/cache.log
cache_store_log none
logfile_rotate 0
pid_filename none
netdb_filename none
coredump_dir {folder}
cache deny all
cache_mem 1 MB
max_filedescriptors 512
shutdown_lifetime 0 seconds
pinger_enable off
visible_hostname squid.test
via on
"""

_JUDGE = """
while read -r user password; do
    if [ "$user $password" = "{user} {quoted}" ]; then echo OK; else echo ERR; fi
done
"""


class _Program:
    """One proxy while it runs."""

    name = ""

    def __init__(self) -> None:
        # Not pytest's folder: squid, started by root, becomes a user who may not look into it.
        self.folder = Path(tempfile.mkdtemp(prefix=f"restkit-{self.name}-", dir="/tmp"))
        self.folder.chmod(0o777)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def ports(self) -> list[int]:
        raise NotImplementedError

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def until_logged(self, text: str) -> None:
        """Wait until the log has the text: it is written after the response was sent."""
        self._until(lambda: text in self.log(), f"{text!r} in the log")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        program = find_program(self.name)
        if program is None:
            raise FileNotFoundError(f"{self.name} is not installed")
        with (self.folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                ["sh", "-c", _KEEPER, "sh", program, *self.command()],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                cwd=self.folder,
            )
        for port in self.ports:
            self._until(partial(_is_listening, port), f"an answer at port {port}")

    def _until(self, state: Callable[[], object], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not state():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > end:
                raise RuntimeError(f"{self.name}: no {what}: {self._read_logs()}")
            time.sleep(0.02)

    def _read_logs(self) -> str:
        logs = [path for path in sorted(self.folder.iterdir()) if path.is_file()]
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs)

    def close(self) -> None:
        """End the process, wait for it, and remove its folder."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(_PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


class Tinyproxy(_Program):
    """An http proxy that requires USER and PASSWORD, the latter without its space."""

    name = "tinyproxy"
    password = PASSWORD.replace(" ", "")

    def __init__(self) -> None:
        super().__init__()
        [self.port] = _free_ports(1)
        self.url = f"http://{USER}:{self.password}@127.0.0.1:{self.port}"

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def command(self) -> list[str]:
        config = self.folder / "tinyproxy.conf"
        config.write_text(
            _TINYPROXY.format(port=self.port, folder=self.folder, user=USER, password=self.password)
        )
        return ["-d", "-c", str(config)]


class Squid(_Program):
    """An http and an https proxy that require USER and PASSWORD; forbidden.test is forbidden."""

    name = "squid"

    def __init__(self, certs: Certs) -> None:
        super().__init__()
        self._certs = certs
        self.port, self.tls_port = _free_ports(2)
        user = f"{USER}:{PASSWORD.replace(' ', '%20')}"
        self.url = f"http://{user}@127.0.0.1:{self.port}"
        self.tls_url = f"https://{user}@localhost:{self.tls_port}"

    @property
    def ports(self) -> list[int]:
        return [self.port, self.tls_port]

    def command(self) -> list[str]:
        for source, name in (
            (self._certs.server_cert, "server.pem"),
            (self._certs.server_key, "server.key"),
        ):
            shutil.copy(source, self.folder / name)
            (self.folder / name).chmod(0o644)
        judge = _JUDGE.format(user=USER, quoted=PASSWORD.replace(" ", "%20"))
        (self.folder / "judge.sh").write_text(judge)
        config = self.folder / "squid.conf"
        config.write_text(_SQUID.format(port=self.port, tls_port=self.tls_port, folder=self.folder))
        return ["-N", "-f", str(config)]


class Microsocks(_Program):
    """A SOCKS5 proxy; with ``auth``, one that requires USER and PASSWORD."""

    name = "microsocks"

    def __init__(self, *, auth: bool = False) -> None:
        super().__init__()
        self._auth = auth
        [self.port] = _free_ports(1)
        user = f"{USER}:{PASSWORD.replace(' ', '%20')}@" if auth else ""
        self.where = f"{user}127.0.0.1:{self.port}"

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def command(self) -> list[str]:
        auth = ["-u", USER, "-P", PASSWORD] if self._auth else []
        return ["-i", "127.0.0.1", "-p", str(self.port), *auth]

    def log(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")


def needs(program: str) -> None:
    """Skip the test if a program is missing; in CI, fail it."""
    if find_program(program) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed, and in CI no test that needs it is skipped")
        pytest.skip(f"{program} is not installed")


def find_program(name: str) -> str | None:
    """Return the path of a program; Debian keeps some outside of an ordinary user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    # None of the three accepts a socket that listens already. The system hands out a port that was
    # just closed only after many others.
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def _is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


class NestedServer:
    """The origin's end of TLS inside TLS, over the proxy's end of the outer one. Blocks."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._received, self._encrypted = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._received, self._encrypted, server_side=True)
        self._run(self.tls.do_handshake)

    def _run(self, step: Callable[..., object], *arguments: object) -> object:
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                data = self._receive()
                if data:
                    self._received.write(data)
                else:
                    self._received.write_eof()
            else:
                self.flush()
                return result

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except ConnectionError:
            return b""

    def flush(self) -> None:
        """Send the encrypted bytes; raise ClientGone if the client is gone."""
        try:
            while self._encrypted.pending:
                self.sock.sendall(self._encrypted.read())
        except (ConnectionError, ssl.SSLEOFError) as gone:
            raise ClientGone(f"took no more: {gone}") from gone

    def encrypt(self, data: bytes) -> bytes:
        """Return the encrypted bytes for this data, for the script to split and send."""
        self.tls.write(data)
        return self._encrypted.read()

    def read(self, size: int = 65536) -> bytes:
        """Return received bytes; ``b''`` at the end, with or without close_notify."""
        try:
            data = self._run(self.tls.read, size)
        except ssl.SSLEOFError:
            return b""
        assert isinstance(data, bytes)
        return data

    def read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.read(size - len(data))
            assert part, "the client has ended"
            data += part
        return data

    def send(self, data: bytes) -> None:
        self._run(self.tls.write, data)

    def close_notify(self) -> None:
        """Send a close_notify, without waiting for the client's."""
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        with suppress(ClientGone):
            self.flush()
