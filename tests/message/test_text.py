"""A body as lines of text, and the error for a body that is not JSON."""

from __future__ import annotations

import bz2
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Client, DecodingError, HttpResponse, Request, UnexpectedEOF, parse_url
from support import ScriptedServer, chunks, response
from support.answers import BROKEN, FRAMINGS, answered

pytestmark = pytest.mark.smoke

CHARSETS = ["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "shift_jis", "cp037"]


def made(body=b"", content_type="text/plain", status=200):
    request = Request("GET", parse_url("http://host/path"))
    return HttpResponse.made(request, status, {"Content-Type": content_type}, body)


# Lines of text


@pytest.mark.parametrize("charset", CHARSETS)
def test_iter_lines_text_yields_str_in_the_charset_of_the_response(charset):
    body = "one\r\ntwo\n\nthree\n".encode(charset)
    got = made(body, f"text/plain; charset={charset}")
    assert list(got.iter_lines(text=True)) == ["one", "two", "", "three"]
    assert list(got.iter_lines(text=True)) == ["one", "two", "", "three"]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_iter_lines_text_splits_at_lf_and_crlf_only(charset):
    text = "a\u2028b\x85c\x0bd\x0ce\x1ef\rg\nh\r"
    got = made(text.encode(charset), f"text/plain; charset={charset}")
    assert list(got.iter_lines(text=True)) == ["a\u2028b\x85c\x0bd\x0ce\x1ef\rg", "h\r"]


@given(
    st.text(st.sampled_from("ab\r\n\x85\u2028ü𐍈")), st.sampled_from(["utf-8", "utf-16", "utf-32"])
)
def test_iter_lines_text_is_the_text_of_iter_lines(text, charset):
    as_bytes = made(text.encode()).iter_lines()
    as_text = made(text.encode(charset), f"text/plain; charset={charset}").iter_lines(text=True)
    assert list(as_text) == [line.decode() for line in as_bytes]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_iter_lines_text_of_characters_across_chunks(framing):
    lines = [f"{number} grün €𐍈" * 40 for number in range(1000)]
    with answered(FRAMINGS[framing]("\r\n".join(lines).encode())) as got:
        assert list(got.iter_lines(text=True)) == lines


def test_iter_lines_text_yields_a_line_as_soon_as_it_has_arrived():
    go = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(b"one\ntw"))
        peer.wait(go)
        peer.send(chunks(b"o\n"), b"0\r\n\r\n")

    with ScriptedServer(script) as server, Client() as client:
        lines = client.get(server.url()).iter_lines(text=True)
        assert next(lines) == "one"
        go.set()
        assert list(lines) == ["two"]


def test_iter_lines_text_of_other_bytes_is_a_decoding_error():
    lines = made(b"one\n" * 20000 + b"\xff\n").iter_lines(text=True)
    assert next(lines) == "one"
    with pytest.raises(
        DecodingError, match=r"^GET http://host/path: the body is not text in utf-8"
    ):
        list(lines)


def test_iter_lines_text_of_an_incomplete_character_is_a_decoding_error():
    with pytest.raises(DecodingError, match="unexpected end of data"):
        list(made("ü".encode()[:1]).iter_lines(text=True))


def test_iter_lines_text_of_an_unknown_charset_is_a_decoding_error():
    with pytest.raises(DecodingError, match="the charset of the body is unknown: nonsense"):
        list(made(b"one", "text/plain; charset=nonsense").iter_lines(text=True))


# Codecs of Python between bytes and bytes, or text and text.
NOT_OF_TEXT = ["bz2", "zlib", "zip", "base64", "hex", "quopri", "uu", "rot13", "rot_13"]


@pytest.mark.parametrize("charset", NOT_OF_TEXT)
def test_charset_of_a_codec_that_is_not_a_text_encoding_is_a_decoding_error(charset):
    got = made(b"6162\n", f"text/plain; charset={charset}")
    message = f"^GET http://host/path: the charset of the body is unknown: {charset}$"
    with pytest.raises(DecodingError, match=message):
        list(got.iter_lines(text=True))
    with pytest.raises(DecodingError, match=message):
        assert got.text


