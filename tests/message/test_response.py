"""HttpResponse: head, trailers, detach, decoding, text, JSON, errors, timings and copies."""

from __future__ import annotations

import copy
import gc
import gzip
import pickle
import socket
import subprocess
import sys
import zlib

import brotli
import pytest

import restkit
from restkit import (
    AlreadyRead,
    Client,
    DecodingError,
    HttpResponse,
    RequestError,
    RequestFailed,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    ResponseError,
    Unauthorized,
    UnexpectedEOF,
)
from restkit.resource import error_from
from support import ScriptedServer, chunked_response, response
from support.answers import BROKEN, FRAMINGS, answered, giving

pytestmark = pytest.mark.smoke

TEXT = "grün\n".encode()


# R13, C14: the head


def test_R13_head_attributes_match_the_response():
    wire = response(
        b"body",
        "Content-Type: text/plain; charset=ascii",
        "Set-Cookie: a=1",
        "SET-COOKIE: b=2; Path=/",
        "X-Empty:",
        "X-Latin: \xfc",
    )
    with answered(wire, path="/path?q=1#here") as got:
        assert got.status == got.status_int == 200
        assert type(got.status) is int
        assert (got.reason, got.status_line, got.version) == ("OK", "200 OK", (1, 1))
        assert got.ok
        assert got.headerslist == [
            ("Content-Length", "4"),
            ("Content-Type", "text/plain; charset=ascii"),
            ("Set-Cookie", "a=1"),
            ("SET-COOKIE", "b=2; Path=/"),
            ("X-Empty", ""),
            ("X-Latin", "ü"),
        ]
        assert got["Content-Type"] == got["CONTENT-TYPE"] == "text/plain; charset=ascii"
        assert "content-type" in got
        assert "x-missing" not in got
        assert got.headers is got.headers
        assert got.headers.get_all("set-cookie") == ["a=1", "b=2; Path=/"]
        assert got.charset == "ascii"
        assert got.final_url.endswith("/path?q=1#here")
        assert got.location is None
        assert (got.request.method, str(got.request.url)) == ("GET", got.final_url)


def test_C14_missing_header_is_a_key_error_or_none():
    with answered(response(b"")) as got:
        with pytest.raises(KeyError, match="missing"):
            got["missing"]
        with pytest.raises(KeyError, match="status"):
            got["status"]  # only headers
        assert got.headers.get("missing") is None


def test_response_is_not_a_sequence():
    with answered(response(b"")) as got:
        with pytest.raises(TypeError, match="not iterable"):
            iter(got)


@pytest.mark.parametrize(
    ("line", "reason", "version"),
    [
        ("HTTP/1.1 200 OK", "OK", (1, 1)),
        ("HTTP/1.0 200 Fine by me", "Fine by me", (1, 0)),
        ("HTTP/1.1 200 ", "", (1, 1)),
        ("HTTP/1.1 200", "", (1, 1)),
        ("HTTP/1.1 200 sch\xf6n", "schön", (1, 1)),
    ],
)
def test_R13_reason_and_version_come_from_the_server(line, reason, version):
    wire = line.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n"
    with answered(wire) as got:
        assert (got.reason, got.version) == (reason, version)
        assert got.status_line == f"200 {reason}".strip()


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("/x", "/x"),
        ("zz", "/a/zz"),
        ("?q", "/a/b?q"),
        ("//other/x", "http://other/x"),
        ("https://other:8443/x#f", "https://other:8443/x#f"),
        ("/gr\xc3\xbcn", "/gr%C3%BCn"),
    ],
)
def test_location_is_absolute(location, meant):
    wire = response(b"", f"Location: {location}", status="302 Found")
    with answered(wire, path="/a/b?here", follow_redirect=False) as got:
        base = got.final_url.removesuffix("/a/b?here")
        assert got.location == (base + meant if meant.startswith("/") else meant)
        assert got.status == 302  # not followed


