"""Forms that a server parses: fields, and files in spools."""

from __future__ import annotations

import io
import os
import tempfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import FormData
from restkit.errors import AlreadyRead, BodyTooLarge, DecodingError
from restkit.server import forms
from restkit.server.forms import Form, parse_form

pytestmark = pytest.mark.lowest

URLENCODED = "application/x-www-form-urlencoded"


def serialize(form):
    """Return the body and Content-Type that the client sends for a form."""
    payload = form.__payload__()
    return io.BytesIO(b"".join(map(bytes, payload))), dict(payload.headers)["Content-Type"]


def make_multipart(*parts, boundary="b"):
    lines = [f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts]
    return io.BytesIO(b"".join([*lines, f"--{boundary}--\r\n".encode()]))


def close_files(form):
    form.close()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", []),
        (b"a=1", [("a", "1")]),
        (b"a=1&b=%C3%BC&a=2", [("a", "1"), ("b", "ü"), ("a", "2")]),
        (b"a+b=c+d%2B", [("a b", "c d+")]),
        (b"a&=b&&c=", [("a", ""), ("", "b"), ("c", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a=%zz%", [("a", "%zz%")]),
    ],
)
def test_urlencoded_form_is_parsed_in_order(body, fields):
    assert parse_form(io.BytesIO(body), f"{URLENCODED}; charset=utf-8") == Form(fields, [])


NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.lists(st.tuples(NAMES, st.text())))
def test_forms_of_the_client_are_parsed_unchanged(pairs):
    source, content_type = serialize(FormData.from_fields(pairs))
    assert parse_form(source, content_type).fields == pairs


def test_other_content_type_has_no_fields():
    assert parse_form(io.BytesIO(b"a=1"), "text/plain") == Form([], [])
    assert parse_form(io.BytesIO(b"a=1"), "") == Form([], [])


