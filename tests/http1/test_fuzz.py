"""Any bytes in any parts have one result, or one restkit error.

``RESTKIT_FUZZ=100 pytest tests/http1/test_fuzz.py`` runs a hundred times the examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.connections.outgoing import ChunkedFraming
from restkit.errors import ResponseError, TransportError
from restkit.http1.fields import parse_trailers
from restkit.http1.framing import ChunkedBody, keeps_alive
from restkit.http1.response_head import parse_response_head
from restkit.http1.response_reader import ResponseReader
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from support.wire_strategies import (
    ANY_BYTES,
    METHODS,
    NAMES,
    SPLINTERS,
    VALUES,
    cut,
    examples,
    parse,
    responses,
)

ANY_METHOD = st.sampled_from([*METHODS, "CONNECT"])


@settings(max_examples=examples(400))
@given(st.data(), ANY_BYTES, ANY_METHOD)
def test_any_bytes_have_one_outcome_however_they_are_cut(
    data: st.DataObject, message: bytes, method: str
) -> None:
    whole = parse([message], method)
    parts = data.draw(cut(message))
    assert parse(parts, method).outcome == whole.outcome
    assert whole.error is None or issubclass(whole.error, (ResponseError, TransportError))


@settings(max_examples=examples(150))
@given(st.data(), responses(), ANY_METHOD)
def test_valid_responses_are_accepted_without_losing_a_byte(
    data: st.DataObject, message: bytes, method: str
) -> None:
    result = parse(data.draw(cut(message)), method)
    assert result.error is None, result.message
    assert message.endswith(result.leftover)


@settings(max_examples=examples(100))
@given(st.data(), responses(), st.lists(st.binary(max_size=20)))
def test_bytes_fed_after_the_end_are_leftover(
    data: st.DataObject, message: bytes, more: list[bytes]
) -> None:
    reader = ResponseReader("GET")
    reader.feed(message)
    if reader.done:
        assert reader.body_reader is not None
        before = reader.body_reader.leftover
        assert [list(reader.feed(part)) for part in more] == [[] for _ in more]
        assert reader.done
        assert reader.body_reader.leftover == before + b"".join(more)
        reader.end()


@settings(max_examples=examples(100))
@given(ANY_BYTES)
def test_no_field_contains_a_line_end(message: bytes) -> None:
    try:
        parsed = parse_response_head(message)
    except ResponseError:
        return
    if parsed is not None:
        head, end = parsed
        assert message[:end].endswith((b"\n\r\n", b"\n\n"))
        text = "".join(f"{name}{value}" for name, value in head.headers.pairs()) + head.reason
        assert not set(text) & {"\r", "\n", "\0"}
        assert isinstance(keeps_alive(head), bool)


@settings(max_examples=examples(100))
@given(st.lists(SPLINTERS | st.tuples(NAMES, VALUES).map(lambda field: b"%b:%b\r\n" % field)))
def test_trailer_section_is_parsed_rejected_or_needs_more(lines: list[bytes]) -> None:
    data = b"".join(lines) + b"\r\n"
    try:
        parsed = parse_trailers(data)
    except ResponseError:
        return
    assert parsed is not None or b"\r\n\r\n" not in data


class ListPayload(Payload):
    def __init__(self, items: Sequence[bytes], trailers: Sequence[tuple[str, str]]) -> None:
        self.items = items
        self.fields = trailers

    def chunks(self) -> Iterator[Buffer]:
        return iter(self.items)

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self.fields


@settings(max_examples=examples(100))
@given(
    st.data(),
    st.lists(st.binary(max_size=30)),
    st.lists(st.tuples(NAMES.map(bytes.decode), st.sampled_from(["", "a", "b c", "d\xe9"]))),
)
def test_encoded_chunks_are_decoded_again(
    data: st.DataObject, items: list[bytes], trailers: list[tuple[str, str]]
) -> None:
    sent = b"".join(
        bytes(part) for group in ChunkedFraming(ListPayload(items, trailers)) for part in group
    )
    body = ChunkedBody()
    received = [bytes(chunk) for part in data.draw(cut(sent)) for chunk in body.feed(part)]
    assert b"".join(received) == b"".join(items)
    assert body.trailers == trailers
    assert body.done
    assert body.leftover == b""


@settings(max_examples=examples(100))
@given(st.lists(SPLINTERS), st.data())
def test_random_chunks_end_in_a_result_or_an_error(
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
