"""The names of requests and httpx on a response: a program is migrated by search and replace."""

from __future__ import annotations

import inspect
import pickle
import re
import threading
from datetime import timedelta
from pathlib import Path

import pytest

import restkit
from restkit import Client, DecodingError, HttpResponse, Request, RequestError, parse_url
from restkit.message import aliases
from restkit.message.aliases import Aliases
from support import ScriptedServer, chunks, response
from support.answers import FRAMINGS, answered

pytestmark = pytest.mark.smoke

DOCS = Path(__file__).parents[2] / "docs"
BODY = bytes(range(256)) * 40


def made(body=b"", content_type="text/plain", status=200, **fields):
    request = Request("GET", parse_url("http://host/path"))
    return HttpResponse.made(request, status, {"Content-Type": content_type, **fields}, body)


def test_status_code_content_url_reason_and_ok_as_in_requests():
    with answered(response(b"abc"), path="/path?q=1") as got:
        assert (got.status_code, got.content, got.reason, got.ok) == (200, b"abc", "OK", True)
        assert type(got.url) is str
        assert got.url == got.final_url
        assert got.url.endswith("/path?q=1")


def test_url_is_that_of_the_last_request():
    def script(peer):
        peer.read_request()
        peer.send(response(b"", "Location: /there", status="302 Found"))
        peer.read_request()
        peer.send(response(b"there"))

    with ScriptedServer(script) as server, Client() as client:
        got = client.get(server.url("/here"))
        assert got.url == server.url("/there")
        assert [each.url for each in got.history] == [server.url("/here")]
        assert [got.is_redirect, got.history[0].is_redirect] == [False, True]


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        *[(status, {"Location": "/x"}, True) for status in (301, 302, 303, 307, 308)],
        (302, {}, False),
        (304, {"Location": "/x"}, False),
        (201, {"Location": "/x"}, False),
    ],
)
def test_is_redirect_needs_a_status_and_a_location(status, fields, expected):
    assert made(status=status, **fields).is_redirect is expected


def test_elapsed_is_a_timedelta_until_the_head():
    go = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        peer.wait(go)
        peer.send(bytes(100000))

    with ScriptedServer(script) as server, Client() as client:
        got = client.get(server.url())
        elapsed = got.elapsed
        assert isinstance(elapsed, timedelta)
        assert elapsed == timedelta(seconds=got.timings.first_byte) > timedelta(0)
        go.set()
        assert len(got.content) == 100000
        assert got.elapsed == elapsed


def test_elapsed_of_a_made_response_is_zero():
    assert made().elapsed == timedelta(0)


# encoding


def test_encoding_set_by_the_caller_is_used_by_text():
    got = made("grün".encode("latin-1"), "text/html")
    assert got.encoding == got.charset == "utf-8"
    with pytest.raises(DecodingError):
        assert got.text
    got.encoding = "iso-8859-1"
    assert (got.encoding, got.charset, got.text) == ("iso-8859-1", "iso-8859-1", "grün")
    assert got.unicode_body == got.body_string() == "grün"
    assert list(got.iter_lines(text=True)) == ["grün"]


def test_encoding_overrides_the_charset_of_the_header_until_it_is_none():
    got = made("grün".encode(), "text/html; charset=latin-1")
    assert (got.encoding, got.text) == ("latin-1", "grÃ¼n")
    got.encoding = "utf-8"
    assert got.text == "grün"
    got.encoding = None
    assert (got.encoding, got.text) == ("latin-1", "grÃ¼n")


def test_encoding_may_replace_a_charset_that_python_does_not_know():
    got = made("grün".encode(), "text/html; charset=nonsense")
    with pytest.raises(DecodingError, match="the charset of the body is unknown: nonsense"):
        assert got.text
    got.encoding = "utf-8"
    assert got.text == "grün"


