"""`poll` made of `selectors`: events, timeouts, ends, and sockets that only their end concerns."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from restkit.io import sockets
from restkit.io.sockets import READ, WRITE, PortablePoll, stop_polls


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def poll() -> PortablePoll:
    return PortablePoll()


@pytest.mark.posix("it is hidden")
def test_poll_itself_is_bound_on_posix():
    assert sockets.poll is select.poll
    assert sockets.sendfile is os.sendfile


def test_events_are_those_of_select_poll(poll, pair):
    left, right = pair
    poll.register(left, READ | WRITE)
    assert poll.poll(0) == [(left.fileno(), WRITE)]
    right.send(b"x")
    assert poll.poll(0) == [(left.fileno(), READ | WRITE)]
    poll.register(left.fileno(), READ)
    assert poll.poll(None) == [(left.fileno(), READ)]
    poll.unregister(left)
    poll.register(right, READ)
    assert poll.poll(1) == []


def test_end_of_the_connection_can_be_read(poll, pair):
    left, right = pair
    poll.register(left, READ)
    right.close()
    assert poll.poll() == [(left.fileno(), READ)]


def test_stop_ends_the_wait_of_another_thread(poll, pair):
    poll.register(pair[0], READ)
    results = []
    thread = threading.Thread(target=lambda: results.append(poll.poll()))
    thread.start()
    stop_polls(None, poll)
    thread.join()
    assert results == [[]]


def test_wait_with_a_socket_that_has_no_events_returns_after_a_step(poll, pair):
    poll.register(pair[0], READ)
    poll.register(pair[1], 0)
    assert poll.poll() == []
    pair[1].send(b"x")
    assert poll.poll() == [(pair[0].fileno(), READ)]


def test_closed_descriptor_counts_as_an_event(poll, pair):
    number = pair[0].fileno()
    poll.register(number, READ)
    pair[0].close()
    assert poll.poll() == [(number, READ)]


def test_first_bytes_of_several_buffers_are_joined_up_to_a_block():
    block = sockets.BLOCK
    assert sockets._join_first([b"head", bytearray(b"body")]) == b"headbody"
    assert sockets._join_first([b"head", b"x" * block]) == b"head" + b"x" * (block - 4)
    large = b"x" * block
    assert sockets._join_first([large, b"y"]) is large
