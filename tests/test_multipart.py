"""Parts one after the other: what three parsers of others' make of them, lengths, encodings."""

from __future__ import annotations

import base64
import binascii
import email
import io
import os
import quopri
import threading
from typing import NamedTuple

import multipart
import pytest
import python_multipart
from hypothesis import given
from hypothesis import strategies as st

from restkit import PayloadLengthError, PayloadNotReplayable
from restkit.door import as_payload
from restkit.forms import FormData
from restkit.multipart import MultipartPayload, Part
from restkit.payload import Payload
from restkit.transfer_encodings import Base64Payload, QuotedPrintablePayload
from support import ScriptedServer, field, payload_of, response
from support.memory import MIB, peak_memory

GIB = 1 << 30


class Parsed(NamedTuple):
    """A part as a parser gives it back; what of it a parser does not tell is None."""

    name: str
    file_name: str | None
    data: bytes


def by_multipart(content_type: str, body: bytes) -> list[Parsed]:
    """PyPI's multipart, which knows what browsers write; strict about everything else."""
    _, options = multipart.parse_options_header(content_type)
    parser = multipart.MultipartParser(io.BytesIO(body), options["boundary"], strict=True)
    return [Parsed(part.name, part.filename, part.raw) for part in parser]


def by_python_multipart(content_type: str, body: bytes) -> list[Parsed]:
    """PyPI's python-multipart; it undoes a Content-Transfer-Encoding."""
    found: list[Parsed] = []
    files = []

    def on_field(got):
        found.append(Parsed(got.field_name.decode(), None, got.value or b""))

    def on_file(got):
        files.append(got)  # older ones are not done with it yet
        got.file_object.seek(0)
        found.append(
            Parsed(got.field_name.decode(), got.file_name.decode(), got.file_object.read())
        )

    headers = {"Content-Type": content_type.encode()}
    python_multipart.parse_form(headers, io.BytesIO(body), on_field, on_file)
    for got in files:
        got.close()
    return found


def by_email(content_type: str, body: bytes) -> list[Parsed]:
    """The standard library's email; names come as they are on the wire, not decoded."""
    text = f"Content-Type: {content_type}\r\n\r\n{body.decode('latin-1')}"
    parts = email.message_from_string(text).get_payload()
    return [
        Parsed(
            _utf_8(part.get_param("name", header="content-disposition")),
            _utf_8(part.get_param("filename", header="content-disposition")),
            part.get_payload().encode("latin-1"),
        )
        for part in parts
    ]


def _utf_8(name: str | None) -> str | None:
    return None if name is None else name.encode("latin-1").decode()


EVERY_PARSER = {
    "multipart": by_multipart,
    "python-multipart": by_python_multipart,
    "email": by_email,
}


def wire(form: FormData) -> tuple[str, bytes]:
    """What goes: the type and the body, the same at both passes where there are two."""
    payload = form.__payload__()
    assert isinstance(payload, MultipartPayload)
    body = b"".join(payload)
    assert payload.length in (None, len(body))
    if payload.replayable:
        assert b"".join(payload) == body
    ((name, content_type),) = payload.headers
    assert name == "Content-Type"
    return content_type, body


# What comes back


@pytest.mark.parametrize("parser", EVERY_PARSER)
def test_S22_plain_names_and_any_bytes_come_back_from_three_parsers(parser):
    form = FormData()
    form.add_field("files[0]", b"--\r\n\0\xff\r\n", file_name="sister.txt")
    form.add_field("grüße €", "ü\r\n", file_name="bűn (1).txt")
    form.add_field("empty", b"")
    form.add_field("f", iter([b"a", b"", b"b"]), file_name="100%.txt")
    form.add_field("no file", "text")
    assert EVERY_PARSER[parser](*wire(form)) == [
        Parsed("files[0]", "sister.txt", b"--\r\n\0\xff\r\n"),
        Parsed("grüße €", "bűn (1).txt", b"\xc3\xbc\r\n"),
        Parsed("empty", "empty", b""),
        Parsed("f", "100%.txt", b"ab"),
        Parsed("no file", None, b"text"),
    ]


