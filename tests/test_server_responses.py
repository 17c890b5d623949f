"""What handlers return, and what of it goes to a WSGI server."""

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
from restkit.door import as_payload
from restkit.server import App, serve
from restkit.server.response import (
    Response,
    StreamingHTTPResponse,
    html,
    json,
    raw,
    redirect,
    stream,
    text,
)
from restkit.streaming import ResourceStreamFunction, gzip_stream
from restkit.streaming.gzip import compressed
from support.caller import Caller, get, post, said_by
from support.wsgi_calls import Answer, call, environ_of

pytestmark = pytest.mark.smoke

np = pytest.importorskip("numpy")


def answered(make, method="GET", **more):
    """The answer to a request whose handler returns what `make()` gives."""
    app = App("responses")
    app.route("/", methods=["GET", "POST"])(lambda request: make())
    return call(app, method, **more)


# At hand


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
def test_a_body_at_hand_goes_with_its_type_and_its_length(make, content_type, body):
    answer = answered(make)
    assert (answer.status, answer.body) == ("200 OK", body)
    assert answer.header("Content-Type") == content_type
    assert answer.header("Content-Length") == str(len(body))


def test_status_and_headers_are_the_callers():
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Count", 3)]
    answer = answered(lambda: text("x", 201, fields))
    assert answer.status == "201 Created"
    assert answer.headers[:3] == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Count", "3")]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (413, "413 Content Too Large"),
        (422, "422 Unprocessable Content"),
        (299, "299 Success"),
        (499, "499 Client Error"),
        (599, "599 Server Error"),
        (308, "308 Permanent Redirect"),
    ],
)
def test_every_status_has_a_reason(status, line):
    assert answered(lambda: text("x", status)).status == line


@pytest.mark.parametrize("status", [100, 199, 600, "200", 20.0])
def test_a_status_that_no_answer_has_is_refused(status):
    with pytest.raises(ValueError, match="from 200 to 599"):
        text("x", status)


def test_bodies_and_headers_that_are_none_are_refused():
    with pytest.raises(TypeError, match="Response wants bytes"):
        Response("text")
    with pytest.raises(TypeError, match="None has no bytes"):
        text(None)
    with pytest.raises(TypeError, match="bytes-like"):
        raw("text")
    with pytest.raises(PayloadError, match=r"json\(\) cannot be sent as JSON"):
        json({1, 2})
    with pytest.raises(InvalidHeader):
        text("x", headers={"X": "a\r\nY: b"})
    with pytest.raises(InvalidHeader):
        text("x", content_type="a\nb")


def test_the_length_is_counted_whatever_is_said_of_it():
    assert (
        answered(lambda: text("four", headers={"Content-Length": 99})).header("Content-Length")
        == "4"
    )


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("make", [text, stream])
def test_204_and_304_have_neither_a_body_nor_what_describes_one(status, make):
    answer = answered(lambda: make("text", status, {"ETag": '"1"'}))
    assert (answer.headers, answer.body) == ([("ETag", '"1"')], b"")


def test_what_belongs_to_the_connection_is_left_out():
    fields = {"Connection": "close", "Transfer-Encoding": "chunked", "keep-alive": "5", "X": "y"}
    for make in (text, stream):
        answer = answered(lambda make=make: make("x", 200, fields))
        assert {name for name, _ in answer.headers} == {"X", "Content-Type", "Content-Length"}
    answer = answered(lambda: stream(iter("x"), 200, fields))
    assert {name for name, _ in answer.headers} == {"X", "Content-Type"}


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("https://host/ü b", "https://host/%C3%BC%20b"),
        ("/a%20b", "/a%20b"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
    ],
)
def test_a_redirect_says_where_to(to, location):
    answer = answered(lambda: redirect(to))
    assert (answer.status, answer.header("Location"), answer.body) == ("302 Found", location, b"")


def test_a_redirect_has_the_status_of_one():
    assert redirect("/", 308).status == 308
    with pytest.raises(ValueError, match="a redirect has one of"):
        redirect("/", 304)


def test_an_answer_may_be_changed_until_it_is_returned_and_returned_again():
    answer = text("x")
    answer.body, answer.status = b"changed", 201
    answer.headers["X"] = "y"
    for _ in range(2):
        got = answered(lambda: answer)
        assert (got.status, got.body, got.header("X")) == ("201 Created", b"changed", "y")
    assert repr(answer) == "<Response 201 Created>"


def test_an_answer_is_a_wsgi_application():
    assert call(text("x")).body == b"x"


# Written by a function


def test_N10_a_stream_has_its_type_and_no_length_even_if_one_is_given():
    def fn(response):
        response.write("foo,")
        response.write("bar")

    answer = answered(
        lambda: stream(fn, content_type="text/csv", headers={"Content-Length": 7, "X": "y"})
    )
    assert answer.pieces == [b"foo,", b"bar"]
    assert answer.headers == [("X", "y"), ("Content-Type", "text/csv")]


