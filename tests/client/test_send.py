"""Client.send: a request that exists already, and the options of the Client."""

from __future__ import annotations

import gzip
from enum import Enum

import pytest

from restkit import BodyTooLarge, Client, RequestError
from restkit.message.request import Request
from restkit.url.url import parse_url
from support import ScriptedServer, response

OK = response(b"ok")
ZIPPED = response(gzip.compress(b"text"), "Content-Encoding: gzip")


class Method(str, Enum):
    REMOVE = "DELETE"
    CREATE = "POST"


def line_of(request: bytes) -> bytes:
    return request.partition(b"\r\n")[0]


def test_sends_the_request_and_returns_its_response():
    with ScriptedServer.serving(OK) as server, Client() as client:
        got = client.send(Request("GET", parse_url(server.url("/path"))))
        assert got.body == b"ok"
    assert line_of(server.request) == b"GET /path HTTP/1.1"


def test_max_body_of_the_client_limits_the_response():
    with ScriptedServer.serving(OK) as server, Client(max_body=1) as client:
        got = client.send(Request("GET", parse_url(server.url())))
        with pytest.raises(BodyTooLarge):
            got.body  # noqa: B018


def test_decompress_of_the_client_applies_to_the_response():
    with ScriptedServer.serving(ZIPPED) as server, Client(decompress=False) as client:
        got = client.send(Request("GET", parse_url(server.url())))
        assert gzip.decompress(got.body) == b"text"


def test_earlier_response_of_the_request_keeps_its_own_options():
    with ScriptedServer.serving(ZIPPED, ZIPPED) as server, Client() as client:
        first = client.get(server.url(), decompress=False)
        second = client.send(first.request)
        assert second.text == "text"
        assert gzip.decompress(first.body) == b"text"


def test_method_set_before_sending_is_followed_as_it_is_sent():
    moved = response(b"", "Location: /new", "Set-Cookie: a=b", status="301 Moved Permanently")
    with ScriptedServer.serving(OK, moved, OK) as server, Client() as client:
        client.get(server.url()).body  # noqa: B018
        client.cookies.set("a", "b", domain="127.0.0.1")
        request = Request("GET", parse_url(server.url()))
        request.method = "post"
        assert client.send(request).body == b"ok"
    lines = [line_of(each) for each in server.requests[1:]]
    assert lines == [b"POST / HTTP/1.1", b"GET /new HTTP/1.1"]


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX: y\r\n", "", None, ["GET"]])
def test_method_that_is_not_a_word_is_not_sent(method):
    with ScriptedServer.serving(OK) as server, Client() as client:
        request = Request("GET", parse_url(server.url()))
        request.method = method
        with pytest.raises(RequestError, match="the method must be a word") as caught:
            client.send(request)
        assert caught.value.sent == "nothing"
        assert not server.requests


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX: y\r\n", "", None, ["GET"]])
def test_method_that_credentials_made_invalid_is_not_sent(method):
    def authorize(request) -> None:
        request.method = method

    with ScriptedServer.serving(OK) as server, Client(auth=authorize) as client:
        with pytest.raises(RequestError, match="the method must be a word") as caught:
            client.get(server.url())
        assert caught.value.sent == "nothing"
        assert "\n" not in str(caught.value)
        assert not server.requests


def test_enum_member_set_by_credentials_is_sent_as_its_value():
    def authorize(request) -> None:
        request.method = Method.REMOVE

    with ScriptedServer.serving(OK) as server, Client(auth=authorize) as client:
        assert client.get(server.url("/x")).body == b"ok"
    assert line_of(server.request) == b"DELETE /x HTTP/1.1"


def test_enum_member_set_on_a_request_is_sent_as_its_value():
    with ScriptedServer.serving(OK) as server, Client() as client:
        request = Request("GET", parse_url(server.url("/x")))
        request.method = Method.CREATE
        assert client.send(request).body == b"ok"
    assert line_of(server.request) == b"POST /x HTTP/1.1"
