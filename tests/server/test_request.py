"""A request as handlers see it: its head, its body whole or live, its form."""

from __future__ import annotations

import gzip
import io
import json as stdlib_json
import os
import zlib

import pytest

from restkit import Client, Headers
from restkit.errors import AlreadyRead, BodyTooLarge, ClientDisconnected, DecodingError
from restkit.payload.convert import as_payload
from restkit.server import App, Request, serve
from restkit.server.exceptions import PayloadTooLarge, UnsupportedMediaType
from restkit.server.request_stream import RequestStream
from restkit.server.response import json, stream, text
from support.caller import Caller, get, post, said_by
from support.messages import chunks
from support.wsgi_calls import call, environ_of

MIB = 1024 * 1024


def request_of(method="GET", target="/", body=None, headers=None, **more):
    return Request(environ_of(method, target, body, headers, **more), App("app"))


def taken(body=b"", headers=None, limit=None, **more):
    """A request to an ordinary handler, whose body has come."""
    request = request_of("POST", "/", body, headers, **more)
    request.read_body(limit)
    return request


def stream_of(body, max_size=None, encodings=()):
    return RequestStream(io.BufferedReader(io.BytesIO(body)), encodings, max_size)


def seen(look, *, stream=False, **more):
    """What a handler's look at a POST gives, as an answer of an app."""
    app = App("app", max_body=MIB)
    app.post("/", stream=stream)(lambda request: json(look(request)))
    return call(app, "POST", "/", **more)


# The head


def test_the_parts_of_a_head():
    request = request_of(
        "PUT", "/a%20b/c?x=1&x=2&y=", b"", {"Content-Type": "text/csv", "X-File-Name": "n"}
    )
    assert (request.method, request.path, request.encoded_path) == ("PUT", "/a b/c", "/a%20b/c")
    assert request.url == "http://example.org/a%20b/c?x=1&x=2&y="
    assert (request.scheme, request.host, request.query_string) == (
        "http",
        "example.org",
        "x=1&x=2&y=",
    )
    assert request.content_type == "text/csv"
    assert request.headers == Headers(
        {
            "Host": "example.org",
            "Content-Length": "0",
            "Content-Type": "text/csv",
            "X-File-Name": "n",
        }
    )
    assert repr(request) == "<Request PUT /a%20b/c>"


def test_the_arguments_of_a_query():
    args = request_of(target="/?x=1&x=2&y=&z=%C3%BC+a&w").args
    assert dict(args) == {"x": ["1", "2"], "y": [""], "z": ["ü a"], "w": [""]}
    assert (args.get("x"), args.getlist("x"), args["x"]) == ("1", ["1", "2"], ["1", "2"])
    assert (args.get("none"), args.get("none", 5), args.getlist("none")) == (None, 5, [])
    assert request_of().args == {}
    # Octets above ASCII, as curl sends what it is given, and as PEP 3333 hands them on.
    request = request_of(target="/?x=%C3%BC&y=" + "ü".encode().decode("latin-1"))
    assert dict(request.args) == {"x": ["ü"], "y": ["ü"]}
    assert request.url == "http://example.org/?x=%C3%BC&y=%C3%BC"


def test_a_query_of_too_many_arguments_is_a_400():
    app = App("app")
    app.get("/")(lambda request: json(request.args))
    assert call(app, target="/?" + "a&" * 10_001).status == "400 Bad Request"


def test_cookies_by_their_names():
    request = request_of(headers={"Cookie": 'a=1; b="two"; a=3; broken; c=x=y; =none'})
    assert request.cookies == {"a": "1", "b": "two", "c": "x=y"}
    assert request_of().cookies == {}


def test_where_it_came_from_and_what_is_not_there_is_none():
    request = request_of(REMOTE_ADDR="10.0.0.1")
    assert request.remote_addr == request.ip == "10.0.0.1"
    assert request_of().remote_addr is None
    assert request_of().content_type is None


def test_the_url_below_a_mount_and_without_a_host():
    request = request_of(target="/x?q", SCRIPT_NAME="/\xc3\xbc", SERVER_PORT="8080", HTTP_HOST="")
    assert request.url == "http://server:8080/%C3%BC/x?q"
    secure = request_of(**{"wsgi.url_scheme": "https", "SERVER_PORT": "443", "HTTP_HOST": ""})
    assert secure.url == "https://server/"


def test_the_arguments_of_the_route_are_with_the_request():
    app = App("app")
    app.get("/<x:int>")(lambda request, x: json([x, request.arguments, request.app is app]))
    assert call(app, target="/7").text == '[7,{"x":7},true]'