@pytest.mark.parametrize(
    ("fields", "leads"),
    [
        (["Location: "], None),
        (["Location: /x", "Location: /x"], "/x"),
        (["Location: ", "Location: /x"], "/x"),
        (["Location: /x", "Location: /y"], None),
    ],
)
def test_location_is_none_if_missing_or_ambiguous(fields, leads):
    wire = response(b"", *fields, status="302 Found")
    with answered(wire, follow_redirect=False) as got:
        assert got.location == (leads and got.final_url.removesuffix("/") + leads)


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        (None, "utf-8"),
        ("text/html", "utf-8"),
        ("text/html; charset=latin-1", "latin-1"),
        ('text/html;x=y; CharSet="Shift_JIS"; q=1', "Shift_JIS"),
        ('text/html; charset=""', "utf-8"),
        ("text/html; charset=", "utf-8"),
    ],
)
def test_charset_comes_from_content_type_or_is_utf_8(content_type, charset):
    with answered(response(b"", *([f"Content-Type: {content_type}"] * bool(content_type)))) as got:
        assert got.charset == charset


def test_C14_links_are_indexed_by_relation():
    with answered(
        response(b"", 'Link: </p?n=2>; rel="next"', "Link: <x>; rel=prev"), path="/d/"
    ) as got:
        base = got.final_url.removesuffix("/d/")
        assert got.links["next"]["url"] == f"{base}/p?n=2"
        assert got.links["prev"]["url"] == f"{base}/d/x"
    with answered(response(b"")) as got:
        assert got.links == {}


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_S35_trailers_are_available_after_the_body(coding):
    body = b"x" * 100_000
    sent = gzip.compress(body, 0) if coding else body
    fields = [f"Content-Encoding: {coding}"] if coding else []
    whole = chunked_response(sent[:7], sent[7:], fields=fields)[:-2] + b"Sum: 1\r\nsum: 2\r\n\r\n"
    with answered(giving(whole[:200], whole[200:])) as got:
        assert "sum" not in got.trailers
        assert got.body == body
        assert got.trailers.pairs() == [("Sum", "1"), ("sum", "2")]
        assert "sum" not in got.headers


def test_C14_response_that_is_not_chunked_has_no_trailers():
    with answered(response(b"x")) as got:
        assert got.body == b"x"
        assert got.trailers.pairs() == []


# Detaching the socket


def test_C14_detach_returns_the_socket_after_101():
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nfirst ")
        peer.send(peer.read_exactly(4).upper())
        assert peer.read_to_end() == b""

    with ScriptedServer(script) as server:
        client = Client(timeout=10)
        got = client.get(server.url(), headers={"Upgrade": "echo", "Connection": "upgrade"})
        assert (got.status, got.payload_stream, got.body) == (101, None, b"")
        sock, rest = got.detach()
        with sock:
            client.close()  # the Client no longer counts the connection
            got.close()
            assert sock.gettimeout() is None
            sock.sendall(b"echo")
            while len(rest) < 10:
                rest += sock.recv(100)
            assert rest == b"first ECHO"
            with pytest.raises(RequestError, match="was detached or closed already") as caught:
                got.detach()
            assert (caught.value.sent, caught.value.response) == ("all", got)
        server.join()


