"""Which handler answers which path, with which arguments: applications, blueprints, patterns."""

from __future__ import annotations

from contextlib import suppress
from functools import partial, wraps
from urllib.parse import quote, unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.server import App, HTTPError
from restkit.server.blueprints import Blueprint
from restkit.server.exceptions import InvalidUsage
from restkit.server.patterns import SLASH_INSIDE, joined, parse_pattern
from restkit.server.response import json, text
from restkit.server.target import encoded_path, target_of
from restkit.server.views import CompositionView
from support.wsgi_calls import call, environ_of

pytestmark = pytest.mark.smoke


def shown(request, **arguments):
    return text(repr(arguments))


def app_of(*uris, **options):
    app = App("routes", **options)
    for uri in uris:
        app.add_route(shown, uri)
    return app


def arguments_of(uri, target, **more):
    """The arguments that a path has for a route, None where it does not match."""
    answer = call(app_of(uri), target=target, **more)
    assert answer.status in ("200 OK", "404 Not Found")
    return eval(answer.text, {"UUID": UUID}) if answer.status == "200 OK" else None


# Methods


@pytest.mark.parametrize("owner", [App("a"), Blueprint("b")], ids=["app", "blueprint"])
@pytest.mark.parametrize("name", ["get", "head", "options", "delete"])
def test_N06_decorators_of_methods_without_a_body_have_no_stream(owner, name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'stream'"):
        getattr(owner, name)("/", stream=True)


@pytest.mark.parametrize("owner", [App("a"), Blueprint("b")], ids=["app", "blueprint"])
@pytest.mark.parametrize("name", ["post", "put", "patch"])
def test_N06_decorators_of_methods_with_a_body_have_one(owner, name):
    assert getattr(owner, name)(f"/{name}", stream=True)(shown) is shown


def test_each_decorator_answers_its_method():
    app = App("methods")
    for name in ("get", "head", "options", "delete", "post", "put", "patch"):
        getattr(app, name)("/")(lambda request: text(request.method))
    for method in ("GET", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"):
        assert call(app, method).text == method
    answer = call(app, "HEAD")
    assert (answer.status, answer.body, answer.header("Content-Length")) == ("200 OK", b"", "4")


def test_a_route_answers_the_methods_it_is_given_and_get_by_default():
    app = App("methods")
    app.route("/")(lambda request: text("one"))
    app.route("/two", methods=["PUT", "DELETE"], stream=True)(
        lambda request: text(str(request.stream is not None))
    )
    assert call(app).text == "one"
    assert call(app, "PUT", "/two", b"x").text == call(app, "DELETE", "/two").text == "True"
    assert call(app, "POST").status == "405 Method Not Allowed"


def test_head_is_answered_by_get_without_its_body():
    app = App("head")
    app.get("/")(lambda request: text("four", headers={"X-Method": request.method}))
    answer = call(app, "HEAD")
    assert (answer.status, answer.pieces) == ("200 OK", [])
    assert answer.header("Content-Length") == "4"
    assert answer.header("X-Method") == "HEAD"


def test_head_has_its_own_handler_where_there_is_one():
    app = App("head")
    app.get("/")(lambda request: text("get"))
    app.head("/")(lambda request: text("", headers={"Content-Length": 70000}))
    assert call(app, "HEAD").header("Content-Length") == "70000"


def test_N08_a_405_says_what_is_allowed_and_has_the_length_of_its_text():
    app = App("405")
    app.get("/x")(shown)
    app.post("/x")(shown)
    answer = call(app, "DELETE", "/x")
    assert answer.status == "405 Method Not Allowed"
    assert answer.header("Allow") == "GET, HEAD, POST"
    assert answer.text == "Error: Method DELETE not allowed for URL /x"
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"


def test_N08_a_404_names_the_path_and_has_the_length_of_its_text():
    answer = call(App("404"), "PUT", "/nope", b"body")
    assert answer.status == "404 Not Found"
    assert answer.text == "Error: Requested URL /nope not found"
    assert answer.header("Content-Length") == str(len(answer.body))


def test_N08_a_405_to_head_has_no_body():
    app = App("405")
    app.post("/x")(shown)
    answer = call(app, "HEAD", "/x")
    assert (answer.status, answer.body) == ("405 Method Not Allowed", b"")


def test_options_is_not_answered_by_itself():
    answer = call(app_of("/x"), "OPTIONS", "/x")
    assert (answer.status, answer.header("Allow")) == ("405 Method Not Allowed", "GET, HEAD")


def test_allow_has_the_methods_of_every_route_that_matches():
    app = App("several")
    app.put("/p/<id:int>")(shown)
    app.delete("/p/<name>")(shown)
    assert call(app, "GET", "/p/7").header("Allow") == "DELETE, PUT"
    assert call(app, "DELETE", "/p/7").text == "{'name': '7'}"
    assert call(app, "PUT", "/p/7", b"").text == "{'id': 7}"


def test_a_method_that_is_none_is_refused():
    with pytest.raises(InvalidUsage, match=r"FOO is not a valid HTTP method\."):
        App("methods").route("/", methods=["FOO"])(shown)
    with pytest.raises(TypeError, match=r"a list is wanted, \['GET'\]"):
        App("methods").route("/", methods="GET")(shown)
    with pytest.raises(ValueError, match="without methods"):
        App("methods").route("/", methods=[])(shown)


# Handlers


def test_a_handler_without_a_parameter_is_refused_when_it_is_registered():
    with pytest.raises(ValueError, match=r"is called with \(request\): too many positional"):
        App("handlers").get("/")(lambda: text("x"))
    with pytest.raises(ValueError, match="called with"):
        Blueprint("handlers").put("/", stream=True)(lambda: text("x"))


def test_a_handler_that_does_not_take_the_parameters_of_its_route_is_refused():
    with pytest.raises(ValueError, match=r"called with \(request, id\): got an unexpected keyword"):
        App("handlers").get("/<id>")(lambda request: text("x"))
    with pytest.raises(ValueError, match="missing a required argument: 'name'"):
        App("handlers").get("/<key>")(lambda request, key, name: text("x"))
    with pytest.raises(ValueError, match="multiple values for argument 'request'"):
        App("handlers").get("/<request>")(lambda request: text("x"))


def test_of_a_decorated_handler_what_the_decorator_takes_counts():
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

    assert call(app, target="/7").text == "user7"


async def coroutine(request):
    """Never awaited here."""


async def generator(request):
    yield b""


class Called:
    async def __call__(self, request):
        """Never awaited here."""


def wrapped(request):
    return coroutine(request)


wrapped.__wrapped__ = coroutine


@pytest.mark.parametrize("handler", [coroutine, generator, Called(), partial(coroutine), wrapped])
def test_an_asynchronous_handler_is_refused_when_it_is_registered(handler):
    for owner in (App("a"), Blueprint("b")):
        with pytest.raises(TypeError, match=r"restkit\.server is blocking"):
            owner.post("/", stream=True)(handler)


def test_what_is_no_handler_and_no_path_is_refused():
    with pytest.raises(TypeError, match="a handler is a function"):
        App("handlers").add_route("handler", "/")
    with pytest.raises(TypeError, match="a route is a path"):
        App("handlers").get(shown)


def test_a_handler_whose_signature_nobody_tells_is_taken():
    App("handlers").add_route(dict, "/")


# Paths


@pytest.mark.parametrize("uri", ["/csv", "/csv/", "csv", "csv/"])
@pytest.mark.parametrize("target", ["/csv", "/csv/"])
def test_a_slash_at_the_end_is_nothing_unless_it_is_asked_for(uri, target):
    assert arguments_of(uri, target) == {}


@pytest.mark.parametrize("app", [app_of("/csv", "/<x>/d/", strict_slashes=True)])
def test_strict_slashes_tell_two_paths_apart(app):
    assert call(app, target="/csv").status == "200 OK"
    assert call(app, target="/csv/").status == "404 Not Found"
    assert call(app, target="/a/d/").status == "200 OK"
    assert call(app, target="/a/d").status == "404 Not Found"


def test_a_route_says_for_itself_whether_slashes_count():
    app = App("strict", strict_slashes=True)
    app.get("/a", strict_slashes=False)(shown)
    app.get("/b/")(shown)
    assert call(app, target="/a/").status == "200 OK"
    assert call(app, target="/b").status == "404 Not Found"


def test_the_root_is_a_path_too_with_and_without_its_slash():
    for target, script in (("/", ""), ("", "/mounted")):
        assert call(app_of("/"), target=target, SCRIPT_NAME=script).status == "200 OK"


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
def test_what_a_route_matches_and_what_its_parameters_are(uri, target, arguments):
    if "major" in uri:
        arguments = {"major": 1, "minor": 22, "rest": "a"}
    assert arguments_of(uri, target, RAW_URI=target) == arguments


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_a_slash_sent_as_2F_is_inside_its_segment_where_the_server_tells(name):
    assert arguments_of("/<x>/y", "/a%2Fb/y", **{name: "/a%2Fb/y?q=%2F"}) == {"x": "a/b"}
    assert arguments_of("/<x>/y", "/a%2Fb/y", **{name: "http://h:1/a%2fb/y"}) == {"x": "a/b"}
    # Only before a path, a URL is what names the host.
    target = "/of/http://h/a%2Fb"
    assert arguments_of("/of/http://h/<x>", target, **{name: target}) == {"x": "a/b"}
    assert arguments_of("/<x>/y", "/a%2Fb/y") is None
    assert arguments_of("/<x:path>/y", "/a%2Fb/y") == {"x": "a/b"}
    assert arguments_of("/a%2Fb", "/a%2Fb", **{name: "/a%2Fb"}) == {}
    assert arguments_of("/a/b", "/a%2Fb", **{name: "/a%2Fb"}) is None


def test_what_was_sent_is_not_believed_where_something_between_has_changed_the_path():
    assert arguments_of("/<x>", "/new", RAW_URI="/old") == {"x": "new"}
    assert arguments_of("/<x>", "/a", RAW_URI="*") == {"x": "a"}


def test_below_a_mount_the_rest_of_what_was_sent_counts():
    mounted = {"SCRIPT_NAME": "/a b/c", "RAW_URI": "/a%20b/c/x%2Fy"}
    assert arguments_of("/<x>", "/x%2Fy", **mounted) == {"x": "x/y"}
    mounted["RAW_URI"] = "/elsewhere/c/x%2Fy"
    assert arguments_of("/<x>", "/x%2Fy", **mounted) is None


def test_a_path_that_is_no_UTF_8_is_a_400():
    answer = call(app_of("/<x>"), target="/a%FF")
    assert (answer.status, answer.text) == ("400 Bad Request", "Error: the path /a%FF is not UTF-8")


def test_exact_paths_come_first_then_patterns_in_their_order_and_whole_paths_at_last():
    app = App("order")
    for uri in ("/<x:path>", "/<x:int>", "/<x>", "/7"):
        app.get(uri)(lambda request, uri=uri, **arguments: text(uri))
    for target, uri in (("/7", "/7"), ("/8", "/<x:int>"), ("/a", "/<x>"), ("/a/b", "/<x:path>")):
        assert call(app, target=target).text == uri


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a", "/a"), ("/a", "/a/"), ("/<x>", "/<y>"), ("/<x:int>/b", "/<y:int>/b/"), ("a", "/a")],
)
def test_a_route_that_is_there_already_is_refused(first, second):
    app = app_of(first)
    with pytest.raises(ValueError, match=rf"GET {second} is registered already: shown has it"):
        app.add_route(shown, second)
    app.add_route(shown, second, methods=["POST"])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/<x", "a parameter is written <name>"),
        ("/x>", "a parameter is written <name>"),
        ("/<>", "'' is no name"),
        ("/<1x>", "'1x' is no name"),
        ("/<x>/<x>", "'x' is no name, or no new one"),
        ("/<x:integer>", "integer is no kind of parameter; string, int"),
        ("/<x:[>", "regular expression is wrong"),
    ],
)
def test_a_route_that_is_none_is_refused(uri, message):
    with pytest.raises(ValueError, match=message):
        app_of(uri)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda x: "/" not in x))
