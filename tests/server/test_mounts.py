"""WSGI applications that are mounted below a path of an App."""

from __future__ import annotations

import pytest

from restkit.server import App, HTTPError, serve
from restkit.server.mounts import Mounts
from restkit.server.response import text
from restkit.wsgi_proxy import HostProxy
from support.raw_client import send_and_read
from support.wsgi_calls import call_app


def describe(environ, start_response):
    """Respond with the method and both parts of the path."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']!r} {environ['PATH_INFO']!r}"
    return [body.encode()]


@pytest.fixture
def app():
    app = App("outer")
    app.get("/a/route")(lambda request: text("route"))
    app.mount("/a", describe)
    app.mount("/a/b/", describe)
    return app


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", "GET '/a' ''"),
        ("/a/", "GET '/a' '/'"),
        ("/a/x//y/", "GET '/a' '/x//y/'"),
        ("/%61/x", "GET '/a' '/x'"),
        ("/a/%C3%BC", "GET '/a' '/\xc3\xbc'"),
        ("/a/b", "GET '/a/b' ''"),
        ("/a/b/c", "GET '/a/b' '/c'"),
        ("/a/bc", "GET '/a' '/bc'"),
    ],
)
def test_longest_prefix_of_whole_segments_is_called(app, target, expected):
    response = call_app(app, target=target)
    assert (response.status, response.text) == ("200 OK", expected)


@pytest.mark.parametrize("target", ["/", "/ab", "/x/a", "//a"])
def test_other_paths_are_404(app, target):
    assert call_app(app, target=target).status == "404 Not Found"


def test_encoded_slash_ends_no_prefix(app):
    assert call_app(app, target="/a%2Fb", RAW_URI="/a%2Fb").status == "404 Not Found"


def test_routes_come_before_mounts(app):
    assert call_app(app, target="/a/route").text == "route"
    assert call_app(app, "POST", "/a/route").status == "405 Method Not Allowed"


def test_mount_at_the_root_gets_what_has_no_route():
    app = App("outer")
    app.get("/route")(lambda request: text("route"))
    app.mount("/", describe)
    assert call_app(app, target="/route").text == "route"
    assert call_app(app, target="/x").text == "GET '' '/x'"


def test_every_method_is_passed_on(app):
    assert call_app(app, "DELETE", "/a/x").text == "DELETE '/a' '/x'"
    assert call_app(app, "OPTIONS", "/a/x").text == "OPTIONS '/a' '/x'"


def test_prefix_that_is_not_ascii_is_text_of_WSGI():
    app = App("outer")
    app.mount("/grüße", describe)
    response = call_app(app, target="/gr%C3%BC%C3%9Fe/x")
    assert response.text == f"GET {'grüße'.encode().decode('latin-1')!r} '/x'".replace("'g", "'/g")


def test_mounted_app_below_a_mounted_app_sees_its_own_path():
    inner, middle, outer = App("inner"), App("middle"), App("outer")
    inner.get("/x")(lambda request: text(f"{request.path} {request.url}"))
    middle.mount("/b", inner)
    outer.mount("/a", middle)
    assert call_app(outer, target="/a/b/x?y").text == "/x http://example.org/a/b/x?y"


def test_mounted_app_makes_its_own_error_responses():
    inner, outer = App("inner", max_body=3), App("outer")

    @inner.post("/")
    def refuse(request):
        raise HTTPError(451)

    @outer.exception(HTTPError)
    def never(request, exception):
        raise AssertionError(exception)

    outer.mount("/inner", inner)
    assert call_app(outer, "POST", "/inner", b"abc").status.startswith("451 ")
    assert call_app(outer, "POST", "/inner", b"abcd").status.startswith("413 ")


def test_headers_of_the_outer_app_replace_those_of_the_mounted_one():
    class Outer(App):
        def dispatch(self, request):
            response = super().dispatch(request)
            response.headers["X-Frame-Options"] = "DENY"
            response.headers["Set-Cookie"] = "outer=1"
            return response

    def mounted(environ, start_response):
        fields = [("x-frame-options", "ALLOW"), ("Set-Cookie", "a=1"), ("Content-Type", "text/a")]
        start_response("200 OK", fields)
        return [b"text"]

    app = Outer()
    app.mount("/a", mounted)
    assert call_app(app, target="/a").headers == [
        ("Set-Cookie", "a=1"),
        ("Content-Type", "text/a"),
        ("X-Frame-Options", "DENY"),
        ("Set-Cookie", "outer=1"),
    ]


def test_body_arrives_as_a_stream_through_a_mount():
    inner, outer = App("inner"), App("outer", max_body=1)

    @inner.post("/", stream=True)
    def echo(request):
        return text(request.stream.read())

    outer.mount("/inner", inner)
    with serve(outer) as server:
        head = b"POST /inner HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
        answer = send_and_read((server.host, server.port), [head, b"hello"])
    assert answer.endswith(b"\r\n\r\nhello")


def test_mounted_proxy_keeps_clients_below_its_target():
    target = App("target")
    target.get("/public/<path:path>")(lambda request, path: text(request.environ["RAW_URI"]))
    with serve(target) as behind, HostProxy(f"{behind.url}/public") as proxy:
        app = App("outer")
        app.mount("/elsewhere", proxy)
        with serve(app) as server:
            for sent, received in [
                (b"/a%3Fadmin=1", b"/public/a%3Fadmin=1"),
                (b"/a%23b", b"/public/a%23b"),
            ]:
                head = (
                    b"GET /elsewhere" + sent + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                answer = send_and_read((server.host, server.port), [head])
                assert answer.endswith(b"\r\n\r\n" + received)
            head = b"GET /elsewhere/../private HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert send_and_read((server.host, server.port), [head]).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("prefix", ["", "a", "/a//b", "/<x>", "/a%20b", "/a?b", "/a#b"])
def test_malformed_prefix_raises_ValueError(prefix):
    with pytest.raises(ValueError, match="the path of a mount must begin with a slash"):
        App().mount(prefix, describe)


def test_prefix_in_use_and_no_application_are_refused():
    app = App()
    app.mount("/a", describe)
    with pytest.raises(ValueError, match="another application is already mounted at '/a/'"):
        app.mount("/a/", describe)
    with pytest.raises(TypeError, match="a mount needs a WSGI application; got 'static'"):
        app.mount("/b", "static")
    assert Mounts().find("/a") is None
