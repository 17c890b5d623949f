"""Whatever a peer sends, in whatever parts: a result or a restkit error, and always the same one.

``RESTKIT_FUZZ=100 pytest tests/http1/test_fuzz.py`` is the long run: a hundred times the examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.connections.outgoing import ChunkedOut
from restkit.errors import ResponseError, TransportError
from restkit.http1.fields import take_trailers
from restkit.http1.framing import ChunkedBody, keeps_alive
from restkit.http1.response_head import take_response_head
from restkit.http1.response_reader import ResponseReader
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from support.wire_strategies import (
    ANY_BYTES,
    METHODS,
    NAMES,
    SPLINTERS,
    VALUES,
    answers,
    cut,
    examples,
    told,
)

ANY_METHOD = st.sampled_from([*METHODS, "CONNECT"])


@settings(max_examples=examples(400))
@given(st.data(), ANY_BYTES, ANY_METHOD)
def test_any_bytes_have_one_outcome_however_they_are_cut(
    data: st.DataObject, message: bytes, method: str
) -> None:
    whole = told([message], method)
    parts = data.draw(cut(message))
    assert told(parts, method).outcome == whole.outcome
    assert whole.error is None or issubclass(whole.error, (ResponseError, TransportError))


@settings(max_examples=examples(150))
@given(st.data(), answers(), ANY_METHOD)
def test_right_answers_are_taken_and_give_back_every_byte(
    data: st.DataObject, message: bytes, method: str
) -> None:
    was = told(data.draw(cut(message)), method)
    assert was.error is None, was.message
    assert message.endswith(was.rest)


@settings(max_examples=examples(100))
@given(st.data(), answers(), st.lists(st.binary(max_size=20)))
def test_what_is_fed_after_the_end_is_rest_and_changes_nothing(
    data: st.DataObject, message: bytes, more: list[bytes]
) -> None:
    answer = ResponseReader("GET")
    answer.feed(message)
    if answer.done:
        assert answer.deframer is not None
        before = answer.deframer.rest
        assert [list(answer.feed(part)) for part in more] == [[] for _ in more]
        assert answer.done
        assert answer.deframer.rest == before + b"".join(more)
        answer.end()


@settings(max_examples=examples(100))
@given(ANY_BYTES)
def test_no_field_ever_holds_a_line_end(message: bytes) -> None:
    try:
        taken = take_response_head(message)
    except ResponseError:
        return
    if taken is not None:
        head, end = taken
        assert message[:end].endswith(b"\r\n\r\n")
        text = "".join(f"{name}{value}" for name, value in head.headers.pairs()) + head.reason
        assert not set(text) & {"\r", "\n", "\0"}
        assert isinstance(keeps_alive(head), bool)


@settings(max_examples=examples(100))
@given(st.lists(SPLINTERS | st.tuples(NAMES, VALUES).map(lambda field: b"%b:%b\r\n" % field)))
def test_a_trailer_section_is_taken_refused_or_waited_for(lines: list[bytes]) -> None:
    data = b"".join(lines) + b"\r\n"
    try:
        taken = take_trailers(data)
    except ResponseError:
        return
    assert taken is not None or b"\r\n\r\n" not in data


class _Pieces(Payload):
    def __init__(self, pieces: Sequence[bytes], trailers: Sequence[tuple[str, str]]) -> None:
        self.pieces = pieces
        self.fields = trailers

    def chunks(self) -> Iterator[Buffer]:
        return iter(self.pieces)

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self.fields


@settings(max_examples=examples(100))
@given(
    st.data(),
    st.lists(st.binary(max_size=30)),
    st.lists(st.tuples(NAMES.map(bytes.decode), st.sampled_from(["", "a", "b c", "d\xe9"]))),
)
def test_what_goes_out_in_chunks_comes_in_again(
    data: st.DataObject, pieces: list[bytes], trailers: list[tuple[str, str]]
) -> None:
    sent = b"".join(
        bytes(part) for group in ChunkedOut(_Pieces(pieces, trailers)) for part in group
    )
    body = ChunkedBody()
    came = [bytes(piece) for part in data.draw(cut(sent)) for piece in body.feed(part)]
    assert b"".join(came) == b"".join(pieces)
    assert body.trailers == trailers
    assert body.done
    assert body.rest == b""


@settings(max_examples=examples(100))
@given(st.lists(SPLINTERS), st.data())
def test_chunks_of_splinters_end_in_a_result_or_an_error(
    splinters: list[bytes], data: st.DataObject
) -> None:
    parts = data.draw(cut(b"".join(splinters)))
    body = ChunkedBody()
    try:
        for part in parts:
            body.feed(part)
        body.end()
    except ResponseError:
        return
    assert body.done
