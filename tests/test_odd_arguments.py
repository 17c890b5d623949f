"""Odd arguments of public functions and options raise clear errors, and none from the inside.

A clear error is a ``restkit.Error``, or another exception that a ``raise`` statement of restkit
raises. A TypeError or an AttributeError of an expression inside restkit is a defect; so is every
AssertionError.
"""

from __future__ import annotations

import ast
import io
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import restkit
from restkit import Client, Cookies, FormData, Headers, HttpResponse, Payload, Request, Resource
from restkit.client.options import ClientOptions, RequestOptions
from restkit.streaming import ZipStream, gunzip_stream, gzip_stream, hashing
from restkit.url import join_uri
from support import ScriptedServer

PACKAGE = str(Path(restkit.__file__).parent)


class Odd:
    """An object of a type that restkit does not know."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<Odd>"


def odd_values() -> list[Any]:
    """Return new values: some can be iterated only once."""
    return [
        *(None, True, False, 0, -1, 1, 3.5, float("nan"), float("inf"), 10**30, 1j, ...),
        *("", "x", "\0", "a b", "\u00e9", "\ud800", "x" * 5000),
        *(b"", b"x", bytearray(b"x"), memoryview(b"x")),
        *([], [1], [None], ["a"], [("a",)], [("a", None)], [(None, "b")], [[]], (), (1, 2)),
        *((None, None), ("a", "b", "c")),
        *({}, {"a": 1}, {None: 1}, {1: 2}, {"a": {"b": 1}}, {"a": Odd()}, {1, 2}, frozenset()),
        *(Odd(), Odd, object, int, dict, len, sys, Exception("x"), NotImplemented, range(3)),
        *(iter([]), iter([1]), iter([b"x"]), io.StringIO("x"), io.BytesIO(b"x"), Headers()),
        *(restkit.parse_url("http://h/"), restkit.Retry(1), restkit.Timeout(1), HttpResponse),
    ]


@cache
def raise_lines(path: str) -> frozenset[int]:
    """Return the lines of all ``raise`` statements of a file."""
    tree = ast.parse(Path(path).read_bytes())
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return frozenset(
        line for each in statements for line in range(each.lineno, (each.end_lineno or 0) + 1)
    )


def is_clear(error: Exception) -> bool:
    if isinstance(error, AssertionError):
        return False
    # OSError: a file that does not exist; UnicodeError: text that no encoding can hold.
    if isinstance(error, (restkit.Error, OSError, UnicodeError)):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == __file__:
        return True  # Python's own check of the arguments, or a function of the test
    return last.filename.startswith(PACKAGE) and last.lineno in raise_lines(last.filename)


def find_unclear_errors(use: Callable[[Any], object]) -> list[str]:
    """Call ``use`` with each odd value; describe the errors that are not clear."""
    unclear = []
    for number in range(len(odd_values())):
        value = odd_values()[number]
        try:
            result = use(value)
            if isinstance(result, HttpResponse):
                result.close()
        except Exception as error:  # noqa: BLE001  # all are checked
            if not is_clear(error):
                where = traceback.extract_tb(error.__traceback__)[-1]
                unclear.append(f"{value!r:.40}: {error!r} at {where.filename}:{where.lineno}")
    return unclear


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def script(peer: Any) -> None:
        while peer.next_request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with ScriptedServer(script) as server:
        yield server.url()


pytestmark = pytest.mark.filterwarnings("ignore::Warning")

FROM_THE_CALLER = {"check_address", "auth", "connect"}  # odd functions, which raise themselves


@pytest.mark.parametrize("name", sorted(RequestOptions.__optional_keys__ - FROM_THE_CALLER))
def test_odd_option_of_a_call_raises_a_clear_error(name, url):
    with Client(max_tries=1, timeout=5) as client:
        assert find_unclear_errors(lambda value: client.post(url, **{name: value})) == []


@pytest.mark.parametrize("name", sorted(ClientOptions.__optional_keys__))
def test_odd_option_of_a_client_raises_a_clear_error(name):
    assert find_unclear_errors(lambda value: Client(**{name: value}).close()) == []


def made() -> HttpResponse:
    return HttpResponse.made(request_of(), 200, {"Content-Type": "text/plain"}, b"one\ntwo")


def request_of() -> Request:
    return Request("GET", restkit.parse_url("http://h/"))


def sent(payload: Payload) -> bytes:
    return b"".join(bytes(chunk) for chunk in payload)


PURE: dict[str, Callable[[Any], object]] = {
    "parse_url": restkit.parse_url,
    "parse_url params": lambda value: restkit.parse_url("http://h/", value),
    "join_uri": lambda value: join_uri("http://h/", value),
    "URL.join": lambda value: restkit.parse_url("http://h/").join(value),
    "URL.with_params": lambda value: restkit.parse_url("http://h/").with_params(value),
    "Headers": Headers,
    "Headers.add": lambda value: Headers().add("a", value),
    "Headers.add name": lambda value: Headers().add(value, "a"),
    "Request method": lambda value: Request(value, restkit.parse_url("http://h/")),
    "BasicAuth": lambda value: restkit.BasicAuth(value, "p"),
    "BasicAuth password": lambda value: restkit.BasicAuth("u", value),
    "BearerAuth": restkit.BearerAuth,
    "DigestAuth": lambda value: restkit.DigestAuth(value, "p"),
    "Proxy": restkit.Proxy,
    "Proxy headers": lambda value: restkit.Proxy("http://h:1", headers=value),
    "Proxy verify": lambda value: restkit.Proxy("https://h:1", verify=value),
    "Proxy cert": lambda value: restkit.Proxy("https://h:1", cert=value),
    "Retry": restkit.Retry,
    "Retry status": lambda value: restkit.Retry(status=value),
    "Retry methods": lambda value: restkit.Retry(methods=value),
    "Retry backoff": lambda value: restkit.Retry(backoff=value),
    "set_logging": lambda value: restkit.set_logging("debug", value) if value is not None else 0,
    "Cookies": Cookies,
    "Cookies.set name": lambda value: Cookies().set(value, "b", domain="h"),
    "Cookies.set value": lambda value: Cookies().set("a", value, domain="h"),
    "Cookies.set domain": lambda value: Cookies().set("a", "b", domain=value),
    "Cookies.set path": lambda value: Cookies().set("a", "b", domain="h", path=value),
    "FormData.add_field": lambda value: FormData().add_field("a", value),
    "FormData.add_field name": lambda value: FormData().add_field(value, "a"),
    "FormData.from_fields": FormData.from_fields,
    "as_payload": restkit.as_payload,
    "HttpResponse.made status": lambda value: HttpResponse.made(request_of(), value),
    "HttpResponse.made headers": lambda value: HttpResponse.made(request_of(), 200, value),
    "HttpResponse.made body": lambda value: HttpResponse.made(request_of(), 200, (), value),
    "HttpResponse.iter_blocks": lambda value: next(made().iter_blocks(value)),
    "ZipStream": lambda value: sent(ZipStream(value)),
    "gzip_stream": lambda value: sent(gzip_stream(value)),
    "gunzip_stream": gunzip_stream,
    "hashing": hashing,
    "Resource": Resource,
    "Resource client": lambda value: Resource("http://h/", value),
    "Client.send": lambda value: Client().send(value),
}


@pytest.mark.parametrize("name", PURE)
def test_odd_argument_raises_a_clear_error(name):
    assert find_unclear_errors(PURE[name]) == []


REQUESTS: dict[str, Callable[[Client, str, Any], object]] = {
    "payload": lambda client, url, value: client.post(url, value),
    "field": lambda client, url, value: client.post(url, {"a": value}),
    "headers": lambda client, url, value: client.get(url, headers=value),
    "header value": lambda client, url, value: client.get(url, headers={"X-Odd": value}),
    "method": lambda client, url, value: client.request(url, value),
    "Resource path": lambda client, url, value: Resource(url, client).get(value),
    "Resource headers": lambda client, url, value: Resource(url, client).get(None, value),
    "Resource params": lambda client, url, value: Resource(url, client).get(None, None, value),
    "Resource payload": lambda client, url, value: Resource(url, client).post(None, value),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_odd_argument_of_a_request_raises_a_clear_error(name, url):
    with Client(max_tries=1, timeout=5) as client:
        assert find_unclear_errors(lambda value: REQUESTS[name](client, url, value)) == []
