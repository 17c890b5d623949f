"""FormData: its fields, the values that are forms, and forms on the wire."""

from __future__ import annotations

import enum
import io
import json
import os
import tempfile
import threading
from collections import OrderedDict
from fractions import Fraction
from types import MappingProxyType
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

import restkit
from restkit import PayloadError, PayloadNotReplayable, RequestError, as_payload
from restkit.forms.form_data import FormData, apply_content_type, as_form
from restkit.forms.multipart import MultipartPayload, add_boundary
from restkit.payload.base import Payload
from restkit.streaming import ResourceStreamFunction, replayable
from support import ScriptedServer, body_of, field, payload_of, response

pytestmark = pytest.mark.smoke

OK = response(b"ok")
URLENCODED = "application/x-www-form-urlencoded"


def encode(form: FormData) -> bytes:
    return b"".join(form.__payload__())


def content_type_of(form: FormData) -> str:
    return dict(form.__payload__().headers)["Content-Type"]


def boundary_of(form: FormData) -> str:
    media_type, boundary = content_type_of(form).split("; boundary=")
    assert media_type == "multipart/form-data"
    return boundary


def split_parts(form: FormData) -> list[bytes]:
    """Return head and body of each part."""
    delimiter = b"--" + boundary_of(form).encode()
    first, *between, last = (b"\r\n" + encode(form)).split(b"\r\n" + delimiter)
    assert (first, last) == (b"", b"--\r\n")
    assert all(part.startswith(b"\r\n") for part in between)
    return [part[2:] for part in between]


def encode_single_part(*args, **options) -> bytes:
    form = FormData()
    form.add_field(*args, **options)
    (part,) = split_parts(form)
    return part


def expected_part(disposition: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


OCTET_STREAM = "Content-Type: application/octet-stream"


# Text fields


def test_S17_text_fields_are_sent_urlencoded_in_order(client):
    form = FormData()
    form.add_field("a", "1")
    form.add_field("b", "ü")
    form.add_field("a", "2")
    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), form)
        assert field(server.request, "content-type") == URLENCODED
        assert field(server.request, "content-length") == "16"
        assert body_of(server.request) == b"a=1&b=%C3%BC&a=2"


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    YES = "yes!"


TEXT_VALUES = [
    ("", b"a="),
    ("a b&c=d+%~", b"a=a+b%26c%3Dd%2B%25~"),
    ("line\r\nline\n\0", b"a=line%0D%0Aline%0A%00"),
    (True, b"a=true"),
    (False, b"a=false"),
    (12, b"a=12"),
    (-0.5, b"a=-0.5"),
    (1e100, b"a=1e%2B100"),
    (Level.LOW, b"a=1"),
    (Word.YES, b"a=yes%21"),
]


@pytest.mark.parametrize(("value", "wire"), TEXT_VALUES)
def test_numbers_and_bools_are_text_as_in_params(value, wire):
    form = FormData()
    form.add_field("a", value)
    assert encode(form) == wire
    assert encode(FormData.from_fields({"a": value})) == wire


NO_SURROGATES = st.characters(exclude_categories=["Cs"])
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(NAMES, st.text(NO_SURROGATES))))
def test_parse_qsl_restores_urlencoded_text(pairs):
    form = FormData.from_fields(pairs)
    payload = form.__payload__()
    body = b"".join(payload)
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True) == pairs
    assert payload.length == len(body)
    assert payload.replayable


def test_empty_form_has_no_bytes(client):
    assert encode(FormData()) == b""
    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), FormData())
        assert field(server.request, "content-length") == "0"
        assert field(server.request, "content-type") == URLENCODED


# Values that are forms