def test_multipart_files_can_be_read_repeatedly_and_saved(tmp_path):
    form = FormData()
    form.add_field("text", "ü")
    form.add_field("small", b"\0\1", file_name="s.bin", content_type="image/png")
    form.add_field("big", os.urandom(3_000_000), file_name="../b.bin")
    source, content_type = serialize(form)
    parsed = parse_form(source, content_type)
    assert parsed.fields == [("text", "ü")]
    (_, small), (_, big) = parsed.files
    assert (small.name, small.filename, small.content_type) == ("small", "s.bin", "image/png")
    assert (small.size, small.read()) == (2, b"\0\1")
    assert (big.filename, big.size) == ("../b.bin", 3_000_000)
    with big.file as first, big.file as second:
        assert first.read() == second.read() == big.read()
    small.save(tmp_path / "s")
    big.save(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == big.read()
    assert os.listdir(tmp_path) == ["s"]
    close_files(parsed)


def test_closed_file_raises_and_is_never_empty(tmp_path):
    form = FormData()
    form.add_field("small", b"small", file_name="s")
    form.add_field("big", os.urandom(3_000_000), file_name="b")
    parsed = parse_form(*serialize(form))
    (_, small), (_, big) = parsed.files
    readers = [big.file, small.file]
    close_files(parsed)
    (tmp_path / "b").write_bytes(b"older")
    for take in (
        big.read,
        small.read,
        *(reader.read for reader in readers),
        lambda: big.save(tmp_path / "b"),
    ):
        with pytest.raises(AlreadyRead):
            take()
    assert (tmp_path / "b").read_bytes() == b"older"
    close_files(parsed)


def test_files_in_memory_stay_readable_after_the_request():
    form = FormData()
    form.add_field("a", b"first", file_name="a")
    form.add_field("b", b"second", file_name="b")
    parsed = parse_form(*serialize(form))
    close_files(parsed)
    assert [file.read() for _, file in parsed.files] == [b"first", b"second"]


def test_thousands_of_files_need_one_descriptor(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    head = b'Content-Disposition: form-data; name="f%d"; filename="x"\r\n\r\n'
    parts = [head % number + b"%d " % number * 300 for number in range(3000)]
    before = os.listdir("/dev/fd")
    form = parse_form(make_multipart(*parts), "multipart/form-data; boundary=b")
    assert len(os.listdir("/dev/fd")) - len(before) == 1
    assert len(os.listdir(tmp_path)) <= 1  # none where the system removes its name at once
    assert len(form.files) == 3000
    opened = [file.file for _, file in form.files]
    for number, file in reversed(list(enumerate(opened))):
        assert file.read(5) == (b"%d " % number * 300)[:5]
    for number, file in enumerate(opened):
        assert file.seek(-2, os.SEEK_END) == len(b"%d " % number * 300) - 2
        assert file.read() == b"%d " % (number % 10)
        file.seek(0)
        assert file.read() == b"%d " % number * 300
    close_files(form)
    assert os.listdir("/dev/fd") == before
    assert os.listdir(tmp_path) == []


def test_large_files_share_one_descriptor():
    head = b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    contents = [bytes([number]) * 1_100_000 for number in range(5)]
    before = os.listdir("/dev/fd")
    form = parse_form(
        make_multipart(*(head + each for each in contents)), "multipart/form-data; boundary=b"
    )
    assert len(os.listdir("/dev/fd")) - len(before) == 1
    assert [file.read() for _, file in form.files] == contents
    close_files(form)
    assert os.listdir("/dev/fd") == before


def test_small_files_together_need_little_memory():
    head = b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    source = make_multipart(*[head + bytes(20_000)] * 500)
    tracemalloc.start()
    try:
        form = parse_form(source, "multipart/form-data; boundary=b")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000  # of 10,000,000
    finally:
        tracemalloc.stop()
    close_files(form)


def test_file_ends_where_the_next_one_begins():
    head = b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    source = make_multipart(head + b"abc", head, head + b"defg")
    form = parse_form(source, "multipart/form-data; boundary=b")
    first, empty, last = (file for _, file in form.files)
    assert [first.size, empty.size, last.size] == [3, 0, 4]
    assert [first.read(), empty.read(), last.read()] == [b"abc", b"", b"defg"]
    file = first.file
    assert (file.seek(2), file.read(), file.read(), file.seek(9), file.read()) == (
        2,
        b"c",
        b"",
        9,
        b"",
    )
    close_files(form)


def test_bytes_of_all_files_together_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    head = b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    multipart, files = "multipart/form-data; boundary=b", [head + bytes(1_000_000)] * 3
    before = os.listdir("/dev/fd")
    with pytest.raises(BodyTooLarge, match="have more than 2999999 bytes together"):
        parse_form(make_multipart(*files), multipart, 2_999_999)
    assert os.listdir("/dev/fd") == before
    form = parse_form(make_multipart(*files), multipart, 3_000_000)
    assert [file.size for _, file in form.files] == [1_000_000] * 3
    close_files(form)


def test_failed_save_leaves_the_target_unchanged(tmp_path):
    form = FormData()
    form.add_field("f", b"new", file_name="f")
    parsed = parse_form(*serialize(form))
    (_, file) = parsed.files[0]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        file.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    close_files(parsed)


@pytest.mark.parametrize(
    ("source", "content_type", "message"),
    [
        (make_multipart(), "multipart/form-data", "has no boundary"),
        (io.BytesIO(b""), "multipart/form-data; boundary=b", "cannot be parsed"),
        (io.BytesIO(b"no form"), "multipart/form-data; boundary=b", "cannot be parsed"),
        (
            io.BytesIO(b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\ncut'),
            "multipart/form-data; boundary=b",
            "cannot be parsed",
        ),
        (
            make_multipart(
                b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\ndata\r\n--c'
            ),
            "multipart/form-data; boundary=c",
            "cannot be parsed",
        ),
        (
            make_multipart(b'Content-Disposition: form-data; name="f"\r\n\r\n\xff'),
            "multipart/form-data; boundary=b",
            "the field 'f' of the form is not UTF-8 at byte 0",
        ),
        (
            make_multipart(b'Content-Disposition: form-data; name="a\0b"\r\n\r\n'),
            "multipart/form-data; boundary=b",
            r"the field Content-Disposition of a part has '\\x00'$",
        ),
        (
            make_multipart(b'Content-Disposition: form-data; name="a\rb"\r\n\r\n'),
            "multipart/form-data; boundary=b",
            r"the field Content-Disposition of a part has '\\r'$",
        ),
        (
            make_multipart(b'Content-Disposition: form-data; name="\xff"\r\n\r\n'),
            "multipart/form-data; boundary=b",
            "cannot be parsed: Segment header failed to decode$",
        ),
        (io.BytesIO(b"a=%ff"), URLENCODED, "a field of the form is not UTF-8 at byte 0"),
        (io.BytesIO(b"%ff=a"), URLENCODED, "a field name of the form is not UTF-8 at byte 0"),
    ],
)
def test_malformed_form_raises_DecodingError_with_the_reason(source, content_type, message):
    with pytest.raises(DecodingError, match=message):
        parse_form(source, content_type)


def test_too_many_fields_are_rejected_before_splitting():
    source = io.BytesIO(b"a&" * (forms.MAX_TEXT // 2))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="more than 10000 fields"):
            parse_form(source, URLENCODED)
        assert tracemalloc.get_traced_memory()[1] < 4 * forms.MAX_TEXT
    finally:
        tracemalloc.stop()


def test_text_and_parts_are_limited(monkeypatch):
    monkeypatch.setattr(forms, "MAX_TEXT", 100)
    monkeypatch.setattr(forms, "MAX_PARTS", 3)
    field = b'Content-Disposition: form-data; name="f"\r\n\r\n'
    file = b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    multipart = "multipart/form-data; boundary=b"
    for source, content_type in [
        (make_multipart(field + b"x" * 60, field + b"x" * 60), multipart),
        (make_multipart(field, field, field, field), multipart),
        (io.BytesIO(b"a=" + b"x" * 100), URLENCODED),
        (io.BytesIO(b"a&b&c&d"), URLENCODED),
    ]:
        with pytest.raises(BodyTooLarge):
            parse_form(source, content_type)
    form = parse_form(make_multipart(file + b"x" * 1000, field + b"x" * 100), multipart)
    assert form.files[0][1].size == 1000
    close_files(form)