def test_C14_detach_returns_the_socket_after_connect_over_tls(certs):
    def script(peer):
        assert peer.read_request().startswith(b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n")
        peer.send(b"HTTP/1.1 200 Established\r\nContent-Length: 100\r\n\r\n")
        peer.send(peer.read_exactly(4).upper())

    server = ScriptedServer(script, ssl_context=certs.server)
    with server, Client(verify=str(certs.ca_file), timeout=10) as client:
        got = client.request(server.url("/other:443"), "CONNECT")
        sock, rest = got.detach()
        with sock:
            assert isinstance(sock, socket.socket)
            sock.sendall(b"echo")
            assert rest + sock.recv(4) == b"ECHO"


def test_C14_detach_of_an_ordinary_response_raises():
    with answered(response(b"body")) as got:
        with pytest.raises(RequestError, match="this one is 200 OK to GET") as caught:
            got.detach()
        assert caught.value.sent == "all"
        assert got.body == b"body"


@pytest.mark.parametrize("end", ["close", "drop", "abort the client"])
def test_socket_that_is_not_detached_is_closed(end):
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        assert peer.read_to_end() == b""

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        got = client.get(server.url())
        if end == "close":
            got.close()
            got.close()
            with pytest.raises(RequestError):
                got.detach()
        elif end == "abort the client":
            client.close(abort=True)
            with pytest.raises(RequestError, match="was detached or closed already"):
                got.detach()
        else:
            del got
        server.join()


# R14, S35: content encodings

CODINGS = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "deflate, gzip": gzip.compress(zlib.compress(TEXT)),
    "identity": TEXT,
    "identity, gzip": gzip.compress(TEXT),
    "br": brotli.compress(TEXT),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_R14_body_is_decoded_unless_decompress_is_false(coding):
    sent = CODINGS[coding]
    wire = response(sent, f"Content-Encoding: {coding}", "Content-Type: text/plain")
    with answered(wire) as got:
        assert got.body == got.body_file.read() == TEXT
        assert got.text == "grün\n"
        assert got["content-encoding"] == coding
    with answered(wire, decompress=False) as got:
        assert got.body == got.body_file.read() == sent
    with answered(wire, decompress=False) as got:
        if coding != "identity":
            with pytest.raises(
                DecodingError, match=f"is encoded as {coding}, which decompress=False keeps"
            ):
                got.json()
            with pytest.raises(DecodingError, match="decompress=False keeps"):
                assert not got.text


def test_S35_raw_deflate_stream_is_decoded():
    squeezer = zlib.compressobj(wbits=-15)
    raw = squeezer.compress(TEXT) + squeezer.flush()
    with answered(response(raw, "Content-Encoding: deflate")) as got:
        assert got.body == TEXT


def test_S35_every_gzip_member_is_decoded():
    with answered(
        response(gzip.compress(b"a") + gzip.compress(b"b"), "Content-Encoding: gzip")
    ) as got:
        assert got.body == b"ab"


def test_R14_unknown_encoding_keeps_the_bytes_and_text_raises():
    with answered(response(TEXT, "Content-Encoding: zzz, gzip")) as got:
        assert got.body == TEXT
        for read in (lambda: got.text, got.json, got.body_string):
            with pytest.raises(
                DecodingError, match="encoded as zzz, gzip, which restkit cannot decode"
            ):
                read()


def test_R14_corrupt_stream_is_a_response_error():
    spoiled = gzip.compress(TEXT)[:-8] + bytes(8)
    with answered(response(spoiled, "Content-Encoding: gzip")) as got:
        with pytest.raises(ResponseError):
            assert got.body is None


# Text and JSON


def test_body_is_text_in_its_charset_and_invalid_bytes_raise():
    with answered(
        response("é€".encode("cp1252"), "Content-Type: text/plain; charset=cp1252")
    ) as got:
        assert got.text == got.unicode_body == got.body_string() == "é€"
        with pytest.raises(DecodingError, match=r"not text in utf-8: .*position 0") as caught:
            got.body_string("utf-8")
        assert isinstance(caught.value, ValueError)
        assert (caught.value.response, caught.value.request) == (got, got.request)
        assert got.body_string("ascii", "replace") == "\ufffd\ufffd"
        assert got.body_string(unicode_errors="ignore") == "é€"


@pytest.mark.parametrize(
    "charset", ["nonsense", "undefined", "rot13", "zlib", "idna", "unicode_escape", "x" * 5000]
)
def test_charset_unknown_to_python_is_a_decoding_error(charset):
    with answered(response(b"\\x\xff..", f"Content-Type: text/plain; charset={charset}")) as got:
        with pytest.raises(DecodingError, match=r"the charset of the body is unknown|not text in"):
            assert got.text is None
        assert got.body == b"\\x\xff.."


@pytest.mark.parametrize(
    "charset",
    ["punycode", "PunyCode", "idna", "utf-7", "UTF7", "u7", "unicode-escape", "raw_unicode_escape"],
)
def test_python_codec_that_is_no_web_charset_is_not_used(charset):
    # Decoding 100 kB of this takes a minute with punycode.
    body = b"a-" + b"99999" * 20_000
    with answered(response(body, f"Content-Type: text/plain; charset={charset}")) as got:
        with pytest.raises(DecodingError, match=f"charset of the body is unknown: {charset}"):
            assert got.text is None
        assert got.body_string("utf-7" if "7" in charset else "ascii") == body.decode()
    wire = response(body, f"Content-Type: text/plain; charset={charset}", status="400 Bad")
    with answered(wire) as got:
        assert error_from(got).message == body[: 64 * 1024].decode()


def test_json_is_read_in_any_unicode_encoding():
    value = {"a": [1, None, "ü€"]}
    import json

    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32-le"):
        with answered(response(json.dumps(value, ensure_ascii=False).encode(encoding))) as got:
            assert got.json() == value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"<html>", b"1 2", b"[" * 200_000, b"1" * 5000, b"\xef\xbb\xbf"]
)
def test_invalid_json_is_a_decoding_error(body):
    with answered(response(body)) as got:
        if body.isdigit() and sys.version_info < (3, 10, 7):
            pytest.skip("this Python reads numbers of any length")
        with pytest.raises(DecodingError, match="the body is not JSON") as caught:
            got.json()
        assert isinstance(caught.value, ValueError)
        assert (caught.value.response, caught.value.request) == (got, got.request)


