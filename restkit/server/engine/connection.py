"""One connection of a client: request after request.

One connection of a client: its requests, one after the other, and what stays open between.

A thread is needed only while an application answers. A head that is not whole yet, and what a
client still sends behind a refusal, are left to whoever calls ``step()`` when there is something
to read; a head that is not whole in time is answered with 408.

The environ of PEP 3333, made of a request's head: pure.

A field whose name has an underscore is dropped, since ``X_Y`` and ``X-Y`` would have one name
here, and who stands before the server may have judged only one of the two. Several values of a
name are joined with a comma (RFC 9110 5.3), those of Cookie with a semicolon (RFC 6265 5.4).
"""

from __future__ import annotations

import logging
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from restkit._version import __version__
from restkit.errors import ClientDisconnected
from restkit.http1.framing import request_body_reader
from restkit.http1.request_head import (
    MalformedRequest,
    RequestHead,
    is_inside_field,
    parse_request_head,
)
from restkit.server.engine.client_socket import BLOCK, Channel
from restkit.server.engine.request_body import RequestBody, RequestFile
from restkit.server.engine.response_head import check_response_head, framing_of, head_bytes
from restkit.server.engine.sender import FileWrapper, Sender
from restkit.server.engine.wsgi_response import Ending, Exchange

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


_logger = logging.getLogger("restkit.server")

# What is read, and dropped, of a client that has been refused and goes on sending: if its bytes
# met a closed socket, a reset would take the answer away before it is read (RFC 9112 9.6).
LINGER_BYTES = 256 * 1024 * 1024
LINGER_SECONDS = 10.0
_AT_ONCE = 1024 * 1024

# What is passed over before a request line begins no head.
_NOTHING_YET = (b"", b"\r", b"\r\n")

_REFUSALS = {
    400: "400 Bad Request",
    408: "408 Request Timeout",
    414: "414 URI Too Long",
    431: "431 Request Header Fields Too Large",
    501: "501 Not Implemented",
    505: "505 HTTP Version Not Supported",
}


class Setup(NamedTuple):
    """What the connections of a server have in common; ``timeout`` is in seconds of silence."""

    app: WSGIApplication
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    timeout: float = 30.0


