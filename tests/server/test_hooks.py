"""Hooks before and after the handlers of applications and blueprints."""

from __future__ import annotations

import re
from functools import partial

import pytest

from restkit.errors import ClientDisconnected
from restkit.server import App, HTTPError, serve
from restkit.server.blueprints import Blueprint
from restkit.server.response import stream, text
from restkit.server.views import HTTPMethodView
from support.caller import Caller, get
from support.wsgi_calls import call_app


def make_app(calls: list[str]) -> App:
    """Return an app with two hooks of each kind, a route, and a blueprint with the same."""
    app, inner = App("app"), Blueprint("inner", url_prefix="/inner")
    for name in ("first", "second"):
        app.before_request(partial(note, calls, f"app before {name}"))
        app.after_request(partial(note, calls, f"app after {name}"))
        inner.before_request(partial(note, calls, f"inner before {name}"))
        inner.after_request(partial(note, calls, f"inner after {name}"))

    def handler(request):
        calls.append("handler")
        if "error" in request.args:
            raise HTTPError(418, "short and stout")
        return text("fine")

    app.add_route(handler, "/", ["GET", "POST"])
    inner.add_route(handler, "/", ["GET", "POST"])
    app.blueprint(inner)
    return app


def note(calls: list[str], name: str, request: object, response: object = None) -> None:
    calls.append(name)


APP_BEFORE = ["app before first", "app before second"]
APP_AFTER = ["app after second", "app after first"]
INNER_BEFORE = ["inner before first", "inner before second"]
INNER_AFTER = ["inner after second", "inner after first"]


@pytest.mark.parametrize(
    ("method", "target", "status", "expected"),
    [
        ("GET", "/", 200, [*APP_BEFORE, "handler", *APP_AFTER]),
        ("HEAD", "/", 200, [*APP_BEFORE, "handler", *APP_AFTER]),
        (
            "GET",
            "/inner",
            200,
            [*APP_BEFORE, *INNER_BEFORE, "handler", *INNER_AFTER, *APP_AFTER],
        ),
        (
            "GET",
            "/inner?error",
            418,
            [*APP_BEFORE, *INNER_BEFORE, "handler", *INNER_AFTER, *APP_AFTER],
        ),
        ("GET", "/none", 404, [*APP_BEFORE, *APP_AFTER]),
        ("PUT", "/inner", 405, [*APP_BEFORE, *APP_AFTER]),
        ("OPTIONS", "/inner", 204, [*APP_BEFORE, *APP_AFTER]),
    ],
)
def test_hooks_surround_the_handler_in_their_order(method, target, status, expected):
    calls: list[str] = []
    response = call_app(make_app(calls), method, target)
    assert response.status.startswith(str(status))
    assert calls == expected


@pytest.mark.parametrize("owner", ["app", "blueprint"])
def test_hook_before_the_handler_may_respond_in_its_place(owner):
    calls: list[str] = []
    app, blueprint = App("app"), Blueprint("inner")
    hooked = app if owner == "app" else blueprint
    hooked.before_request(lambda request: text("no", 401))
    hooked.before_request(partial(note, calls, "second"))
    hooked.after_request(partial(note, calls, "after"))
    blueprint.get("/")(lambda request: calls.append("handler"))
    app.blueprint(blueprint)
    response = call_app(app)
    assert (response.status, response.text) == ("401 Unauthorized", "no")
    assert calls == ["after"]


def test_hook_before_the_handler_runs_before_the_body_is_received():
    app = App("app", max_body=10)
    app.before_request(lambda request: text("no", 401) if "no" in request.args else None)
    app.post("/")(lambda request: text(len(request.body)))
    with serve(app) as server:
        for target, status in (("/?no", b"401"), ("/", b"413")):
            with Caller(server.port) as caller:
                caller.send(get(target, "Content-Length: 1000000", method="POST"))
                assert caller.read_head().split()[1] == status


@pytest.mark.parametrize("name", ["body", "text", "json", "form", "files", "body_file"])
def test_hook_before_the_handler_cannot_read_the_body(name, caplog):
    app = App("app")
    app.before_request(lambda request: getattr(request, name) and None)
    app.post("/")(lambda request: text("fine"))
    assert call_app(app, "POST", "/", b"{}").status == "500 Internal Server Error"
    assert "a hook before the handler cannot read the body" in caplog.text


def test_hook_after_the_handler_can_read_the_body():
    app = App("app")
    app.after_request(lambda request, response: text(f"{response.body} {request.body}"))
    app.post("/")(lambda request: text("fine"))
    assert call_app(app, "POST", "/", b"body").text == "b'fine' b'body'"


def test_hook_after_the_handler_changes_or_replaces_the_response():
    app = App("app")

    @app.after_request
    def count(request, response):
        response.headers["X-Length"] = len(response.body)

    @app.after_request
    def replace(request, response):
        return text("other", 202) if request.path == "/" else None

    app.get("/")(lambda request: text("fine"))
    response = call_app(app)
    assert (response.status, response.text) == ("202 Accepted", "other")
    assert response.header("X-Length") == "5"
    assert call_app(app, target="/none").header("X-Length") is not None


