"""Non-blocking sockets: partial sends, empty receives, ends, and whose error it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from restkit.io.sockets import NonBlockingSocket


class ConnectionGone(Exception):
    pass


class ClosedHere(Exception):
    pass


class Socket(NonBlockingSocket):
    def _connection_error(self, exc: OSError) -> Exception:
        return ConnectionGone(exc.errno)

    def _closed_error(self) -> Exception:
        return ClosedHere()


@pytest.fixture
def pair() -> Iterator[tuple[Socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Socket(ours), theirs


def test_send_writes_one_or_several_buffers(pair):
    ours, theirs = pair
    assert ours.send([b"one"]) == 3
    assert ours.send([b"t", memoryview(b"wo")]) == 3
    assert theirs.recv(100) == b"onetwo"


def test_send_returns_0_if_the_connection_is_full(pair):
    ours, _ = pair
    while ours.send([bytes(65536)]):
        pass
    assert ours.send([b"x"]) == 0


@pytest.mark.posix("sendfile")
def test_send_file_reports_the_end_of_the_file_and_a_full_connection(pair, tmp_path):
    ours, theirs = pair
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        assert ours.send_file(file.fileno(), 4, 100) == 6
        assert theirs.recv(100) == b"456789"
        assert ours.send_file(file.fileno(), 10, 100) == 0
        while ours.send([bytes(65536)]):
            pass
        assert ours.send_file(file.fileno(), 0, 10) is None


@pytest.mark.posix("sendfile")
def test_send_file_tells_errors_of_the_file_from_those_of_the_connection(pair, tmp_path):
    ours, theirs = pair
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"x")
        file.flush()
        write_only = os.open(file.name, os.O_WRONLY)
        with pytest.raises(OSError, match="Bad file descriptor"):
            ours.send_file(write_only, 0, 1)
        os.close(write_only)
        theirs.close()
        with pytest.raises(ConnectionGone):
            ours.send_file(file.fileno(), 0, 1)


def test_receive_returns_none_bytes_or_the_end(pair):
    ours, theirs = pair
    buffer = bytearray(3)
    assert ours.receive(10) is None
    assert ours.receive_into(memoryview(buffer)) is None
    theirs.sendall(b"hello")
    assert ours.receive(2) == b"he"
    assert ours.receive_into(memoryview(buffer)) == 3
    assert buffer == b"llo"
    theirs.close()
    assert ours.receive(10) == b""
    assert ours.receive_into(memoryview(buffer)) == 0


def test_end_of_an_aborted_connection_is_an_error(pair):
    ours, theirs = pair
    ours.aborted = True
    theirs.close()
    for receive in (lambda: ours.receive(1), lambda: ours.receive_into(memoryview(bytearray(1)))):
        with pytest.raises(ClosedHere):
            receive()


def test_error_of_the_socket_is_a_connection_error(pair):
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ConnectionGone):
        ours.send([b"x"])