def test_S22_other_names_come_back_from_those_who_know_the_quoting():
    form = FormData()
    form.add_field('a"\r\nX: y', "value", file_name='bűn "x".txt')
    content_type, body = wire(form)
    head, _, _ = body.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [
        b'Content-Disposition: form-data; name="a%22%0D%0AX: y"; filename="b\xc5\xb1n %22x%22.txt"',
        b"Content-Type: text/plain; charset=utf-8",
    ]
    assert by_multipart(content_type, body) == [Parsed('a"\r\nX: y', 'bűn "x".txt', b"value")]
    # The others give what stands there, and no line more.
    encoded = Parsed("a%22%0D%0AX: y", "bűn %22x%22.txt", b"value")
    assert by_python_multipart(content_type, body) == [encoded]
    assert by_email(content_type, body) == [encoded]


# A percent sign, where what follows it would be read as quoted, does not come back from anyone;
# of a backslash each parser makes something else, and one takes what is before it for a folder.
ANY_NAME = st.text(st.characters(exclude_characters="\0%\\", exclude_categories=["Cs"]), min_size=1)
# What a parser of mail takes for white space or for the end of a line is no plain name.
PLAIN_NAME = st.text(
    st.characters(exclude_characters='"%\\', exclude_categories=["C", "Z"]), min_size=1
)


def form_of(fields: list[tuple[str, str | None, bytes]]) -> tuple[FormData, list[Parsed]]:
    form = FormData()
    for name, file_name, data in fields:
        if file_name is None:
            form.add_field(name, data.decode("latin-1"), content_type="text/plain")
        else:
            form.add_field(name, iter([data[:3], data[3:]]), file_name=file_name)
    return form, [
        Parsed(name, file_name, data.decode("latin-1").encode() if file_name is None else data)
        for name, file_name, data in fields
    ]


def fields(names):
    return st.lists(st.tuples(names, st.none() | names, st.binary()), min_size=1, max_size=4)


@given(fields(ANY_NAME))
def test_S22_any_names_and_values_come_back_from_a_parser_that_knows_the_quoting(given_fields):
    form, wanted = form_of(given_fields)
    assert by_multipart(*wire(form)) == wanted


@pytest.mark.parametrize("parser", EVERY_PARSER)
@given(fields(PLAIN_NAME))
def test_S22_plain_names_and_any_values_come_back_from_every_parser(parser, given_fields):
    form, wanted = form_of(given_fields)
    assert EVERY_PARSER[parser](*wire(form)) == wanted


def test_a_form_in_a_form_has_a_boundary_of_its_own():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    inner_type, inner_body = wire(form)
    form.add_field("itself", form)
    content_type, body = wire(form)
    assert inner_type != content_type
    first, nested = by_multipart(content_type, body)
    assert first == Parsed("f", "f", b"x")
    assert nested == Parsed("itself", "itself", inner_body)
    assert f"Content-Type: {inner_type}\r\n".encode() in body


def test_every_form_has_a_boundary_of_128_bits_and_keeps_it():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    boundary = form.__payload__().boundary
    assert len(bytes.fromhex(boundary)) == 16
    assert form.__payload__().boundary == boundary
    assert FormData.from_fields(form).__payload__().boundary != boundary


# Lengths


def test_a_large_file_beside_others_is_measured_and_not_read(tmp_path):
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


class Told(Payload):
    """Says what it is told to say of itself."""

    def __init__(self, length, *, replayable=True, gives=b""):
        self.length = length
        self.replayable = replayable
        self._gives = gives

    def chunks(self):
        yield self._gives


def test_a_length_needs_one_of_every_part_and_a_replay_too():
    def form(*payloads):
        return FormData.from_fields({"x": list(payloads)}).__payload__()

    assert form(Told(5 * GIB), Told(0)).length > 5 * GIB
    assert form(Told(1), Told(None), Told(1)).length is None
    assert form(Told(1), Told(1)).replayable
    assert not form(Told(1), Told(1, replayable=False)).replayable


def test_a_part_that_does_not_keep_its_length_is_an_error_and_the_form_never_ends():
    form = FormData.from_fields({"x": Told(5, gives=b"four")})
    given_so_far = []
    with pytest.raises(PayloadLengthError, match="Told 5 bytes, replayable> gave 4 of 5"):
        given_so_far.extend(form.__payload__())
    assert b"".join(given_so_far).endswith(b"\r\n\r\nfour")


def test_a_form_in_memory_is_one_piece_and_a_large_value_is_not_copied_into_one():
    form = FormData.from_fields({"a": "1", "b": ["2", b"3"]})
    form.add_field("f", b"x" * 1000)
    assert len(list(form.__payload__())) == 1
    large = b"x" * (3 * MIB)
    form.add_field("large", large)
    head, *blocks, _end = map(bytes, form.__payload__())
    assert head.count(b"Content-Disposition") == 5
    assert b"".join(blocks) == large