def test_charset_bz2_of_a_server_decompresses_nothing():
    bomb = bz2.compress(bytes(16 << 20))
    got = made(bomb, "text/plain; charset=bz2")
    tracemalloc.start()
    try:
        with pytest.raises(DecodingError, match="the charset of the body is unknown: bz2"):
            list(got.iter_lines(text=True))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_iter_lines_text_of_an_encoded_body_is_a_decoding_error():
    with answered(response(b"one", "Content-Encoding: unknown")) as got:
        with pytest.raises(DecodingError, match="the body is encoded as unknown"):
            list(got.iter_lines(text=True))


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_iter_lines_text_of_a_body_that_breaks_off_gives_its_lines_and_raises(framing):
    with answered(BROKEN[framing]) as got:
        lines = got.iter_lines(text=True)
        assert [next(lines) for _ in range(6)] == ["line one"] * 6
        with pytest.raises(UnexpectedEOF):
            next(lines)


def test_iter_lines_yields_bytes_by_default():
    assert list(made("ü\r\n\nb".encode()).iter_lines()) == ["ü".encode(), b"", b"b"]
    assert list(made(b"a\nb").iter_lines(text=False)) == [b"a", b"b"]


# What is not JSON


def test_json_of_a_page_shows_status_content_type_and_the_first_60_characters():
    page = "<!DOCTYPE html>\n<html lang='en'>\t<title>502 Bad Gateway</title>" + "x" * 100
    with pytest.raises(DecodingError) as caught:
        made(page, "text/html; charset=utf-8", 502).json()
    assert str(caught.value) == (
        "GET http://host/path: the body is not JSON: Expecting value: line 1 column 1 (char 0); "
        "the response is 502 Bad Gateway, text/html; charset=utf-8; the body begins with "
        f"{page[:60]!r}"
    )


def test_json_of_an_empty_body_says_that_it_is_empty():
    with pytest.raises(DecodingError, match=r"200 OK, text/plain; the body is empty$"):
        made(b"").json()


def test_json_without_a_content_type_says_so():
    with answered(response(b"abc")) as got:
        with pytest.raises(
            DecodingError, match=r"200 OK, no Content-Type; the body begins with 'abc'$"
        ):
            got.json()


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x1b[31mred\r\n\0"])
def test_json_of_binary_shows_only_printable_characters(body):
    with pytest.raises(DecodingError) as caught:
        made(body).json()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [
        '{"access_token": "hunter2", }',
        "access_token=hunter2&expires=60",
        "{'password': 'hunter2'}",
        "Authorization: Bearer hunter2",
        "Set-Cookie: sid=hunter2",
        "api_key = hunter2",
        '["Authorization","Bearer hunter2"]x',
        '["Authorization", "Basic hunter2="]x',
        "use bearer  hunter2\n",
        "Bearer+hunter2",
        "scheme=NTLM%20hunter2",
        '{"a":"eyJhbGciOiJIUzI1NiJ9.hunter2"',
        "eyJhbGciOiJIUzI1NiJ9.hunter2.hunter2-x_y",
        f"x eyJ{'hunter2' * 200}",
        f'{{"page": 1, "note": "{"x" * 20}", "token": "{"hunter2" * 40}", }}',
    ],
)
def test_json_of_what_has_secrets_does_not_show_them(body):
    with pytest.raises(DecodingError) as caught:
        made(body).json()
    assert "the body begins with" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('["Authorization","Bearer hunter2"]x', '["Authorization","Bearer ***"]x'),
        ('{"a":"eyJhbGciOiJIUzI1NiJ9.hunter2"', '{"a":"***"'),
        ("<b>The keys are eyJ, basic, bearer.</b>", "<b>The keys are eyJ, basic, bearer.</b>"),
    ],
)
def test_json_error_masks_bearer_and_basic_values_and_json_web_tokens_only(body, shown):
    with pytest.raises(DecodingError) as caught:
        made(body).json()
    assert str(caught.value).endswith(f"the body begins with {shown!r}")
