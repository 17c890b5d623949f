"""Responses of handlers, and what a WSGI server gets of them."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import threading
import zipfile
from array import array
from decimal import Decimal

import pytest

from restkit import InvalidHeader, PayloadError
from restkit.content_encoding.payloads import compress_payload
from restkit.payload.convert import as_payload
from restkit.server import App, serve
from restkit.server.response import html, json, raw, redirect, stream, text
from restkit.server.responses import Response, StreamingHTTPResponse
from restkit.streaming import ResourceStreamFunction, gzip_stream
from support.caller import Caller, get, post, said_by
from support.wsgi_calls import RecordedResponse, call_app, make_environ

pytestmark = pytest.mark.smoke

np = pytest.importorskip("numpy")


def respond(make, method="GET", **more):
    """Call an app whose handler returns ``make()``."""
    app = App("responses")
    app.route("/", methods=["GET", "POST"])(lambda request: make())
    return call_app(app, method, **more)


# Whole responses


@pytest.mark.parametrize(
    ("make", "content_type", "body"),
    [
        (lambda: text("grüße"), "text/plain; charset=utf-8", "grüße".encode()),
        (lambda: text("a,b", content_type="text/csv"), "text/csv", b"a,b"),
        (lambda: text(12), "text/plain; charset=utf-8", b"12"),
        (lambda: html("<p>ü"), "text/html; charset=utf-8", "<p>ü".encode()),
        (lambda: json({"a": ["ü", None]}), "application/json", '{"a":["ü",null]}'.encode()),
        (lambda: raw(b"\0\1"), "application/octet-stream", b"\0\1"),
        (lambda: raw(memoryview(b"abc")[1:]), "application/octet-stream", b"bc"),
        (lambda: raw(b"x", content_type="image/png"), "image/png", b"x"),
        (lambda: text("x", headers={"content-type": "text/x"}, content_type="y"), "text/x", b"x"),
    ],
)
def test_body_has_type_and_length(make, content_type, body):
    response = respond(make)
    assert (response.status, response.body) == ("200 OK", body)
    assert response.header("Content-Type") == content_type
    assert response.header("Content-Length") == str(len(body))


def test_status_and_headers_are_sent_unchanged():
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Count", 3)]
    response = respond(lambda: text("x", 201, fields))
    assert response.status == "201 Created"
    assert response.headers[:3] == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Count", "3")]


@pytest.mark.parametrize("status", [100, 199, 600, "200", 20.0])
def test_invalid_status_is_rejected(status):
    with pytest.raises(ValueError, match="from 200 to 599"):
        text("x", status)


def test_invalid_bodies_and_headers_are_rejected():
    with pytest.raises(TypeError, match="must be bytes; got str"):
        Response("text")
    with pytest.raises(TypeError, match="None cannot be sent"):
        text(None)
    with pytest.raises(TypeError, match="bytes-like"):
        raw("text")
    with pytest.raises(PayloadError, match=r"json\(\) cannot be sent as JSON"):
        json({1, 2})
    with pytest.raises(InvalidHeader):
        text("x", headers={"X": "a\r\nY: b"})
    with pytest.raises(InvalidHeader):
        text("x", content_type="a\nb")


def test_given_content_length_is_replaced():
    assert (
        respond(lambda: text("four", headers={"Content-Length": 99})).header("Content-Length")
        == "4"
    )


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("make", [text, stream])
def test_204_and_304_have_no_body_type_and_length(status, make):
    response = respond(lambda: make("text", status, {"ETag": '"1"'}))
    assert (response.headers, response.body) == ([("ETag", '"1"')], b"")


def test_hop_by_hop_headers_are_removed():
    fields = {"Connection": "close", "Transfer-Encoding": "chunked", "keep-alive": "5", "X": "y"}
    for make in (text, stream):
        response = respond(lambda make=make: make("x", 200, fields))
        assert {name for name, _ in response.headers} == {"X", "Content-Type", "Content-Length"}
    response = respond(lambda: stream(iter("x"), 200, fields))
    assert {name for name, _ in response.headers} == {"X", "Content-Type"}


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("https://host/ü b", "https://host/%C3%BC%20b"),
        ("/a%20b", "/a%20b"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
    ],
)
def test_redirect_has_an_encoded_location(to, location):
    response = respond(lambda: redirect(to))
    assert (response.status, response.header("Location"), response.body) == (
        "302 Found",
        location,
        b"",
    )


def test_redirect_status_is_checked():
    assert redirect("/", 308).status == 308
    with pytest.raises(ValueError, match="of a redirect must be one of"):
        redirect("/", 304)


def test_response_can_be_changed_and_returned_repeatedly():
    response = text("x")
    response.body, response.status = b"changed", 201
    response.headers["X"] = "y"
    for _ in range(2):
        got = respond(lambda: response)
        assert (got.status, got.body, got.header("X")) == ("201 Created", b"changed", "y")
    assert repr(response) == "<Response 201 Created>"


def test_response_is_a_wsgi_application():
    assert call_app(text("x")).body == b"x"


# Responses written by a function


def test_N10_stream_has_its_type_and_no_length():
    def fn(response):
        response.write("foo,")
        response.write("bar")

    response = respond(
        lambda: stream(fn, content_type="text/csv", headers={"Content-Length": 7, "X": "y"})
    )
    assert response.chunks == [b"foo,", b"bar"]
    assert response.headers == [("X", "y"), ("Content-Type", "text/csv")]


def test_stream_is_plain_text_by_default():
    assert respond(lambda: stream(lambda r: 1)).header("Content-Type") == (
        "text/plain; charset=utf-8"
    )
    given = {"Content-Type": "text/x"}
    made = stream(lambda r: 1, 202, given, "text/csv")
    assert (made.headers, made.status) == (given, 202)
    assert isinstance(made, StreamingHTTPResponse)
    assert StreamingHTTPResponse(lambda r: 1).headers["Content-Type"] == "text/plain; charset=utf-8"


def test_N11_empty_writes_send_nothing():
    def fn(response):
        for chunk in ("a", "", b"", bytearray(), "b"):
            response.write(chunk)

    assert respond(lambda: stream(fn)).chunks == [b"a", b"b"]


class Named:
    def __str__(self):
        return "named"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("é", "é".encode()),
        (b"b", b"b"),
        (bytearray(b"ba"), b"ba"),
        (memoryview(b"memory")[::2], b"mmr"),
        (array("B", [1, 2]), b"\1\2"),
        (12, b"12"),
        (1.5, b"1.5"),
        (True, b"True"),
        (Decimal("1.10"), b"1.10"),
        (np.float64(1.5), b"1.5"),
        (np.int64(7), b"7"),
        (np.array([1, 2], "u1"), b"\1\2"),
        (["a"], b"['a']"),
        (Named(), b"named"),
    ],
)
def test_N12_write_encodes_every_type(written, sent):
    counts = []
    response = respond(lambda: stream(lambda response: counts.append(response.write(written))))
    assert (response.body, counts) == (sent, [len(sent)])


def test_N12_write_of_none_is_500_before_the_head():
    response = respond(lambda: stream(lambda response: response.write(None)))
    assert (response.status, response.text) == (
        "500 Internal Server Error",
        "Error: Internal Server Error",
    )


def test_N15_function_that_writes_nothing_sends_a_head():
    response = respond(lambda: stream(lambda response: response.write("")))
    assert (response.status, response.chunks) == ("200 OK", [])


def test_N15_function_that_fails_before_writing_is_500():
    def fn(response):
        response.write("")
        raise KeyError("inner")

    response = respond(lambda: stream(fn))
    assert response.status == "500 Internal Server Error"
    assert "inner" not in response.text


def test_function_that_fails_after_writing_raises():
    def fn(response):
        response.write("a")
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner"):
        respond(lambda: stream(fn))


def test_status_and_headers_can_be_changed_before_the_first_write():
    def fn(response):
        response.status = 203
        response.headers["X"] = "in time"
        response.write("")
        response.headers["Y"] = "in time"
        response.write("a")
        response.headers["Z"] = "too late"

    made = stream(fn)
    for _ in range(2):
        response = respond(lambda: made)
        assert (
            response.status,
            response.header("X"),
            response.header("Y"),
            response.header("Z"),
        ) == (
            "203 Non-Authoritative Information",
            "in time",
            "in time",
            None,
        )
    assert (made.status, "X" in made.headers) == (200, False)


def test_one_response_serves_several_requests_at_once():
    barrier = threading.Barrier(2, timeout=20)

    def fn(response):
        response.write(f"{threading.get_ident()} ")
        barrier.wait()
        response.write(threading.get_ident())

    made, responses = stream(fn), []
    threads = [
        threading.Thread(target=lambda: responses.append(respond(lambda: made))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for response in responses:
        first, second = response.text.split()
        assert first == second


def test_write_after_the_function_raises():
    kept = []
    respond(lambda: stream(kept.append))
    with pytest.raises(ValueError, match="only be written to while its function runs"):
        kept[0].write("late")


def test_streaming_response_is_a_writable_file():
    def rows(response):
        csv.writer(response).writerows([["a", "é"], ["1", "2"]])

    def archive(response):
        with zipfile.ZipFile(response, "w") as target:
            target.writestr("a.txt", "content")

    def compressed(response):
        with gzip.GzipFile(fileobj=response, mode="wb") as target:
            shutil.copyfileobj(io.BytesIO(b"content"), target)

    assert respond(lambda: stream(rows)).text == "a,é\r\n1,2\r\n"
    found = zipfile.ZipFile(io.BytesIO(respond(lambda: stream(archive)).body))
    assert found.read("a.txt") == b"content"
    assert gzip.decompress(respond(lambda: stream(compressed)).body) == b"content"


def test_function_is_not_called_for_head():
    ran = []
    response = respond(lambda: stream(ran.append, content_type="text/csv"), "HEAD")
    assert (response.status, response.headers, ran) == (
        "200 OK",
        [("Content-Type", "text/csv")],
        [],
    )


async def coroutine(response):
    """Never awaited."""


async def generator():
    yield b""


class Callable:
    async def __call__(self, response):
        """Never awaited."""


@pytest.mark.parametrize("source", [coroutine, generator, generator(), Callable()])
def test_asynchronous_source_is_rejected(source):
    with pytest.raises(TypeError, match=r"restkit\.server is blocking"):
        stream(source)


@pytest.mark.parametrize("source", [5, None, {"a": 1}, object()])
def test_invalid_source_is_rejected(source):
    with pytest.raises(TypeError, match=r"stream\(\) takes a function that writes"):
        stream(source)


# Responses of an iterable


def test_iterable_is_sent_item_by_item():
    response = respond(lambda: stream(["é", b"", "", b"b", 12, bytearray(b"c")]))
    assert response.chunks == ["é".encode(), b"b", b"12", b"c"]
    assert response.headers == [("Content-Type", "text/plain; charset=utf-8")]


def test_list_can_be_sent_repeatedly_and_an_iterator_once():
    made = stream(["a", "b"])
    assert respond(lambda: made).text == respond(lambda: made).text == "ab"
    made = stream(iter(["a", "b"]))
    assert respond(lambda: made).text == "ab"
    assert respond(lambda: made).status == "500 Internal Server Error"


def test_generator_that_fails_early_is_500_and_later_raises():
    def failing(*first):
        yield from first
        raise KeyError("inner")

    assert respond(lambda: stream(failing("", b""))).status == "500 Internal Server Error"
    with pytest.raises(KeyError, match="inner"):
        respond(lambda: stream(failing("a")))
    assert respond(lambda: stream([None])).status == "500 Internal Server Error"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_generator_is_closed_however_the_response_ends(method, taken):
    ended = []

    def chunks():
        try:
            yield from ["", "a", "b"]
        finally:
            ended.append("closed")

    source, response = chunks(), RecordedResponse()
    items = stream(source)(make_environ(method), response.start_response)
    for _ in zip(range(taken), items, strict=False):
        pass
    if hasattr(items, "close"):
        items.close()
    assert source.gi_frame is None
    assert ended == ([] if method == "HEAD" else ["closed"])


def test_empty_iterable_is_an_empty_response():
    response = respond(lambda: stream(iter(())))
    assert (response.status, response.body) == ("200 OK", b"")


# Responses of payloads


def test_file_is_sent_with_length_and_type_and_closed(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(b"x" * 300_000)
    for method, size in (("GET", 300_000), ("HEAD", 0)):
        file = path.open("rb")
        response = respond(lambda file=file: stream(file), method)
        assert (len(response.body), response.header("Content-Length")) == (size, "300000")
        assert response.header("Content-Type") == "text/html"
        assert file.closed
    assert respond(lambda: stream(path, content_type="text/x")).header("Content-Type") == "text/x"


def test_bytes_and_text_are_sent_with_their_length():
    response = respond(lambda: stream("grüße"))
    assert (response.text, response.header("Content-Length")) == ("grüße", "7")
    assert respond(lambda: stream(b"abc")).chunks == [b"abc"]


def test_sources_of_unknown_length_are_sent_without_one():
    class Source:
        def __init__(self):
            self.left = [b"a", b"b"]

        def read(self, size=-1):
            return self.left.pop() if self.left else b""

    response = respond(lambda: stream(Source()))
    assert (response.body, response.header("Content-Length")) == (b"ba", None)

    @ResourceStreamFunction
    def rows(count):
        yield from (b"%d\n" % number for number in range(count))

    made = stream(rows(3))
    for _ in range(2):
        assert respond(lambda: made).body == b"0\n1\n2\n"


def test_payload_sets_type_and_coding():
    response = respond(lambda: stream(gzip_stream(b"content")))
    assert response.header("Content-Type") == "application/gzip"
    coded = compress_payload(as_payload(b"content"), "gzip")
    response = respond(lambda: stream(coded, content_type="text/plain"))
    assert response.header("Content-Encoding") == "gzip"
    assert response.header("Content-Type") == "text/plain"
    assert gzip.decompress(response.body) == b"content"


def test_payload_shorter_than_its_length_raises(tmp_path):
    path = tmp_path / "shrinks"
    path.write_bytes(b"x" * 2_000_000)

    def make():
        made = stream(path.open("rb"))
        path.write_bytes(b"x" * 1_000_000)
        return made

    with pytest.raises(PayloadError):
        respond(make)


# On the wire


def writing(app):
    gate = threading.Event()

    def rows(response):
        response.write("foo,")
        response.write("bar")

    def gated(response):
        response.write("first")
        gate.wait(20)
        response.write("second")

    app.get("/csv")(lambda request: stream(rows, 200, {"Content-Length": 9}, "text/csv"))
    app.get("/gated")(lambda request: stream(gated))
    app.get("/open")(lambda request: text(str(gate.set())))
    app.post("/echo", stream=True)(lambda request: stream(request.stream))


def breaking(app):
    def chunks():
        yield "a"
        raise RuntimeError("in the middle")

    def fn(response):
        for chunk in chunks():
            response.write(chunk)

    app.get("/broken/<how>")(lambda request, how: stream(fn if how == "written" else chunks()))


@pytest.fixture
def server():
    app = App("wire")
    writing(app)
    breaking(app)
    with serve(app) as server:
        yield server


def test_N10_each_write_is_a_chunk_on_the_wire(server):
    with Caller(server.port) as caller:
        caller.send(get("/csv"))
        response = caller.read_answer()
    assert response == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nfoo,\r\n3\r\nbar\r\n0\r\n\r\n"
    )


def test_N13_each_write_is_delivered_at_once(server):
    with Caller(server.port) as caller, Caller(server.port) as other:
        caller.send(get("/gated"))
        caller.read_head()
        assert caller.read_exactly(10) == b"5\r\nfirst\r\n"
        other.send(get("/open"))
        assert caller.read_exactly(16) == b"6\r\nsecond\r\n0\r\n\r\n"[:16]


@pytest.mark.parametrize("how", ["written", "iterated"])
def test_failure_in_the_middle_sends_no_last_chunk(server, how):
    assert said_by(server.port, get(f"/broken/{how}")).endswith(b"\r\n\r\n1\r\na\r\n")


def test_echo_streams_both_ways(server):
    with Caller(server.port) as caller:
        caller.send(get("/echo", "Transfer-Encoding: chunked", method="POST"), b"1\r\na\r\n")
        caller.read_head()
        assert caller.read_exactly(6) == b"1\r\na\r\n"
        caller.send(b"2\r\nbc\r\n0\r\n\r\n")
        assert caller.read_exactly(12) == b"2\r\nbc\r\n0\r\n\r\n"
        caller.send(post("/echo", b"again"))
        assert caller.read_answer() == (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 5\r\n\r\nagain"
        )