# One pass, and what it waits for


def test_a_form_has_begun_when_a_part_of_it_that_can_be_sent_once_has():
    stream = as_payload(iter([b"x"]))
    form = FormData.from_fields({"a": "1", "s": stream})
    payload = form.__payload__()
    assert not payload.started
    assert list(stream) == [b"x"]
    assert payload.started
    with pytest.raises(PayloadNotReplayable):
        next(iter(payload))


@pytest.mark.parametrize("encoding", [None, "base64"])
def test_what_can_be_sent_once_cannot_be_two_fields(encoding):
    once = (piece for piece in [b"x"])
    for source in (once, as_payload(once)):
        form = FormData()
        form.add_field("a", source)
        form.add_field("b", io.BytesIO(b"between"))
        form.add_field("c", source, transfer_encoding=encoding)
        with pytest.raises(PayloadNotReplayable, match="'a' and 'c' are of the same"):
            form.__payload__()
    again = as_payload([b"x"])
    form = FormData.from_fields({"a": [again, again]})
    assert [part.data for part in by_multipart(*wire(form))] == [b"x", b"x"]


def test_a_pass_that_is_broken_off_closes_the_part_under_way():
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
        pieces = iter(form.__payload__())
        assert b"Content-Disposition" in bytes(next(pieces))
        next(pieces)
        pieces.close()
        assert closed.pop()


def test_a_pipe_in_a_form_is_waited_on_beside_the_connection(client):
    # The answer comes while the pipe says nothing: it can only be seen if both are looked at.
    reading, writing = os.pipe()

    def script(peer):
        peer.read_until(b"before the pipe")
        peer.read_until(b"octet-stream\r\n\r\n")
        peer.send(response(b"no", status="413 Too Large"))

    with os.fdopen(reading, "rb", 0) as pipe, ScriptedServer(script) as server:
        form = FormData.from_fields({"text": "before the pipe", "pipe": pipe})
        assert form.__payload__().waits_on is None
        answer = client.post(server.url(), form)
        assert answer.status == 413
        os.close(writing)


def test_a_form_waits_on_the_pipe_whose_turn_it_is():
    (one, one_in), (two, two_in) = os.pipe(), os.pipe()
    with os.fdopen(one, "rb", 0) as first, os.fdopen(two, "rb", 0) as second:
        form = FormData()
        form.add_field("a", first)
        form.add_field("b", second, transfer_encoding="base64")
        payload = form.__payload__()
        pieces = iter(payload)
        assert payload.waits_on is None
        next(pieces)
        assert payload.waits_on == first.fileno()
        os.write(one_in, b"1")
        assert bytes(next(pieces)) == b"1"
        assert payload.waits_on == first.fileno()
        os.close(one_in)
        assert b'name="b"' in bytes(next(pieces))
        assert payload.waits_on == second.fileno()
        os.write(two_in, b"123")
        assert bytes(next(pieces)) == b"MTIz"
        os.close(two_in)
        assert bytes(next(pieces)).endswith(b"--\r\n")
        pieces.close()
        assert payload.waits_on is None


def test_what_can_be_sent_side_by_side_waits_on_nothing():
    class Waiting(Told):
        waits_on = 0

    payload = FormData.from_fields({"a": Waiting(None, gives=b"x")}).__payload__()
    for _ in payload:
        assert payload.waits_on is None


