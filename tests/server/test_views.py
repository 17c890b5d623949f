"""Views: a class with a method for each method of HTTP, compositions, and the mark of streams."""

from __future__ import annotations

from functools import wraps

import pytest

from restkit.server import App, response
from restkit.server.exceptions import HTTPError, InvalidUsage, MethodNotAllowed
from restkit.server.response import text
from restkit.server.views import CompositionView, HTTPMethodView, stream
from support.apps.seed_002 import app as seed_app
from support.wsgi_calls import call


def takes(request):
    """How the handler was given the body."""
    return text("stream" if request.stream is not None else f"whole: {request.body.decode()}")


@stream
def marked(request):
    """A handler of its own: the mark stays with a function."""
    return takes(request)


class Mixed(HTTPMethodView):
    """One method of each kind."""

    def get(self, request):
        return takes(request)

    def put(self, request):
        return takes(request)

    @stream
    def post(self, request):
        return takes(request)


def app_of(view, uri="/"):
    app = App("views")
    app.add_route(view, uri)
    return app


# Classes


def test_N09_only_the_methods_that_are_marked_take_the_body_live():
    app = app_of(Mixed.as_view())
    assert call(app, "POST", "/", b"body").text == "stream"
    assert call(app, "PUT", "/", b"body").text == "whole: body"
    assert call(app, "GET").text == "whole: "


def test_the_mark_is_an_attribute():
    assert Mixed.post.is_stream is True
    assert not hasattr(Mixed.get, "is_stream")


def test_a_method_that_the_view_has_not_is_a_405_with_what_it_has():
    answer = call(app_of(Mixed.as_view()), "DELETE")
    assert (answer.status, answer.header("Allow")) == (
        "405 Method Not Allowed",
        "GET, HEAD, POST, PUT",
    )


def test_head_is_answered_by_get_of_the_view():
    answer = call(app_of(Mixed.as_view()), "HEAD")
    assert (answer.status, answer.body, answer.header("Content-Length")) == ("200 OK", b"", "7")


def test_a_view_is_made_anew_for_each_request_with_the_arguments_of_as_view():
    made = []

    class View(HTTPMethodView):
        def __init__(self, name, *, end):
            self.name = name + end
            made.append(self)

        def get(self, request, number):
            return text(f"{self.name} {number}")

    app = app_of(View.as_view("a", end="b"), "/<number:int>")
    assert [call(app, target=f"/{each}").text for each in (1, 2)] == ["ab 1", "ab 2"]
    assert len(set(map(id, made))) == 2


def test_decorators_are_put_around_the_view_the_last_outermost():
    def adding(mark):
        def decorator(handler):
            def decorated(request, **arguments):
                answer = handler(request, **arguments)
                answer.body += mark
                return answer

            return decorated

        return decorator

    class View(HTTPMethodView):
        decorators = [adding(b"1"), adding(b"2")]  # noqa: RUF012  # as users write it

        @stream
        def post(self, request):
            return takes(request)

    assert call(app_of(View.as_view()), "POST", "/", b"").text == "stream12"


def test_a_view_without_a_method_is_refused():
    with pytest.raises(ValueError, match="handles no method"):
        app_of(HTTPMethodView.as_view())


def test_an_asynchronous_method_is_refused_when_the_view_is_added():
    class View(HTTPMethodView):
        async def get(self, request):
            """Never awaited here."""

    with pytest.raises(TypeError, match=r"View\.get is asynchronous.* is blocking"):
        app_of(View.as_view())


def test_a_method_that_takes_no_request_is_refused_when_the_view_is_added():
    class View(HTTPMethodView):
        def get(self):
            """Called with a request it fails."""

    with pytest.raises(ValueError, match=r"View\.get must take \(self, request\)"):
        app_of(View.as_view())


def test_a_method_may_be_a_static_one():
    class View(HTTPMethodView):
        get = staticmethod(takes)

        @classmethod
        def put(cls, request):
            return text(cls.__name__)

    app = app_of(View.as_view())
    assert (call(app).text, call(app, "PUT", "/", b"").text) == ("whole: ", "View")


def test_methods_and_stream_are_not_said_beside_a_view():
    for options in ({"methods": ["GET"]}, {"stream": True}):
        with pytest.raises(ValueError, match="is a view, which defines its own methods"):
            App("views").add_route(Mixed.as_view(), "/", **options)


