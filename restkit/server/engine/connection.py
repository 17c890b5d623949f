"""One connection of a client: its requests, one after the other.

A thread is needed only while an application runs. A head that is incomplete, the body that a
handler needs as a whole, and bytes that a client still sends after an error response, need none:
the owner of the connection calls ``step()`` whenever there is something to read. A head or such a
body that is not complete in time gets a 408.
"""

from __future__ import annotations

import logging
import socket
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
from restkit.io.sockets import BLOCK
from restkit.server.engine.access_log import AccessLog, AccessRecord, write_record
from restkit.server.engine.body_collection import BodyCollection, read_max_collected
from restkit.server.engine.client_socket import ClientSocket, Drain
from restkit.server.engine.request_body import RequestBody, RequestFile
from restkit.server.engine.request_limits import RequestLimits
from restkit.server.engine.response_head import (
    check_response_head,
    choose_framing,
    encode_response_head,
)
from restkit.server.engine.sender import FileWrapper, Sender
from restkit.server.engine.wsgi_response import Ending, Exchange

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_logger = logging.getLogger("restkit.server")

# These bytes do not start a head: one empty line before a request line is skipped.
_BEFORE_HEAD = (b"", b"\r", b"\r\n")

_BODY_WAIT = 0.001  # seconds; many clients send the body separately, directly after the head
_LATE_BODY = "the body of the request was not complete in time"

_ERROR_STATUS = {
    400: "400 Bad Request",
    408: "408 Request Timeout",
    414: "414 URI Too Long",
    431: "431 Request Header Fields Too Large",
    501: "501 Not Implemented",
    505: "505 HTTP Version Not Supported",
}


class Setup(NamedTuple):
    """The settings of all connections of a server.

    A client may be silent for ``timeout`` seconds, and between two requests for ``keepalive``
    seconds; None is the same as ``timeout``. An application may have a method
    ``max_collected(environ)``. It returns how many bytes of the body may be collected before the
    application is called; 0 if it is called at once.
    """

    app: WSGIApplication
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    timeout: float = 30.0
    limits: RequestLimits = RequestLimits()
    access_log: AccessLog | None = None
    keepalive: float | None = None


