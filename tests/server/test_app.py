"""The application: exceptions, subclasses, threads, and other WSGI servers."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import restkit
import restkit.server
from restkit.errors import BodyTooLarge, ClientDisconnected, DecodingError, ParserError
from restkit.server import App, HTTPError, Necktie, Request, exceptions, serve
from restkit.server.response import json, stream, text
from support.apps.seed_002 import app as seed_app
from support.caller import Caller, get, post, said_by
from support.scripted import ScriptedServer
from support.wsgi_calls import RecordedResponse, call_app, make_environ

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]


def app_raising(exc):
    """Return an app whose handlers raise this exception."""
    app = App("raising")

    @app.route("/", methods=["GET", "POST"])
    def handler(request):
        raise exc

    return app


# Exceptions


def test_other_exceptions_are_logged_and_sent_as_500_without_details(caplog):
    response = call_app(app_raising(KeyError("secret")), target="/?token=secret")
    assert response.status == "500 Internal Server Error"
    assert response.text == "Error: Internal Server Error"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("restkit.server", logging.ERROR)
    assert record.getMessage() == "GET /: KeyError"
    assert record.exc_info[1].args == ("secret",)


@pytest.mark.parametrize("returned", [None, "text", b"bytes", 5, ["a"]])
def test_handler_that_returns_no_response_is_500_and_logged(returned, caplog):
    app = App("app")

    @app.get("/")
    def handler(request):
        return returned

    assert call_app(app).status == "500 Internal Server Error"
    (record,) = caplog.records
    assert f"handler returned {type(returned).__name__}; it must return a response" in str(
        record.exc_info[1]
    )


def test_returned_coroutine_is_closed_and_logged(caplog):
    async def later(request):
        """Never awaited."""

    app = App("app")
    app.get("/")(lambda request: later(request))  # noqa: PLW0108  # a hidden one
    assert call_app(app).status == "500 Internal Server Error"
    assert "returned coroutine" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ParserError("chunks"), "400 Bad Request"),
        (DecodingError("gzip"), "400 Bad Request"),
        (BodyTooLarge("more"), "413 Content Too Large"),
    ],
)
def test_malformed_body_is_a_client_error(error, status, caplog):
    response = call_app(app_raising(error))
    assert response.status == status
    assert error.message in response.text
    assert not caplog.records


def test_malformed_response_of_another_server_is_500(caplog):
    broken = ScriptedServer.serving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    other = App("other")
    other.get("/")(lambda request: text("no json"))
    app = App("app")
    with broken, serve(other) as there, restkit.Client() as client:
        app.get("/json")(lambda request: json(client.get(there.url).json()))
        app.get("/chunks")(lambda request: text(client.get(broken.url()).body))
        for path, kind in (("/json", DecodingError), ("/chunks", ParserError)):
            assert call_app(app, target=path).status == "500 Internal Server Error"
            assert isinstance(caplog.records[-1].exc_info[1], kind)


def test_N19_ClientDisconnected_is_raised_to_the_server():
    app = app_raising(ClientDisconnected("gone"))
    app.exception(Exception, ClientDisconnected)(lambda request, exc: text("nobody hears this"))
    with pytest.raises(ClientDisconnected, match="gone"):
        call_app(app)


def test_KeyboardInterrupt_is_raised_to_the_server():
    with pytest.raises(KeyboardInterrupt):
        call_app(app_raising(KeyboardInterrupt()))


def test_exception_handler_of_the_nearest_class_is_called():
    app = App("app")

    @app.get("/<which>")
    def handler(request, which):
        raise {"key": KeyError, "value": ValueError, "http": exceptions.Forbidden}[which]("x")

    @app.exception(LookupError, ValueError)
    def either(request, exc):
        return text(f"{type(exc).__name__} of {request.path}", 409)

    @app.exception(Exception)
    def other(request, exc):
        return text("other", 418)

    assert call_app(app, target="/key").text == "KeyError of /key"
    assert call_app(app, target="/value").status == "409 Conflict"
    assert call_app(app, target="/http").text == call_app(app, "POST", "/http", b"").text == "other"
    app.exception(exceptions.NotFound)(lambda request, exc: json({"error": exc.message}, 404))
    assert call_app(app, target="/a/b").text == '{"error":"Requested URL /a/b not found"}'


def test_failing_exception_handler_is_500(caplog):
    app = app_raising(KeyError("first"))
    app.exception(KeyError)(lambda request, exc: 1 / 0)
    response = call_app(app)
    assert (response.status, response.text) == (
        "500 Internal Server Error",
        "Error: Internal Server Error",
    )
    assert isinstance(caplog.records[0].exc_info[1], ZeroDivisionError)
    app.exception(KeyError)(lambda request, exc: None)
    assert call_app(app).status == "500 Internal Server Error"


def test_exception_handler_may_raise_HTTPError():
    app = app_raising(KeyError("first"))

    @app.exception(KeyError)
    def handler(request, exc):
        raise exceptions.NotFound("no such key") from exc

    assert call_app(app).text == "Error: no such key"


def test_exception_handler_is_checked_at_registration():
    app = App("app")
    for wrong in (5, "ValueError", BaseException, KeyboardInterrupt, lambda request, exc: None):
        with pytest.raises(TypeError, match="takes exception classes"):
            app.exception(wrong)
    with pytest.raises(ValueError, match=r"must take \(request, exception\)"):
        app.exception(ValueError)(lambda request: text(""))


def test_exception_after_the_head_is_raised_without_calling_handlers(caplog):
    app, seen = App("app"), []

    @app.get("/")
    def handler(request):
        def fn(response):
            response.write("a")
            raise HTTPError(404)

        return stream(fn)

    app.exception(Exception)(lambda request, exc: seen.append(exc) or text(""))
    response = RecordedResponse()
    with pytest.raises(HTTPError):
        app(make_environ(), response.start_response)
    assert (response.status, response.body, seen, caplog.records) == ("200 OK", b"a", [], [])


def test_exception_handler_may_stream():
    app = app_raising(KeyError("x"))
    app.exception(KeyError)(lambda request, exc: stream(["it was ", exc], 410))
    response = call_app(app)
    assert (response.status, response.text) == ("410 Gone", "it was 'x'")


# Subclasses, threads, other servers


def test_subclass_can_override_dispatch():
    class Guarded(App):
        def dispatch(self, request):
            if request.headers.get("Authorization") is None:
                raise exceptions.Unauthorized(headers={"WWW-Authenticate": "Basic"})
            response = super().dispatch(request)
            response.headers["X-App"] = self.name
            return response

    app = Guarded("guarded")
    app.get("/")(lambda request: text("x"))
    assert call_app(app).header("WWW-Authenticate") == "Basic"
    assert call_app(app, headers={"Authorization": "x"}).header("X-App") == "guarded"
    assert repr(app) == "<Guarded 'guarded'>"
    assert repr(App()) == "<App>"


def test_app_handles_requests_in_many_threads():
    app = App("threads")
    barrier = threading.Barrier(8, timeout=20)

    @app.post("/<number:int>")
    def handler(request, number):
        barrier.wait()
        return json(
            [number, request.arguments["number"], int(request.body), int(request.args["q"][0])]
        )

    def ask(number):
        return call_app(app, "POST", f"/{number}?q={number}", b"%d" % number).text

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(ask, range(32)))
    assert responses == [f"[{n},{n},{n},{n}]" for n in range(32)]


def test_public_names():
    assert Necktie is App
    assert {"App", "Necktie", "serve", "receive"} <= set(restkit.server.__all__)
    assert isinstance(App(), object)
    assert Request.__module__ == "restkit.server.request"


def test_serving_needs_no_extra_and_a_multipart_form_names_it():
    code = """