def test_any_segment_is_the_argument_it_stands_for(segment):
    pattern = parse_pattern("/before/<x>/after")
    assert pattern.arguments(f"/before/{segment}/after") == {"x": segment}


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1))
def test_any_path_comes_as_it_was_sent_with_its_segments_told_apart(segments):
    sent = "/" + "/".join(quote(each, safe="") for each in segments)
    environ = environ_of(target=sent, RAW_URI=sent)
    target = target_of(environ)
    assert target.path == "/" + "/".join(segments)
    inside = [each.replace("/", SLASH_INSIDE) for each in segments]
    assert target.matched == "/" + "/".join(inside)
    assert unquote(target.encoded) == target.path
    assert target.encoded.isascii()


@given(path=st.text(), raw=st.text(), script=st.text())
def test_whatever_a_server_says_the_path_can_be_shown(path, raw, script):
    environ = {"PATH_INFO": path, "RAW_URI": raw, "SCRIPT_NAME": script}
    assert encoded_path(environ).isascii()
    with suppress(InvalidUsage):
        target_of(environ)


# Blueprints


def test_N20_a_blueprint_has_its_prefix_and_casts_its_parameters():
    bp = Blueprint("numbers", url_prefix="/v1")

    @bp.patch("/p/<id:int>", stream=True)
    def handler(request, id):  # noqa: A002  # as the case has it
        return json([type(id).__name__, id, request.stream.read().decode()])

    app = App("app")
    app.blueprint(bp)
    assert call(app, "PATCH", "/v1/p/7", b"x").text == '["int",7,"x"]'
    assert call(app, "PATCH", "/p/7", b"x").status == "404 Not Found"