# The whole body


def test_N05_in_an_ordinary_handler_the_body_is_whole_and_stream_is_none():
    answer = seen(lambda request: [request.stream, len(request.body)], body=b"x" * 70_000)
    assert answer.text == "[null,70000]"


def test_a_request_without_a_body_has_an_empty_one():
    request = request_of()
    request.read_body(None)
    assert (request.body, request.text, request.json, request.body_file.read()) == (
        b"",
        "",
        None,
        b"",
    )
    assert request.form == request.files == {}


def test_a_body_can_be_read_again_and_in_every_form():
    request = taken(b'{"a": "\xc3\xbc"}')
    assert request.body == b'{"a": "\xc3\xbc"}'
    assert request.text == '{"a": "ü"}'
    assert request.json == {"a": "ü"}
    assert request.body_file.read(4) + request.body_file.read(1) == b'{"a"{'


def test_a_large_body_is_in_a_file_and_can_be_sought(tmp_path):
    data = os.urandom(3 * MIB)
    request = taken(data)
    file = request.body_file
    assert file.seek(-5, io.SEEK_END) == 3 * MIB - 5
    assert file.read() == data[-5:]
    assert request.body == data
    request.close()
    request.close()


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000 + b"e"])
def test_what_is_no_json_is_a_400(body):
    answer = seen(lambda request: request.json, body=body)
    assert answer.status == "400 Bad Request"
    assert answer.text.startswith("Error: Failed when parsing body as json: ")


def test_what_is_no_text_is_a_400():
    answer = seen(lambda request: request.text, body=b"a\xff")
    assert answer.text == "Error: the body is not UTF-8 text: invalid start byte"


def test_content_codings_are_off_what_is_read_as_text_json_or_a_form_and_on_the_body():
    data = stdlib_json.dumps({"a": 1}).encode()
    coded = gzip.compress(zlib.compress(data))
    request = taken(coded, {"Content-Encoding": "deflate, gzip"})
    assert (request.body, request.text, request.json) == (coded, '{"a": 1}', {"a": 1})
    form = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert taken(gzip.compress(b"a=1&a=2"), form).form == {"a": ["1", "2"]}


