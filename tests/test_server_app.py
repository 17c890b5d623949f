"""An application as a whole: what becomes of exceptions, on this and on other WSGI servers."""

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
from restkit.server import App, HTTPError, Necktie, Request, serve
from restkit.server import exceptions as kinds
from restkit.server.response import json, stream, text
from support.apps import more
from support.apps.seed_002 import app as seed_app
from support.caller import Caller, get, post, said_by
from support.scripted import ScriptedServer
from support.wsgi_calls import Answer, call, environ_of

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]


def raising(exc):
    """An app whose handlers raise this."""
    app = App("raising")

    @app.route("/", methods=["GET", "POST"])
    def handler(request):
        raise exc

    return app


# Exceptions


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (kinds.InvalidUsage, "400 Bad Request"),
        (kinds.Unauthorized, "401 Unauthorized"),
        (kinds.Forbidden, "403 Forbidden"),
        (kinds.NotFound, "404 Not Found"),
        (kinds.MethodNotAllowed, "405 Method Not Allowed"),
        (kinds.LengthRequired, "411 Length Required"),
        (kinds.UnsupportedMediaType, "415 Unsupported Media Type"),
        (kinds.ServiceUnavailable, "503 Service Unavailable"),
    ],
)
def test_an_error_of_a_status_is_the_answer(error, status, caplog):
    answer = call(raising(error()))
    assert (answer.status, answer.text) == (status, f"Error: {status[4:]}")
    answer = call(raising(error("why", {"X-Why": "so"})))
    assert (answer.text, answer.header("X-Why")) == ("Error: why", "so")
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    assert not caplog.records


def test_an_error_may_have_any_status_and_says_its_reason_without_a_message():
    assert call(raising(HTTPError(507))).text == "Error: Insufficient Storage"
    assert call(raising(HTTPError(507, "the disk is full"))).text == "Error: the disk is full"
    assert call(raising(kinds.PayloadTooLarge())).text == "Error: Payload Too Large"
    assert str(HTTPError(507, "full")) == "507: full"
    with pytest.raises(ValueError, match="from 200 to 599"):
        HTTPError(42)


def test_any_other_exception_is_a_500_that_tells_nothing_and_a_line_in_the_log(caplog):
    answer = call(raising(KeyError("secret")), target="/?token=secret")
    assert answer.status == "500 Internal Server Error"
    assert answer.text == "Error: Internal Server Error"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("restkit.server", logging.ERROR)
    assert record.getMessage() == "GET /: KeyError"
    assert record.exc_info[1].args == ("secret",)


@pytest.mark.parametrize("returned", [None, "text", b"bytes", 5, ["a"]])
def test_a_handler_that_returns_no_answer_is_a_500_and_the_log_says_what_is_wanted(
    returned, caplog
):
    app = App("app")

    @app.get("/")
    def handler(request):
        return returned

    assert call(app).status == "500 Internal Server Error"
    (record,) = caplog.records
    assert f"handler returned {type(returned).__name__}, and an answer is wanted" in str(
        record.exc_info[1]
    )


def test_a_handler_that_returns_a_coroutine_is_told_so_and_nothing_is_left_unawaited(caplog):
    async def later(request):
        """Never awaited."""

    app = App("app")
    app.get("/")(lambda request: later(request))  # noqa: PLW0108  # a hidden one
    assert call(app).status == "500 Internal Server Error"
    assert "returned coroutine" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ParserError("chunks"), "400 Bad Request"),
        (DecodingError("gzip"), "400 Bad Request"),
        (BodyTooLarge("more"), "413 Content Too Large"),
    ],
)
def test_what_is_wrong_with_the_body_is_the_clients_fault(error, status, caplog):
    answer = call(raising(error))
    assert answer.status == status
    assert error.message in answer.text
    assert not caplog.records


def test_what_is_wrong_with_another_servers_answer_is_not(caplog):
    broken = ScriptedServer.serving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    other = App("other")
    other.get("/")(lambda request: text("no json"))
    app = App("app")
    with broken, serve(other) as there, restkit.Client() as client:
        app.get("/json")(lambda request: json(client.get(there.url).json()))
        app.get("/chunks")(lambda request: text(client.get(broken.url()).body))
        for path, kind in (("/json", DecodingError), ("/chunks", ParserError)):
            assert call(app, target=path).status == "500 Internal Server Error"
            assert isinstance(caplog.records[-1].exc_info[1], kind)


def test_N19_ClientDisconnected_goes_on_to_the_server():
    app = raising(ClientDisconnected("gone"))
    app.exception(Exception, ClientDisconnected)(lambda request, exc: text("nobody hears this"))
    with pytest.raises(ClientDisconnected, match="gone"):
        call(app)


def test_what_ends_the_process_goes_on_too():
    with pytest.raises(KeyboardInterrupt):
        call(raising(KeyboardInterrupt()))


