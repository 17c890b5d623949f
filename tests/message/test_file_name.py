"""The safe file name of a response: Content-Disposition, the URL, and what no name may contain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Headers, HttpResponse, Request, parse_url
from restkit.message.file_name import file_name_of

URL = parse_url("http://host/path/last%20one.pdf?page=1")


def name_for(disposition, url=URL):
    return file_name_of(Headers({"Content-Disposition": disposition}), url)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("inline;FILENAME=a.txt", "a.txt"),
        ("filename=a.txt", "a.txt"),
        ("attachment; filename=a b.txt ; size=3", "a b.txt"),
        (r'attachment; filename="a \"b\" c.txt"', "a _b_ c.txt"),
        ('attachment; filename="a;b,c.txt"', "a;b,c.txt"),
        ('attachment; filename="50%25.txt"', "50%25.txt"),
        ("attachment; filename*=UTF-8''b%C5%B1n.txt", "bűn.txt"),
        ("attachment; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ("attachment; filename=\"bun.txt\"; filename*=UTF-8''b%C5%B1n.txt", "bűn.txt"),
        ("attachment; filename*=UTF-8''b%C5%B1n.txt; filename=bun.txt", "bűn.txt"),
        ("attachment; filename*=UTF-8''%FF.txt; filename=plain.txt", "plain.txt"),
        ("attachment; filename*=utf-16''x.txt; filename=plain.txt", "plain.txt"),
        ('attachment; filename="bűn.txt"'.encode().decode("latin-1"), "bűn.txt"),
        ('attachment; filename="\xa3.txt"', "£.txt"),
        ("attachment", "last one.pdf"),
        ('attachment; filename=""', "last one.pdf"),
        ('attachment; filename="unterminated.txt', "unterminated.txt"),
        ("", "last one.pdf"),
        (";;;===", "last one.pdf"),
    ],
)
def test_name_is_read_as_in_rfc_6266(disposition, name):
    assert name_for(disposition) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.txt", "b.txt"),
        ("/a/b.txt?c/d.txt#e/f", "b.txt"),
        ("/a%2Fb.txt", "b.txt"),
        ("/a%5Cb.txt", "b.txt"),
        ("/%C5%B1.txt", "ű.txt"),
        ("/%FF.txt", "\ufffd.txt"),
        ("/a/", "download"),
        ("/", "download"),
        ("", "download"),
        ("/%2e%2e", "download"),
        ("/.bashrc", "bashrc"),
    ],
)
def test_name_is_the_last_segment_of_the_url(path, name):
    assert file_name_of(Headers(), parse_url(f"http://host{path}")) == name


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\\\..\\\\evil.exe", "evil.exe"),
        ("/etc/passwd", "passwd"),
        ("C:\\\\Windows\\\\evil.exe", "evil.exe"),
        ("C:evil.exe", "C_evil.exe"),
        ("a.txt:stream", "a.txt_stream"),
        ("..", "last one.pdf"),
        (".", "last one.pdf"),
        ("a/..", "last one.pdf"),
        (" .. ", "last one.pdf"),
        ("/", "last one.pdf"),
        (".ssh", "ssh"),
        ("... .profile", "profile"),
        ("-rf", "rf"),
        (" -.-x-y", "x-y"),
        ("--", "last one.pdf"),
        ("\xa0.a", "a"),
        ("a.txt. . ", "a.txt"),
        ("a\tb\x7f.txt", "ab.txt"),
        ('<>:|?*"', "______"),
        ("con", "_con"),
        ("CON.txt", "_CON.txt"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("Com1 .txt", "_Com1 .txt"),
        ("lpt0", "_lpt0"),
        ("CONIN$", "_CONIN$"),
        ("console.txt", "console.txt"),
        ("com10", "com10"),
    ],
)
def test_unsafe_names_are_made_safe(given_name, name):
    assert name_for(f'attachment; filename="{given_name}"') == name


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("a%00b.txt", "ab.txt"),
        ("a%0d%0ab.txt", "ab.txt"),
        ("%2Fetc%2Fpasswd", "passwd"),
        ("a%E2%80%AEtxt.exe", "atxt.exe"),
        ("%E2%80%8Ba%D8%9Cb.txt", "ab.txt"),
        ("%E2%80%8B.bashrc", "bashrc"),
        ("%EF%BB%BF-rf", "rf"),
        ("%E3%85%A4", "last one.pdf"),
        ("com%C2%B9.txt", "_com\xb9.txt"),
        ("%ED%A0%80.txt", "last one.pdf"),
    ],
)
def test_unsafe_encoded_names_are_made_safe(encoded, name):
    assert name_for(f"attachment; filename*=UTF-8''{encoded}") == name


def test_long_names_keep_their_extension_and_have_at_most_255_bytes():
    for stem in ("x" * 1000, "%C5%B1" * 500, "%F0%9F%98%80" * 100):
        name = name_for(f"attachment; filename*=UTF-8''{stem}.tar")
        assert name.endswith(".tar")
        assert 250 <= len(name.encode()) <= 255
    assert len(name_for(f"attachment; filename={'x' * 1000}")) == 254
    assert len(name_for(f"attachment; filename=a.{'x' * 1000}")) == 254
    assert name_for(f"attachment; filename=con.{'x' * 1000}") == f"_con.{'x' * 250}"


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")), st.text(max_size=9))
def test_every_name_is_one_segment_that_any_system_accepts(header, text):
    from urllib.parse import quote

    encoded = f"attachment; filename*=UTF-8''{quote(text)}"
    for disposition in (header, f'a; filename="{header}', encoded):
        name = name_for(disposition)
        assert name == name.strip(" ").lstrip(".").rstrip(".")
        assert 0 < len(name.encode()) <= 255
        assert not set(name) & set('/\\<>:"|?*\0\r\n\t\x7f')
        assert not name.startswith("-")


def test_response_filename_is_that_of_its_last_url():
    request = Request("GET", parse_url("http://host/final.zip"))
    assert HttpResponse.made(request).filename == "final.zip"
    given_name = {"Content-Disposition": "attachment; filename=named.zip"}
    assert HttpResponse.made(request, 200, given_name).filename == "named.zip"