def test_a_body_that_swells_past_the_limit_is_a_413():
    bomb = gzip.compress(b"0" * (MIB + 1))
    answer = seen(lambda request: request.text, body=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status == "413 Content Too Large"


def test_a_broken_coding_is_a_400_and_an_unknown_one_a_415_that_says_what_is_known():
    answer = seen(lambda r: r.json, body=b"plain", headers={"Content-Encoding": "gzip"})
    assert answer.status == "400 Bad Request"
    assert answer.text.startswith("Error: gzip body, after 0 decoded bytes")
    answer = seen(lambda r: r.json, body=b"x", headers={"Content-Encoding": "zzz"})
    assert answer.status == "415 Unsupported Media Type"
    assert answer.header("Accept-Encoding").startswith("gzip, deflate")
    assert "zzz is not supported" in answer.text


def test_N21_what_is_announced_too_large_is_a_413_and_neither_read_nor_handled():
    class Unread:
        def read(self, *_):
            raise AssertionError("it was read")

        readline = readlines = __iter__ = read

    ran = []
    app = App("app", max_body=10)
    app.post("/")(lambda request: ran.append(1) or text(""))
    app.post("/stream", stream=True, max_body=5)(lambda request: ran.append(1) or text(""))
    app.put("/more", max_body=11)(lambda request: text(request.text))
    for target, most in (("/", 10), ("/stream", 5)):
        more = {"wsgi.input": Unread(), "CONTENT_LENGTH": "11"}
        answer = call(app, "POST", target, **more)
        assert answer.status == "413 Content Too Large"
        assert answer.text == f"Error: Payload Too Large: the limit is {most} bytes"
    assert not ran
    assert call(app, "POST", "/", b"x" * 10).status == "200 OK"
    assert call(app, "PUT", "/more", b"x" * 11).text == "x" * 11
    assert ran == [1]


def test_N21_what_turns_out_too_large_is_a_413():
    more = {"wsgi.input": io.BytesIO(b"x" * (MIB + 1)), "wsgi.input_terminated": True}
    answer = seen(lambda request: 1, headers={"Transfer-Encoding": "chunked"}, **more)
    assert answer.status == "413 Content Too Large"
    assert answer.text.startswith("Error: Payload Too Large: the body is larger than")


def test_an_application_may_take_bodies_of_any_size():
    app = App("app", max_body=None)
    app.post("/")(lambda request: json(len(request.body)))
    assert call(app, "POST", "/", b"x" * (2 * MIB)).text == str(2 * MIB)


# Any server's input


def test_a_body_that_ends_early_is_ClientDisconnected_again_and_again():
    app = App("app")

    @app.post("/", stream=True)
    def handler(request):
        assert request.stream.get() == b"short"
        for _ in range(2):
            with pytest.raises(ClientDisconnected, match="went away after 5 of 10 bytes"):
                request.stream.get()
        request.stream.get()

    with pytest.raises(ClientDisconnected):
        call(app, "POST", "/", b"short", CONTENT_LENGTH="10")
    app.put("/")(lambda request: text("whole"))
    with pytest.raises(ClientDisconnected):
        call(app, "PUT", "/", b"short", CONTENT_LENGTH="10")


@pytest.mark.parametrize("kind", [ConnectionResetError, ValueError])
def test_an_input_that_fails_is_ClientDisconnected_with_what_the_server_said(kind):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise kind("reset")

    app = App("app")
    app.put("/")(lambda request: text("whole"))
    more = {"wsgi.input": Failing(), "CONTENT_LENGTH": "10"}
    with pytest.raises(ClientDisconnected, match="0 of 10 bytes of its body: reset") as caught:
        call(app, "PUT", "/", **more)
    assert isinstance(caught.value.__cause__, kind)


def test_no_more_is_read_than_was_announced():
    source = io.BytesIO(b"bodynext")
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    assert call(app, "PUT", **{"wsgi.input": source, "CONTENT_LENGTH": "4"}).text == "body"
    assert source.read() == b"next"
    assert not source.closed


def test_without_a_length_there_is_a_body_only_where_it_ends_by_itself():
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    chunked = {"Transfer-Encoding": "chunked"}
    more = {"wsgi.input": io.BytesIO(b"body")}
    assert call(app, "PUT", **more).text == ""
    answer = call(app, "PUT", headers=chunked, **more)
    assert answer.status == "411 Length Required"
    assert (
        answer.text == "Error: this server does not support chunked bodies: send a Content-Length"
    )
    more["wsgi.input_terminated"] = True
    assert call(app, "PUT", headers=chunked, **more).text == "body"


@pytest.mark.parametrize("length", ["+5", "5x", "٣"])
def test_a_length_that_is_no_number_is_a_400(length):
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    assert app(environ_of("PUT", CONTENT_LENGTH=length), lambda *_: None) != ()
    answer = []
    app(environ_of("PUT", CONTENT_LENGTH=length), lambda status, *_: answer.append(status))
    assert answer[-1] == "400 Bad Request"


# The live body


def test_N05_get_gives_pieces_then_none_for_ever():
    stream = stream_of(b"body")
    assert [stream.get() for _ in range(3)] == [b"body", None, None]
    assert repr(stream) == "<RequestStream, 4 bytes so far>"


def test_every_way_to_read_goes_on_where_the_other_stopped():
    stream = stream_of(b"0123456789")
    assert (stream.read(3), stream.read(0)) == (b"012", b"")
    view = memoryview(bytearray(2))
    assert (stream.readinto(view), bytes(view)) == (2, b"34")
    assert next(iter(stream)) == b"56789"
    assert (stream.read(), stream.read(5), stream.read_piece(), stream.get()) == (
        b"",
        b"",
        b"",
        None,
    )


def test_all_that_is_left_can_be_read_at_once():
    data = os.urandom(MIB)
    stream = stream_of(data)
    assert stream.read(10) + stream.read(None) == data


def test_N23_text_comes_whole_where_a_character_was_cut():
    class Cut(io.RawIOBase):
        pieces = [b"a\xc3", b"\xbc", b"b"]  # noqa: RUF012  # a fake

        def readable(self):
            return True

        def readinto(self, buffer):
            piece = self.pieces.pop(0) if self.pieces else b""
            buffer[: len(piece)] = piece
            return len(piece)

    assert list(RequestStream(io.BufferedReader(Cut())).iter_text()) == ["a", "ü", "b"]


def test_text_of_another_encoding_and_what_is_none():
    assert "".join(stream_of("grüße".encode("utf-16")).iter_text("utf-16")) == "grüße"
    with pytest.raises(DecodingError, match="not utf-8 text: unexpected end of data"):
        list(stream_of(b"a\xc3").iter_text())
    with pytest.raises(LookupError):
        list(stream_of(b"a").iter_text("no-such"))


def test_decoded_and_text_are_without_content_codings():
    data = b"some text" * 1000
    coded = gzip.compress(data)
    assert b"".join(stream_of(coded, encodings=["gzip"]).iter_decoded()) == data
    assert "".join(stream_of(coded, encodings=["gzip"]).iter_text()) == data.decode()
    assert b"".join(stream_of(coded).iter_decoded()) == coded


def test_decoded_bytes_are_bounded():
    coded = gzip.compress(b"0" * MIB)
    assert len(b"".join(stream_of(coded, encodings=["gzip"]).iter_decoded(MIB))) == MIB
    with pytest.raises(
        BodyTooLarge, match=f"the decoded body is larger than the limit of {MIB - 1} bytes"
    ):
        list(stream_of(coded, encodings=["gzip"]).iter_decoded(MIB - 1))


def test_a_coded_stream_that_ends_early_is_a_DecodingError():
    with pytest.raises(DecodingError):
        list(stream_of(gzip.compress(b"x" * 100)[:-5], encodings=["gzip"]).iter_decoded())


def test_a_coding_that_is_not_known_is_refused_by_the_call_itself():
    with pytest.raises(UnsupportedMediaType):
        stream_of(b"x", encodings=["zzz"]).iter_decoded()


@pytest.mark.parametrize(
    "read",
    [
        list,
        lambda stream: stream.read(),
        lambda stream: stream.read(100),
        lambda stream: [stream.read(3), stream.read(3), stream.read(3)],
        lambda stream: [stream.readinto(memoryview(bytearray(3))) for _ in range(3)],
        lambda stream: list(stream.iter_text()),
    ],
)
def test_more_than_max_size_is_BodyTooLarge_however_it_is_read(read):
    read(stream_of(b"12345", max_size=5))
    stream = stream_of(b"123456", max_size=5)
    with pytest.raises(BodyTooLarge, match="larger than the limit of 5 bytes"):
        read(stream)
    with pytest.raises(BodyTooLarge):
        stream.get()


def test_N21_a_stream_handler_is_bounded_where_its_route_says_so():
    app = App("app", max_body=5)
    app.post("/", stream=True)(lambda request: json(len(request.stream.read())))
    app.put("/", stream=True, max_body=7)(lambda request: json(len(request.stream.read())))
    more = {"wsgi.input_terminated": True, "headers": {"Transfer-Encoding": "chunked"}}
    assert call(app, "POST", "/", b"x" * 100).text == "100"
    answer = call(app, "PUT", **more, **{"wsgi.input": io.BytesIO(b"x" * 8)})
    assert answer.status == "413 Content Too Large"


def test_a_body_taken_live_is_not_had_in_other_forms():
    request = request_of("POST", "/", b"x")
    request.open_stream(None)
    for look in (lambda: request.body, lambda: request.json, lambda: request.body_file):
        with pytest.raises(RuntimeError, match=r"use request\.stream"):
            look()
    with pytest.raises(PayloadTooLarge):
        request_of("POST", "/", b"xx").open_stream(1)


@pytest.mark.parametrize("stream", [True, False])
def test_a_body_can_be_sent_on_to_another_server(stream):
    app, other = App("app"), App("other")
    other.put("/")(lambda r: json([r.headers.get("Content-Length"), len(r.body)]))
    with serve(other) as there, Client() as client:

        @app.put("/", stream=stream)
        def handler(request):
            body = request.stream if stream else request.body_file
            return text(client.put(there.url, payload=body).body)

        assert call(app, "PUT", "/", b"x" * MIB).text == f'["{MIB}",{MIB}]'
        more = {"wsgi.input_terminated": True, "headers": {"Transfer-Encoding": "chunked"}}
        length = "null" if stream else '"3"'
        more["wsgi.input"] = io.BytesIO(b"abc")
        assert call(app, "PUT", **more).text == f"[{length},3]"


def test_a_stream_that_was_begun_is_sent_on_from_where_it_stands():
    stream = RequestStream(io.BufferedReader(io.BytesIO(b"0123")), length=4)
    stream.read(1)
    payload = as_payload(stream)
    assert (payload.length, payload.replayable, b"".join(payload)) == (3, False, b"123")


@pytest.mark.parametrize("live", [True, False])
def test_a_body_that_is_sent_on_as_it_came_says_in_which_coding_that_was(live):
    app = App("app")
    coded = gzip.compress(b"content")
    app.post("/", stream=live)(lambda request: stream(request.stream or request.body_file))
    answer = call(app, "POST", "/", coded, {"Content-Encoding": "gzip"})
    assert (answer.header("Content-Encoding"), answer.body) == ("gzip", coded)
    answer = call(app, "POST", "/", b"content")
    assert (answer.header("Content-Encoding"), answer.body) == (None, b"content")


# Forms

BOUNDARY = "b0undary"


def multipart(*parts):
    head = "--{}\r\nContent-Disposition: form-data; {}\r\n\r\n{}\r\n"
    whole = "".join(head.format(BOUNDARY, name, value) for name, value in parts)
    return (whole + f"--{BOUNDARY}--\r\n").encode()


FORM = multipart(('name="a"', "1"), ('name="f"; filename="n.txt"', "content"), ('name="a"', "2"))
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_a_multipart_form_whole_or_live_with_or_without_a_coding(live, coded):
    def look(request):
        file = request.files.get("f")
        return [request.form, file.filename, file.read().decode(), request.form.get("a")]

    body = gzip.compress(FORM) if coded else FORM
    headers = FORM_TYPE | ({"Content-Encoding": "gzip"} if coded else {})
    answer = seen(look, stream=live, body=body, headers=headers)
    assert answer.text == '[{"a":["1","2"]},"n.txt","content","1"]'


def test_a_form_that_is_none_is_a_400_and_too_much_text_a_413():
    answer = seen(lambda r: r.form, body=b"x", headers=FORM_TYPE)
    assert (answer.status, answer.text[:23]) == ("400 Bad Request", "Error: the multipart fo")
    big = multipart(('name="a"', "x" * (9 * MIB)))
    answer = seen(lambda r: r.form, stream=True, body=big, headers=FORM_TYPE)
    assert answer.status == "413 Content Too Large"


@pytest.mark.parametrize("live", [True, False])
def test_a_form_swells_to_no_more_than_a_body_may_have(live):
    app = App("app", max_body=MIB)
    look = app.post("/", stream=live, max_body=MIB if live else None)
    look(lambda request: text(len(request.files)))
    bomb = gzip.compress(multipart(('name="f"; filename="n"', "x" * (2 * MIB))))
    answer = call(app, "POST", "/", bomb, FORM_TYPE | {"Content-Encoding": "gzip"})
    assert answer.status == "413 Content Too Large"


def test_the_files_of_a_form_are_let_go_with_the_answer():
    held = []
    big = multipart(('name="f"; filename="n"', "x" * (2 * MIB)))
    answer = seen(
        lambda r: held.append(r.files["f"][0]) or held[0].size,
        stream=True,
        body=big,
        headers=FORM_TYPE,
    )
    assert answer.text == str(2 * MIB)
    with pytest.raises(AlreadyRead):
        held[0].read()


# On the wire


@pytest.fixture
def server():
    app = App("app", max_body=MIB)
    app.post("/live", stream=True)(lambda request: text(request.stream.read()))
    app.post("/<x>")(lambda request, x: text(request.body + x.encode()))
    app.post("/trailers", stream=True)(
        lambda request: json([len(request.stream.read()), request.stream.trailers])
    )
    with serve(app) as server:
        yield server


def test_the_trailers_of_a_body_are_there_once_it_was_read(server):
    with Caller(server.port) as client:
        client.send(get("/trailers", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunks(b"abc"), b"0\r\nX-Sum: 1\r\n\r\n")
        assert client.read_answer().endswith(b'\r\n\r\n[3,[["X-Sum","1"]]]')


def test_N22_a_broken_chunk_is_a_400_and_the_end(server):
    for path in ("/live", "/whole"):
        broken = get(path, "Transfer-Encoding: chunked", method="POST") + b"zz\r\n"
        answer = said_by(server.port, broken)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Error: " in answer


def test_chunked_bodies_and_a_slash_inside_a_segment_come_from_the_engine(server):
    with Caller(server.port) as client:
        client.send(get("/a%2Fb", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunks(b"12", b"3"), b"0\r\n\r\n")
        assert client.read_answer().endswith(b"\r\n\r\n123a/b")
        client.send(post("/live", b"body"))
        assert client.read_answer().endswith(b"\r\n\r\nbody")


def test_N21_too_large_is_answered_before_it_is_sent(server):
    with Caller(server.port) as client:
        client.send(get("/x", f"Content-Length: {MIB + 1}", "Expect: 100-continue", method="POST"))
        assert client.read_head().startswith(b"HTTP/1.1 413 Content Too Large\r\n")
