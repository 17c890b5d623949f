"""Multipart forms: read by three other parsers, their lengths, waiting and transfer encodings."""

from __future__ import annotations

import base64
import binascii
import io
import os
import quopri
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import PayloadLengthError, PayloadNotReplayable
from restkit.forms.form_data import FormData
from restkit.forms.multipart import MultipartPayload, Part
from restkit.forms.transfer_encodings import Base64Payload, QuotedPrintablePayload
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from support import ScriptedServer, field, payload_of, response
from support.form_parsers import (
    PARSERS,
    ParsedPart,
    parse_with_email,
    parse_with_multipart,
    parse_with_python_multipart,
)
from support.memory import MIB, peak_memory

GIB = 1 << 30


def encode(form: FormData) -> tuple[str, bytes]:
    """Return type and body. A replayable payload must give the same body twice."""
    payload = form.__payload__()
    assert isinstance(payload, MultipartPayload)
    body = b"".join(payload)
    assert payload.length in (None, len(body))
    if payload.replayable:
        assert b"".join(payload) == body
    ((name, content_type),) = payload.headers
    assert name == "Content-Type"
    return content_type, body


# Other parsers


@pytest.mark.parametrize("parser", PARSERS)
def test_S22_three_parsers_restore_plain_names_and_any_bytes(parser):
    form = FormData()
    form.add_field("files[0]", b"--\r\n\0\xff\r\n", file_name="sister.txt")
    form.add_field("grüße €", "ü\r\n", file_name="bűn (1).txt")
    form.add_field("empty", b"")
    form.add_field("f", iter([b"a", b"", b"b"]), file_name="100%.txt")
    form.add_field("no file", "text")
    assert PARSERS[parser](*encode(form)) == [
        ParsedPart("files[0]", "sister.txt", b"--\r\n\0\xff\r\n"),
        ParsedPart("grüße €", "bűn (1).txt", b"\xc3\xbc\r\n"),
        ParsedPart("empty", "empty", b""),
        ParsedPart("f", "100%.txt", b"ab"),
        ParsedPart("no file", None, b"text"),
    ]


def test_S22_quoted_names_are_restored_by_a_parser_that_knows_the_quoting():
    form = FormData()
    form.add_field('a"\r\nX: y', "value", file_name='bűn "x".txt')
    content_type, body = encode(form)
    head, _, _ = body.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [
        b'Content-Disposition: form-data; name="a%22%0D%0AX: y"; filename="b\xc5\xb1n %22x%22.txt"',
        b"Content-Type: text/plain; charset=utf-8",
    ]
    assert parse_with_multipart(content_type, body) == [
        ParsedPart('a"\r\nX: y', 'bűn "x".txt', b"value")
    ]
    # The others return the quoted name, and no additional header line.
    encode_field = ParsedPart("a%22%0D%0AX: y", "bűn %22x%22.txt", b"value")
    assert parse_with_python_multipart(content_type, body) == [encode_field]
    assert parse_with_email(content_type, body) == [encode_field]


# No parser restores a percent sign before text that looks quoted. Each parser treats a backslash
# in another way, and one takes the text before it for a folder.
ANY_NAME = st.text(st.characters(exclude_characters="\0%\\", exclude_categories=["Cs"]), min_size=1)
# The email parser treats many characters as white space or line ends.
PLAIN_NAME = st.text(
    st.characters(exclude_characters='"%\\', exclude_categories=["C", "Z"]), min_size=1
)


def make_form(fields: list[tuple[str, str | None, bytes]]) -> tuple[FormData, list[ParsedPart]]:
    form = FormData()
    for name, file_name, data in fields:
        if file_name is None:
            form.add_field(name, data.decode("latin-1"), content_type="text/plain")
        else:
            form.add_field(name, iter([data[:3], data[3:]]), file_name=file_name)
    return form, [
        ParsedPart(name, file_name, data.decode("latin-1").encode() if file_name is None else data)
        for name, file_name, data in fields
    ]


def field_lists(names):
    return st.lists(st.tuples(names, st.none() | names, st.binary()), min_size=1, max_size=4)


@given(field_lists(ANY_NAME))
def test_S22_any_names_and_values_are_restored_by_a_parser_that_knows_the_quoting(given_fields):
    form, expected = make_form(given_fields)
    assert parse_with_multipart(*encode(form)) == expected


