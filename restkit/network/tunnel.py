"""Open a tunnel through a proxy with CONNECT.

RFC 9110 9.3.6: any 2xx opens the tunnel, a body length in such a response is ignored, and bytes
after its head belong to the origin. An origin with TLS never speaks first, so bytes that are
there already are not the origin's, and are an error.
"""

from __future__ import annotations

import socket
import ssl

from restkit._version import __version__
from restkit.errors import ProxyError, ResponseError
from restkit.headers import Headers
from restkit.http1.response_head import ResponseHead
from restkit.http1.response_reader import ResponseReader
from restkit.http1.writing import encode_request_head
from restkit.network.options import SecondsLeft
from restkit.network.proxy import Proxy

_BLOCK = 16 * 1024
_MAX_REASON = 100


def open_tunnel(sock: socket.socket, proxy: Proxy, target: str, seconds_left: SecondsLeft) -> None:
    """Ask the proxy that ``sock`` is connected to for a tunnel to ``target``, a host and port.

    ``sock`` leads to the target afterwards. Raises ProxyError, and TimeoutError when
    ``seconds_left`` does or the timeout of the socket is over.
    """
    try:
        sock.settimeout(seconds_left())
        sock.sendall(_encode_request(proxy, target))
        head, leftover = _read_response(sock, proxy, target, seconds_left)
    except TimeoutError:
        raise
    except OSError as exc:
        raise ProxyError(
            f"the proxy {proxy.where} dropped the connection during the request for a tunnel "
            f"to {target}: {_describe_error(exc)}"
        ) from exc
    if not 200 <= head.status < 300:
        raise ProxyError(_refusal(proxy, target, head))
    if leftover:
        raise ProxyError(
            f"the proxy {proxy.where} sent {len(leftover)} bytes after its {head.status} for a "
            f"tunnel to {target}, before the origin could have sent any"
        )


def _encode_request(proxy: Proxy, target: str) -> bytes:
    fields = Headers([("Host", target), ("User-Agent", f"restkit/{__version__}")])
    for name in {name for name, _ in proxy.fields}:
        fields.pop(name, None)
    for name, value in proxy.fields:
        fields.add(name, value)
    return encode_request_head("CONNECT", target, fields.lines())


def _read_response(
    sock: socket.socket, proxy: Proxy, target: str, seconds_left: SecondsLeft
) -> tuple[ResponseHead, bytes]:
    """Return the final head and the bytes read after it; raise ProxyError for anything else."""
    response = ResponseReader("CONNECT")
    while response.head is None:
        sock.settimeout(seconds_left())
        data = sock.recv(_BLOCK)
        if not data:
            raise ProxyError(
                f"the proxy {proxy.where} closed the connection during the request for a tunnel "
                f"to {target}"
            )
        try:
            response.feed(data)
        except ResponseError as exc:
            # A fault in the body of a refusal does not matter.
            if response.head is None:
                raise ProxyError(
                    f"the proxy {proxy.where} sent no valid HTTP response to the request for "
                    f"a tunnel to {target}: {exc.message}"
                ) from exc
    body_reader = response.body_reader
    return response.head, b"" if body_reader is None else body_reader.leftover


def _refusal(proxy: Proxy, target: str, head: ResponseHead) -> str:
    # The reason is the proxy's text: control characters must not reach a terminal.
    reason = "".join(each if each.isprintable() else "?" for each in head.reason)
    status = f"{head.status} {reason[:_MAX_REASON]}".strip()
    refusal = f"the proxy {proxy.where} refused a tunnel to {target}: {status}"
    if head.status != 407:
        return refusal
    if proxy.username is None:
        return (
            f"{refusal}; it requires a user name and a password: give "
            f"{proxy.scheme}://user:password@..."
        )
    return f"{refusal}; it did not accept the user name and the password"


def _describe_error(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    return exc.strerror or str(exc)