def test_a_handler_of_exceptions_answers_those_of_its_types_the_nearest_first():
    app = App("app")

    @app.get("/<which>")
    def handler(request, which):
        raise {"key": KeyError, "value": ValueError, "http": kinds.Forbidden}[which]("x")

    @app.exception(LookupError, ValueError)
    def either(request, exc):
        return text(f"{type(exc).__name__} of {request.path}", 409)

    @app.exception(Exception)
    def other(request, exc):
        return text("other", 418)

    assert call(app, target="/key").text == "KeyError of /key"
    assert call(app, target="/value").status == "409 Conflict"
    assert call(app, target="/http").text == call(app, "POST", "/http", b"").text == "other"
    app.exception(kinds.NotFound)(lambda request, exc: json({"error": exc.message}, 404))
    assert call(app, target="/a/b").text == '{"error":"Requested URL /a/b not found"}'


def test_a_handler_of_exceptions_that_fails_is_a_500(caplog):
    app = raising(KeyError("first"))
    app.exception(KeyError)(lambda request, exc: 1 / 0)
    answer = call(app)
    assert (answer.status, answer.text) == (
        "500 Internal Server Error",
        "Error: Internal Server Error",
    )
    assert isinstance(caplog.records[0].exc_info[1], ZeroDivisionError)
    app.exception(KeyError)(lambda request, exc: None)
    assert call(app).status == "500 Internal Server Error"


def test_a_handler_of_exceptions_may_raise_another_answer():
    app = raising(KeyError("first"))

    @app.exception(KeyError)
    def handler(request, exc):
        raise kinds.NotFound("no such key") from exc

    assert call(app).text == "Error: no such key"


def test_a_handler_of_exceptions_is_judged_when_it_is_registered():
    app = App("app")
    for wrong in (5, "ValueError", BaseException, KeyboardInterrupt, lambda request, exc: None):
        with pytest.raises(TypeError, match="no class of exceptions"):
            app.exception(wrong)
    with pytest.raises(ValueError, match=r"called with \(request, exception\)"):
        app.exception(ValueError)(lambda request: text(""))


def test_an_answer_whose_head_has_left_is_broken_and_not_passed_to_handlers(caplog):
    app, seen = App("app"), []

    @app.get("/")
    def handler(request):
        def fn(response):
            response.write("a")
            raise HTTPError(404)

        return stream(fn)

    app.exception(Exception)(lambda request, exc: seen.append(exc) or text(""))
    answer = Answer()
    with pytest.raises(HTTPError):
        app(environ_of(), answer.start_response)
    assert (answer.status, answer.body, seen, caplog.records) == ("200 OK", b"a", [], [])


def test_an_answer_made_of_an_exception_may_stream():
    app = raising(KeyError("x"))
    app.exception(KeyError)(lambda request, exc: stream(["it was ", exc], 410))
    answer = call(app)
    assert (answer.status, answer.text) == ("410 Gone", "it was 'x'")


# Subclasses, threads, other servers


def test_a_subclass_may_do_something_around_every_handler():
    class Guarded(App):
        def dispatch(self, request):
            if request.headers.get("Authorization") is None:
                raise kinds.Unauthorized(headers={"WWW-Authenticate": "Basic"})
            answer = super().dispatch(request)
            answer.headers["X-App"] = self.name
            return answer

    app = Guarded("guarded")
    app.get("/")(lambda request: text("x"))
    assert call(app).header("WWW-Authenticate") == "Basic"
    assert call(app, headers={"Authorization": "x"}).header("X-App") == "guarded"
    assert repr(app) == "<Guarded 'guarded'>"
    assert repr(App()) == "<App>"


def test_one_app_answers_many_threads_at_once():
    app = App("threads")
    barrier = threading.Barrier(8, timeout=20)

    @app.post("/<number:int>")
    def handler(request, number):
        barrier.wait()
        return json(
            [number, request.arguments["number"], int(request.body), int(request.args["q"][0])]
        )

    def ask(number):
        return call(app, "POST", f"/{number}?q={number}", b"%d" % number).text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(32)))
    assert answers == [f"[{n},{n},{n},{n}]" for n in range(32)]


def test_the_names_are_where_they_are_expected():
    assert Necktie is App
    assert {"App", "Necktie", "serve", "receive"} <= set(restkit.server.__all__)
    assert isinstance(App(), object)
    assert Request.__module__ == "restkit.server.request"