def test_headers_of_a_streamed_response_can_be_changed():
    app = App("app")

    @app.after_request
    def mark(request, response):
        response.headers["X-Mark"] = "1"

    app.get("/")(lambda request: stream(["a", "b"]))
    response = call_app(app)
    assert (response.text, response.header("X-Mark")) == ("ab", "1")


def test_error_of_a_hook_is_handled_like_that_of_a_handler(caplog):
    app = App("app")
    app.exception(KeyError)(lambda request, exc: text(f"handled {exc}", 503))
    app.get("/")(lambda request: text("fine"))

    @app.before_request
    def fail_before(request):
        if "before" in request.args:
            raise KeyError("before")

    @app.after_request
    def mark(request, response):
        response.headers["X-Mark"] = str(response.status)

    @app.after_request
    def fail_after(request, response):
        if "after" in request.args:
            raise KeyError("after")
        if "teapot" in request.args:
            raise HTTPError(418, "teapot")
        if "bug" in request.args:
            raise ZeroDivisionError

    for name, status in (("before", 503), ("after", 503), ("teapot", 418), ("bug", 500)):
        response = call_app(app, target=f"/?{name}")
        assert response.status.startswith(str(status))
        assert response.header("X-Mark") == str(status)
    assert [record.getMessage() for record in caplog.records] == ["GET /: ZeroDivisionError"]


def test_hooks_run_again_for_the_error_that_replaces_a_response():
    app, seen = App("app"), []

    def fail():
        raise HTTPError(502, "nothing to send")
        yield

    app.after_request(lambda request, response: seen.append(response.status))
    app.get("/")(lambda request: stream(fail()))
    assert call_app(app).status == "502 Bad Gateway"
    assert seen == [200, 502]


@pytest.mark.parametrize("kind", ["before_request", "after_request"])
def test_client_that_is_gone_in_a_hook_gets_no_response(kind):
    def leave(*args):
        raise ClientDisconnected("gone")

    app, seen = App("app"), []
    app.after_request(lambda request, response: seen.append(response.status))
    getattr(app, kind)(leave)
    app.get("/")(lambda request: text("fine"))
    with pytest.raises(ClientDisconnected):
        call_app(app)
    assert seen == []


@pytest.mark.parametrize("kind", ["before_request", "after_request"])
def test_hook_that_returns_no_response_is_500(kind, caplog):
    app = App("app")

    def wrong(*args):
        return "text"

    getattr(app, kind)(wrong)
    app.get("/")(lambda request: text("fine"))
    assert call_app(app).status == "500 Internal Server Error"
    assert re.search("wrong returned str; it must return a response", caplog.text)


def test_hooks_run_for_views_and_streamed_requests():
    class View(HTTPMethodView):
        def put(self, request):
            return text("view")

    app, seen = App("app"), []
    app.add_route(View.as_view(), "/view")
    app.post("/stream", stream=True)(lambda request: text(request.stream.read()))
    app.before_request(lambda request: seen.append(request.stream))
    app.after_request(lambda request, response: seen.append(response.body))
    assert call_app(app, "PUT", "/view", b"").text == "view"
    assert call_app(app, "POST", "/stream", b"abc").text == "abc"
    assert seen == [None, b"view", None, b"abc"]


def test_each_blueprint_of_a_group_has_its_own_hooks():
    seen, members = [], []
    for name in ("a", "b"):
        member = Blueprint(name, url_prefix=f"/{name}")
        member.before_request(lambda request, name=name: seen.append(name))
        member.get("/")(lambda request: text("fine"))
        members.append(member)
    app = App("app")
    app.blueprint(Blueprint.group(*members, url_prefix="/v1"))
    for path in ("/v1/a", "/v1/b", "/v1/c"):
        call_app(app, target=path)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("kind", ["before_request", "after_request"])
def test_hook_of_a_registered_blueprint_is_an_error(kind):
    blueprint = Blueprint("late")
    App("app").blueprint(blueprint)

    def hook(*args):
        return None

    with pytest.raises(RuntimeError, match=r"already registered with an app: add .*hook before"):
        getattr(blueprint, kind)(hook)


async def asynchronous(request, response=None):
    return None


@pytest.mark.parametrize("owner", [App("app"), Blueprint("blueprint")])
def test_hook_that_cannot_be_called_is_an_error(owner):
    with pytest.raises(TypeError, match="a handler must be callable"):
        owner.before_request("hook")
    with pytest.raises(ValueError, match=r"must take \(request\)"):
        owner.before_request(lambda: None)
    with pytest.raises(ValueError, match=r"must take \(request, response\)"):
        owner.after_request(lambda request: None)
    for add in (owner.before_request, owner.after_request):
        with pytest.raises(TypeError, match="asynchronous"):
            add(asynchronous)