def test_a_stream_is_plain_text_unless_something_else_is_said():
    assert answered(lambda: stream(lambda r: 1)).header("Content-Type") == (
        "text/plain; charset=utf-8"
    )
    given = {"Content-Type": "text/x"}
    made = stream(lambda r: 1, 202, given, "text/csv")
    assert (made.headers, made.status) == (given, 202)
    assert isinstance(made, StreamingHTTPResponse)
    assert StreamingHTTPResponse(lambda r: 1).headers["Content-Type"] == "text/plain; charset=utf-8"


def test_N11_what_is_empty_writes_nothing():
    def fn(response):
        for piece in ("a", "", b"", bytearray(), "b"):
            response.write(piece)

    assert answered(lambda: stream(fn)).pieces == [b"a", b"b"]


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
def test_N12_bytes_go_as_they_are_text_as_utf_8_and_the_rest_as_its_str(written, sent):
    counts = []
    answer = answered(lambda: stream(lambda response: counts.append(response.write(written))))
    assert (answer.body, counts) == (sent, [len(sent)])


def test_N12_none_is_a_TypeError_before_anything_is_written():
    answer = answered(lambda: stream(lambda response: response.write(None)))
    assert (answer.status, answer.text) == (
        "500 Internal Server Error",
        "Error: Internal Server Error",
    )


def test_N15_a_function_that_writes_nothing_has_its_head_at_the_end():
    answer = answered(lambda: stream(lambda response: response.write("")))
    assert (answer.status, answer.pieces) == ("200 OK", [])


def test_N15_a_function_that_fails_before_its_first_write_is_a_500():
    def fn(response):
        response.write("")
        raise KeyError("inner")

    answer = answered(lambda: stream(fn))
    assert answer.status == "500 Internal Server Error"
    assert "inner" not in answer.text


def test_a_function_that_fails_later_fails_the_call():
    def fn(response):
        response.write("a")
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner"):
        answered(lambda: stream(fn))


def test_status_and_headers_can_be_changed_until_the_first_write():
    def fn(response):
        response.status = 203
        response.headers["X"] = "in time"
        response.write("")
        response.headers["Y"] = "in time"
        response.write("a")
        response.headers["Z"] = "too late"

    made = stream(fn)
    for _ in range(2):
        answer = answered(lambda: made)
        assert (answer.status, answer.header("X"), answer.header("Y"), answer.header("Z")) == (
            "203 Non-Authoritative Information",
            "in time",
            "in time",
            None,
        )
    assert (made.status, "X" in made.headers) == (200, False)