def test_the_app_wants_no_engine_and_the_engine_says_what_it_wants():
    code = (
        "import sys; sys.modules['cheroot'] = sys.modules['cheroot.server'] = None\n"
        "import restkit.server as server\n"
        "try: server.serve(server.App())\n"
        "except ModuleNotFoundError as exc: print(exc)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "cheroot, which is not installed: pip install restkit[server]" in said.stdout


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Nothing of it is looked at."""


@contextmanager
def wsgiref_serving(app):
    """The standard library's server: HTTP/1.0, one thread, a wsgi.input that does not end."""
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_the_program_of_the_seed_runs_on_the_standard_librarys_server():
    with wsgiref_serving(seed_app) as server:
        for path, sent, came in (("/stream", b"121a1", b"A2AaA"), ("/method_view", b"x", b"x")):
            answer = said_by(server.server_port, post(path, sent))
            assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n" + came)
        answer = said_by(server.server_port, get("/nope"))
        assert answer.endswith(b"\r\n\r\nError: Requested URL /nope not found")


def test_a_body_cut_short_on_the_standard_librarys_server_is_not_taken_for_whole(capsys):
    ran = []
    app = App("app")
    app.post("/")(lambda request: ran.append(1) or text("whole"))
    with wsgiref_serving(app) as server, Caller(server.server_port) as caller:
        caller.send(get("/", "Content-Length: 10", method="POST"), b"short")
        caller.finish()
        assert b"whole" not in caller.read_to_end()
    assert not ran
    capsys.readouterr()


# On the engine


@pytest.fixture(scope="module")
def program():
    with serve(seed_app) as server:
        yield server


CHUNKED = b"Content-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize("pieces", [[b"121a1"], [b"121", b"a1"]])
def test_N01_the_stream_of_the_seed_streams(program, pieces):
    with Caller(program.port) as caller:
        caller.send(get("/stream", "Transfer-Encoding: chunked", method="POST"))
        for piece in pieces:
            caller.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        caller.send(b"0\r\n\r\n")
        head = caller.read_head()
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in head
        came = caller.read_body(head)
    assert came in (b"5\r\nA2AaA\r\n0\r\n\r\n", b"3\r\nA2A\r\n2\r\naA\r\n0\r\n\r\n")


def test_N02_the_blueprint_of_the_seed_answers_with_a_length(program):
    with Caller(program.port) as caller:
        caller.send(post("/bp_stream", b"11x11").replace(b"POST", b"PUT", 1))
        assert caller.read_answer() == b"HTTP/1.1 200 OK\r\n" + PLAIN % (5, b"AAxAA")


@pytest.mark.parametrize("path", ["/method_view", "/composition_view"])
def test_N03_the_views_of_the_seed_give_back_what_came(program, path):
    body = b"abc" * 100_000
    with Caller(program.port) as caller:
        for chunked in (False, True):
            if chunked:
                caller.send(get(path, "Transfer-Encoding: chunked", method="POST"))
                caller.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                caller.send(post(path, body))
            assert caller.read_answer() == b"HTTP/1.1 200 OK\r\n" + PLAIN % (len(body), body)


def test_N08_after_a_404_and_a_405_with_a_body_the_next_request_is_answered(program):
    with Caller(program.port) as caller:
        for path, status in (("/nope", b"404"), ("/bp_stream", b"405")):
            caller.send(post(path, b"x" * 1000))
            assert caller.read_answer().startswith(b"HTTP/1.1 " + status)
        caller.send(get("/stream", method="HEAD"))
        assert caller.read_answer(to_head=True).startswith(b"HTTP/1.1 405 ")
        caller.send(post("/stream", b"1"))
        assert caller.read_answer().endswith(b"1\r\nA\r\n0\r\n\r\n")


def test_the_app_of_the_other_cases_does_what_its_handlers_say():
    app = more.app
    assert call(app, target="/csv").pieces == [b"foo,", b"bar"]
    assert call(app, target="/empty_writes").pieces == [b"a", b"b"]
    assert call(app, target="/kinds").pieces == ["é".encode(), b"b", b"ba", b"mv", b"12"]
    assert call(app, target="/nothing").pieces == []
    for path in ("/none", "/fail/handler", "/fail/before"):
        assert call(app, target=path).status == "500 Internal Server Error"
    for path in ("/fail/after", "/fail/iterable"):
        with pytest.raises(RuntimeError):
            call(app, target=path)
    assert call(app, target="/refuse/418").status.startswith("418")
    assert call(app, "POST", "/refuse", b"x").status == "403 Forbidden"
    assert call(app, "POST", "/ignore", b"x").text == "ignored"
    assert call(app, "PUT", "/body", b"xy").text == '{"stream":true,"size":2}'
    assert call(app, "POST", "/gets", b"xy").text == '{"size":2,"after":[null,null]}'
    for path in ("/echo", "/echo_by_write"):
        assert call(app, "POST", path, b"xy").text == "xy"
    assert call(app, "POST", "/after_all", b"xy").text == "2"
    assert call(app, "POST", "/letters", "é".encode()).text == '["é"]'
    assert call(app, "POST", "/decoded", b"xy").text == "2"
    assert call(app, "POST", "/mixed", b"").text == '{"stream":true}'
    assert call(app, target="/mixed").text == '{"stream":false}'
    assert call(app, "PATCH", "/v1/p/7", b"x").text == '{"id":7,"body":"x"}'
    assert call(app, "PUT", "/v1/composed", b"x").text == "x"
    more.go_on.set()
    assert call(app, target="/paused").pieces == [b"first", b"second"]
    more.go_on.clear()