class ClientConnection:
    """What is said on one accepted socket, which it owns; ``peer`` is the client's address.

    ``step()`` does what can be done now, and is called again when there is something to read, or
    at once where ``has_data`` says so, for as long as it gives True. It raises nothing that an
    ``Exception`` is. ``abort()`` may be called by any thread.
    """

    def __init__(self, sock: socket.socket, peer: tuple[str, int], setup: Setup) -> None:
        where = f"{peer[0]}:{peer[1]}" if peer[0] else "the client"
        self._channel = Channel(sock, setup.timeout, where)
        self._setup = setup
        self._common = {
            **server_environ(setup.scheme, setup.host, setup.port),
            "REMOTE_ADDR": peer[0],
            "REMOTE_PORT": str(peer[1]),
            "wsgi.file_wrapper": FileWrapper,
        }
        self._held = b""
        self._fresh = False  # whether what is held has not been looked at
        self._head_due = 0.0  # the time by which a head that has begun must be complete
        self._lingers: _Lingering | None = None

    @property
    def has_data(self) -> bool:
        """Whether a further step can do something without more to read."""
        return self._fresh

    @property
    def deadline(self) -> float:
        """The time (``monotonic``) at which the connection closes if nothing comes before."""
        if self._lingers is not None:
            return self._lingers.end
        return self._head_due or monotonic() + self._setup.timeout

    def fileno(self) -> int:
        """Return the number of the socket, to wait on."""
        return self._channel.fileno()

    def step(self) -> bool:
        """Do what can be done without waiting for a head; whether the connection stays open."""
        try:
            if self._lingers is not None:
                return self._lingers.goes_on()
            return self._hear()
        except ClientDisconnected as exc:
            _logger.debug("%s", exc)
        except Exception:
            _logger.exception("%r failed", self)
        return False

    def abort(self) -> None:
        """From any thread: cut the connection off, and wake who waits on it."""
        self._channel.abort()

    def close(self) -> None:
        """Close the connection; with a word to a client that has not come to the end of a head."""
        if self._head_due and monotonic() >= self._head_due:
            self._say(408, "the head of the request was not whole in time")
        self._channel.close()

    # Heads

    def _hear(self) -> bool:
        if not self._fresh:
            data = self._channel.receive(BLOCK)
            if data is None:
                return self._in_time()
            if not data:
                return False
            if self._held and is_inside_field(self._held, data):
                self._held += data
                return self._in_time()
            self._held += data
        self._fresh = False
        try:
            taken = parse_request_head(self._held)
            if taken is None:
                return self._in_time()
            head, end = taken
            return self._converse(head, self._held[end:])
        except MalformedRequest as exc:
            return self._refuse(exc.response_status, exc.message)

    def _in_time(self) -> bool:
        """Whether to go on waiting for the end of a head."""
        if self._held in _NOTHING_YET:
            return True
        if not self._head_due:
            self._head_due = monotonic() + self._setup.timeout
        return monotonic() < self._head_due

    # Requests

    def _converse(self, head: RequestHead, rest: bytes) -> bool:
        """Let the application answer a request; ``rest`` is what came behind its head."""
        self._held = b""
        self._head_due = 0.0
        deframer = request_body_reader(head)
        if head.method == "CONNECT":
            raise MalformedRequest("this server opens no tunnels", 501)
        channel = self._channel
        body = RequestBody(channel, deframer, rest, expects_continue=head.expects_continue)
        environ = request_environ(self._common, head, body.length, RequestFile(body))
        try:
            ending = Exchange(head, Sender(channel, body), body).run(self._setup.app, environ)
        except BaseException:
            channel.reset()  # there may be no whole response
            raise
        finally:
            body.release()
        if ending is Ending.KEPT:
            self._held = body.rest
            self._fresh = bool(body.rest)
            return True
        if ending is Ending.RESET:
            channel.reset()
        if ending is Ending.CLOSED and (not body.done or body.rest):
            return self._linger()
        return False

    # Refusals

    def _refuse(self, status: int, why: str) -> bool:
        _logger.debug("%s: %s", self._channel.where, _REFUSALS[status])
        self._held = b""
        self._head_due = 0.0
        self._say(status, why)
        return self._linger()

    def _say(self, status: int, why: str) -> None:
        """Answer in the server's own words, as far as that can go at once."""
        text = f"{why}\n".encode("latin-1", "replace")
        said = check_response_head(
            _REFUSALS[status], [("Content-Type", "text/plain; charset=iso-8859-1")]
        )
        framing = framing_of(said, "GET", 1, len(text))
        try:
            self._channel.send([head_bytes(said, framing, len(text), "close"), text])
        except ClientDisconnected as exc:
            _logger.debug("%s", exc)

    def _linger(self) -> bool:
        self._channel.half_close()
        self._lingers = _Lingering(self._channel)
        return self._lingers.goes_on()

    def __repr__(self) -> str:
        return f"<ClientConnection on {self._channel!r}>"


class _Lingering:
    """What a client goes on sending behind its last answer: read and dropped, within bounds."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._left = LINGER_BYTES
        self.end = monotonic() + LINGER_SECONDS

    def goes_on(self) -> bool:
        """Drop what is there; whether there may be more."""
        stop = self._left - _AT_ONCE  # then the others have their turn
        while self._left > stop:
            data = self._channel.receive(BLOCK)
            if data is None:
                break
            if not data:
                return False
            self._left -= len(data)
        return self._left > 0 and monotonic() < self.end


def server_environ(scheme: str, host: str, port: int) -> dict[str, Any]:
    """What is the same for every request of a server."""
    return {
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": f"restkit/{__version__}",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


def request_environ(
    common: dict[str, Any], head: RequestHead, length: int | None, file: RequestFile
) -> WSGIEnvironment:
    """The environ of one request; ``length`` is its body's, None for a chunked one."""
    path, _, query = head.local_target.partition("?")
    environ = {
        **common,
        "REQUEST_METHOD": head.method,
        "PATH_INFO": _path_info(path),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
        "RAW_URI": head.target,
        "REQUEST_URI": head.target,
        "wsgi.input": file,
        "wsgi.errors": sys.stderr,
    }
    for name, value in head.headers.pairs():
        _add(environ, name, value)
    if "CONTENT_LENGTH" in environ:
        environ["CONTENT_LENGTH"] = str(length)  # which may have been said twice
    if head.host is not None and not head.target.startswith("/"):
        environ["HTTP_HOST"] = head.host  # the target's own counts (RFC 9112 3.2.2)
    return environ


def _path_info(path: str) -> str:
    """The path, decoded; the ``*`` of OPTIONS, which asks for no path, is the empty one."""
    if "%" in path:
        return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return "" if path == "*" else path


def _add(environ: dict[str, Any], name: str, value: str) -> None:
    if "_" in name:
        return
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value