def test_P07_dict_with_a_file_is_multipart_and_lists_repeat_their_name(tmp_path, client):
    path = tmp_path / "p.png"
    path.write_bytes(b"\x89PNG")
    with path.open("rb") as file, ScriptedServer.serving(OK) as server:
        form = as_form({"a": ["1", "2"], "none": None, "f": file, "b": b"\xff", "c": ("x", None)})
        assert split_parts(form) == [
            expected_part('name="a"', body=b"1"),
            expected_part('name="a"', body=b"2"),
            expected_part('name="f"; filename="p.png"', "Content-Type: image/png", body=b"\x89PNG"),
            expected_part('name="b"', body=b"\xff"),
            expected_part('name="c"', body=b"x"),
        ]
        client.post(server.url(), form)
        assert body_of(server.request) == encode(form)


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ({}, b""),
        ({"a": []}, b""),
        ({"a": None}, b""),
        ({"a": ["x", None, 2, True]}, b"a=x&a=2&a=true"),
        ({"a": b"\xff &"}, b"a=%FF+%26"),
        ({"a": bytearray(b"x")}, b"a=x"),
        ({"a": memoryview(b"xyz")[::2]}, b"a=xz"),
        ({"a": (None, "x")}, b"a=x"),
        ([("a", 1), ["b", "2"], ("a", (3, 4))], b"a=1&b=2&a=3&a=4"),
        ((("a", 1), ("b", b"2")), b"a=1&b=2"),
        (OrderedDict(b=1, a=2), b"b=1&a=2"),
        (MappingProxyType({"a": 1}), b"a=1"),
    ],
)
def test_mapping_and_list_of_pairs_are_forms(fields, wire):
    form = as_form(fields)
    assert encode(form) == wire
    assert content_type_of(form) == URLENCODED


class OwnMapping(dict):
    """A mapping with its own payload."""

    def __payload__(self):
        return as_payload(b"own")


NO_FORMS = {
    "none": None,
    "text": "a=1",
    "bytes": b"a=1",
    "an empty list": [],
    "an empty tuple": (),
    "a list of bytes": [b"ab", b"cd"],
    "a list of text of two characters": ["ab", "cd"],
    "a pair of text": ("a", "1"),
    "a list of three": [("a", 1, 2)],
    "a form": FormData(),
    "a mapping of its own": OwnMapping(a=1),
    "a file": io.BytesIO(b"a=1"),
    "a generator of pairs": (pair for pair in [("a", "1")]),
    "a payload": as_payload(b"x"),
}


@pytest.mark.parametrize("shape", NO_FORMS)
def test_other_values_are_no_forms(shape):
    assert as_form(NO_FORMS[shape]) is None


def test_fields_come_from_any_iterable_or_another_form():
    form = FormData.from_fields((name, name * 2) for name in "ab")
    again = FormData.from_fields(form)
    again.add_field("c", "1")
    assert encode(form) == b"a=aa&b=bb"
    assert encode(again) == b"a=aa&b=bb&c=1"
    assert (len(form), len(again)) == (2, 3)


FILE = io.BytesIO(b"x")

WRONG_FIELDS = [
    ([("a", 1), "bc"], "item 1 of the fields must be a pair of a name and a value"),
    ([("a", 1), ("b", 2, 3)], "item 1 of the fields must be a pair"),
    ({1: "x"}, "the name of a field must be str; got int"),
    ({b"a": "x"}, "the name of a field must be str; got bytes"),
    ({"a": {"b": 1}}, "the field 'a' is of type dict: add_json"),
    ({"a": [["b"]]}, "the field 'a' is of type list: add_json"),
    ({"a": {1, 2}}, "the field 'a': a payload cannot be of type set"),
    ({"a": Fraction(1, 2)}, "the field 'a': a payload cannot be of type Fraction"),
    ({"a": object()}, "the field 'a': a payload cannot be of type object"),
    ({"a": ("x.txt", FILE)}, "the field 'a' is a tuple of a text and a BytesIO.*add_field"),
    ({"a": ("x.txt", b"x")}, "a tuple of a text and a bytes"),
    ({"a": (None, FILE, "text/plain")}, "a tuple of a text and a BytesIO"),
]


@pytest.mark.parametrize(("fields", "why"), WRONG_FIELDS)
def test_invalid_field_raises_a_type_error_that_names_it(fields, why):
    with pytest.raises(TypeError, match=why):
        as_form(fields)