def test_two_passes_side_by_side_do_not_mix(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(os.urandom(MIB))
    payload = FormData.from_fields({"a": "1", "p": path, "s": lambda: [b"s"] * 9}).__payload__()
    whole = b"".join(payload)
    one, other = iter(payload), iter(payload)
    mixed = [(bytes(a), bytes(b)) for a, b in zip(one, other, strict=True)]
    assert b"".join(a for a, _ in mixed) == b"".join(b for _, b in mixed) == whole


def test_a_large_file_in_a_form_goes_out_in_little_memory(tmp_path):
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(64 * MIB)
    came = []

    def sink(peer):
        for _ in range(2):
            announced = int(field(peer.read_head(), "content-length"))
            came.append(peer.drop(announced))
            peer.send(response(b"thanks"))

    with ScriptedServer(sink) as server:
        cost = peak_memory(
            """
            import restkit
            from restkit.forms import FormData

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
    assert came[1] - came[0] == 64 * MIB - 1024
    assert cost.growth < 8 * MIB


# Transfer encodings


def encoded(value, encoding: str) -> bytes:
    form = FormData()
    form.add_field("f", value, transfer_encoding=encoding)
    content_type, body = wire(form)
    assert f"\r\nContent-Transfer-Encoding: {encoding.lower()}\r\n".encode() in body
    (part,) = by_multipart(content_type, body)
    return part.data


def test_S19_base64_carries_what_is_left_over_from_piece_to_piece():
    assert encoded(iter([b"z", b"yy"]), "base64") == b"enl5"
    assert encoded(iter([b"z", b"y"]), "base64") == b"enk="
    assert encoded(iter([]), "base64") == b""
    assert encoded(b"zyy", "BASE64") == b"enl5"
    assert encoded("zyy", "base64") == b"enl5"


PIECES = st.lists(st.binary(max_size=300), max_size=6)


@given(PIECES)
def test_base64_is_one_line_of_known_length_however_it_is_cut(pieces):
    data = b"".join(pieces)
    assert b"".join(Base64Payload(as_payload(iter(pieces)))) == base64.b64encode(data)
    whole = Base64Payload(as_payload(data))
    assert whole.length == len(b"".join(whole)) == len(b"".join(whole))
    assert whole.replayable


@given(PIECES | st.lists(st.text(st.sampled_from("a =\r\n\t."), max_size=300).map(str.encode)))
def test_quoted_printable_comes_back_byte_for_byte_in_lines_of_76(pieces):
    data = b"".join(pieces)
    result = b"".join(QuotedPrintablePayload(as_payload(iter(pieces))))
    assert result == b"".join(QuotedPrintablePayload(as_payload([data])))
    assert binascii.a2b_qp(result) == quopri.decodestring(result) == data
    lines = result.split(b"\r\n")
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in lines)
    assert all(line.endswith(b"=") for line in lines[:-1])
    assert result.isascii()


@given(st.binary(max_size=300))
def test_quoted_printable_has_a_length_where_the_source_is_in_memory(data):
    payload = QuotedPrintablePayload(as_payload(data))
    assert payload.length == len(b"".join(payload))
    assert QuotedPrintablePayload(as_payload(iter([data]))).length is None


def test_quoted_printable_as_it_stands():
    assert encoded("Grüße, 1+1=2\r\n ", "quoted-printable") == b"Gr=C3=BC=C3=9Fe, 1+1=3D2=0D=0A=20"
    # Lines of 73 and a mark, and none inside of an escape.
    assert encoded("x" * 72 + "==", "quoted-printable") == b"x" * 72 + b"=\r\n=3D=3D"


def test_binary_is_as_it_is_and_nothing_is_no_encoding():
    assert encoded(b"\0\xff", "binary") == b"\0\xff"
    form = FormData()
    form.add_field("f", "x", transfer_encoding="")
    assert b"".join(form.__payload__()) == b"f=x"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "binary"])
@given(data=st.binary(max_size=200), text=st.text(max_size=50))
def test_a_parser_that_undoes_transfer_encodings_gives_the_bytes_back(encoding, data, text):
    form = FormData()
    form.add_field("d", io.BytesIO(data), transfer_encoding=encoding)
    form.add_field("t", text, transfer_encoding=encoding)
    assert by_python_multipart(*wire(form)) == [
        Parsed("d", "d", data),
        Parsed("t", None, text.encode()),
    ]


def test_an_encoded_file_has_its_length_beforehand_and_goes_again(client, tmp_path):
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


def test_an_encoded_stream_has_begun_when_its_source_has():
    source = as_payload(iter([b"x"]))
    payload = Base64Payload(source)
    assert not payload.started
    assert list(payload) == [b"eA=="]
    assert payload.started
    assert repr(payload).startswith("<Base64Payload of <IteratorPayload of list_iterator ")


def test_a_part_may_be_made_by_itself():
    payload = MultipartPayload([Part("a", as_payload(b"x"))])
    assert by_multipart(payload.headers[0][1], b"".join(payload)) == [Parsed("a", None, b"x")]


def test_threads_that_ask_for_a_payload_at_once_each_have_a_whole_one():
    form = FormData.from_fields({"f": io.BytesIO(b"x")})
    found = []
    threads = [threading.Thread(target=lambda: found.append(wire(form))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [by_multipart(*each) for each in found] == [[Parsed("f", "f", b"x")]] * 8
