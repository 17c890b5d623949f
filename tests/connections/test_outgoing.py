"""Framing of payloads: unframed with a known length, or chunked with trailers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from restkit.connections.outgoing import ChunkedFraming, SizedFraming
from restkit.errors import PayloadError, PayloadLengthError
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload

MIB = 1 << 20


class ChunkedSource(Payload):
    """A payload that yields the given chunks and trailers."""

    def __init__(
        self,
        *items: Buffer,
        length: int | None = None,
        trailers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.items = items
        self.length = length
        self.fields = trailers

    def chunks(self) -> Iterator[Buffer]:
        yield from self.items

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self.fields


def groups_of(out: SizedFraming | ChunkedFraming) -> list[bytes]:
    """Return the bytes of each group that is sent together."""
    return [b"".join(bytes(part) for part in group) for group in out]


def test_sized_payload_is_sent_unframed() -> None:
    items = ChunkedSource(b"he", b"", bytearray(b"ll"), memoryview(b"o"), length=5)
    assert groups_of(SizedFraming(items)) == [b"he", b"ll", b"o"]
    assert groups_of(SizedFraming(ChunkedSource(length=0))) == []


def test_sized_payload_sends_no_trailers() -> None:
    assert groups_of(SizedFraming(ChunkedSource(b"a", length=1, trailers=[("X", "y")]))) == [b"a"]


def test_sized_payload_longer_than_its_length_raises() -> None:
    out = iter(SizedFraming(ChunkedSource(b"hel", b"lo", b"!", length=5)))
    assert next(out) == [b"hel"]
    with pytest.raises(PayloadLengthError):
        next(out)


def test_each_payload_chunk_becomes_one_http_chunk() -> None:
    items = ChunkedSource(b"hello", bytearray(b"a" * 16), memoryview(b"\r\n"))
    assert groups_of(ChunkedFraming(items)) == [
        b"5\r\nhello\r\n",
        b"10\r\naaaaaaaaaaaaaaaa\r\n",
        b"2\r\n\r\n\r\n",
        b"0\r\n\r\n",
    ]


def test_empty_payload_chunk_is_not_the_last_http_chunk() -> None:
    items = ChunkedSource(b"", b"a", bytearray(), memoryview(b""), b"b", b"")
    assert groups_of(ChunkedFraming(items)) == [b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]
    assert groups_of(ChunkedFraming(ChunkedSource())) == [b"0\r\n\r\n"]
    assert groups_of(ChunkedFraming(ChunkedSource(b""))) == [b"0\r\n\r\n"]


def test_trailers_follow_the_last_chunk() -> None:
    items = ChunkedSource(b"a", trailers=[("Digest", "x=y"), ("X-Name", "caf\xe9"), ("Digest", "")])
    assert b"".join(groups_of(ChunkedFraming(items))) == (
        b"1\r\na\r\n0\r\nDigest: x=y\r\nX-Name: caf\xe9\r\nDigest: \r\n\r\n"
    )


def test_trailers_are_read_after_the_last_byte() -> None:
    class Counted(ChunkedSource):
        produced = 0

        def chunks(self) -> Iterator[Buffer]:
            for item in self.items:
                self.produced += len(item)
                yield item

        def trailers(self) -> Sequence[tuple[str, str]]:
            return [("X-Came", str(self.produced))]

    assert groups_of(ChunkedFraming(Counted(b"hello", b"!")))[-1] == b"0\r\nX-Came: 6\r\n\r\n"


@pytest.mark.parametrize(
    "trailer",
    [
        ("X", "a\r\nY: b"),
        ("X", "a\n"),
        ("X", "a\rb"),
        ("X", "a\0"),
        ("X\r\nY", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("X", "\u20ac"),
    ],
)
def test_W16_invalid_trailer_raises(trailer: tuple[str, str]) -> None:
    out = iter(ChunkedFraming(ChunkedSource(b"a", trailers=[trailer])))
    assert next(out) == [b"1\r\n", b"a", b"\r\n"]
    with pytest.raises(PayloadError):
        next(out)


def test_payload_error_propagates_without_a_last_chunk() -> None:
    class Broken(ChunkedSource):
        def chunks(self) -> Iterator[Buffer]:
            yield b"a"
            raise KeyError("b")

    out = iter(ChunkedFraming(Broken()))
    assert next(out) == [b"1\r\n", b"a", b"\r\n"]
    with pytest.raises(KeyError, match="b"):
        next(out)
    assert list(out) == []


def test_big_chunk_is_not_copied_for_framing() -> None:
    item = bytes(8 * MIB)
    for out in (
        ChunkedFraming(ChunkedSource(item)),
        SizedFraming(ChunkedSource(item, length=len(item))),
    ):
        assert any(part is item for group in out for part in group)