def test_list_of_files_makes_a_part_for_each():
    form = as_form({"a": [io.BytesIO(b"x"), io.BytesIO(b"y")]})
    assert split_parts(form) == [
        expected_part('name="a"; filename="a"', OCTET_STREAM, body=b) for b in (b"x", b"y")
    ]


# File fields


def test_S19_bytes_are_a_file_named_after_their_field():
    assert encode_single_part("b", b"z\0") == expected_part(
        'name="b"; filename="b"', OCTET_STREAM, body=b"z\0"
    )


def test_S20_file_is_sent_with_its_name_without_folders(tmp_path):
    folder = tmp_path / "some" / "dir"
    folder.mkdir(parents=True)
    (folder / "p.png").write_bytes(b"png")
    expected = expected_part('name="f"; filename="p.png"', "Content-Type: image/png", body=b"png")
    with open(folder / "p.png", "rb") as file:
        assert encode_single_part("f", file) == expected
    with open(os.fsencode(folder / "p.png"), "rb") as file:
        assert encode_single_part("f", file) == expected
    assert encode_single_part("f", folder / "p.png") == expected


def test_S20_file_without_a_name_is_named_after_its_field():
    with tempfile.TemporaryFile() as file:
        file.write(b"temporary")
        file.seek(0)
        expected = expected_part('name="t"; filename="t"', OCTET_STREAM, body=b"temporary")
        assert encode_single_part("t", file) == expected


class NamedFile(io.BytesIO):
    def __init__(self, name):
        super().__init__(b"x")
        self.name = name


@pytest.mark.parametrize("name", [3, None, "<stdin>", "folder/", "", b"", object()])
def test_unusable_file_name_is_replaced_by_that_of_the_field(name):
    assert b'name="f"; filename="f"\r\n' in encode_single_part("f", NamedFile(name))


def test_own_file_name_with_a_lone_surrogate_raises():
    with pytest.raises(
        PayloadError, match="own name of the file in the field 'f', without file_name=, has a lone"
    ):
        FormData().add_field("f", NamedFile(b"\xff.txt"))
    # A given name is used instead.
    assert b'filename="x"' in encode_single_part("f", NamedFile(b"\xff.txt"), file_name="x")


def make_payload(media_type: str, coding: str | None = None) -> Payload:
    coded = [("Content-Encoding", coding)] if coding else []
    payload = replayable(lambda: b"")
    payload.headers = [("content-type", media_type), *coded]
    return payload


TYPES = [
    ("x", "text/csv", None, "text/csv"),
    ("x", None, "notes", "text/plain; charset=utf-8"),
    ("x", None, "notes.csv", "text/csv; charset=utf-8"),
    ("x", None, "notes.json", "application/json"),
    (b"x", None, None, "application/octet-stream"),
    (b"x", None, "p.png", "image/png"),
    (b"x", "image/gif", "p.png", "image/gif"),
    (b"x", None, "x.csv.gz", "application/gzip"),
    (NamedFile("a.csv"), None, None, "text/csv"),
    (NamedFile("a.csv"), None, "b.png", "image/png"),
    (NamedFile("a.csv"), None, "b", "text/csv"),
    (make_payload("text/html"), None, None, "text/html"),
    (make_payload("text/html"), None, "x.bin", "text/html"),
    (make_payload("text/html", "gzip"), None, None, "application/gzip"),
    (make_payload("text/html", "br"), None, None, "application/octet-stream"),
    (make_payload("text/html", "identity"), None, None, "text/html"),
]


@pytest.mark.parametrize(("value", "content_type", "file_name", "expected"), TYPES)
def test_type_of_a_part_is_given_or_by_name_or_its_own(value, content_type, file_name, expected):
    head = (
        encode_single_part("f", value, content_type, file_name).partition(b"\r\n\r\n")[0].decode()
    )
    _, *lines = head.split("\r\n")
    assert lines == [f"Content-Type: {expected}"]


