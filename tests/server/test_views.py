"""Views as classes, compositions, and the mark of stream handlers."""

from __future__ import annotations

from functools import wraps

import pytest

from restkit.server import App, response
from restkit.server.exceptions import InvalidUsage, MethodNotAllowed
from restkit.server.response import text
from restkit.server.views import CompositionView, HTTPMethodView, stream
from support.wsgi_calls import call_app


def describe_body(request):
    """Respond with the form in which the handler got the body."""
    return text("stream" if request.stream is not None else f"whole: {request.body.decode()}")


@stream
def marked(request):
    """A separate handler, since the mark stays on the function."""
    return describe_body(request)


class Mixed(HTTPMethodView):
    """One method of each kind."""

    def get(self, request):
        return describe_body(request)

    def put(self, request):
        return describe_body(request)

    @stream
    def post(self, request):
        return describe_body(request)


def make_app(view, uri="/"):
    app = App("views")
    app.add_route(view, uri)
    return app


# Classes


def test_N09_only_marked_methods_get_a_stream():
    app = make_app(Mixed.as_view())
    assert call_app(app, "POST", "/", b"body").text == "stream"
    assert call_app(app, "PUT", "/", b"body").text == "whole: body"
    assert call_app(app, "GET").text == "whole: "


def test_stream_sets_an_attribute():
    assert Mixed.post.is_stream is True
    assert not hasattr(Mixed.get, "is_stream")


def test_missing_method_is_405_with_allow():
    response = call_app(make_app(Mixed.as_view()), "DELETE")
    assert (response.status, response.header("Allow")) == (
        "405 Method Not Allowed",
        "GET, HEAD, OPTIONS, POST, PUT",
    )


def test_get_of_a_view_also_handles_head():
    response = call_app(make_app(Mixed.as_view()), "HEAD")
    assert (response.status, response.body, response.header("Content-Length")) == (
        "200 OK",
        b"",
        "7",
    )


def test_each_request_gets_a_new_instance():
    made = []

    class View(HTTPMethodView):
        def __init__(self, name, *, end):
            self.name = name + end
            made.append(self)

        def get(self, request, number):
            return text(f"{self.name} {number}")

    app = make_app(View.as_view("a", end="b"), "/<number:int>")
    assert [call_app(app, target=f"/{each}").text for each in (1, 2)] == ["ab 1", "ab 2"]
    assert len(set(map(id, made))) == 2


def test_last_decorator_is_outermost():
    def adding(mark):
        def decorator(handler):
            def decorated(request, **arguments):
                response = handler(request, **arguments)
                response.body += mark
                return response

            return decorated

        return decorator

    class View(HTTPMethodView):
        decorators = [adding(b"1"), adding(b"2")]  # noqa: RUF012  # as users write it

        @stream
        def post(self, request):
            return describe_body(request)

    assert call_app(make_app(View.as_view()), "POST", "/", b"").text == "stream12"


def test_view_without_a_method_is_rejected():
    with pytest.raises(ValueError, match="handles no method"):
        make_app(HTTPMethodView.as_view())


def test_asynchronous_method_is_rejected():
    class View(HTTPMethodView):
        async def get(self, request):
            """Never awaited."""

    with pytest.raises(TypeError, match=r"View\.get is asynchronous.* is blocking"):
        make_app(View.as_view())


def test_method_without_a_request_is_rejected():
    class View(HTTPMethodView):
        def get(self):
            """Fail if called with a request."""

    with pytest.raises(ValueError, match=r"View\.get must take \(self, request\)"):
        make_app(View.as_view())


def test_method_can_be_static_or_of_the_class():
    class View(HTTPMethodView):
        get = staticmethod(describe_body)

        @classmethod
        def put(cls, request):
            return text(cls.__name__)

    app = make_app(View.as_view())
    assert (call_app(app).text, call_app(app, "PUT", "/", b"").text) == ("whole: ", "View")


def test_methods_and_stream_are_rejected_with_a_view():
    for options in ({"methods": ["GET"]}, {"stream": True}):
        with pytest.raises(ValueError, match="is a view, which defines its own methods"):
            App("views").add_route(Mixed.as_view(), "/", **options)


def test_view_has_name_and_docstring_of_its_class():
    view = Mixed.as_view()
    assert (view.__name__, view.__doc__) == ("Mixed", "One method of each kind.")


def test_view_called_directly_raises_MethodNotAllowed():
    class Request:
        method = "DELETE"

    with pytest.raises(MethodNotAllowed, match="405: Method DELETE not allowed"):
        Mixed.as_view()(Request())
    with pytest.raises(MethodNotAllowed):
        CompositionView()(Request())


# Compositions


def test_N07_composition_rejects_invalid_and_duplicate_methods():
    view = CompositionView()
    with pytest.raises(InvalidUsage) as caught:
        view.add(["FOO"], describe_body)
    assert caught.value.message == "FOO is not a valid HTTP method."
    view.add(["GET", "POST"], describe_body)
    with pytest.raises(InvalidUsage) as caught:
        view.add(["PUT", "GET"], describe_body)
    assert caught.value.message == "Method GET is already registered."
    assert list(view.handlers) == ["GET", "POST"]
    with pytest.raises(InvalidUsage, match=r"get is not a valid HTTP method\."):
        view.add(["get"], describe_body)


def test_N07_method_without_a_handler_is_405_with_allow():
    view = CompositionView()
    view.add(["POST"], describe_body, stream=True)
    view.add(["GET"], describe_body)
    response = call_app(make_app(view), "PATCH", "/", b"")
    assert (response.status, response.header("Allow")) == (
        "405 Method Not Allowed",
        "GET, HEAD, OPTIONS, POST",
    )


def test_composition_streams_by_method():
    view = CompositionView()
    view.add(["POST"], describe_body, stream=True)
    view.add(["PUT"], marked)
    view.add(["GET"], describe_body)
    app = make_app(view)
    assert call_app(app, "POST", "/", b"x").text == call_app(app, "PUT", "/", b"x").text == "stream"
    assert call_app(app).text == "whole: "
    assert call_app(app, "HEAD").header("Content-Length") == "7"


def test_composition_checks_its_handlers():
    async def never(request):
        """Never awaited."""

    view = CompositionView()
    with pytest.raises(TypeError, match="is blocking"):
        view.add(["GET"], never)
    with pytest.raises(ValueError, match="must take"):
        view.add(["GET"], lambda: text(""))
    with pytest.raises(TypeError, match="must be a list"):
        view.add("GET", describe_body)
    assert view.handlers == {}
    with pytest.raises(ValueError, match="handles no method"):
        make_app(view)


def test_plain_handler_can_be_marked():
    app = App("marked")
    app.post("/")(marked)
    assert call_app(app, "POST", "/", b"x").text == "stream"


def test_wrapped_method_keeps_its_mark():
    def decorator(handler):
        @wraps(handler)
        def decorated(*args, **kwargs):
            return handler(*args, **kwargs)

        return decorated

    class View(HTTPMethodView):
        @decorator
        @stream
        def post(self, request):
            return describe_body(request)

    assert call_app(make_app(View.as_view()), "POST", "/", b"x").text == "stream"


def test_method_decorated_with_the_wrong_stream_is_rejected():
    class Wrong(HTTPMethodView):
        @response.stream
        def post(self, request):
            return describe_body(request)

    with pytest.raises(
        TypeError, match=r"Wrong\.post is a response, not a method: decorate it with"
    ):
        App("app").add_route(Wrong.as_view(), "/")