def test_a_view_keeps_the_name_and_words_of_its_class():
    view = Mixed.as_view()
    assert (view.__name__, view.__doc__) == ("Mixed", "One method of each kind.")


def test_a_view_called_by_somebody_else_refuses_what_it_has_not():
    class Request:
        method = "DELETE"

    with pytest.raises(MethodNotAllowed, match="405: Method DELETE not allowed"):
        Mixed.as_view()(Request())
    with pytest.raises(MethodNotAllowed):
        CompositionView()(Request())


# Compositions


def test_N07_a_composition_refuses_what_is_no_method_and_what_is_there():
    view = CompositionView()
    with pytest.raises(InvalidUsage) as caught:
        view.add(["FOO"], takes)
    assert caught.value.message == "FOO is not a valid HTTP method."
    view.add(["GET", "POST"], takes)
    with pytest.raises(InvalidUsage) as caught:
        view.add(["PUT", "GET"], takes)
    assert caught.value.message == "Method GET is already registered."
    assert list(view.handlers) == ["GET", "POST"]
    with pytest.raises(InvalidUsage, match=r"get is not a valid HTTP method\."):
        view.add(["get"], takes)


def test_N07_a_method_that_no_handler_was_added_for_is_a_405_with_allow():
    view = CompositionView()
    view.add(["POST"], takes, stream=True)
    view.add(["GET"], takes)
    answer = call(app_of(view), "PATCH", "/", b"")
    assert (answer.status, answer.header("Allow")) == ("405 Method Not Allowed", "GET, HEAD, POST")


def test_a_composition_takes_its_streams_by_method():
    view = CompositionView()
    view.add(["POST"], takes, stream=True)
    view.add(["PUT"], marked)
    view.add(["GET"], takes)
    app = app_of(view)
    assert call(app, "POST", "/", b"x").text == call(app, "PUT", "/", b"x").text == "stream"
    assert call(app).text == "whole: "
    assert call(app, "HEAD").header("Content-Length") == "7"


def test_a_composition_judges_its_handlers():
    async def never(request):
        """Never awaited here."""

    view = CompositionView()
    with pytest.raises(TypeError, match="is blocking"):
        view.add(["GET"], never)
    with pytest.raises(ValueError, match="must take"):
        view.add(["GET"], lambda: text(""))
    with pytest.raises(TypeError, match="must be a list"):
        view.add("GET", takes)
    assert view.handlers == {}
    with pytest.raises(ValueError, match="handles no method"):
        app_of(view)


def test_a_plain_handler_can_be_marked_too():
    app = App("marked")
    app.post("/")(marked)
    assert call(app, "POST", "/", b"x").text == "stream"


def test_a_decorator_that_keeps_the_mark_keeps_the_stream():
    def decorator(handler):
        @wraps(handler)
        def decorated(*args, **kwargs):
            return handler(*args, **kwargs)

        return decorated

    class View(HTTPMethodView):
        @decorator
        @stream
        def post(self, request):
            return takes(request)

    assert call(app_of(View.as_view()), "POST", "/", b"x").text == "stream"


# The program of the seed


def test_the_program_of_the_seed_answers_as_it_says():
    assert call(seed_app, "POST", "/stream", b"121a1").text == "A2AaA"
    assert call(seed_app, "PUT", "/bp_stream", b"11x11").text == "AAxAA"
    long = b"abc" * 100_000
    for path in ("/method_view", "/composition_view"):
        assert call(seed_app, "POST", path, long).body == long


def test_an_exception_can_be_copied_with_what_it_says():
    import pickle

    for error in (HTTPError(418, "tea", {"X": "y"}), InvalidUsage("why", {"X": "y"})):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.status, again.message, again.headers) == (
            type(error),
            error.status,
            error.message,
            error.headers,
        )


def test_a_method_marked_with_the_other_stream_is_refused_when_it_is_registered():
    class Wrong(HTTPMethodView):
        @response.stream
        def post(self, request):
            return takes(request)

    with pytest.raises(
        TypeError, match=r"Wrong\.post is a response, not a method: decorate it with"
    ):
        App("app").add_route(Wrong.as_view(), "/")