def test_N20_the_prefix_given_with_app_blueprint_takes_the_place_of_its_own():
    bp = Blueprint("bp", url_prefix="/v1")
    bp.get("/x")(shown)
    app = App("app")
    app.blueprint(bp, url_prefix="/v2")
    assert call(app, target="/v2/x").status == "200 OK"
    assert call(app, target="/v1/x").status == "404 Not Found"


def test_N20_another_blueprint_of_the_same_name_is_refused():
    app = App("app")
    app.blueprint(Blueprint("same"))
    with pytest.raises(ValueError, match="another blueprint is registered as 'same'"):
        app.blueprint(Blueprint("same"))


def test_a_blueprint_may_be_registered_twice_under_two_prefixes_and_in_two_apps():
    bp = Blueprint("bp")
    bp.get("/x")(shown)
    one, two = App("one"), App("two")
    for app in (one, two):
        app.blueprint(bp, url_prefix="/a")
    one.blueprint(bp, url_prefix="/b")
    assert call(one, target="/a/x").status == call(one, target="/b/x").status == "200 OK"
    assert call(two, target="/b/x").status == "404 Not Found"
    with pytest.raises(ValueError, match="GET /a/x is registered already"):
        one.blueprint(bp, url_prefix="/a")


def test_N20_a_composition_that_streams_does_so_on_a_blueprint():
    view = CompositionView()
    view.add(["POST"], lambda request: text(request.stream.read()), stream=True)
    view.add(["PUT"], lambda request: text(repr(request.stream)))
    bp = Blueprint("bp", url_prefix="/v1")
    bp.add_route(view, "/composed")
    app = App("app")
    app.blueprint(bp)
    assert call(app, "POST", "/v1/composed", b"body").text == "body"
    assert call(app, "PUT", "/v1/composed", b"body").text == "None"