@pytest.mark.parametrize("parser", PARSERS)
@given(field_lists(PLAIN_NAME))
def test_S22_every_parser_restores_plain_names_and_any_values(parser, given_fields):
    form, expected = make_form(given_fields)
    assert PARSERS[parser](*encode(form)) == expected


def test_form_in_a_form_has_its_own_boundary():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    inner_type, inner_body = encode(form)
    form.add_field("itself", form)
    content_type, body = encode(form)
    assert inner_type != content_type
    first, nested = parse_with_multipart(content_type, body)
    assert first == ParsedPart("f", "f", b"x")
    assert nested == ParsedPart("itself", "itself", inner_body)
    assert f"Content-Type: {inner_type}\r\n".encode() in body


def test_form_keeps_its_own_boundary_of_128_bits():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    boundary = form.__payload__().boundary
    assert len(bytes.fromhex(boundary)) == 16
    assert form.__payload__().boundary == boundary
    assert FormData.from_fields(form).__payload__().boundary != boundary


# Lengths


def test_length_of_a_large_file_is_known_without_reading(tmp_path):
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(5 * GIB)
        form = FormData.from_fields({"a": "text", "b": io.BytesIO(b"bytes")})
        without = form.__payload__() if len(form) else None
        form.add_field("sparse", file)
        payload = form.__payload__()
        head = (
            f"--{payload.boundary}\r\n"
            'Content-Disposition: form-data; name="sparse"; filename="sparse"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        assert payload.length == without.length + len(head) + 5 * GIB + len("\r\n")
        assert payload.replayable


class FakePayload(Payload):
    """A payload with the given length, replay and data."""

    def __init__(self, length, *, replayable=True, data=b""):
        self.length = length
        self.replayable = replayable
        self._data = data

    def chunks(self):
        yield self._data


def test_form_has_a_length_and_replays_only_if_every_part_does():
    def form(*payloads):
        return FormData.from_fields({"x": list(payloads)}).__payload__()

    assert form(FakePayload(5 * GIB), FakePayload(0)).length > 5 * GIB
    assert form(FakePayload(1), FakePayload(None), FakePayload(1)).length is None
    assert form(FakePayload(1), FakePayload(1)).replayable
    assert not form(FakePayload(1), FakePayload(1, replayable=False)).replayable


def test_part_with_a_wrong_length_raises_and_the_form_never_ends():
    form = FormData.from_fields({"x": FakePayload(5, data=b"four")})
    given_so_far = []
    with pytest.raises(
        PayloadLengthError, match="FakePayload 5 bytes, replayable> produced 4 of 5"
    ):
        given_so_far.extend(form.__payload__())
    assert b"".join(given_so_far).endswith(b"\r\n\r\nfour")


def test_small_form_is_one_chunk_and_a_large_value_is_not_joined():
    form = FormData.from_fields({"a": "1", "b": ["2", b"3"]})
    form.add_field("f", b"x" * 1000)
    assert len(list(form.__payload__())) == 1
    large = b"x" * (3 * MIB)
    form.add_field("large", large)
    head, *data, _end = map(bytes, form.__payload__())
    assert head.count(b"Content-Disposition") == 5
    assert b"".join(data) == large


# Passes, and waiting for a pipe


def test_form_has_started_if_a_one_shot_part_has():
    stream = as_payload(iter([b"x"]))
    form = FormData.from_fields({"a": "1", "s": stream})
    payload = form.__payload__()
    assert not payload.started
    assert list(stream) == [b"x"]
    assert payload.started
    with pytest.raises(PayloadNotReplayable):
        next(iter(payload))


@pytest.mark.parametrize("encoding", [None, "base64"])
def test_one_shot_source_in_two_fields_raises(encoding):
    once = (chunk for chunk in [b"x"])
    for source in (once, as_payload(once)):
        form = FormData()
        form.add_field("a", source)
        form.add_field("b", io.BytesIO(b"between"))
        form.add_field("c", source, transfer_encoding=encoding)
        with pytest.raises(PayloadNotReplayable, match="'a' and 'c' have the same"):
            form.__payload__()
    again = as_payload([b"x"])
    form = FormData.from_fields({"a": [again, again]})
    assert [part.data for part in parse_with_multipart(*encode(form))] == [b"x", b"x"]


def test_closing_a_pass_closes_the_current_part():
    closed = []

    def stream():
        try:
            yield b"x"
            yield b"y"
        finally:
            closed.append(True)

    for encoding in (None, "base64", "quoted-printable"):
        form = FormData()
        form.add_field("s", stream(), transfer_encoding=encoding)
        chunks = iter(form.__payload__())
        assert b"Content-Disposition" in bytes(next(chunks))
        next(chunks)
        chunks.close()
        assert closed.pop()


@pytest.mark.posix("select does not watch pipes")
def test_early_response_is_read_while_a_pipe_in_the_form_is_empty(client):
    # The response arrives while the pipe is empty, so both must be polled.
    reading, writing = os.pipe()

    def script(peer):
        peer.read_until(b"before the pipe")
        peer.read_until(b"octet-stream\r\n\r\n")
        peer.send(response(b"no", status="413 Too Large"))

    with os.fdopen(reading, "rb", 0) as pipe, ScriptedServer(script) as server:
        form = FormData.from_fields({"text": "before the pipe", "pipe": pipe})
        assert form.__payload__().waits_on is None
        early_response = client.post(server.url(), form)
        assert early_response.status == 413
        os.close(writing)


@pytest.mark.posix("select does not watch pipes")
def test_form_waits_on_the_pipe_that_is_current():
    (one, one_in), (two, two_in) = os.pipe(), os.pipe()
    with os.fdopen(one, "rb", 0) as first, os.fdopen(two, "rb", 0) as second:
        form = FormData()
        form.add_field("a", first)
        form.add_field("b", second, transfer_encoding="base64")
        payload = form.__payload__()
        chunks = iter(payload)
        assert payload.waits_on is None
        next(chunks)
        assert payload.waits_on == first.fileno()
        os.write(one_in, b"1")
        assert bytes(next(chunks)) == b"1"
        assert payload.waits_on == first.fileno()
        os.close(one_in)
        assert b'name="b"' in bytes(next(chunks))
        assert payload.waits_on == second.fileno()
        os.write(two_in, b"123")
        assert bytes(next(chunks)) == b"MTIz"
        os.close(two_in)
        assert bytes(next(chunks)).endswith(b"--\r\n")
        chunks.close()
        assert payload.waits_on is None


def test_replayable_form_waits_on_nothing():
    class Waiting(FakePayload):
        waits_on = 0

    payload = FormData.from_fields({"a": Waiting(None, data=b"x")}).__payload__()
    for _ in payload:
        assert payload.waits_on is None


def test_two_passes_at_once_do_not_mix(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(os.urandom(MIB))
    payload = FormData.from_fields({"a": "1", "p": path, "s": lambda: [b"s"] * 9}).__payload__()
    whole = b"".join(payload)
    one, other = iter(payload), iter(payload)
    mixed = [(bytes(a), bytes(b)) for a, b in zip(one, other, strict=True)]
    assert b"".join(a for a, _ in mixed) == b"".join(b for _, b in mixed) == whole


def test_large_file_in_a_form_is_sent_in_little_memory(tmp_path):
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(64 * MIB)
    sizes = []

    def sink(peer):
        for _ in range(2):
            length = int(field(peer.read_head(), "content-length"))
            sizes.append(peer.drop(length))
            peer.send(response(b"thanks"))

    with ScriptedServer(sink) as server:
        measured = peak_memory(
            """
            import restkit
            from restkit.forms.form_data import FormData

            def send(size):
                form = FormData.from_fields({"a": "text"})
                with open(path, "rb") as file:
                    file.seek(-size, 2)
                    form.add_field("file", file)
                    return restkit.request(url, "POST", payload=form).body

            send(1024)
            """,
            f"send({64 * MIB})",
            url=server.url(),
            path=str(tmp_path / "sparse"),
        )
    assert sizes[1] - sizes[0] == 64 * MIB - 1024
    assert measured.growth < 8 * MIB


# Transfer encodings


def encode_field(value, encoding: str) -> bytes:
    form = FormData()
    form.add_field("f", value, transfer_encoding=encoding)
    content_type, body = encode(form)
    assert f"\r\nContent-Transfer-Encoding: {encoding.lower()}\r\n".encode() in body
    (part,) = parse_with_multipart(content_type, body)
    return part.data


def test_S19_base64_continues_across_chunks():
    assert encode_field(iter([b"z", b"yy"]), "base64") == b"enl5"
    assert encode_field(iter([b"z", b"y"]), "base64") == b"enk="
    assert encode_field(iter([]), "base64") == b""
    assert encode_field(b"zyy", "BASE64") == b"enl5"
    assert encode_field("zyy", "base64") == b"enl5"


CHUNKS = st.lists(st.binary(max_size=300), max_size=6)


@given(CHUNKS)
def test_base64_is_one_line_of_known_length_for_any_chunks(chunks):
    data = b"".join(chunks)
    assert b"".join(Base64Payload(as_payload(iter(chunks)))) == base64.b64encode(data)
    whole = Base64Payload(as_payload(data))
    assert whole.length == len(b"".join(whole)) == len(b"".join(whole))
    assert whole.replayable


@given(CHUNKS | st.lists(st.text(st.sampled_from("a =\r\n\t."), max_size=300).map(str.encode)))
def test_quoted_printable_restores_all_bytes_with_lines_of_76(chunks):
    data = b"".join(chunks)
    result = b"".join(QuotedPrintablePayload(as_payload(iter(chunks))))
    assert result == b"".join(QuotedPrintablePayload(as_payload([data])))
    assert binascii.a2b_qp(result) == quopri.decodestring(result) == data
    lines = result.split(b"\r\n")
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in lines)
    assert all(line.endswith(b"=") for line in lines[:-1])
    assert result.isascii()


@given(st.binary(max_size=300))
def test_quoted_printable_has_a_length_if_the_source_is_in_memory(data):
    payload = QuotedPrintablePayload(as_payload(data))
    assert payload.length == len(b"".join(payload))
    assert QuotedPrintablePayload(as_payload(iter([data]))).length is None


def test_quoted_printable_escapes_and_soft_line_ends():
    assert (
        encode_field("Grüße, 1+1=2\r\n ", "quoted-printable")
        == b"Gr=C3=BC=C3=9Fe, 1+1=3D2=0D=0A=20"
    )
    # Lines have 73 characters and '=', and never end inside an escape.
    assert encode_field("x" * 72 + "==", "quoted-printable") == b"x" * 72 + b"=\r\n=3D=3D"


def test_binary_keeps_the_bytes_and_empty_means_no_encoding():
    assert encode_field(b"\0\xff", "binary") == b"\0\xff"
    form = FormData()
    form.add_field("f", "x", transfer_encoding="")
    assert b"".join(form.__payload__()) == b"f=x"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "binary"])