# Errors by status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", RequestFailed),
        ("401 Unauthorized", Unauthorized),
        ("403 Forbidden", Unauthorized),
        ("404 Not Found", ResourceNotFound),
        ("410 Gone", ResourceGone),
        ("418 I'm a teapot", RequestFailed),
        ("500 Internal Server Error", RequestFailed),
        ("999 Beyond", RequestFailed),
    ],
)
def test_raise_for_status_raises_the_class_of_the_status(status, kind):
    with answered(response(b"why", status=status), path="/x") as got:
        assert not got.ok
        with pytest.raises(ResourceError) as caught:
            got.raise_for_status()
        error = caught.value
        assert type(error) is kind
        assert error.status_int == got.status == int(status[:3])
        assert (error.response, error.request) == (got, got.request)
        assert str(error) == f"GET {got.final_url}: {status}"
        assert error.response.body == b"why"


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "399 Odd"])
def test_raise_for_status_returns_the_response_without_an_error(status):
    with answered(response(b"", status=status)) as got:
        assert got.raise_for_status() is got
        assert got.ok


# Timings


def test_timings_are_in_order_and_none_for_skipped_steps(certs):
    def script(peer):
        peer.without_delay()
        while peer.next_request():
            peer.send(response(b"x" * 100_000)[:500], response(b"x" * 100_000)[500:])

    options = {"ssl_context": certs.server}
    with ScriptedServer(script, **options) as server:
        with Client(verify=str(certs.ca_file), timeout=10) as client:
            got = client.get(server.url())
            before = got.timings
            assert before.done is None
            assert 0 < before.connect <= before.tls <= before.sent <= before.first_byte
            assert len(got.body) == 100_000
            assert got.timings[:4] == before[:4]
            assert got.timings.done >= before.first_byte
            got = client.get(server.url())
            assert (got.timings.connect, got.timings.tls) == (None, None)
            assert len(got.body) == 100_000
    with answered(response(b"small")) as got:
        assert got.timings.tls is None
        assert 0 < got.timings.connect <= got.timings.sent <= got.timings.first_byte
        assert got.timings.done > got.timings.first_byte


def test_buffered_response_is_done_at_its_last_byte():
    def script(peer):
        peer.read_request()
        peer.without_delay()
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        peer.until_taken()
        peer.pause(0.3)
        peer.send(response(b"small"))

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        got = client.get(server.url())
    assert got.timings.done - got.timings.first_byte > 0.1
    assert pickle.loads(pickle.dumps(got)).timings.done == pytest.approx(got.timings.done)


# Closing


def test_response_may_be_entered_and_closed_repeatedly():
    with answered(giving(response(b"x" * 100_000))) as got:
        with got as same:
            assert same is got
        with got:
            pass
        got.close()
        assert not got.can_read()


