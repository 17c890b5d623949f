"""The end of TLS, an alert or a bad record behind the last bytes of a body is never lost."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from restkit import HttpResponse, Timeout, TLSError, TransportError, UnexpectedEOF
from support import ScriptedServer
from support.peer import HANG_BOUND, Peer

BODY = b"x" * 40_000
TO_THE_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
# A client that misses the end would wait for the whole idle timeout.
TIMEOUT = Timeout(connect=HANG_BOUND, idle=5)
BAD_RECORD = b"\x17\x03\x03\x00\x20" + b"?" * 32


class Tunnel:
    """The server's TLS, whose records the script sends when and how it likes."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self._peer = peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._run(self._tls.do_handshake)

    def read(self) -> bytes:
        data: bytes = self._run(lambda: self._tls.read(65536))
        return data

    def records(self, *messages: bytes) -> bytes:
        for message in messages:
            self._tls.write(message)
        return self._outgoing.read()

    def ending(self, kind: str) -> bytes:
        if kind == "close_notify":
            with pytest.raises(ssl.SSLWantReadError):
                self._tls.unwrap()
        elif kind == "alert":
            self._incoming.write(BAD_RECORD)
            with pytest.raises(ssl.SSLError):
                self._tls.read(1)
        else:
            return BAD_RECORD
        return self._outgoing.read()

    def _run(self, step: Callable[[], object]) -> object:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._peer.read_some())
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._peer.send(self._outgoing.read())


def serve(context: ssl.SSLContext, head: bytes, body: bytes, ending: str) -> ScriptedServer:
    """Serve one response, then an ending, all at once; the TCP connection stays open."""

    def script(peer: Peer) -> None:
        tunnel = Tunnel(peer, context)
        tunnel.read()
        peer.send(tunnel.records(head, body) + tunnel.ending(ending))
        peer.read_to_end()

    return ScriptedServer(script)


def https(server: ScriptedServer) -> str:
    return server.url().replace("http:", "https:")


READS: dict[str, Callable[[HttpResponse], object]] = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(),
    "tee": lambda got: got.tee().read(),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream or ()),
    "save": lambda got: got.save(os.devnull),
}


@pytest.mark.parametrize("read", READS)
def test_close_notify_behind_the_last_bytes_ends_the_body(read, certs, client):
    with serve(certs.server, TO_THE_END, BODY, "close_notify") as server:
        got = client.get(https(server), timeout=TIMEOUT)
        assert READS[read](got) in (BODY, len(BODY))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("ending", ["alert", "bad record"])
def test_alert_or_bad_record_behind_the_last_bytes_is_an_error(read, ending, certs, client):
    with serve(certs.server, TO_THE_END, BODY, ending) as server:
        got = client.get(https(server), timeout=TIMEOUT)
        for _ in range(2):
            with pytest.raises(TLSError, match=f"TLS with {server.host}:{server.port} failed: "):
                READS[read](got)


@pytest.mark.parametrize("read", READS)
def test_close_notify_before_the_declared_length_is_an_error(read, certs, client):
    with serve(certs.server, SIZED % 100_000, BODY, "close_notify") as server:
        got = client.get(https(server), timeout=TIMEOUT)
        with pytest.raises(UnexpectedEOF, match="after 40000 of 100000 bytes"):
            READS[read](got)


@pytest.mark.parametrize("ending", ["close_notify", "alert", "bad record"])
def test_ending_behind_a_small_complete_body_only_ends_the_connection(ending, certs, client):
    with serve(certs.server, SIZED % len(BODY), BODY, ending) as server:
        assert client.get(https(server), timeout=TIMEOUT).body == BODY


@pytest.mark.parametrize("ending", ["close_notify", "alert", "bad record"])
def test_ending_that_arrives_while_the_payload_is_sent_is_kept(ending, certs, client):
    arrived = threading.Event()

    def early(peer: Peer) -> None:
        tunnel = Tunnel(peer, certs.server)
        while b"first" not in tunnel.read():
            pass
        peer.send(tunnel.records(TO_THE_END, BODY) + tunnel.ending(ending))
        peer.until_arrived()
        arrived.set()
        peer.read_to_end()

    def payload() -> Iterator[bytes]:
        yield b"first"
        assert arrived.wait(HANG_BOUND)
        yield from [b"more"] * 20  # before each one, the client receives one record

    with ScriptedServer(early) as server:
        if ending == "close_notify":
            assert client.post(https(server), payload(), timeout=TIMEOUT).body == BODY
        else:
            with pytest.raises(TransportError, match=r"responded 200 after .* stopped reading"):
                client.post(https(server), payload(), timeout=TIMEOUT)