import sys
sys.modules["multipart"] = None
import restkit
from restkit.server import App, serve
from restkit.server.response import text
app = App()
@app.post("/")
def take(request):
    return text(request.form["name"])
with serve(app) as server:
    print(restkit.post(server.url, {"name": "a field"}).text)
    print(restkit.post(server.url, {"name": "a field", "file": b"x"}, headers={
        "Content-Type": "multipart/form-data"}).status)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "['a field']\n500\n"
    assert "multipart, which is not installed: pip install 'restkit[server]'" in result.stderr


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Log nothing."""


@contextmanager
def serve_on_wsgiref(app):
    """Serve on wsgiref: HTTP/1.0, one thread, a wsgi.input without an end."""
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_seed_program_runs_on_wsgiref():
    with serve_on_wsgiref(seed_app) as server:
        for path, sent, received in (("/stream", b"121a1", b"A2AaA"), ("/method_view", b"x", b"x")):
            response = said_by(server.server_port, post(path, sent))
            assert response.startswith(b"HTTP/1.0 200 OK\r\n")
            assert response.endswith(b"\r\n\r\n" + received)
        response = said_by(server.server_port, get("/nope"))
        assert response.endswith(b"\r\n\r\nError: Requested URL /nope not found")


def test_truncated_body_on_wsgiref_never_reaches_the_handler(capsys):
    ran = []
    app = App("app")
    app.post("/")(lambda request: ran.append(1) or text("whole"))
    with serve_on_wsgiref(app) as server, Caller(server.server_port) as caller:
        caller.send(get("/", "Content-Length: 10", method="POST"), b"short")
        caller.finish()
        assert b"whole" not in caller.read_to_end()
    assert not ran
    capsys.readouterr()


# On the embedded engine


@pytest.fixture(scope="module")
def program():
    with serve(seed_app) as server:
        yield server


CHUNKED = b"Content-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"


def test_N02_blueprint_response_has_exactly_these_bytes(program):
    with Caller(program.port) as caller:
        caller.send(post("/bp_stream", b"11x11").replace(b"POST", b"PUT", 1))
        assert caller.read_answer() == b"HTTP/1.1 200 OK\r\n" + PLAIN % (5, b"AAxAA")