def test_object_with_payload_method_is_a_file():
    class Pair(tuple):
        __slots__ = ()

        def __payload__(self):
            return as_payload("+".join(self))

    for value, body in [(OwnMapping(a=1), b"own"), (Pair("ab"), b"a+b")]:
        form = as_form({"f": value})
        (part,) = split_parts(form)
        assert part.startswith(b'Content-Disposition: form-data; name="f"; filename="f"\r\n')
        assert part.endswith(b"\r\n\r\n" + body)


def test_json_part_has_its_type():
    form = FormData()
    form.add_json("j", {"a": [1, "ü"]})
    expected = '{"a":[1,"ü"]}'.encode()
    assert split_parts(form) == [
        expected_part('name="j"', "Content-Type: application/json", body=expected)
    ]
    assert json.loads(expected) == {"a": [1, "ü"]}
    with pytest.raises(PayloadError, match="JSON"):
        form.add_json("j", {object()})
    assert len(form) == 1


def test_stream_is_not_read_before_it_is_sent():
    pulled = []

    def stream():
        pulled.append(1)
        yield b"x"

    form = FormData()
    form.add_field("s", stream())
    payload = form.__payload__()
    assert (payload.length, payload.replayable, pulled) == (None, False, [])


# Errors, before anything is sent


@pytest.mark.parametrize("option", ["file_name", "content_type", "transfer_encoding"])
def test_S21_option_of_the_wrong_type_raises_type_error(option):
    form = FormData()
    with pytest.raises(
        TypeError, match=f"the {option.replace('_', ' ')} of the field 'f' must be str"
    ):
        form.add_field("f", b"x", **{option: 1})
    assert len(form) == 0


def test_S21_unknown_transfer_encoding_raises_value_error():
    with pytest.raises(
        ValueError, match="must be one of base64, quoted-printable, binary; got 'zip'"
    ):
        FormData().add_field("f", b"x", transfer_encoding="zip")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "a\0"}, "the name of a field has a NUL at 1"),
        ({"name": "a\ud800"}, "the name of a field has a lone surrogate, '.ud800', at 1"),
        ({"file_name": "\0"}, "the file name of the field 'f' has a NUL"),
        ({"file_name": "\udcff"}, "the file name of the field 'f' has a lone surrogate"),
        (
            {"content_type": "text/plain\r\nX: y"},
            r"the content type of the field 'f' must be one line of text; got '\\r' at",
        ),
        ({"content_type": "text/plain\n"}, r"one line of text; got '\\n' at 10"),
        ({"content_type": "a\0b"}, r"one line of text; got '\\x00' at 1"),
        ({"content_type": " "}, "the content type of the field 'f' is empty"),
        ({"value": "\ud800"}, "the field 'f' has a lone surrogate"),
    ],
)
def test_C07_text_that_a_part_cannot_have_raises_at_once(options, why):
    form = FormData()
    with pytest.raises(PayloadError, match=why):
        form.add_field(**{"name": "f", "value": "x", **options})
    assert len(form) == 0


@pytest.mark.parametrize("value", [None, {}, [], ()])
def test_empty_value_raises_type_error(value):
    with pytest.raises(TypeError, match="the field 'f' is"):
        FormData().add_field("f", value)


def test_missing_path_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        FormData().add_field("f", tmp_path / "missing")


def test_repr_shows_no_content():
    form = FormData.from_fields({"user": "name", "password": "secret"})
    assert repr(form) == "<FormData of 2 fields, urlencoded>"
    assert repr(form.__payload__()) == "<UrlencodedPayload 25 bytes, replayable>"
    form.add_field("f", b"x")
    assert repr(form) == "<FormData of 3 fields, multipart>"
    assert repr(form.__payload__()).startswith("<MultipartPayload of 3 fields ")
    assert repr(FormData.from_fields({"a": 1})) == "<FormData of 1 field, urlencoded>"


# On the wire


