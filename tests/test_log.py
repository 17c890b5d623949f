"""Log lines of exchanges, without secrets; set_logging."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import pytest

import restkit
from restkit import Client
from restkit.log import LogState, set_logging
from support import ScriptedServer, refusing, response
from support.peer import Peer


@pytest.fixture(autouse=True)
def logger(monkeypatch):
    """The logger ``restkit``, without the handlers of other tests; restored after the test."""
    monkeypatch.setattr(LogState, "handler", None)
    monkeypatch.setattr(LogState, "headers", False)
    logger = logging.getLogger("restkit")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _without_headers(monkeypatch):
    """Another test may have run the code of the documentation, which sets ``headers=True``."""
    monkeypatch.setattr(LogState, "headers", False)


def log_lines(caplog):
    """Return the lines, with N in place of seconds and milliseconds."""
    lines = [record.getMessage() for record in caplog.records]
    return [re.sub(r"\d+\.\d+ (m?s)", r"N \1", line) for line in lines]


# Log lines


def test_connecting_reuse_and_redirects_are_logged(caplog):
    answers = (response(b"", "Location: /b", status="302 Found"), response(b"there"))
    caplog.set_level(logging.DEBUG, "restkit")
    with ScriptedServer.serving(*answers) as server:
        restkit.post(server.url("/a?x=1#f"), b"payload")
        at = f"127.0.0.1:{server.port}"
        assert log_lines(caplog) == [
            f"connected to {at} at {at}, no TLS, N ms",
            f"POST {server.url('/a?x=1')}: 302 Found, N s",
            f"POST {server.url('/a?x=1')}: redirect with 302 Found to GET {server.url('/b')}",
            f"GET {server.url('/b')}: 200 OK, N s, on a reused connection",
        ]
    assert {(one.name, one.levelno) for one in caplog.records} == {("restkit", logging.DEBUG)}


def test_failed_exchange_logs_the_name_of_the_error(caplog):
    caplog.set_level(logging.DEBUG, "restkit")
    with refusing() as port:
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(restkit.ConnectError):
            restkit.get(url, max_tries=2, wait_tries=0)
        failed = f"cannot connect to 127.0.0.1:{port}: Connection refused"
        assert log_lines(caplog) == [
            f"GET {url}: ConnectError, N s",
            f"GET {url}: sending again in N s, as try 2, because of ConnectError: {failed}",
            f"GET {url}: ConnectError, N s",
        ]


def test_exchanges_log_nothing_above_debug(caplog, server):
    caplog.set_level(logging.INFO, "restkit")
    restkit.get(server.url())
    assert not caplog.records


def test_log_lines_contain_no_secret(caplog, server):
    caplog.set_level(logging.DEBUG, "restkit")
    with Client() as client:
        client.cookies.set("sid", "hush", domain="127.0.0.1")
        url = server.url("/p?token=hush&q=x").replace("://", "://me:hush@")
        client.get(url, headers={"X-Api-Key": "hush"})
        client.get(server.url(), auth=("me", "hush"))
    assert log_lines(caplog)[1] == f"GET {server.url('/p?token=***&q=x')}: 200 OK, N s"
    assert "hush" not in caplog.text
    assert "me" not in re.findall(r"\w+", caplog.text)


def test_each_try_is_logged_with_its_reason_and_pause(caplog):
    busy = response(b"busy", "Retry-After: 0", status="503 Service Unavailable")
    caplog.set_level(logging.DEBUG, "restkit")

    def drop(peer: Peer) -> None:
        peer.read_request()

    def be_busy(peer: Peer) -> None:
        peer.read_request()
        peer.send(busy)
        peer.read_request()
        peer.send(response(b"ok"))

    with ScriptedServer(drop, be_busy) as server:
        restkit.get(server.url(), retries=restkit.Retry(3, backoff=0))
        lines = [line for line in log_lines(caplog) if "sending again" in line]
        first, second = lines
        start = f"GET {server.url()}: sending again in N s, as try"
        assert first.startswith(f"{start} 2, because of TransportError: ")
        assert second == f"{start} 3, because of 503 Service Unavailable"


def test_challenge_and_refused_chunks_are_logged(caplog):
    caplog.set_level(logging.DEBUG, "restkit")
    challenge = response(
        b"", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"', status="401 Unauthorized"
    )
    refused = response(b"", status="411 Length Required")
    with ScriptedServer.serving(challenge, refused, response(b"ok")) as server:
        auth = restkit.DigestAuth("me", "hush")
        restkit.put(server.url(), lambda: iter([b"rows"]), auth=auth)
        assert [line for line in log_lines(caplog) if "sending again" in line] == [
            f"PUT {server.url()}: sending again with credentials, because of 401 Unauthorized",
            f"PUT {server.url()}: sending again with its length, because of 411 Length Required",
        ]


def test_connecting_logs_the_version_of_tls(caplog, certs):
    caplog.set_level(logging.DEBUG, "restkit")
    with ScriptedServer.serving(response(b"ok"), ssl_context=certs.server) as server:
        with Client(verify=certs.ca_file) as client:
            client.get(f"https://localhost:{server.port}/")
            at = f"localhost:{server.port} at 127.0.0.1:{server.port}"
            assert log_lines(caplog)[0] == f"connected to {at}, TLSv1.3, N ms"


def test_control_characters_of_a_server_are_not_logged(caplog):
    caplog.set_level(logging.DEBUG, "restkit")
    with ScriptedServer.serving(response(b"ok", status="200 \x1b[31mred")) as server:
        restkit.get(server.url())
    assert "\x1b" not in caplog.text
    assert "200 \ufffd[31mred" in caplog.text


def test_get_without_logging_calls_no_function_that_formats_or_redacts_log_lines(server):
    called = []

    def profile(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.endswith(("_log.py", "redaction.py")):
            called.append(frame.f_code.co_name)

    with Client() as client:
        client.get(server.url())
        sys.setprofile(profile)
        try:
            client.get(server.url())
        finally:
            sys.setprofile(None)
    assert called == []


# Heads


HEAD_OF_A_REQUEST = """\
request head:
    GET /p?token=***&q=x HTTP/1.1
    Host: 127.0.0.1:{port}
    User-Agent: restkit
    Accept-Encoding: gzip
    X-Api-Key: ***
    Cookie: ***
    Proxy-Authorization: Basic ***
    X-Plain: shown
    Referer: http://***@h/?code=***
    Authorization: Basic ***"""

HEAD_OF_A_RESPONSE = """\
response head:
    HTTP/1.1 200 OK
    Content-Length: 2
    Set-Cookie: ***
    Content-Location: /there?api_key=***
    Server: test"""


def test_headers_shows_heads_with_secrets_masked(logger):
    text = io.StringIO()
    set_logging("debug", logging.StreamHandler(text), headers=True)
    answer = response(
        b"ok", "Set-Cookie: sid=hush", "Content-Location: /there?api_key=hush", "Server: test"
    )
    given = {
        "User-Agent": "restkit",
        "Accept-Encoding": "gzip",
        "X-Api-Key": "hush",
        "Cookie": "a=hush",
        "Proxy-Authorization": "Basic hush",
        "X-Plain": "shown",
        "Referer": "http://hush:hush@h/?code=hush",
    }
    with ScriptedServer.serving(answer) as server:
        url = server.url("/p?token=hush&q=x").replace("://", "://me:hush@")
        restkit.get(url, headers=given)
        assert b"X-Api-Key: hush\r\n" in server.request
        shown = text.getvalue()
        assert HEAD_OF_A_REQUEST.format(port=server.port) in shown
    assert HEAD_OF_A_RESPONSE in shown
    assert "hush" not in shown


def test_headers_are_not_shown_by_default_nor_after_another_set_logging(logger, server):
    text = io.StringIO()
    set_logging("debug", logging.StreamHandler(text), headers=True)
    set_logging("debug", logging.StreamHandler(text))
    restkit.get(server.url())
    assert "200 OK" in text.getvalue()
    assert "head:" not in text.getvalue()


def test_headers_are_not_shown_above_debug(logger, server):
    text = io.StringIO()
    set_logging("info", logging.StreamHandler(text), headers=True)
    restkit.get(server.url())
    assert text.getvalue() == ""


# set_logging


def test_set_logging_replaces_the_handler_of_the_last_call(logger, server):
    first, second = io.StringIO(), io.StringIO()
    set_logging("debug", logging.StreamHandler(first))
    set_logging("DEBUG", logging.StreamHandler(second))
    restkit.get(server.url())
    assert first.getvalue() == ""
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] \[DEBUG\] GET \S+: 200 OK, \d+\.\d{3} s\n"
    assert re.fullmatch(line, second.getvalue().splitlines(keepends=True)[-1])


def test_same_handler_can_be_given_again_with_another_level(logger, server):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("mine: %(message)s"))
    set_logging(logging.DEBUG, handler)
    set_logging("debug", handler)
    restkit.get(server.url())
    assert text.getvalue().startswith("mine: connected")
    assert text.getvalue().count("mine: GET") == text.getvalue().count("\n") - 1 == 1
    set_logging("info", handler)
    restkit.get(server.url())
    assert text.getvalue().count("mine: GET") == 1


def test_lines_go_to_stderr_by_default(logger, server, capsys):
    set_logging("debug")
    restkit.get(server.url())
    assert capsys.readouterr().err.count("200 OK") == 1


@pytest.mark.parametrize("wrong", ["loud", "", None, True, 1.5, b"debug"])
def test_invalid_level_raises(wrong, logger):
    with pytest.raises(ValueError, match="level must be a number or one of debug, info"):
        set_logging(wrong)


def test_invalid_handler_or_headers_raises(logger):
    with pytest.raises(ValueError, match=r"handler must be a logging\.Handler or None; got"):
        set_logging("debug", "stderr")
    with pytest.raises(ValueError, match="headers must be True or False; got 1"):
        set_logging("debug", headers=1)


def test_without_handlers_client_lines_are_silent_and_server_errors_are_shown():
    program = (
        "import logging, restkit\n"
        "logging.getLogger('restkit').setLevel('DEBUG')\n"
        "try: restkit.get('http://127.0.0.1:1/')\n"
        "except restkit.ConnectError: pass\n"
        "logging.getLogger('restkit.server').error('a handler failed')\n"
    )
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert seen.stderr == b"a handler failed\n"