@given(data=st.binary(max_size=200), text=st.text(max_size=50))
def test_python_multipart_decodes_transfer_encodings(encoding, data, text):
    form = FormData()
    form.add_field("d", io.BytesIO(data), transfer_encoding=encoding)
    form.add_field("t", text, transfer_encoding=encoding)
    assert parse_with_python_multipart(*encode(form)) == [
        ParsedPart("d", "d", data),
        ParsedPart("t", None, text.encode()),
    ]


def test_base64_file_has_a_length_and_is_sent_again(client, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(os.urandom(1_000_001))
    form = FormData()
    form.add_field("f", path, transfer_encoding="base64")
    there = response(b"", "Location: /there", status="307 Moved")
    with ScriptedServer.serving(there, response(b"ok")) as server:
        client.post(server.url(), form)
        first, second = server.requests
        assert field(first, "content-length") == str(len(payload_of(first)))
        assert payload_of(first) == payload_of(second)
        assert base64.b64encode(path.read_bytes()) in payload_of(first)


def test_base64_payload_has_started_when_its_source_has():
    source = as_payload(iter([b"x"]))
    payload = Base64Payload(source)
    assert not payload.started
    assert list(payload) == [b"eA=="]
    assert payload.started
    assert repr(payload).startswith("<Base64Payload of <IteratorPayload of list_iterator ")


def test_multipart_payload_accepts_a_part_without_a_form():
    payload = MultipartPayload([Part("a", as_payload(b"x"))])
    assert parse_with_multipart(payload.headers[0][1], b"".join(payload)) == [
        ParsedPart("a", None, b"x")
    ]


def test_threads_that_encode_one_form_at_once_all_get_a_complete_payload():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    found = []
    threads = [threading.Thread(target=lambda: found.append(encode(form))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [parse_with_multipart(*each) for each in found] == [[ParsedPart("f", "f", b"x")]] * 8
