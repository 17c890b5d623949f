"""An interrupt inside one call of a body's file: no byte is silently missing afterwards."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

from restkit import TransportError
from support import response
from support.answers import answered

DATA = b"".join(b"%07d\n" % number for number in range(40_000))
READS = {
    "read": lambda file: file.read(1000),
    "readline": lambda file: file.readline(),
    "readinto": lambda file: file.readinto(bytearray(1000)),
    "peek": lambda file: file.peek(1000),
    "list": lambda file: file.readlines(1000),
}


class Interrupted(BaseException):
    """Stands for the exception of a signal handler."""


def interrupt_raw_read(file, number):
    """Read until the nth read of the raw file, which raises at its first line; return the bytes."""
    calls = 0

    def trace(frame, event, _):
        nonlocal calls
        if event == "call" and frame.f_code.co_name == "readinto":
            calls += type(frame.f_locals.get("self")).__name__.endswith("RawFile")
            if calls == number:
                raise Interrupted

    got = []
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        while chunk := file.read(1000):
            got.append(chunk)
    finally:
        sys.settrace(before)
        assert calls == number
        assert b"".join(got) == DATA[: len(got) * 1000]


@pytest.mark.parametrize("read", READS)
def test_a_stream_that_was_interrupted_raises_at_every_later_read(read):
    with answered(response(DATA)) as got:
        stream = got.body_stream()
        with pytest.raises(Interrupted):
            interrupt_raw_read(stream, 3)
        for _ in range(2):
            with pytest.raises(TransportError, match="reading the body was interrupted"):
                READS[read](stream)
        with pytest.raises(TransportError, match="reading the body was interrupted"):
            assert not got.body


@pytest.mark.parametrize("spool_size", [0, 1 << 20])
def test_a_body_file_that_was_interrupted_raises_until_it_is_seeked(spool_size):
    with answered(response(DATA), spool_size=spool_size) as got:
        file = got.body_file
        with pytest.raises(Interrupted):
            interrupt_raw_read(file, 2)
        for _ in range(2):
            with pytest.raises(TransportError, match=r"bytes were lost: seek\(\) to a position"):
                file.read(1000)
        file.seek(5)
        assert file.read() == DATA[5:]
        assert got.body == DATA


def test_a_wrong_argument_or_a_closed_file_is_no_interrupt():
    with answered(response(DATA)) as got:
        stream = got.body_stream()
        assert stream.read(3) == DATA[:3]
        for wrong in (lambda: stream.read("x"), lambda: stream.readinto(b"x")):
            with suppress(TypeError):
                wrong()
        assert stream.read() == DATA[3:]
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            stream.read()
        file = got.tee
        with pytest.raises(Exception, match="read live"):
            file().read()