class ClientConnection:
    """A connection that an engine has accepted; ``address`` is the client's.

    ``collection`` is the body that is being collected, or None. Only one thread at a time may use a
    connection, except for ``abort()``.
    """

    def __init__(self, sock: socket.socket, address: tuple[str, int], setup: Setup) -> None:
        self._setup = setup
        self._socket = self._open_socket(sock, f"{address[0]}:{address[1]}")
        self._environ: dict[str, Any] = {
            **server_environ(setup.scheme, setup.host, setup.port),
            "REMOTE_ADDR": address[0],
            "REMOTE_PORT": str(address[1]),
            "wsgi.file_wrapper": FileWrapper,
        }
        self._data = b""  # received, and not yet part of a request
        self._has_new_data = False
        self._head_deadline = 0.0  # the time by which a head that has begun must be complete
        self._idle_seconds = setup.timeout
        self._started_at = 0.0  # the time of the last head, for the access log
        self.collection: BodyCollection | None = None
        self._drain: Drain | None = None

    def _open_socket(self, sock: socket.socket, client: str) -> ClientSocket:
        return ClientSocket(sock, self._setup.timeout, client)

    @property
    def is_collecting(self) -> bool:
        """Whether the body of a request is being collected."""
        return self.collection is not None

    @property
    def has_data(self) -> bool:
        """Whether another step can do something without reading."""
        return self._has_new_data

    @property
    def deadline(self) -> float:
        """The time (``monotonic``) at which the connection closes if nothing arrives before."""
        if self._drain is not None:
            return self._drain.deadline
        if self.collection is not None:
            return self.collection.deadline
        return self._head_deadline or monotonic() + self._idle_seconds

    def fileno(self) -> int:
        """Return the descriptor of the socket, to wait for it."""
        return self._socket.fileno()

    def step(self) -> bool:
        """Do what is possible without waiting for a head; return whether to keep the connection."""
        try:
            if self._drain is not None:
                return self._drain.step()
            if self.collection is not None:
                return self._collect(self.collection)
            return self._read_head()
        except ClientDisconnected as exc:
            _logger.debug("%s", exc)
        except Exception:
            _logger.exception("%r failed", self)
        return False

    def abort(self) -> None:
        """Cut the connection off and wake the thread that waits for it. Any thread may call it."""
        self._socket.abort()

    def close(self) -> None:
        """Close the connection; a client whose head or body was not complete in time gets a 408.

        That is not in the access log, whose function could stop the thread of all connections.
        """
        if self._head_deadline and monotonic() >= self._head_deadline:
            self._send_error(408, "the head of the request was not complete in time")
        if self.collection is not None:
            if monotonic() >= self.collection.deadline:
                self._send_error(408, _LATE_BODY)
            self._end_collection(self.collection)
        self._socket.close()

    # Requests

    def _read_head(self) -> bool:
        if not self._has_new_data:
            data = self._socket.receive(BLOCK)
            if data is None:
                return self._may_wait_for_head()
            if not data:
                return False
            if self._data and is_inside_field(self._data, data):
                self._data += data
                return self._may_wait_for_head()
            self._data += data
        self._has_new_data = False
        try:
            parsed = parse_request_head(self._data)
            if parsed is None:
                return self._may_wait_for_head()
            head, end = parsed
            return self._handle_request(head, self._data[end:])
        except MalformedRequest as exc:
            return self._reject(exc.response_status, exc.message)

    def _may_wait_for_head(self) -> bool:
        if self._data in _BEFORE_HEAD:
            return True
        if not self._head_deadline:
            self._head_deadline = monotonic() + self._setup.timeout
        return monotonic() < self._head_deadline

    def _handle_request(self, head: RequestHead, rest: bytes) -> bool:
        """Run the application on a request; ``rest`` are the bytes after its head."""
        self._data = b""
        self._head_deadline = 0.0
        reader = request_body_reader(head)
        if head.method == "CONNECT":
            raise MalformedRequest("CONNECT is not supported", 501)
        sock = self._socket
        body = RequestBody(
            sock,
            reader,
            rest,
            limits=self._setup.limits,
            expects_continue=head.expects_continue,
        )
        environ = request_environ(self._environ, head, body.length, RequestFile(body))
        if self._setup.access_log is not None:
            self._started_at = monotonic()
        if not body.done:
            self.collection = self._new_collection(head, environ, body)
            if self.collection is not None:
                return self._collect(self.collection)
        return self._run_application(head, environ, body)

    def _run_application(
        self, head: RequestHead, environ: WSGIEnvironment, body: RequestBody
    ) -> bool:
        sock, access_log = self._socket, self._setup.access_log
        exchange = Exchange(head, Sender(sock, body), body)
        try:
            ending = exchange.run(self._setup.app, environ)
        except BaseException:
            sock.reset()  # the response may be incomplete
            raise
        finally:
            body.release()
            if access_log is not None:
                write_record(access_log, self._make_record(head, exchange, environ))
        if ending is Ending.KEPT:
            self._data = body.leftover
            self._has_new_data = bool(body.leftover)
            if self._setup.keepalive is not None:
                self._idle_seconds = self._setup.keepalive
            return True
        if ending is Ending.RESET:
            sock.reset()
        if ending is Ending.CLOSED and (not body.done or body.leftover or self.has_data):
            return self._start_draining()
        return False

    def _make_record(
        self, head: RequestHead, exchange: Exchange, environ: WSGIEnvironment
    ) -> AccessRecord:
        return AccessRecord(
            method=head.method,
            target=head.target,
            version=f"HTTP/1.{head.minor}",
            status=exchange.status,
            sent=exchange.sent,
            seconds=monotonic() - self._started_at,
            client=str(environ.get("REMOTE_ADDR", "")),
            complete=exchange.complete,
            environ=environ,
            headers=exchange.headers,
        )

    # Collecting a body

    def _new_collection(
        self, head: RequestHead, environ: WSGIEnvironment, body: RequestBody
    ) -> BodyCollection | None:
        """Return a collection if the application needs the whole body; None if it is called now."""
        max_size = read_max_collected(self._setup.app, environ)
        if not max_size or not body.send_continue():
            return None
        if body.arrives_within(_BODY_WAIT, min(max_size, BLOCK)):
            return None
        return BodyCollection(head, environ, body, max_size=max_size, timeout=self._setup.timeout)

    def _collect(self, collection: BodyCollection) -> bool:
        try:
            is_complete = collection.step()
        except ClientDisconnected as exc:
            self._end_collection(collection)
            _logger.debug("%s", exc)
            return self._reject(408, _LATE_BODY, collection.head)
        if not is_complete:
            return True
        self.collection = None
        collection.close()
        return self._run_application(collection.head, collection.environ, collection.body)

    def _end_collection(self, collection: BodyCollection) -> None:
        self.collection = None
        collection.close()
        collection.body.release()

    # Errors

    def _reject(self, status: int, reason: str, head: RequestHead | None = None) -> bool:
        _logger.debug("%s: %s", self._socket.client, _ERROR_STATUS[status])
        self._data = b""
        self._head_deadline = 0.0
        sent = self._send_error(status, reason)
        if self._setup.access_log is not None:
            line = (
                ("", "", "") if head is None else (head.method, head.target, f"HTTP/1.{head.minor}")
            )
            seconds = 0.0 if head is None else monotonic() - self._started_at
            record = AccessRecord(*line, status, sent, seconds, self._environ["REMOTE_ADDR"])
            write_record(self._setup.access_log, record)
        return self._start_draining()

    def _send_error(self, status: int, reason: str) -> int:
        """Send an error response of the server, as far as that is possible at once.

        Return the length of its body.
        """
        text = f"{reason}\n".encode("latin-1", "replace")
        head = check_response_head(
            _ERROR_STATUS[status], [("Content-Type", "text/plain; charset=iso-8859-1")]
        )
        framing = choose_framing(head, "GET", 1, len(text))
        try:
            self._socket.send([encode_response_head(head, framing, len(text), "close"), text])
        except ClientDisconnected as exc:
            _logger.debug("%s", exc)
        return len(text)

    def _start_draining(self) -> bool:
        self._drain = Drain(self._socket)
        return self._drain.step()

    def __repr__(self) -> str:
        return f"<ClientConnection on {self._socket!r}>"


