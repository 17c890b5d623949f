"""The request of a handler: head, body whole or streamed, form."""

from __future__ import annotations

import gzip
import io
import json as stdlib_json
import os
import zlib

import pytest

from restkit import Client, Headers
from restkit.errors import AlreadyRead, ClientDisconnected
from restkit.server import App, Request, serve
from restkit.server.exceptions import PayloadTooLarge
from restkit.server.response import json, stream, text
from support.caller import Caller, get, post, said_by
from support.messages import chunks
from support.wsgi_calls import call_app, make_environ

MIB = 1024 * 1024


def make_request(method="GET", target="/", body=None, headers=None, **more):
    return Request(make_environ(method, target, body, headers, **more), App("app"))


def read_request(body=b"", headers=None, limit=None, **more):
    """Return a request whose body has been read."""
    request = make_request("POST", "/", body, headers, **more)
    request.read_body(limit)
    return request


def call_with(read, *, stream=False, **more):
    """Call an app whose handler responds with ``read(request)`` as JSON."""
    app = App("app", max_body=MIB)
    app.post("/", stream=stream)(lambda request: json(read(request)))
    return call_app(app, "POST", "/", **more)


# The head


def test_attributes_of_the_head():
    request = make_request(
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


def test_query_arguments():
    args = make_request(target="/?x=1&x=2&y=&z=%C3%BC+a&w").args
    assert dict(args) == {"x": ["1", "2"], "y": [""], "z": ["ü a"], "w": [""]}
    assert (args.get("x"), args.getlist("x"), args["x"]) == ("1", ["1", "2"], ["1", "2"])
    assert (args.get("none"), args.get("none", 5), args.getlist("none")) == (None, 5, [])
    assert make_request().args == {}
    # curl sends octets above ASCII unchanged, and PEP 3333 decodes them as latin-1.
    request = make_request(target="/?x=%C3%BC&y=" + "ü".encode().decode("latin-1"))
    assert dict(request.args) == {"x": ["ü"], "y": ["ü"]}
    assert request.url == "http://example.org/?x=%C3%BC&y=%C3%BC"


def test_too_many_query_arguments_are_400():
    app = App("app")
    app.get("/")(lambda request: json(request.args))
    assert call_app(app, target="/?" + "a&" * 10_001).status == "400 Bad Request"


def test_cookies():
    request = make_request(headers={"Cookie": 'a=1; b="two"; a=3; broken; c=x=y; =none'})
    assert request.cookies == {"a": "1", "b": "two", "c": "x=y"}
    assert make_request().cookies == {}


def test_remote_addr_and_missing_values():
    request = make_request(REMOTE_ADDR="10.0.0.1")
    assert request.remote_addr == request.ip == "10.0.0.1"
    assert make_request().remote_addr is None
    assert make_request().content_type is None


def test_url_below_a_mount_point_and_without_a_host():
    request = make_request(target="/x?q", SCRIPT_NAME="/\xc3\xbc", SERVER_PORT="8080", HTTP_HOST="")
    assert request.url == "http://server:8080/%C3%BC/x?q"
    secure = make_request(**{"wsgi.url_scheme": "https", "SERVER_PORT": "443", "HTTP_HOST": ""})
    assert secure.url == "https://server/"


def test_request_has_route_arguments_and_app():
    app = App("app")
    app.get("/<x:int>")(lambda request, x: json([x, request.arguments, request.app is app]))
    assert call_app(app, target="/7").text == '[7,{"x":7},true]'


# The whole body


def test_N05_ordinary_handler_gets_the_whole_body_and_no_stream():
    response = call_with(lambda request: [request.stream, len(request.body)], body=b"x" * 70_000)
    assert response.text == "[null,70000]"


def test_request_without_a_body_has_an_empty_body():
    request = make_request()
    request.read_body(None)
    assert (request.body, request.text, request.json, request.body_file.read()) == (
        b"",
        "",
        None,
        b"",
    )
    assert request.form == request.files == {}


def test_body_can_be_read_repeatedly_in_every_form():
    request = read_request(b'{"a": "\xc3\xbc"}')
    assert request.body == b'{"a": "\xc3\xbc"}'
    assert request.text == '{"a": "ü"}'
    assert request.json == {"a": "ü"}
    assert request.body_file.read(4) + request.body_file.read(1) == b'{"a"{'


def test_large_body_can_seek(tmp_path):
    data = os.urandom(3 * MIB)
    request = read_request(data)
    file = request.body_file
    assert file.seek(-5, io.SEEK_END) == 3 * MIB - 5
    assert file.read() == data[-5:]
    assert request.body == data
    request.close()
    request.close()


NOT_JSON = [
    b"{",
    b"[1,]",
    b"\xff",
    b"[" * 100_000,
    b"1" * 5000 + b"e",
    b"NaN",
    b"[-Infinity]",
    b"1e999",
    b'{"a": -1e999}',
    rb'"\ud800"',
    rb'{"\udfff": 1}',
    r'"\ud800"'.encode("utf-16"),
    b'"\xed\xa0\x80"',
    b'{"\xed\xa0\x80": 1}',
    b'"\xed\xa0\xbd\xed\xb8\x80"',  # CESU-8
    *(
        '"\ud800"'.encode(encoding, "surrogatepass")
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")
    ),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_json_is_read_in_each_unicode_encoding(encoding):
    assert read_request('["\U0001f600\\u00e9"]'.encode(encoding)).json == ["\U0001f600\xe9"]


def test_json_with_surrogate_pairs_and_large_numbers_is_read():
    request = read_request(rb'["\ud83d\ude00", 1e308, 123456789012345678901234567890]')
    assert request.json == ["\U0001f600", 1e308, 123456789012345678901234567890]


@pytest.mark.parametrize("body", NOT_JSON)
def test_invalid_json_is_400(body):
    response = call_with(lambda request: request.json, body=body)
    assert response.status == "400 Bad Request"
    assert response.text.startswith("Error: Failed when parsing body as json: ")


def test_invalid_text_is_400():
    response = call_with(lambda request: request.text, body=b"a\xff")
    assert response.text == "Error: the body is not UTF-8 text: invalid start byte"


def test_text_json_and_form_are_decoded_and_body_is_not():
    data = stdlib_json.dumps({"a": 1}).encode()
    coded = gzip.compress(zlib.compress(data))
    request = read_request(coded, {"Content-Encoding": "deflate, gzip"})
    assert (request.body, request.text, request.json) == (coded, '{"a": 1}', {"a": 1})
    form = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert read_request(gzip.compress(b"a=1&a=2"), form).form == {"a": ["1", "2"]}


def test_decoded_body_over_the_limit_is_413():
    bomb = gzip.compress(b"0" * (MIB + 1))
    response = call_with(
        lambda request: request.text, body=bomb, headers={"Content-Encoding": "gzip"}
    )
    assert response.status == "413 Content Too Large"


def test_malformed_coding_is_400_and_unknown_coding_is_415():
    response = call_with(lambda r: r.json, body=b"plain", headers={"Content-Encoding": "gzip"})
    assert response.status == "400 Bad Request"
    assert response.text.startswith("Error: gzip body, after 0 decoded bytes")
    response = call_with(lambda r: r.json, body=b"x", headers={"Content-Encoding": "zzz"})
    assert response.status == "415 Unsupported Media Type"
    assert response.header("Accept-Encoding").startswith("gzip, deflate")
    assert "zzz is not supported" in response.text


def test_N21_declared_length_over_the_limit_is_413_without_reading():
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
        response = call_app(app, "POST", target, **more)
        assert response.status == "413 Content Too Large"
        assert response.text == f"Error: Payload Too Large: the limit is {most} bytes"
    assert not ran
    assert call_app(app, "POST", "/", b"x" * 10).status == "200 OK"
    assert call_app(app, "PUT", "/more", b"x" * 11).text == "x" * 11
    assert ran == [1]


def test_N21_chunked_body_over_the_limit_is_413():
    more = {"wsgi.input": io.BytesIO(b"x" * (MIB + 1)), "wsgi.input_terminated": True}
    response = call_with(lambda request: 1, headers={"Transfer-Encoding": "chunked"}, **more)
    assert response.status == "413 Content Too Large"
    assert response.text.startswith("Error: Payload Too Large: the body is larger than")


def test_max_body_none_accepts_any_size():
    app = App("app", max_body=None)
    app.post("/")(lambda request: json(len(request.body)))
    assert call_app(app, "POST", "/", b"x" * (2 * MIB)).text == str(2 * MIB)


# Input of any WSGI server


def test_truncated_body_raises_ClientDisconnected_at_every_read():
    app = App("app")

    @app.post("/", stream=True)
    def handler(request):
        assert request.stream.get() == b"short"
        for _ in range(2):
            with pytest.raises(ClientDisconnected, match="disconnected after 5 of 10 bytes"):
                request.stream.get()
        request.stream.get()

    with pytest.raises(ClientDisconnected):
        call_app(app, "POST", "/", b"short", CONTENT_LENGTH="10")
    app.put("/")(lambda request: text("whole"))
    with pytest.raises(ClientDisconnected):
        call_app(app, "PUT", "/", b"short", CONTENT_LENGTH="10")


@pytest.mark.parametrize("kind", [ConnectionResetError, ValueError])
def test_failing_input_raises_ClientDisconnected_with_the_cause(kind):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise kind("reset")

    app = App("app")
    app.put("/")(lambda request: text("whole"))
    more = {"wsgi.input": Failing(), "CONTENT_LENGTH": "10"}
    with pytest.raises(ClientDisconnected, match="0 of 10 bytes of its body: reset") as caught:
        call_app(app, "PUT", "/", **more)
    assert isinstance(caught.value.__cause__, kind)


def test_no_more_than_content_length_is_read():
    source = io.BytesIO(b"bodynext")
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    assert call_app(app, "PUT", **{"wsgi.input": source, "CONTENT_LENGTH": "4"}).text == "body"
    assert source.read() == b"next"
    assert not source.closed


def test_chunked_body_needs_input_terminated():
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    chunked = {"Transfer-Encoding": "chunked"}
    more = {"wsgi.input": io.BytesIO(b"body")}
    assert call_app(app, "PUT", **more).text == ""
    response = call_app(app, "PUT", headers=chunked, **more)
    assert response.status == "411 Length Required"
    assert (
        response.text == "Error: this server does not support chunked bodies: send a Content-Length"
    )
    more["wsgi.input_terminated"] = True
    assert call_app(app, "PUT", headers=chunked, **more).text == "body"


@pytest.mark.parametrize("length", ["+5", "5x", "٣"])
def test_invalid_content_length_is_400(length):
    app = App("app")
    app.put("/")(lambda request: text(request.body))
    assert app(make_environ("PUT", CONTENT_LENGTH=length), lambda *_: None) != ()
    response = []
    app(make_environ("PUT", CONTENT_LENGTH=length), lambda status, *_: response.append(status))
    assert response[-1] == "400 Bad Request"


# The streamed body


def test_N21_stream_handler_is_limited_only_by_its_route():
    app = App("app", max_body=5)
    app.post("/", stream=True)(lambda request: json(len(request.stream.read())))
    app.put("/", stream=True, max_body=7)(lambda request: json(len(request.stream.read())))
    more = {"wsgi.input_terminated": True, "headers": {"Transfer-Encoding": "chunked"}}
    assert call_app(app, "POST", "/", b"x" * 100).text == "100"
    response = call_app(app, "PUT", **more, **{"wsgi.input": io.BytesIO(b"x" * 8)})
    assert response.status == "413 Content Too Large"


def test_streamed_body_has_no_other_form():
    request = make_request("POST", "/", b"x")
    request.open_stream(None)
    for read in (lambda: request.body, lambda: request.json, lambda: request.body_file):
        with pytest.raises(RuntimeError, match=r"use request\.stream"):
            read()
    with pytest.raises(PayloadTooLarge):
        make_request("POST", "/", b"xx").open_stream(1)


@pytest.mark.parametrize("stream", [True, False])
def test_body_can_be_sent_to_another_server(stream):
    app, other = App("app"), App("other")
    other.put("/")(lambda r: json([r.headers.get("Content-Length"), len(r.body)]))
    with serve(other) as there, Client() as client:

        @app.put("/", stream=stream)
        def handler(request):
            body = request.stream if stream else request.body_file
            return text(client.put(there.url, payload=body).body)

        assert call_app(app, "PUT", "/", b"x" * MIB).text == f'["{MIB}",{MIB}]'
        more = {"wsgi.input_terminated": True, "headers": {"Transfer-Encoding": "chunked"}}
        length = "null" if stream else '"3"'
        more["wsgi.input"] = io.BytesIO(b"abc")
        assert call_app(app, "PUT", **more).text == f"[{length},3]"


@pytest.mark.parametrize("live", [True, False])
def test_forwarded_body_has_its_content_encoding(live):
    app = App("app")
    coded = gzip.compress(b"content")
    app.post("/", stream=live)(lambda request: stream(request.stream or request.body_file))
    response = call_app(app, "POST", "/", coded, {"Content-Encoding": "gzip"})
    assert (response.header("Content-Encoding"), response.body) == ("gzip", coded)
    response = call_app(app, "POST", "/", b"content")
    assert (response.header("Content-Encoding"), response.body) == (None, b"content")


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
def test_multipart_form_whole_or_streamed_coded_or_plain(live, coded):
    def read(request):
        file = request.files.get("f")
        return [request.form, file.filename, file.read().decode(), request.form.get("a")]

    body = gzip.compress(FORM) if coded else FORM
    headers = FORM_TYPE | ({"Content-Encoding": "gzip"} if coded else {})
    response = call_with(read, stream=live, body=body, headers=headers)
    assert response.text == '[{"a":["1","2"]},"n.txt","content","1"]'


def test_malformed_form_is_400_and_too_much_text_is_413():
    response = call_with(lambda r: r.form, body=b"x", headers=FORM_TYPE)
    assert (response.status, response.text[:23]) == ("400 Bad Request", "Error: the multipart fo")
    big = multipart(('name="a"', "x" * (9 * MIB)))
    response = call_with(lambda r: r.form, stream=True, body=big, headers=FORM_TYPE)
    assert response.status == "413 Content Too Large"


@pytest.mark.parametrize("live", [True, False])
def test_decoded_form_over_the_limit_is_413(live):
    app = App("app", max_body=MIB)
    read = app.post("/", stream=live, max_body=MIB if live else None)
    read(lambda request: text(len(request.files)))
    bomb = gzip.compress(multipart(('name="f"; filename="n"', "x" * (2 * MIB))))
    response = call_app(app, "POST", "/", bomb, FORM_TYPE | {"Content-Encoding": "gzip"})
    assert response.status == "413 Content Too Large"


def test_files_of_a_form_are_closed_after_the_response():
    held = []
    big = multipart(('name="f"; filename="n"', "x" * (2 * MIB)))
    response = call_with(
        lambda r: held.append(r.files["f"][0]) or held[0].size,
        stream=True,
        body=big,
        headers=FORM_TYPE,
    )
    assert response.text == str(2 * MIB)
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


def test_trailers_are_available_after_the_body(server):
    with Caller(server.port) as client:
        client.send(get("/trailers", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunks(b"abc"), b"0\r\nX-Sum: 1\r\n\r\n")
        assert client.read_answer().endswith(b'\r\n\r\n[3,[["X-Sum","1"]]]')


def test_N22_malformed_chunk_is_400_and_closes(server):
    for path in ("/live", "/whole"):
        broken = get(path, "Transfer-Encoding: chunked", method="POST") + b"zz\r\n"
        response = said_by(server.port, broken)
        assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Error: " in response


def test_embedded_engine_passes_chunked_bodies_and_encoded_slashes(server):
    with Caller(server.port) as client:
        client.send(get("/a%2Fb", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunks(b"12", b"3"), b"0\r\n\r\n")
        assert client.read_answer().endswith(b"\r\n\r\n123a/b")
        client.send(post("/live", b"body"))
        assert client.read_answer().endswith(b"\r\n\r\nbody")


def test_N21_too_large_is_rejected_before_100_continue(server):
    with Caller(server.port) as client:
        client.send(get("/x", f"Content-Length: {MIB + 1}", "Expect: 100-continue", method="POST"))
        assert client.read_head().startswith(b"HTTP/1.1 413 Content Too Large\r\n")
