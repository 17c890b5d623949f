"""Payloads on their way out: as they are, or in chunks with trailers behind the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from restkit.connections.outgoing import ChunkedFraming, SizedFraming
from restkit.errors import PayloadError, PayloadLengthError
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload

MIB = 1 << 20


class Pieces(Payload):
    """Gives these pieces, and these trailers."""

    def __init__(
        self,
        *pieces: Buffer,
        length: int | None = None,
        trailers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.pieces = pieces
        self.length = length
        self.fields = trailers

    def chunks(self) -> Iterator[Buffer]:
        yield from self.pieces

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self.fields


def sent(out: SizedFraming | ChunkedFraming) -> list[bytes]:
    """What leaves together, group by group."""
    return [b"".join(bytes(part) for part in group) for group in out]


def test_a_sized_payload_goes_out_as_it_is() -> None:
    pieces = Pieces(b"he", b"", bytearray(b"ll"), memoryview(b"o"), length=5)
    assert sent(SizedFraming(pieces)) == [b"he", b"ll", b"o"]
    assert sent(SizedFraming(Pieces(length=0))) == []


def test_a_sized_payload_with_trailers_has_no_place_for_them() -> None:
    assert sent(SizedFraming(Pieces(b"a", length=1, trailers=[("X", "y")]))) == [b"a"]


def test_a_sized_payload_that_gives_too_much_never_completes() -> None:
    out = iter(SizedFraming(Pieces(b"hel", b"lo", b"!", length=5)))
    assert next(out) == [b"hel"]
    with pytest.raises(PayloadLengthError):
        next(out)


def test_a_payload_goes_out_in_chunks_one_for_each_piece() -> None:
    pieces = Pieces(b"hello", bytearray(b"a" * 16), memoryview(b"\r\n"))
    assert sent(ChunkedFraming(pieces)) == [
        b"5\r\nhello\r\n",
        b"10\r\naaaaaaaaaaaaaaaa\r\n",
        b"2\r\n\r\n\r\n",
        b"0\r\n\r\n",
    ]


def test_an_empty_piece_is_never_the_last_chunk() -> None:
    pieces = Pieces(b"", b"a", bytearray(), memoryview(b""), b"b", b"")
    assert sent(ChunkedFraming(pieces)) == [b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]
    assert sent(ChunkedFraming(Pieces())) == [b"0\r\n\r\n"]
    assert sent(ChunkedFraming(Pieces(b""))) == [b"0\r\n\r\n"]


def test_trailers_follow_the_last_chunk() -> None:
    pieces = Pieces(b"a", trailers=[("Digest", "x=y"), ("X-Name", "caf\xe9"), ("Digest", "")])
    assert b"".join(sent(ChunkedFraming(pieces))) == (
        b"1\r\na\r\n0\r\nDigest: x=y\r\nX-Name: caf\xe9\r\nDigest: \r\n\r\n"
    )


def test_trailers_are_asked_for_behind_the_last_byte() -> None:
    class Counted(Pieces):
        came = 0

        def chunks(self) -> Iterator[Buffer]:
            for piece in self.pieces:
                self.came += len(piece)
                yield piece

        def trailers(self) -> Sequence[tuple[str, str]]:
            return [("X-Came", str(self.came))]

    assert sent(ChunkedFraming(Counted(b"hello", b"!")))[-1] == b"0\r\nX-Came: 6\r\n\r\n"


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
def test_W16_a_trailer_that_breaks_out_of_its_line_is_refused(trailer: tuple[str, str]) -> None:
    out = iter(ChunkedFraming(Pieces(b"a", trailers=[trailer])))
    assert next(out) == [b"1\r\n", b"a", b"\r\n"]
    with pytest.raises(PayloadError):
        next(out)


def test_an_error_of_the_source_passes_and_no_last_chunk_follows() -> None:
    class Broken(Pieces):
        def chunks(self) -> Iterator[Buffer]:
            yield b"a"
            raise KeyError("b")

    out = iter(ChunkedFraming(Broken()))
    assert next(out) == [b"1\r\n", b"a", b"\r\n"]
    with pytest.raises(KeyError, match="b"):
        next(out)
    assert list(out) == []


def test_a_big_piece_is_not_copied_to_be_framed() -> None:
    piece = bytes(8 * MIB)
    for out in (ChunkedFraming(Pieces(piece)), SizedFraming(Pieces(piece, length=len(piece)))):
        assert any(part is piece for group in out for part in group)