@pytest.mark.parametrize("name", ["nonsense", "bz2", "zlib", "rot13", "hex", "", "utf-8\0"])
def test_encoding_that_is_not_one_of_text_is_a_request_error_when_it_is_set(name):
    got = made(b"abc")
    with pytest.raises(RequestError) as caught:
        got.encoding = name
    assert str(caught.value) == f"encoding must be the name of a charset or None; got {name!r}"
    assert (got.encoding, got.text) == ("utf-8", "abc")


def test_encoding_set_by_the_caller_may_be_one_that_a_server_must_not_choose():
    got = made(b"gr+APw-n")
    got.encoding = "utf-7"
    assert (got.text, list(got.iter_lines(text=True))) == ("grün", ["grün"])


def test_encoding_of_another_type_is_a_request_error():
    with pytest.raises(RequestError, match="encoding must be the name of a charset or None; got 5"):
        made().encoding = 5


def test_encoding_is_kept_by_pickle():
    got = made("grün".encode("latin-1"))
    got.encoding = "latin-1"
    assert pickle.loads(pickle.dumps(got)).text == "grün"


def test_apparent_encoding_is_an_attribute_error_with_a_hint():
    with pytest.raises(AttributeError, match=r"restkit does not guess charsets: set response\.enc"):
        assert made().apparent_encoding
    assert not hasattr(made(), "apparent_encoding")


# iter_content, iter_bytes


@pytest.mark.parametrize("name", ["iter_content", "iter_bytes"])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("size", [1, 1000, 10**6, None])
def test_iter_content_and_iter_bytes_give_the_whole_body_again_and_again(name, framing, size):
    with answered(FRAMINGS[framing](BODY)) as got:
        for _ in range(2):
            blocks = list(getattr(got, name)(size))
            assert b"".join(blocks) == BODY
            assert all(0 < len(block) <= (size or 64 * 1024) for block in blocks)
        assert b"".join(getattr(got, name)()) == BODY


@pytest.mark.parametrize("name", ["iter_content", "iter_bytes"])
def test_iter_content_of_a_known_length_gives_full_blocks(name):
    def script(peer):
        peer.read_request()
        peer.without_delay()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", *[b"x"] * 10)

    with ScriptedServer(script) as server, Client() as client:
        blocks = getattr(client.get(server.url()), name)(chunk_size=4)
        assert list(blocks) == [b"xxxx", b"xxxx", b"xx"]


@pytest.mark.parametrize("name", ["iter_content", "iter_bytes"])
@pytest.mark.parametrize("size", [8192, None])
def test_iter_content_of_a_slow_stream_gives_what_has_arrived(name, size):
    go = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(b"first"))
        peer.wait(go)
        peer.send(chunks(b"second"), b"0\r\n\r\n")

    with ScriptedServer(script) as server, Client() as client:
        blocks = getattr(client.get(server.url()), name)(chunk_size=size)
        assert next(blocks) == b"first"
        go.set()
        assert list(blocks) == [b"second"]


@pytest.mark.parametrize("size", [0, -1, "5", 1.5, b"5", [5]], ids=repr)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_iter_content_of_what_is_no_size_is_a_request_error(size, framing):
    with answered(FRAMINGS[framing](b"abc")) as got:
        for name in ("iter_content", "iter_bytes"):
            with pytest.raises(RequestError) as caught:
                getattr(got, name)(size)
            assert str(caught.value) == (
                f"chunk_size must be a number of bytes, 1 or more, or None; got {size!r}"
            )


# The documentation


def test_every_alias_is_in_the_table_of_its_module_and_of_the_docs():
    names = {name for name in vars(Aliases) if not name.startswith("_")}
    assert names == set(re.findall(r"^``(\w+)(?:\(n\))?`` ", aliases.__doc__, re.MULTILINE))
    assert all(inspect.getdoc(getattr(restkit.HttpResponse, name)) for name in names)
    documented = (DOCS / "migrating.rst").read_text()
    assert not {name for name in names if f"response.{name}" not in documented}