def test_R22_connection_is_reused_only_after_a_full_read():
    with ScriptedServer.serving(response(b"x" * 200_000)) as server, Client(timeout=10) as client:
        for _ in range(3):
            assert len(client.get(server.url()).body) == 200_000
        assert server.connections == 1
        client.get(server.url()).close()
        assert len(client.get(server.url()).body) == 200_000
        assert server.connections == 2


def test_R22_small_unread_response_frees_its_connection():
    with ScriptedServer.serving(response(b"small")) as server, Client(timeout=10) as client:
        kept = [client.get(server.url()) for _ in range(5)]
        assert server.connections == 1
        assert [got.body for got in kept] == [b"small"] * 5
        assert repr(client) == "<Client, 1 idle connections>"


def test_repr_shows_no_secrets():
    with (
        ScriptedServer.serving(response(b"body", "Set-Cookie: hunter2")) as server,
        Client() as client,
    ):
        url = server.url("/x?y=1").replace("//", "//user:hunter2@")
        got = client.get(url, headers={"Authorization": "hunter2", "Cookie": "hunter2"})
        for thing in (got, got.request, got.headers, got.request.headers, got.request.url, client):
            assert "hunter2" not in repr(thing) + str(thing)
        assert repr(got) == f"<HttpResponse 200 OK, GET {server.url('/x?y=1')}>"
        assert repr(got.request) == f"<Request GET {server.url('/x?y=1')}>"
        assert "hunter2" not in got.final_url


@pytest.mark.parametrize(
    "look",
    [
        lambda got: None,
        lambda got: got.body_file.read1(1),
        lambda got: got.tee().read1(1),
        lambda got: got.body_stream().read1(1),
        lambda got: next(iter(got.payload_stream)),
        lambda got: got.headers,
    ],
)
def test_W14_dropped_response_closes_without_garbage_collection(look):
    script = giving(response(b"x" * 100_000)[:50_000], then=lambda peer: peer.read_to_end())
    gc.disable()
    try:
        with ScriptedServer(script) as server, Client() as client:
            got = client.get(server.url())
            look(got)
            del got
            server.join()
            assert repr(client) == "<Client, 0 idle connections>"
    finally:
        gc.enable()


# B09: a response can be pickled and copied