def server_environ(scheme: str, host: str, port: int) -> dict[str, Any]:
    """Return the part of the environ that is the same for every request of a server."""
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
    """Return the environ of one request (PEP 3333); ``length`` is None for a chunked body.

    A field with an underscore in its name is dropped: ``X_Y`` and ``X-Y`` would have the same key,
    and a proxy in front of the server may have checked only one of them. Several values of a field
    are joined with a comma (RFC 9110 5.3), those of Cookie with a semicolon (RFC 6265 5.4).
    """
    path, _, query = head.local_target.partition("?")
    environ = {
        **common,
        "REQUEST_METHOD": head.method,
        "PATH_INFO": _decode_path(path),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
        "RAW_URI": head.target,
        "REQUEST_URI": head.target,
        "wsgi.input": file,
        "wsgi.errors": sys.stderr,
    }
    for name, value in head.headers.pairs():
        _add_field(environ, name, value)
    if "CONTENT_LENGTH" in environ:
        environ["CONTENT_LENGTH"] = str(length)  # the field may be repeated with equal values
    if head.host is not None and not head.target.startswith("/"):
        environ["HTTP_HOST"] = head.host  # the host of the target counts (RFC 9112 3.2.2)
    return environ


def _decode_path(path: str) -> str:
    """Return PATH_INFO; it is empty for ``OPTIONS *``, which is for no path."""
    if "%" in path:
        return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return "" if path == "*" else path


def _add_field(environ: dict[str, Any], name: str, value: str) -> None:
    if "_" in name:
        return
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value
