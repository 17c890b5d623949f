"""Blueprints: prefixes, groups and registration."""

from __future__ import annotations

import pytest

from restkit.server import App
from restkit.server.blueprints import Blueprint
from restkit.server.response import json, text
from restkit.server.routing import join_paths
from restkit.server.views import CompositionView
from support.wsgi_calls import call_app


def show_arguments(request, **arguments):
    return text(repr(arguments))


def test_N20_blueprint_has_a_prefix_and_casts_parameters():
    bp = Blueprint("numbers", url_prefix="/v1")

    @bp.patch("/p/<id:int>", stream=True)
    def handler(request, id):  # noqa: A002  # as the case has it
        return json([type(id).__name__, id, request.stream.read().decode()])

    app = App("app")
    app.blueprint(bp)
    assert call_app(app, "PATCH", "/v1/p/7", b"x").text == '["int",7,"x"]'
    assert call_app(app, "PATCH", "/p/7", b"x").status == "404 Not Found"


def test_N20_prefix_of_app_blueprint_replaces_its_own():
    bp = Blueprint("bp", url_prefix="/v1")
    bp.get("/x")(show_arguments)
    app = App("app")
    app.blueprint(bp, url_prefix="/v2")
    assert call_app(app, target="/v2/x").status == "200 OK"
    assert call_app(app, target="/v1/x").status == "404 Not Found"


def test_N20_another_blueprint_of_the_same_name_is_rejected():
    app = App("app")
    app.blueprint(Blueprint("same"))
    with pytest.raises(ValueError, match="another blueprint is already registered as 'same'"):
        app.blueprint(Blueprint("same"))


def test_blueprint_can_be_registered_repeatedly():
    bp = Blueprint("bp")
    bp.get("/x")(show_arguments)
    one, two = App("one"), App("two")
    for app in (one, two):
        app.blueprint(bp, url_prefix="/a")
    one.blueprint(bp, url_prefix="/b")
    assert call_app(one, target="/a/x").status == call_app(one, target="/b/x").status == "200 OK"
    assert call_app(two, target="/b/x").status == "404 Not Found"
    with pytest.raises(ValueError, match="GET /a/x is already registered"):
        one.blueprint(bp, url_prefix="/a")


def test_N20_composition_streams_on_a_blueprint():
    view = CompositionView()
    view.add(["POST"], lambda request: text(request.stream.read()), stream=True)
    view.add(["PUT"], lambda request: text(repr(request.stream)))
    bp = Blueprint("bp", url_prefix="/v1")
    bp.add_route(view, "/composed")
    app = App("app")
    app.blueprint(bp)
    assert call_app(app, "POST", "/v1/composed", b"body").text == "body"
    assert call_app(app, "PUT", "/v1/composed", b"body").text == "None"


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
def test_adjacent_slashes_are_merged(prefix, uri, target):
    bp = Blueprint("bp", url_prefix=prefix)
    bp.get(uri)(show_arguments)
    app = App("app")
    app.blueprint(bp)
    assert call_app(app, target=target).status == "200 OK"


def test_slashes_inside_a_parameter_stay():
    assert join_paths("/a/", "//<x:b//c>//d") == "/a/<x:b//c>/d"
    assert join_paths("/a/", "<x:(?P<y>b//c)>//d") == "/a/<x:(?P<y>b//c)>/d"


def test_groups_nest_and_prepend_their_prefix():
    one, two, three = (Blueprint(name, url_prefix=f"/{name}") for name in ("one", "two", "three"))
    for bp in (one, two, three):
        bp.get("/x")(show_arguments)
    inner = Blueprint.group(one, two, url_prefix="/inner")
    outer = Blueprint.group(inner, [three], url_prefix="outer/")
    app = App("app")
    app.blueprint(outer)
    for path in ("/outer/inner/one/x", "/outer/inner/two/x", "/outer/three/x"):
        assert call_app(app, target=path).status == "200 OK"
    assert one.url_prefix == "/one"
    other = App("other")
    other.blueprint(outer, url_prefix="/other")
    assert call_app(other, target="/other/inner/one/x").status == "200 OK"


def test_list_of_blueprints_is_registered():
    one, two = Blueprint("one", url_prefix="/one"), Blueprint("two", url_prefix="/two")
    one.get("/1")(show_arguments)
    two.get("/2")(show_arguments)
    app, other = App("app"), App("other")
    app.blueprint([one, two])
    other.blueprint((one, two), url_prefix="/both")
    assert (
        call_app(app, target="/one/1").status == call_app(app, target="/two/2").status == "200 OK"
    )
    assert (
        call_app(other, target="/both/1").status
        == call_app(other, target="/both/2").status
        == "200 OK"
    )


def test_route_added_after_registration_is_rejected():
    bp = Blueprint("late")
    bp.get("/early")(show_arguments)
    App("app").blueprint(bp)
    with pytest.raises(RuntimeError, match=r"add /late before app\.blueprint"):
        bp.get("/late")(show_arguments)


def test_blueprint_sets_strict_slashes_of_its_routes():
    bp = Blueprint("strict", strict_slashes=True)
    bp.get("/a")(show_arguments)
    bp.get("/b", strict_slashes=False)(show_arguments)
    app = App("app")
    app.blueprint(bp)
    assert call_app(app, target="/a/").status == "404 Not Found"
    assert call_app(app, target="/b/").status == "200 OK"


def test_invalid_blueprint_is_rejected():
    for value in (5, "bp", show_arguments):
        with pytest.raises(TypeError, match="a Blueprint, a group, or a list"):
            App("app").blueprint(value)
