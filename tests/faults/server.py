"""The server of the matrix: it behaves as the current combination says."""

from __future__ import annotations

import ssl
import threading
from random import Random

from support.messages import field, response
from support.peer import ClientGone, Peer

from .combination import Combination

FINAL = Random("final").randbytes(5_000)
NEXT = Random("next").randbytes(100_000)
_PART = 500
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Behavior:
    """A script for ``ScriptedServer``. ``/case`` is the combination; all else is right."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.combination: Combination | None = None
        self.requests = 0
        self.call_over = threading.Event()
        self._tls = tls

    def begin(self, combination: Combination) -> None:
        """Behave as this combination says from now on."""
        self.combination = combination
        self.requests = 0
        self.call_over.clear()

    def __call__(self, peer: Peer) -> None:
        peer.without_delay()
        while True:
            head = peer.read_head()
            method, target, _ = head.split(b" ", 2)
            if method == b"CONNECT":
                if not self._open_tunnel(peer):
                    return
            elif target.endswith(b"/case"):
                if not self._respond(peer, head):
                    return
            else:
                self._read_rest(peer, head)
                peer.send(response(FINAL if target.endswith(b"/final") else NEXT))

    def _open_tunnel(self, peer: Peer) -> bool:
        assert self.combination is not None
        lie, is_right = self.combination.tunnel
        peer.send(lie)
        if is_right:
            try:
                peer.secure(self._tls)
            except OSError as gone:
                raise ClientGone("the handshake failed") from gone
        return is_right

    def _respond(self, peer: Peer, head: bytes) -> bool:
        """Respond to one request; return whether the connection stays open."""
        case = self.combination
        assert case is not None
        self.requests += 1
        answer = case.answer
        if self.requests > case.times:
            self._read_rest(peer, head)
            peer.send(response(FINAL))
            return True
        if case.phase == "all":
            self._read_rest(peer, head)
            peer.send(answer.wire)
            return not answer.closes
        if case.phase == "part":
            _continue(peer, head)
            peer.wait_for(_PART)
        if case.reads_on:
            early = answer.interims or len(answer.wire)
            peer.send(answer.wire[:early])
            if early < len(answer.wire) and case.phase == "head":
                _continue(peer, head)
            peer.read_body(head)
            peer.send(answer.wire[early:])
            return not answer.closes
        peer.send(answer.wire)
        peer.wait(self.call_over)
        return False

    def _read_rest(self, peer: Peer, head: bytes) -> None:
        _continue(peer, head)
        peer.read_body(head)


def _continue(peer: Peer, head: bytes) -> None:
    if field(head, "expect"):
        peer.send(_CONTINUE)