def test_S14_streams_are_sent_chunked_and_again_after_retries():
    http = restkit.Client(timeout=20)

    @ResourceStreamFunction
    def create_get_request_stream_resource(http, url):
        response = http.get(url)
        payload_stream = response.payload_stream
        if payload_stream is not None:
            for chunk in payload_stream:  # noqa: UP028  # the seed's own lines
                yield chunk

    sister, love = ScriptedServer.serving(response(b"sister")), ScriptedServer.serving(response())
    responses = [response(status="500 Not Yet"), response(status="500 Not Yet"), OK]
    with http, sister, love, ScriptedServer.serving(*responses) as target:
        form = FormData()
        form.add_field(
            "files[0]",
            create_get_request_stream_resource(http, sister.url()),
            file_name="sister.txt",
            content_type="application/octet-stream",
        )
        form.add_field(
            "files[1]",
            create_get_request_stream_resource(http, love.url()),
            file_name="love.txt",
            content_type="application/octet-stream",
        )
        for _retry in range(5):
            with http.post(target.url(), data=form) as received:
                if received.status < 500:
                    break
        first, *others = target.requests
        boundary = boundary_of(form)
        assert field(first, "transfer-encoding") == "chunked"
        assert field(first, "content-type") == f"multipart/form-data; boundary={boundary}"
        assert payload_of(first).decode() == (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="files[0]"; filename="sister.txt"\r\n'
            "Content-Type: application/octet-stream\r\n"
            "\r\n"
            "sister\r\n"
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="files[1]"; filename="love.txt"\r\n'
            "Content-Type: application/octet-stream\r\n"
            "\r\n"
            "\r\n"
            f"--{boundary}--\r\n"
        )
        assert others == [first, first]


def test_S16_sized_fields_have_a_content_length_and_a_file_starts_at_its_position(tls, client):
    file = io.BytesIO(b"--rest")
    file.seek(2)
    form = FormData()
    form.add_field("b", b"\0\xff")
    form.add_field("s", "text")
    form.add_field("f", file)
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        client.post(server.url(), form)
        assert field(server.request, "content-length") == str(len(encode(form)))
        assert body_of(server.request) == encode(form)
        assert split_parts(form) == [
            expected_part('name="b"; filename="b"', OCTET_STREAM, body=b"\0\xff"),
            expected_part('name="s"', body=b"text"),
            expected_part('name="f"; filename="f"', OCTET_STREAM, body=b"rest"),
        ]


def redirect(status: int) -> bytes:
    return response(b"", "Location: /there", status=f"{status} Moved")


@pytest.mark.parametrize("status", [307, 308])
def test_S12_C07_form_is_sent_again_with_the_same_boundary(status, tls, client, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"--" * 100_000)
    with path.open("rb") as file:
        file.seek(1)
        form = FormData.from_fields({"a": "1", "f": file, "p": path, "s": lambda: iter([b"s"])})
        with ScriptedServer.serving(redirect(status), OK, ssl_context=tls) as server:
            assert client.post(server.url(), form).status == 200
            first, second = server.requests
            assert payload_of(first) == payload_of(second) == encode(form)
            assert (
                field(first, "content-type")
                == field(second, "content-type")
                == content_type_of(form)
            )


def test_form_with_a_generator_is_sent_once(client):
    form = FormData.from_fields({"a": "1", "g": (chunk for chunk in [b"x", b"y"])})
    with ScriptedServer.serving(redirect(307), OK) as server:
        with pytest.raises(PayloadNotReplayable, match="MultipartPayload of 2 fields"):
            client.post(server.url(), form)
        assert len(server.requests) == 1
        # Neither this form nor another one with the same fields begins a second request.
        for again in (form, FormData.from_fields(form)):
            with pytest.raises(PayloadNotReplayable):
                client.post(server.url(), again)
        assert len(server.requests) == 1


def test_replay_spool_sends_a_form_with_a_generator_again(client):
    form = FormData.from_fields({"a": "1", "g": (chunk for chunk in [b"x", b"y"])})
    with ScriptedServer.serving(redirect(307), OK) as server:
        assert client.post(server.url(), form, replay="spool").status == 200
        first, second = server.requests
        assert payload_of(first) == payload_of(second)


