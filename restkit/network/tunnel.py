"""Open a tunnel through a proxy with CONNECT.

A way through an HTTP proxy: CONNECT, and the judgement of what the proxy answers.

What RFC 9110 9.3.6 says, the code keeps to: any 2xx opens the tunnel, whatever such an answer
says of its length is ignored, and what comes behind its head is the origin's. An origin under
TLS never speaks first, so that bytes that are there already are somebody else's.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from restkit._version import __version__
from restkit.errors import ProxyError, ResponseError
from restkit.headers import Headers
from restkit.http1.response_reader import ResponseReader
from restkit.http1.writing import request_head

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from restkit.http1.response_head import ResponseHead
    from restkit.network.proxy import Proxy

    SecondsLeft = Callable[[], float | None]


_BLOCK = 16 * 1024
_LONGEST_REASON = 100


def open_tunnel(sock: socket.socket, proxy: Proxy, where: str, seconds_left: SecondsLeft) -> None:
    """Ask the proxy at the other end of ``sock`` for a way to ``where``; the socket is the way.

    Raises ProxyError, and TimeoutError when ``seconds_left`` does or the socket's time is over.
    """
    try:
        sock.settimeout(seconds_left())
        sock.sendall(_question(proxy, where))
        head, rest = _answer(sock, proxy, where, seconds_left)
    except TimeoutError:
        raise
    except OSError as exc:
        raise ProxyError(
            f"the proxy {proxy.where} broke the connection off when it was asked for a tunnel "
            f"to {where}: {_why(exc)}"
        ) from exc
    if not 200 <= head.status < 300:
        raise ProxyError(_refusal(proxy, where, head))
    if rest:
        raise ProxyError(
            f"the proxy {proxy.where} sent {len(rest)} bytes behind its {head.status} for a "
            f"tunnel to {where}, where the origin had nothing to say yet"
        )


def _question(proxy: Proxy, where: str) -> bytes:
    fields = Headers([("Host", where), ("User-Agent", f"restkit/{__version__}")])
    for name in {name for name, _ in proxy.fields}:
        fields.pop(name, None)
    for name, value in proxy.fields:
        fields.add(name, value)
    return request_head("CONNECT", where, fields.lines())


def _answer(
    sock: socket.socket, proxy: Proxy, where: str, seconds_left: SecondsLeft
) -> tuple[ResponseHead, bytes]:
    """The final head, and what was read beyond it; what else it may be is a ProxyError."""
    answer = ResponseReader("CONNECT")
    while answer.head is None:
        sock.settimeout(seconds_left())
        data = sock.recv(_BLOCK)
        if not data:
            raise ProxyError(
                f"the proxy {proxy.where} closed the connection when it was asked for a tunnel "
                f"to {where}"
            )
        try:
            answer.feed(data)
        except ResponseError as exc:
            # A refusal is one, whatever is wrong with its body.
            if answer.head is None:
                raise ProxyError(
                    f"the proxy {proxy.where} gave no HTTP answer when it was asked for a tunnel "
                    f"to {where}: {exc.message}"
                ) from exc
    return answer.head, b"" if answer.deframer is None else answer.deframer.rest


def _refusal(proxy: Proxy, where: str, head: ResponseHead) -> str:
    # The reason is somebody else's text: what a terminal would obey is not passed on.
    reason = "".join(each if each.isprintable() else "?" for each in head.reason)
    said = f"{head.status} {reason[:_LONGEST_REASON]}".strip()
    refusal = f"the proxy {proxy.where} refused a tunnel to {where}: {said}"
    if head.status != 407:
        return refusal
    if proxy.username is None:
        return f"{refusal}; it wants a user name and a password: {proxy.scheme}://user:password@"
    return f"{refusal}; it did not accept the user name and the password"


def _why(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    return exc.strerror or str(exc)
