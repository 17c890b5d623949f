"""RequestStream: ways to read a body, decoding, and limits."""

from __future__ import annotations

import gzip
import io
import os

import pytest

from restkit.errors import BodyTooLarge, DecodingError
from restkit.payload.convert import as_payload
from restkit.server.exceptions import UnsupportedMediaType
from restkit.server.request_stream import RequestStream

MIB = 1024 * 1024


def make_stream(body, max_size=None, encodings=()):
    return RequestStream(io.BufferedReader(io.BytesIO(body)), encodings, max_size)


def test_N05_get_returns_chunks_then_none_forever():
    stream = make_stream(b"body")
    assert [stream.get() for _ in range(3)] == [b"body", None, None]
    assert repr(stream) == "<RequestStream, 4 bytes so far>"


def test_reads_of_every_kind_continue_each_other():
    stream = make_stream(b"0123456789")
    assert (stream.read(3), stream.read(0)) == (b"012", b"")
    view = memoryview(bytearray(2))
    assert (stream.readinto(view), bytes(view)) == (2, b"34")
    assert next(iter(stream)) == b"56789"
    assert (stream.read(), stream.read(5), stream.read_piece(), stream.get()) == (
        b"",
        b"",
        b"",
        None,
    )


def test_read_without_a_size_returns_the_rest():
    data = os.urandom(MIB)
    stream = make_stream(data)
    assert stream.read(10) + stream.read(None) == data


def test_N23_split_character_is_joined():
    class Cut(io.RawIOBase):
        chunks = [b"a\xc3", b"\xbc", b"b"]  # noqa: RUF012  # a fake

        def readable(self):
            return True

        def readinto(self, buffer):
            chunk = self.chunks.pop(0) if self.chunks else b""
            buffer[: len(chunk)] = chunk
            return len(chunk)

    assert list(RequestStream(io.BufferedReader(Cut())).iter_text()) == ["a", "ü", "b"]


def test_iter_text_of_other_encodings_and_invalid_text():
    assert "".join(make_stream("grüße".encode("utf-16")).iter_text("utf-16")) == "grüße"
    with pytest.raises(DecodingError, match="not utf-8 text: unexpected end of data"):
        list(make_stream(b"a\xc3").iter_text())
    with pytest.raises(LookupError):
        list(make_stream(b"a").iter_text("no-such"))


def test_iter_decoded_and_iter_text_remove_content_codings():
    data = b"some text" * 1000
    coded = gzip.compress(data)
    assert b"".join(make_stream(coded, encodings=["gzip"]).iter_decoded()) == data
    assert "".join(make_stream(coded, encodings=["gzip"]).iter_text()) == data.decode()
    assert b"".join(make_stream(coded).iter_decoded()) == coded


def test_iter_decoded_is_limited():
    coded = gzip.compress(b"0" * MIB)
    assert len(b"".join(make_stream(coded, encodings=["gzip"]).iter_decoded(MIB))) == MIB
    with pytest.raises(
        BodyTooLarge, match=f"the decoded body is larger than the limit of {MIB - 1} bytes"
    ):
        list(make_stream(coded, encodings=["gzip"]).iter_decoded(MIB - 1))


def test_truncated_coded_stream_raises_DecodingError():
    with pytest.raises(DecodingError):
        list(make_stream(gzip.compress(b"x" * 100)[:-5], encodings=["gzip"]).iter_decoded())


def test_unknown_coding_raises_at_the_call():
    with pytest.raises(UnsupportedMediaType):
        make_stream(b"x", encodings=["zzz"]).iter_decoded()


def test_started_stream_is_sent_from_its_position():
    stream = RequestStream(io.BufferedReader(io.BytesIO(b"0123")), length=4)
    stream.read(1)
    payload = as_payload(stream)
    assert (payload.length, payload.replayable, b"".join(payload)) == (3, False, b"123")


@pytest.mark.parametrize(
    "read",
    [
        list,
        lambda stream: stream.read(),
        lambda stream: stream.read(100),
        lambda stream: [stream.read(3), stream.read(3), stream.read(3)],
        lambda stream: [stream.readinto(memoryview(bytearray(3))) for _ in range(3)],
        lambda stream: list(stream.iter_text()),
    ],
)
def test_every_read_over_max_size_raises_BodyTooLarge(read):
    read(make_stream(b"12345", max_size=5))
    stream = make_stream(b"123456", max_size=5)
    with pytest.raises(BodyTooLarge, match="larger than the limit of 5 bytes"):
        read(stream)
    with pytest.raises(BodyTooLarge):
        stream.get()