def test_one_answer_can_be_given_to_several_requests_at_once():
    barrier = threading.Barrier(2, timeout=20)

    def fn(response):
        response.write(f"{threading.get_ident()} ")
        barrier.wait()
        response.write(threading.get_ident())

    made, answers = stream(fn), []
    threads = [
        threading.Thread(target=lambda: answers.append(answered(lambda: made))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        first, second = answer.text.split()
        assert first == second


def test_nothing_can_be_written_once_the_function_has_returned():
    kept = []
    answered(lambda: stream(kept.append))
    with pytest.raises(ValueError, match="while its function runs, and no longer"):
        kept[0].write("late")


def test_it_is_a_file_for_those_who_write_files():
    def rows(response):
        csv.writer(response).writerows([["a", "é"], ["1", "2"]])

    def archive(response):
        with zipfile.ZipFile(response, "w") as target:
            target.writestr("a.txt", "content")

    def compressed(response):
        with gzip.GzipFile(fileobj=response, mode="wb") as target:
            shutil.copyfileobj(io.BytesIO(b"content"), target)

    assert answered(lambda: stream(rows)).text == "a,é\r\n1,2\r\n"
    found = zipfile.ZipFile(io.BytesIO(answered(lambda: stream(archive)).body))
    assert found.read("a.txt") == b"content"
    assert gzip.decompress(answered(lambda: stream(compressed)).body) == b"content"


def test_a_function_is_not_run_for_head():
    ran = []
    answer = answered(lambda: stream(ran.append, content_type="text/csv"), "HEAD")
    assert (answer.status, answer.headers, ran) == ("200 OK", [("Content-Type", "text/csv")], [])


async def coroutine(response):
    """Never awaited here."""


async def generator():
    yield b""


class Callable:
    async def __call__(self, response):
        """Never awaited here."""


@pytest.mark.parametrize("source", [coroutine, generator, generator(), Callable()])
def test_what_is_asynchronous_is_refused(source):
    with pytest.raises(TypeError, match=r"restkit\.server is blocking"):
        stream(source)


@pytest.mark.parametrize("source", [5, None, {"a": 1}, object()])
def test_what_cannot_be_streamed_is_refused(source):
    with pytest.raises(TypeError, match=r"stream\(\) takes a function that writes"):
        stream(source)


# Of an iterable


def test_an_iterable_goes_item_by_item_as_write_would_send_it():
    answer = answered(lambda: stream(["é", b"", "", b"b", 12, bytearray(b"c")]))
    assert answer.pieces == ["é".encode(), b"b", b"12", b"c"]
    assert answer.headers == [("Content-Type", "text/plain; charset=utf-8")]


def test_a_list_can_be_the_answer_again_and_an_iterator_once():
    made = stream(["a", "b"])
    assert answered(lambda: made).text == answered(lambda: made).text == "ab"
    made = stream(iter(["a", "b"]))
    assert answered(lambda: made).text == "ab"
    assert answered(lambda: made).status == "500 Internal Server Error"


def test_a_generator_that_fails_before_its_first_item_is_a_500_and_later_fails_the_call():
    def failing(*first):
        yield from first
        raise KeyError("inner")

    assert answered(lambda: stream(failing("", b""))).status == "500 Internal Server Error"
    with pytest.raises(KeyError, match="inner"):
        answered(lambda: stream(failing("a")))
    assert answered(lambda: stream([None])).status == "500 Internal Server Error"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_generator_is_closed_however_the_answer_ends(method, taken):
    ended = []

    def pieces():
        try:
            yield from ["", "a", "b"]
        finally:
            ended.append("closed")

    source, answer = pieces(), Answer()
    items = stream(source)(environ_of(method), answer.start_response)
    for _ in zip(range(taken), items, strict=False):
        pass
    if hasattr(items, "close"):
        items.close()
    assert source.gi_frame is None
    assert ended == ([] if method == "HEAD" else ["closed"])


def test_an_empty_iterable_is_an_empty_answer():
    answer = answered(lambda: stream(iter(())))
    assert (answer.status, answer.body) == ("200 OK", b"")


# Of what a client could send


def test_a_file_goes_with_its_length_and_type_and_is_closed(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(b"x" * 300_000)
    for method, size in (("GET", 300_000), ("HEAD", 0)):
        file = path.open("rb")
        answer = answered(lambda file=file: stream(file), method)
        assert (len(answer.body), answer.header("Content-Length")) == (size, "300000")
        assert answer.header("Content-Type") == "text/html"
        assert file.closed
    assert answered(lambda: stream(path, content_type="text/x")).header("Content-Type") == "text/x"


def test_bytes_and_text_go_with_their_length():
    answer = answered(lambda: stream("grüße"))
    assert (answer.text, answer.header("Content-Length")) == ("grüße", "7")
    assert answered(lambda: stream(b"abc")).pieces == [b"abc"]


def test_a_file_without_a_length_and_a_payload_go_without_one():
    class Source:
        def __init__(self):
            self.left = [b"a", b"b"]

        def read(self, size=-1):
            return self.left.pop() if self.left else b""

    answer = answered(lambda: stream(Source()))
    assert (answer.body, answer.header("Content-Length")) == (b"ba", None)

    @ResourceStreamFunction
    def rows(count):
        yield from (b"%d\n" % number for number in range(count))

    made = stream(rows(3))
    for _ in range(2):
        assert answered(lambda: made).body == b"0\n1\n2\n"


def test_a_payload_says_its_type_and_its_coding():
    answer = answered(lambda: stream(gzip_stream(b"content")))
    assert answer.header("Content-Type") == "application/gzip"
    coded = compressed(as_payload(b"content"), "gzip")
    answer = answered(lambda: stream(coded, content_type="text/plain"))
    assert answer.header("Content-Encoding") == "gzip"
    assert answer.header("Content-Type") == "text/plain"
    assert gzip.decompress(answer.body) == b"content"


def test_a_payload_that_does_not_keep_its_length_fails_the_call(tmp_path):
    path = tmp_path / "shrinks"
    path.write_bytes(b"x" * 2_000_000)

    def make():
        made = stream(path.open("rb"))
        path.write_bytes(b"x" * 1_000_000)
        return made

    with pytest.raises(PayloadError):
        answered(make)


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
    def pieces():
        yield "a"
        raise RuntimeError("in the middle")

    def fn(response):
        for piece in pieces():
            response.write(piece)

    app.get("/broken/<how>")(lambda request, how: stream(fn if how == "written" else pieces()))


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
        answer = caller.read_answer()
    assert answer == (
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
def test_an_answer_that_breaks_in_the_middle_has_no_last_chunk(server, how):
    assert said_by(server.port, get(f"/broken/{how}")).endswith(b"\r\n\r\n1\r\na\r\n")


def test_an_echo_sends_what_comes_as_it_comes(server):
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
