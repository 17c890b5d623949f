"""Routing: methods, checks of handlers, and path patterns."""

from __future__ import annotations

from functools import partial, wraps
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.server import App
from restkit.server.blueprints import Blueprint
from restkit.server.exceptions import InvalidUsage
from restkit.server.response import text
from restkit.server.routing import parse_pattern
from support.wsgi_calls import call_app

pytestmark = pytest.mark.smoke


def show_arguments(request, **arguments):
    return text(repr(arguments))


def make_app(*uris, **options):
    app = App("routes", **options)
    for uri in uris:
        app.add_route(show_arguments, uri)
    return app


def match_arguments(uri, target, **more):
    """Return the arguments of a path for a route, None if it does not match."""
    response = call_app(make_app(uri), target=target, **more)
    assert response.status in ("200 OK", "404 Not Found")
    return eval(response.text, {"UUID": UUID}) if response.status == "200 OK" else None


# Methods


@pytest.mark.parametrize("owner", [App("a"), Blueprint("b")], ids=["app", "blueprint"])
@pytest.mark.parametrize("name", ["get", "head", "options", "delete"])
def test_N06_decorators_of_methods_without_a_body_have_no_stream(owner, name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'stream'"):
        getattr(owner, name)("/", stream=True)


@pytest.mark.parametrize("owner", [App("a"), Blueprint("b")], ids=["app", "blueprint"])
@pytest.mark.parametrize("name", ["post", "put", "patch"])
def test_N06_decorators_of_methods_with_a_body_have_stream(owner, name):
    assert getattr(owner, name)(f"/{name}", stream=True)(show_arguments) is show_arguments


def test_each_decorator_handles_its_method():
    app = App("methods")
    for name in ("get", "head", "options", "delete", "post", "put", "patch"):
        getattr(app, name)("/")(lambda request: text(request.method))
    for method in ("GET", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"):
        assert call_app(app, method).text == method
    response = call_app(app, "HEAD")
    assert (response.status, response.body, response.header("Content-Length")) == (
        "200 OK",
        b"",
        "4",
    )


def test_route_handles_its_methods_and_get_by_default():
    app = App("methods")
    app.route("/")(lambda request: text("one"))
    app.route("/two", methods=["PUT", "DELETE"], stream=True)(
        lambda request: text(str(request.stream is not None))
    )
    assert call_app(app).text == "one"
    assert call_app(app, "PUT", "/two", b"x").text == call_app(app, "DELETE", "/two").text == "True"
    assert call_app(app, "POST").status == "405 Method Not Allowed"


def test_get_handler_also_handles_head():
    app = App("head")
    app.get("/")(lambda request: text("four", headers={"X-Method": request.method}))
    response = call_app(app, "HEAD")
    assert (response.status, response.chunks) == ("200 OK", [])
    assert response.header("Content-Length") == "4"
    assert response.header("X-Method") == "HEAD"


def test_head_handler_precedes_the_get_handler():
    app = App("head")
    app.get("/")(lambda request: text("get"))
    app.head("/")(lambda request: text("", headers={"Content-Length": 70000}))
    assert call_app(app, "HEAD").header("Content-Length") == "70000"


def test_N08_405_has_allow_and_content_length():
    app = App("405")
    app.get("/x")(show_arguments)
    app.post("/x")(show_arguments)
    response = call_app(app, "DELETE", "/x")
    assert response.status == "405 Method Not Allowed"
    assert response.header("Allow") == "GET, HEAD, OPTIONS, POST"
    assert response.text == "Error: Method DELETE not allowed for URL /x"
    assert response.header("Content-Length") == str(len(response.body))
    assert response.header("Content-Type") == "text/plain; charset=utf-8"


def test_N08_404_names_the_path_and_has_content_length():
    response = call_app(App("404"), "PUT", "/nope", b"body")
    assert response.status == "404 Not Found"
    assert response.text == "Error: Requested URL /nope not found"
    assert response.header("Content-Length") == str(len(response.body))


def test_N08_405_to_head_has_no_body():
    app = App("405")
    app.post("/x")(show_arguments)
    response = call_app(app, "HEAD", "/x")
    assert (response.status, response.body) == ("405 Method Not Allowed", b"")


def test_options_without_a_handler_is_answered_with_the_methods():
    app = make_app("/x")
    app.put("/x")(show_arguments)
    response = call_app(app, "OPTIONS", "/x")
    assert (response.status, response.body) == ("204 No Content", b"")
    assert response.header("Allow") == "GET, HEAD, OPTIONS, PUT"
    assert response.header("Content-Length") is None
    assert call_app(app, "OPTIONS", "/none").status == "404 Not Found"


def test_options_handler_precedes_the_automatic_response():
    app = make_app("/x")
    app.options("/x")(lambda request: text("mine", headers={"Allow": "GET"}))
    response = call_app(app, "OPTIONS", "/x")
    assert (response.text, response.header("Allow")) == ("mine", "GET")


def test_allow_has_the_methods_of_every_matching_route():
    app = App("several")
    app.put("/p/<id:int>")(show_arguments)
    app.delete("/p/<name>")(show_arguments)
    assert call_app(app, "GET", "/p/7").header("Allow") == "DELETE, OPTIONS, PUT"
    assert call_app(app, "DELETE", "/p/7").text == "{'name': '7'}"
    assert call_app(app, "PUT", "/p/7", b"").text == "{'id': 7}"


def test_invalid_methods_are_rejected():
    with pytest.raises(InvalidUsage, match=r"FOO is not a valid HTTP method\."):
        App("methods").route("/", methods=["FOO"])(show_arguments)
    with pytest.raises(TypeError, match=r"must be a list, such as \['GET'\]"):
        App("methods").route("/", methods="GET")(show_arguments)
    with pytest.raises(ValueError, match="at least one method"):
        App("methods").route("/", methods=[])(show_arguments)


# Handlers


def test_handler_without_a_parameter_is_rejected():
    with pytest.raises(ValueError, match=r"must take \(request\): too many positional"):
        App("handlers").get("/")(lambda: text("x"))
    with pytest.raises(ValueError, match="must take"):
        Blueprint("handlers").put("/", stream=True)(lambda: text("x"))


def test_handler_must_take_the_parameters_of_its_route():
    with pytest.raises(ValueError, match=r"must take \(request, id\): got an unexpected keyword"):
        App("handlers").get("/<id>")(lambda request: text("x"))
    with pytest.raises(ValueError, match="missing a required argument: 'name'"):
        App("handlers").get("/<key>")(lambda request, key, name: text("x"))
    with pytest.raises(ValueError, match="multiple values for argument 'request'"):
        App("handlers").get("/<request>")(lambda request: text("x"))


def test_signature_of_the_decorator_counts():
    def with_user(handler):
        @wraps(handler)
        def decorated(request, **arguments):
            return handler(request, "user", **arguments)

        return decorated

    app = App("handlers")

    @app.get("/<key>")
    @with_user
    def handler(request, user, key):
        return text(user + key)

    assert call_app(app, target="/7").text == "user7"


async def coroutine(request):
    """Never awaited."""


async def generator(request):
    yield b""


class Called:
    async def __call__(self, request):
        """Never awaited."""


def wrapped(request):
    return coroutine(request)


wrapped.__wrapped__ = coroutine


@pytest.mark.parametrize("handler", [coroutine, generator, Called(), partial(coroutine), wrapped])
def test_asynchronous_handler_is_rejected(handler):
    for owner in (App("a"), Blueprint("b")):
        with pytest.raises(TypeError, match=r"restkit\.server is blocking"):
            owner.post("/", stream=True)(handler)


def test_invalid_handler_and_path_are_rejected():
    with pytest.raises(TypeError, match="a handler must be callable"):
        App("handlers").add_route("handler", "/")
    with pytest.raises(TypeError, match="a route must be a path"):
        App("handlers").get(show_arguments)


def test_handler_without_a_signature_is_accepted():
    App("handlers").add_route(dict, "/")


# Paths


@pytest.mark.parametrize("uri", ["/csv", "/csv/", "csv", "csv/"])
@pytest.mark.parametrize("target", ["/csv", "/csv/"])
def test_trailing_slash_makes_no_difference_by_default(uri, target):
    assert match_arguments(uri, target) == {}


@pytest.mark.parametrize("app", [make_app("/csv", "/<x>/d/", strict_slashes=True)])
def test_strict_slashes_separate_paths(app):
    assert call_app(app, target="/csv").status == "200 OK"
    assert call_app(app, target="/csv/").status == "404 Not Found"
    assert call_app(app, target="/a/d/").status == "200 OK"
    assert call_app(app, target="/a/d").status == "404 Not Found"


def test_route_overrides_strict_slashes_of_the_app():
    app = App("strict", strict_slashes=True)
    app.get("/a", strict_slashes=False)(show_arguments)
    app.get("/b/")(show_arguments)
    assert call_app(app, target="/a/").status == "200 OK"
    assert call_app(app, target="/b").status == "404 Not Found"


def test_root_matches_with_and_without_its_slash():
    for target, script in (("/", ""), ("", "/mounted")):
        assert call_app(make_app("/"), target=target, SCRIPT_NAME=script).status == "200 OK"


@pytest.mark.parametrize(
    ("uri", "target", "arguments"),
    [
        ("/<x>", "/ab", {"x": "ab"}),
        ("/<x:string>", "/ab", {"x": "ab"}),
        ("/<x>", "/a/b", None),
        ("/<x>", "/", None),
        ("/<x:int>", "/-12", {"x": -12}),
        ("/<x:int>", "/1.5", None),
        ("/<x:int>", "/" + "9" * 5000, None),
        ("/<x:number>", "/1.5", {"x": 1.5}),
        ("/<x:number>", "/-2", {"x": -2.0}),
        ("/<x:number>", "/1.5.3", None),
        ("/<x:number>", "/" + "9" * 400, None),
        ("/<x:alpha>", "/Ab", {"x": "Ab"}),
        ("/<x:alpha>", "/A1", None),
        ("/<x:path>", "/a/b/c", {"x": "a/b/c"}),
        ("/<x:path>", "//etc/passwd", None),
        ("/<x:path>", "/%2Fetc/passwd", None),
        ("/<x:path>", "/", None),
        ("/<x:path>", "/../etc", None),
        ("/<x:path>", "/a/..", None),
        ("/<x:path>", "/a/%2e%2e%2fetc", None),
        ("/<x:path>", "/a%2f..", None),
        ("/<x:path>", "/a%5c..%5cb", None),
        ("/<x:path>", "/./a", None),
        ("/<x:path>", "/a%00", None),
        ("/<x:path>", "/C:/x", None),
        ("/<x:path>", "/c%3Ax", None),
        ("/<x:path>", "/C:%5Cx", None),
        ("/<x:path>", "/C:", None),
        ("/<x:path>", "/%5Cx", None),
        ("/<x:path>", "/%5C%5Chost%5Cshare", None),
        ("/<x:path>", "/ab:c/d:e%5Cf", {"x": "ab:c/d:e\\f"}),
        ("/<x:path>", "/a..b/...", {"x": "a..b/..."}),
        ("/<x:path>/end", "/a/b/end", {"x": "a/b"}),
        (
            "/<x:uuid>",
            "/123e4567-e89b-12d3-a456-426614174000",
            {"x": UUID("123e4567-e89b-12d3-a456-426614174000")},
        ),
        ("/<x:uuid>", "/123e4567", None),
        ("/<x:[a-z]{3}>", "/abc", {"x": "abc"}),
        ("/<x:[a-z]{3}>", "/abcd", None),
        ("/<x:a|b>c", "/bc", {"x": "b"}),
        ("/<x:(?P<inner>a+)>", "/aa", {"x": "aa"}),
        ("/v<major:int>.<minor:int>/<rest>.json", "/v1.22/a.json", None),
        ("/a.c", "/abc", None),
        ("/<x>", "/a%20b", {"x": "a b"}),
        ("/<x>", "/%C3%BC", {"x": "ü"}),
        ("/<x>", "/a%0Ab", {"x": "a\nb"}),
        ("/<x:path>", "/a%0Ab/c", {"x": "a\nb/c"}),
        ("/grüße/<x>", "/gr%C3%BC%C3%9Fe/1", {"x": "1"}),
        ("/gr%C3%BC%C3%9Fe", "/gr%C3%BC%C3%9Fe", {}),
        ("/a//b", "/a//b", {}),
        ("/a//b", "/a/b", None),
    ],
)
def test_patterns_and_their_arguments(uri, target, arguments):
    if "major" in uri:
        arguments = {"major": 1, "minor": 22, "rest": "a"}
    assert match_arguments(uri, target, RAW_URI=target) == arguments


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_encoded_slash_stays_inside_its_segment(name):
    assert match_arguments("/<x>/y", "/a%2Fb/y", **{name: "/a%2Fb/y?q=%2F"}) == {"x": "a/b"}
    assert match_arguments("/<x>/y", "/a%2Fb/y", **{name: "http://h:1/a%2fb/y"}) == {"x": "a/b"}
    # A URL is removed only at the start of the target.
    target = "/of/http://h/a%2Fb"
    assert match_arguments("/of/http://h/<x>", target, **{name: target}) == {"x": "a/b"}
    assert match_arguments("/<x>/y", "/a%2Fb/y") is None
    assert match_arguments("/<x:path>/y", "/a%2Fb/y") == {"x": "a/b"}
    assert match_arguments("/a%2Fb", "/a%2Fb", **{name: "/a%2Fb"}) == {}
    assert match_arguments("/a/b", "/a%2Fb", **{name: "/a%2Fb"}) is None


def test_raw_target_is_ignored_after_a_rewrite():
    assert match_arguments("/<x>", "/new", RAW_URI="/old") == {"x": "new"}
    assert match_arguments("/<x>", "/a", RAW_URI="*") == {"x": "a"}


def test_raw_target_below_a_mount_point():
    mounted = {"SCRIPT_NAME": "/a b/c", "RAW_URI": "/a%20b/c/x%2Fy"}
    assert match_arguments("/<x>", "/x%2Fy", **mounted) == {"x": "x/y"}
    mounted["RAW_URI"] = "/elsewhere/c/x%2Fy"
    assert match_arguments("/<x>", "/x%2Fy", **mounted) is None


def test_path_that_is_not_UTF_8_is_400():
    response = call_app(make_app("/<x>"), target="/a%FF")
    assert (response.status, response.text) == (
        "400 Bad Request",
        "Error: the path /a%FF is not UTF-8",
    )


def test_exact_paths_precede_patterns_and_path_patterns_come_last():
    app = App("order")
    for uri in ("/<x:path>", "/<x:int>", "/<x>", "/7"):
        app.get(uri)(lambda request, uri=uri, **arguments: text(uri))
    for target, uri in (("/7", "/7"), ("/8", "/<x:int>"), ("/a", "/<x>"), ("/a/b", "/<x:path>")):
        assert call_app(app, target=target).text == uri


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a", "/a"), ("/a", "/a/"), ("/<x>", "/<y>"), ("/<x:int>/b", "/<y:int>/b/"), ("a", "/a")],
)
def test_duplicate_route_is_rejected(first, second):
    app = make_app(first)
    with pytest.raises(
        ValueError, match=rf"GET {second} is already registered, with the handler show_arguments"
    ):
        app.add_route(show_arguments, second)
    app.add_route(show_arguments, second, methods=["POST"])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/<x", "must be written <name>"),
        ("/x>", "must be written <name>"),
        ("/<>", "identifier and be used once; got ''"),
        ("/<1x>", "identifier and be used once; got '1x'"),
        ("/<x>/<x>", "identifier and be used once; got 'x'"),
        ("/<x:integer>", "integer is not a parameter type; use string, int"),
        ("/<x:[>", "invalid regular expression"),
    ],
)
def test_malformed_route_is_rejected(uri, message):
    with pytest.raises(ValueError, match=message):
        make_app(uri)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda x: "/" not in x))
def test_any_segment_is_its_argument(segment):
    pattern = parse_pattern("/before/<x>/after")
    assert pattern.match(f"/before/{segment}/after") == {"x": segment}