@pytest.mark.parametrize(
    ("prefix", "uri", "target"),
    [
        ("/v1/", "/x", "/v1/x"),
        ("/v1", "x", "/v1/x"),
        ("v1", "/x", "/v1/x"),
        ("/v1/", "/", "/v1"),
        ("/v1", "", "/v1/"),
        ("", "/x", "/x"),
        ("/", "//x", "/x"),
        ("/<tenant>", "/x", "/some/x"),
    ],
)
def test_slashes_that_meet_are_one(prefix, uri, target):
    bp = Blueprint("bp", url_prefix=prefix)
    bp.get(uri)(shown)
    app = App("app")
    app.blueprint(bp)
    assert call(app, target=target).status == "200 OK"


def test_slashes_inside_a_parameter_stay():
    assert joined("/a/", "//<x:b//c>//d") == "/a/<x:b//c>/d"
    assert joined("/a/", "<x:(?P<y>b//c)>//d") == "/a/<x:(?P<y>b//c)>/d"


def test_groups_put_their_prefix_before_the_others_and_go_into_groups():
    one, two, three = (Blueprint(name, url_prefix=f"/{name}") for name in ("one", "two", "three"))
    for bp in (one, two, three):
        bp.get("/x")(shown)
    inner = Blueprint.group(one, two, url_prefix="/inner")
    outer = Blueprint.group(inner, [three], url_prefix="outer/")
    app = App("app")
    app.blueprint(outer)
    for path in ("/outer/inner/one/x", "/outer/inner/two/x", "/outer/three/x"):
        assert call(app, target=path).status == "200 OK"
    assert one.url_prefix == "/one"
    other = App("other")
    other.blueprint(outer, url_prefix="/other")
    assert call(other, target="/other/inner/one/x").status == "200 OK"


