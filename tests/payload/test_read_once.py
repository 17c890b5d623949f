"""Payloads of pipes, sockets and file-like objects, which are read once, as bytes arrive."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from restkit.errors import PayloadError, PayloadNotReplayable
from restkit.payload.convert import as_payload
from restkit.payload.files import (
    StreamPayload,
)
from support.payloads import OnlyRead, join_chunks, list_chunks, make_payload, open_pipe

MIB = 1 << 20
OCTETS = "application/octet-stream"

# A new interpreter must find the modules that this one finds.
SAME_PATH = os.environ | {
    "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
}


def test_P02_a_pipe_yields_its_first_bytes_before_the_writer_closes():
    for mode, buffering in (("rb", -1), ("rb", 0), ("r", -1)):
        with open_pipe(mode, buffering) as (reader, writing):
            payload = make_payload(reader)
            assert (payload.length, payload.replayable) == (None, False)
            running = iter(payload)
            os.write(writing, b"first\r\n")
            assert next(running) == b"first\r\n"
            os.write(writing, "é".encode())
            assert next(running) == "é".encode()
            os.close(writing)
            assert list(running) == []
            assert not reader.closed
            with pytest.raises(PayloadNotReplayable):
                join_chunks(payload)


@pytest.mark.posix("select does not watch pipes")
def test_a_buffered_pipe_waits_on_its_descriptor_when_its_buffer_is_empty():
    with open_pipe(buffering=0) as (reader, writing):
        payload = make_payload(reader)
        assert payload.waits_on == reader.fileno()
    with open_pipe() as (reader, writing):
        os.write(writing, b"line\nrest")
        assert reader.readline() == b"line\n"
        payload = make_payload(reader)
        assert (
            payload.waits_on is None
        )  # "rest" is in the buffer, which the descriptor does not show
        running = iter(payload)
        assert next(running) == b"rest"
        assert payload.waits_on == reader.fileno()
        os.write(writing, b"x" * 65536)
        assert len(next(running)) == 65536
        assert payload.waits_on == reader.fileno()
        os.close(writing)
        assert list(running) == []


def test_P02_standard_input_is_sent_as_it_arrives():
    program = (
        "import sys; from restkit.payload.convert import as_payload\n"
        "for source in (sys.stdin, sys.stdin.buffer):\n"
        "    payload = as_payload(source)\n"
        "    print(payload, flush=True)\n"
        "    for chunk in payload:\n"
        "        print(bytes(chunk), flush=True)\n"
        "        if source is sys.stdin: break\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=SAME_PATH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        once = b"<PipePayload '<stdin>' of unknown length, one pass>\n"
        assert child.stdout.readline() == once
        child.stdin.write(b"\xff one\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"b'\\xff one\\n'\n"
        assert child.stdout.readline() == once
        child.stdin.write(b"two\n")
        child.stdin.close()
        assert child.stdout.readline() == b"b'two\\n'\n"


def test_text_of_a_pipe_that_was_read_is_sent_as_text():
    with open_pipe("r", encoding="latin-1") as (reader, writing):
        os.write(writing, "one\nü\nrest".encode("latin-1"))
        assert reader.readline() == "one\n"
        payload = make_payload(reader)
        assert (payload.length, payload.waits_on) == (None, None)
        running = iter(payload)
        assert next(running) == "ü\n".encode()
        os.close(writing)
        assert list(running) == [b"rest"]


def test_text_of_a_pipe_is_sent_whole_when_only_the_payload_is_left():
    reading, writing = os.pipe()
    payload = make_payload(open(reading, encoding="utf-8", closefd=False))  # noqa: SIM115  # the case
    gc.collect()
    os.write(writing, b"abc")
    os.close(writing)
    assert join_chunks(payload) == b"abc"
    os.close(reading)


@pytest.mark.posix("a pipe is polled")
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_non_blocking_pipe_is_waited_for(buffering):
    with open_pipe(buffering=buffering) as (reader, writing):
        os.set_blocking(reader.fileno(), False)

        def write():
            for chunk in (b"one", b"two"):
                os.write(writing, chunk)
                requested.wait(60)
                requested.clear()
            os.close(writing)

        requested = threading.Event()
        writer = threading.Thread(target=write)
        running = iter(make_payload(reader))
        writer.start()
        received = []
        for chunk in running:
            received.append(chunk)
            requested.set()
        writer.join(60)
        assert received == [b"one", b"two"]


@pytest.mark.posix("os.get_blocking")
def test_text_of_a_non_blocking_pipe_that_was_read_raises():
    with open_pipe("r") as (reader, writing):
        os.write(writing, b"one\ntwo\n")
        os.set_blocking(reader.fileno(), False)
        reader.readline()
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(reader)


def test_a_read_that_returns_none_without_a_descriptor_raises():
    with pytest.raises(PayloadError, match="no file descriptor to wait on"):
        join_chunks(make_payload(OnlyRead(b"a", None)))


def test_R07_an_object_with_only_read_is_read_once():
    payload = make_payload(OnlyRead(b"a", bytearray(b"b"), memoryview(b"c")))
    assert isinstance(payload, StreamPayload)
    assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
    assert list_chunks(payload) == [b"a", b"b", b"c"]
    assert join_chunks(make_payload(OnlyRead("é", "ü"))) == "éü".encode()
    with pytest.raises(PayloadError, match=r"after 2 characters, has a lone surrogate.*position 1"):
        join_chunks(make_payload(OnlyRead("ab", "c\udc80")))
    with pytest.raises(TypeError, match="int"):
        join_chunks(make_payload(OnlyRead(5)))


def test_an_object_with_read1_is_read_by_it():
    class Both(OnlyRead):
        def read1(self, size):
            return super().read(size)

        def read(self, size):
            raise AssertionError("read() waits until all bytes have arrived")

    assert list_chunks(make_payload(Both(b"a", b"b"))) == [b"a", b"b"]


def test_P02_a_socket_yields_what_it_receives():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = make_payload(ours)
        assert (payload.length, payload.replayable) == (None, False)
        assert payload.waits_on == ours.fileno()
        running = iter(payload)
        theirs.send(b"first")
        assert next(running) == b"first"
        ours.setblocking(False)
        later = threading.Thread(target=lambda: (theirs.send(b"second"), theirs.close()))
        later.start()
        assert b"".join(running) == b"second"
        later.join(60)
        ours.close()
        assert payload.waits_on is None
        with pytest.raises(PayloadError, match="closed"):
            as_payload(ours)


@pytest.mark.parametrize(("mode", "buffering"), [("rb", None), ("rb", 0), ("r", None)])
def test_P02_the_file_of_a_socket_yields_what_it_receives(mode, buffering):
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile(mode, buffering=buffering, newline=None) as file:
        payload = make_payload(file)
        assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
        running = iter(payload)
        theirs.send(b"first\n")
        assert next(running) == b"first\n"
        theirs.close()
        assert list(running) == []


def test_the_descriptor_of_a_tls_socket_is_not_waited_on():
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    with (
        theirs,
        context.wrap_socket(ours, do_handshake_on_connect=False, server_hostname="x") as secure,
    ):
        assert make_payload(secure).waits_on is None


def test_a_timeout_of_the_socket_of_the_caller_is_not_changed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            join_chunks(make_payload(ours))
