"""The access log: one record for each response, and lines that no request can forge."""

from __future__ import annotations

import io
import logging
import re
import threading

import pytest

from restkit.server import App, serve
from restkit.server.engine.access_log import AccessRecord
from restkit.server.response import stream, text
from support.caller import Caller, get, post
from support.peer import HANG_BOUND

LINE = re.compile(
    r"127\.0\.0\.1 - - "
    r"\[\d\d/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>.*)" (?P<status>\d+|-) (?P<bytes>\d+|-)'
)


class Records:
    """An access log that keeps its records, and waits for them."""

    def __init__(self) -> None:
        self.all: list[AccessRecord] = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, record: AccessRecord) -> None:
        self.all.append(record)
        self._arrived.release()

    def wait(self) -> AccessRecord:
        assert self._arrived.acquire(timeout=HANG_BOUND)
        return self.all[-1]


def make_app() -> App:
    app = App()

    @app.get("/fine")
    def fine(request):
        return text("fine", headers={"X-Kind": "test"})

    @app.post("/stream", stream=True)
    def echo(request):
        return stream(request.stream)

    @app.get("/broken")
    def broken(request):
        def chunks():
            yield b"part"
            raise RuntimeError("broken")

        return stream(chunks())

    return app


def test_record_tells_request_and_response():
    records = Records()
    with serve(make_app(), access_log=records) as server, Caller(server.port) as caller:
        caller.send(get("/fine?a=1&token=abc", "User-Agent: me"))
        assert caller.read_answer().endswith(b"fine")
        record = records.wait()
    assert (record.method, record.target, record.path) == ("GET", "/fine?a=1&token=abc", "/fine")
    assert (record.version, record.status, record.sent) == ("HTTP/1.1", 200, 4)
    assert record.client == "127.0.0.1"
    assert record.complete
    assert 0 < record.seconds < HANG_BOUND
    assert record.environ["HTTP_USER_AGENT"] == "me"
    assert record.headers["X-Kind"] == "test"
    assert record.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("request_bytes", "method", "status", "sent"),
    [
        (get("/none"), "GET", 404, 36),
        (get("/fine", method="HEAD"), "HEAD", 200, 0),
        (get("/fine", method="PUT"), "PUT", 405, 43),
        (post("/stream", bytes(100_000)), "POST", 200, 100_000),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", "", 400, None),
    ],
    ids=["not found", "head", "not allowed", "stream", "malformed"],
)
def test_each_kind_of_response_has_a_record(request_bytes, method, status, sent):
    records = Records()
    with serve(make_app(), access_log=records) as server, Caller(server.port) as caller:
        caller.send(request_bytes)
        head = caller.read_head()
        body = b"" if method == "HEAD" else caller.read_body(head)
        record = records.wait()
    assert (record.method, record.status, record.complete) == (method, status, True)
    assert record.sent == (len(body) if sent is None else sent)


def test_response_that_breaks_off_is_incomplete():
    records = Records()
    with serve(make_app(), access_log=records) as server, Caller(server.port) as caller:
        caller.send(get("/broken"))
        caller.read_to_end()
        record = records.wait()
    assert (record.status, record.sent, record.complete) == (200, 4, False)


def test_application_that_sends_nothing_before_its_client_leaves_has_no_status():
    records = Records()
    entered = threading.Event()

    def app(environ, start_response):
        entered.set()
        environ["wsgi.input"].read()

    with serve(app, access_log=records) as server:
        with Caller(server.port) as caller:
            caller.send(get("/", "Content-Length: 9", method="POST"))
            assert entered.wait(HANG_BOUND)
        record = records.wait()
    assert (record.status, record.sent, record.complete) == (None, 0, False)
    assert record.common_log().endswith('] "POST / HTTP/1.1" - -')


def test_file_gets_lines_in_the_common_log_format():
    file = io.StringIO()
    with serve(make_app(), access_log=file) as server, Caller(server.port) as caller:
        for path in ("/fine", "/none", "/login?password=abc&page=2"):
            caller.send(get(path))
            caller.read_answer()
    lines = file.getvalue().splitlines()
    found = [LINE.fullmatch(line).group("request", "status", "bytes") for line in lines]
    assert found == [
        ("GET /fine HTTP/1.1", "200", "4"),
        ("GET /none HTTP/1.1", "404", "36"),
        ("GET /login?password=***&page=2 HTTP/1.1", "404", "37"),
    ]


def test_true_logs_to_the_access_logger(caplog):
    caplog.set_level(logging.INFO, "restkit.access")
    with serve(make_app(), access_log=True) as server, Caller(server.port) as caller:
        caller.send(get("/fine"))
        caller.read_answer()
    [record] = [each for each in caplog.records if each.name == "restkit.access"]
    assert record.levelno == logging.INFO
    assert LINE.fullmatch(record.getMessage())["request"] == "GET /fine HTTP/1.1"


def test_nothing_is_logged_by_default(caplog):
    caplog.set_level(logging.INFO)
    with serve(make_app()) as server, Caller(server.port) as caller:
        caller.send(get("/fine"))
        caller.read_answer()
    assert [each for each in caplog.records if each.name == "restkit.access"] == []


def test_request_cannot_forge_a_line():
    file = io.StringIO()
    with serve(make_app(), access_log=file) as server, Caller(server.port) as caller:
        caller.send(get('/"\\\xe9\x85 200'))
        caller.send(b"GET /\r\n127.0.0.1 - - forged HTTP/1.1\r\n\r\n")
        caller.read_to_end()
    assert all(LINE.fullmatch(line) for line in file.getvalue().split("\n")[:-1])
    assert file.getvalue().isascii()


def test_record_escapes_what_an_application_has_put_in_the_environ():
    record = AccessRecord("GET", '/a"b\n\x1b\\\xe9\u2028', "HTTP/1.1", 200, 0, 0.1, "::1\n")
    line = record.request_line
    assert line == r"GET /a\"b\x0a\x1b\\\xe9\u2028 HTTP/1.1"
    assert record.common_log().startswith(r"::1\x0a - - [")


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_access_log_that_fails_does_not_change_the_response(error, caplog):
    def fail(record):
        raise error

    with serve(make_app(), access_log=fail) as server, Caller(server.port) as caller:
        for _ in range(2):
            caller.send(get("/fine"))
            assert caller.read_answer().endswith(b"fine")
    assert [each.getMessage() for each in caplog.records] == ["the access log failed"] * 2


@pytest.mark.parametrize("value", ["access.log", 1, b""])
def test_invalid_access_log_is_an_error(value):
    with pytest.raises(TypeError, match="access_log must be True, a text file, a function"):
        serve(make_app(), access_log=value)