COPIES = {
    "pickle": lambda got: pickle.loads(pickle.dumps(got)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
EVERY_COPY = pytest.mark.parametrize("taken", COPIES.values(), ids=COPIES)


@EVERY_COPY
@pytest.mark.parametrize("framing", FRAMINGS)
def test_B09_copy_has_status_headers_and_body(framing, taken):
    whole = FRAMINGS[framing](TEXT * 1000)
    with answered(giving(whole[:60], whole[60:]), path="/x?y#z") as got:
        other = taken(got)
        assert type(other) is HttpResponse
        for name in ("status", "reason", "version", "headerslist", "charset", "final_url", "links"):
            assert getattr(other, name) == getattr(got, name)
        assert other.body == got.body == TEXT * 1000
    assert other.text == (TEXT * 1000).decode()
    assert other.body_file.read() == b"".join(other.payload_stream) == other.body
    assert other.timings[:4] == pytest.approx(got.timings[:4], abs=1e-6, nan_ok=True)
    other.close()
    assert other.body == TEXT * 1000
    assert pickle.loads(pickle.dumps(other)).body == TEXT * 1000


@EVERY_COPY
def test_B09_copy_has_trailers(taken):
    with answered(chunked_response(b"body")[:-2] + b"Sum: 1\r\n\r\n") as got:
        assert taken(got).trailers.pairs() == [("Sum", "1")]


@EVERY_COPY
def test_B09_copy_of_an_encoded_body_stays_encoded(taken):
    sent = gzip.compress(b'{"a": 1}')
    with answered(response(sent, "Content-Encoding: gzip"), decompress=False) as got:
        other = taken(got)
        assert other.body == got.body == sent
        with pytest.raises(DecodingError, match="decompress=False keeps"):
            other.json()
    with answered(response(sent, "Content-Encoding: gzip")) as got:
        assert taken(taken(got)).json() == {"a": 1}


@EVERY_COPY
def test_B09_copy_has_its_own_read_position(taken):
    with answered(giving(response(TEXT * 1000))) as got:
        got.body_file.read(10)
        other = taken(got)
        assert other.body_file.read() == TEXT * 1000
        assert got.body_file.read() == (TEXT * 1000)[10:]
        list(other.body_stream())
        assert got.can_read()


@EVERY_COPY
def test_B09_copy_of_an_unreadable_body_raises_the_same_error(taken):
    with answered(giving(response(TEXT * 1000))) as live:
        list(live.payload_stream)
    with answered(giving(BROKEN["length"])) as broken:
        pass
    with answered(giving(BROKEN["chunks"])) as cut:
        with pytest.raises(UnexpectedEOF):
            cut.body_file.read()
        copies = [(taken(got), got) for got in (live, broken, cut)]
    for (other, got), kind in zip(copies, (AlreadyRead, AlreadyRead, UnexpectedEOF), strict=True):
        assert (other.status, other.headerslist) == (got.status, got.headerslist)
        for read in (
            lambda other: other.body,
            lambda other: other.body_file.read(),
            lambda other: list(other.payload_stream),
            lambda other: taken(other).body,
        ):
            with pytest.raises(kind) as caught:
                read(other)
        assert caught.value.request.method == "GET"


def test_B09_pickle_contains_no_secrets():
    with ScriptedServer.serving(response(b"body")) as server, Client() as client:
        url = server.url("/").replace("//", "//user:hunter2@")
        fields = dict.fromkeys(("Authorization", "cookie", "Proxy-Authorization"), "hunter2")
        got = client.post(url, b"hunter2", headers={**fields, "X": "1"})
        stored = pickle.dumps(got)
        assert b"hunter2" not in stored
        request = pickle.loads(stored).request
        assert repr(request) == f"<Request POST {server.url('/')}>"
        assert request.headers["x"] == "1"
        assert repr(request.payload) == "<BytesPayload 7 bytes, replayable>"


# C10: public names

IMPORTS = [
    "from restkit.message.response import HttpResponse",
    "from restkit import HttpResponse, Client, request",
    "import restkit.message.request",
    "import restkit.client.functions",
    "import restkit.http1.fields",
    "import restkit.client.options",
]


@pytest.mark.parametrize("first", IMPORTS)
def test_C10_import_order_does_not_change_public_names(first, tmp_path):
    others = "\n".join(IMPORTS)
    code = f"""
{first}
import pkgutil, restkit
{others}
modules = [found.name for found in pkgutil.walk_packages(restkit.__path__, "restkit.")]
for name in modules:
    __import__(name)
for name in restkit.__all__:
    value = getattr(restkit, name)
    assert type(value).__name__ != "module", name
for name in ("request", "get", "head", "post", "put", "patch", "delete", "options"):
    assert getattr(restkit, name).__name__ == name
    assert getattr(restkit.Client, name).__name__ == name
from restkit.message.response import HttpResponse as named_there
assert named_there is restkit.HttpResponse
assert not {{name.split(".")[1] for name in modules}} & set(restkit.__all__)
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=60
    )


def test_C10_every_public_name_exists_once():
    for name in restkit.__all__:
        assert hasattr(restkit, name)
    assert len(set(restkit.__all__)) == len(restkit.__all__)


# C11: option names of other libraries


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("files", "payload"),
        ("stream", "body_file, body_stream"),
        ("allow_redirects", "follow_redirect"),
        ("verify_ssl", "verify"),
        ("content", "payload"),
        ("read_timeout", r"Timeout\(idle"),
        ("nonsense", "the options are .*cert, check_address, compress"),
    ],
)
def test_C11_option_of_another_library_raises_with_a_hint(name, hint):
    with ScriptedServer.serving(response(b"")) as server:
        with pytest.raises(TypeError, match=f"{name}= is not an option here: .*{hint}"):
            restkit.get(server.url(), **{name: 1})
        with pytest.raises(TypeError, match=f"{name}= "):
            Client(**{name: 1})
        assert server.connections == 0