def test_two_threads_can_send_one_form_at_once(client, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(os.urandom(1_000_000))
    form = FormData.from_fields({"a": "1", "p": path, "s": lambda: [b"stream"]})
    with ScriptedServer.serving(OK) as server:
        threads = [threading.Thread(target=client.post, args=(server.url(), form)) for _ in "12"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [payload_of(request) for request in server.requests] == [encode(form)] * 2


def test_error_of_a_source_reaches_the_caller_and_the_body_never_ends(client):
    def failing():
        yield b"abc"
        raise KeyError("source")

    def script(peer):
        peer.read_head()
        peer.read_to_end()

    form = FormData.from_fields({"a": failing(), "b": "after"})
    with ScriptedServer(script) as server:
        with pytest.raises(KeyError, match="source"):
            client.post(server.url(), form)
        server.join()
        (wire,) = server.wire
        assert wire.endswith(b"abc\r\n")
        assert b"0\r\n\r\n" not in wire


def test_request_function_accepts_a_form():
    with ScriptedServer.serving(OK) as server:
        form = FormData.from_fields({"a": "1"})
        assert restkit.request(server.url(), "POST", payload=form).body == b"ok"
        assert body_of(server.request) == b"a=1"


# The caller's own Content-Type


FILES = FormData.from_fields({"f": io.BytesIO(b"x")}).__payload__()
TEXT = FormData.from_fields({"a": "1"}).__payload__()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("multipart/form-data", "multipart/form-data; boundary={}"),
        ("Multipart/Form-Data; ", "Multipart/Form-Data; boundary={}"),
        ("multipart/form-data; charset=utf-8", "multipart/form-data; charset=utf-8; boundary={}"),
        ("multipart/related; type=a/b", "multipart/related; type=a/b; boundary={}"),
        ("multipart/form-data; boundary={}", "multipart/form-data; boundary={}"),
        ('multipart/form-data;Boundary="{}"; a=b', 'multipart/form-data;Boundary="{}"; a=b'),
        ("application/octet-stream", "application/octet-stream"),
    ],
)
def test_C07_type_without_a_boundary_gets_that_of_the_form(given, expected):
    assert isinstance(FILES, MultipartPayload)
    boundary = FILES.boundary
    assert add_boundary(given.format(boundary), FILES) == expected.format(boundary)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("multipart/form-data; boundary=x", "has the boundary 'x', but the form has its own"),
        ('multipart/form-data; boundary="x y"', "has the boundary 'x y'"),
        ("multipart/form-data; boundary=", "has the boundary ''"),
        (
            "application/x-www-form-urlencoded",
            "is sent as multipart/form-data: leave the header out",
        ),
    ],
)
def test_C07_type_that_does_not_fit_the_form_raises(given, why):
    with pytest.raises(RequestError, match=why):
        add_boundary(given, FILES)


def test_C07_type_of_another_payload_is_kept():
    for payload in (TEXT, as_payload(b"x")):
        assert add_boundary("multipart/form-data", payload) == "multipart/form-data"


def test_C07_text_fields_are_multipart_if_the_type_asks_for_it(client):
    form = FormData.from_fields({"a": "ü"})
    payload = apply_content_type(form.__payload__(), "multipart/form-data")
    assert isinstance(payload, MultipartPayload)
    media_type = add_boundary("multipart/form-data", payload)
    with ScriptedServer.serving(redirect(307), OK) as server:
        client.post(server.url(), payload, headers={"Content-Type": media_type})
        first, second = server.requests
        assert body_of(first) == body_of(second)
        assert field(first, "content-type") == field(second, "content-type") == media_type
        boundary = payload.boundary.encode()
        head = b'Content-Disposition: form-data; name="a"\r\n\r\n'
        assert body_of(first) == b"--%b\r\n%b\xc3\xbc\r\n--%b--\r\n" % (boundary, head, boundary)


@pytest.mark.parametrize("payload", [FILES, TEXT, as_payload(b"x")])
def test_other_type_keeps_the_payload(payload):
    assert apply_content_type(payload, "text/plain") is payload
    assert apply_content_type(payload, URLENCODED) is payload