def test_a_list_of_blueprints_is_registered_one_by_one():
    one, two = Blueprint("one", url_prefix="/one"), Blueprint("two", url_prefix="/two")
    one.get("/1")(shown)
    two.get("/2")(shown)
    app, other = App("app"), App("other")
    app.blueprint([one, two])
    other.blueprint((one, two), url_prefix="/both")
    assert call(app, target="/one/1").status == call(app, target="/two/2").status == "200 OK"
    assert call(other, target="/both/1").status == call(other, target="/both/2").status == "200 OK"


def test_a_route_said_after_its_blueprint_was_registered_is_refused():
    bp = Blueprint("late")
    bp.get("/early")(shown)
    App("app").blueprint(bp)
    with pytest.raises(RuntimeError, match=r"say /late before app\.blueprint"):
        bp.get("/late")(shown)


def test_a_blueprint_says_for_its_routes_whether_slashes_count():
    bp = Blueprint("strict", strict_slashes=True)
    bp.get("/a")(shown)
    bp.get("/b", strict_slashes=False)(shown)
    app = App("app")
    app.blueprint(bp)
    assert call(app, target="/a/").status == "404 Not Found"
    assert call(app, target="/b/").status == "200 OK"


def test_what_is_no_blueprint_is_refused():
    for value in (5, "bp", shown):
        with pytest.raises(TypeError, match="no blueprint, nor a group or a list"):
            App("app").blueprint(value)


def test_an_HTTPError_of_a_handler_is_its_answer():
    app = App("errors")

    @app.get("/<status:int>")
    def handler(request, status):
        raise HTTPError(status, headers={"X-Why": "asked"})

    answer = call(app, target="/418")
    assert (answer.status, answer.header("X-Why")) == ("418 I'm a Teapot", "asked")
