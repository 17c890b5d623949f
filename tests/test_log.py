"""Log lines of exchanges, without secrets; redact_url; set_logging."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import pytest

import restkit
from restkit import Client, parse_url
from restkit.log import set_logging
from restkit.redaction import redact_url
from support import ScriptedServer, refusing, response


@pytest.fixture
def logger():
    """The logger ``restkit``, restored after the test."""
    logger = logging.getLogger("restkit")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


def log_lines(caplog):
    return [re.sub(r"\d+\.\d{3} s", "N s", record.getMessage()) for record in caplog.records]


# Log lines


def test_each_exchange_logs_one_line(caplog):
    answers = (response(b"", "Location: /b", status="302 Found"), response(b"there"))
    caplog.set_level(logging.DEBUG, "restkit")
    with ScriptedServer.serving(*answers) as server:
        restkit.post(server.url("/a?x=1#f"), b"payload")
        assert log_lines(caplog) == [
            f"POST {server.url('/a?x=1')}: 302 Found, N s",
            f"GET {server.url('/b')}: 200 OK, N s",
        ]
    assert {(one.name, one.levelno) for one in caplog.records} == {("restkit", logging.DEBUG)}


def test_failed_exchange_logs_the_name_of_the_error(caplog):
    caplog.set_level(logging.DEBUG, "restkit")
    with refusing() as port:
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(restkit.ConnectError):
            restkit.get(url, max_tries=2, wait_tries=0)
        assert log_lines(caplog) == [f"GET {url}: ConnectError, N s"] * 2


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
    assert log_lines(caplog)[0] == f"GET {server.url('/p?token=***&q=x')}: 200 OK, N s"
    assert "hush" not in caplog.text
    assert "me" not in re.findall(r"\w+", caplog.text)


# redact_url


SECRET = """
    token access_token refresh_token id_token auth_token authToken csrf-token X-Amz-Security-Token
    secret client_secret clientSecret password passwd pwd user_pass pass passphrase
    key apikey api_key api-key apiKey APIKEY access_key AWSAccessKeyId subscription-key
    subscriptionKey private_key signature X-Amz-Signature X-Goog-Signature sig sign
    X-Amz-Credential credential auth authorization oauth_signature oauth_token oauth_verifier
    code auth_code_verifier code_verifier session session_id sessionid jsessionid PHPSESSID sid jwt
    hmac otp pin bearer ticket client_assertion assertion data%5Btoken%5D api%5Fkey TOKEN
""".split()
PLAIN = """
    q query page per_page limit offset sort order author authors keyword keywords keys monkey
    country_code zipcode status_code postcode lang passenger compass assignee design designer
    signal spin pinned sidebar inside lesson since until startkey endkey include_docs rev
    X-Amz-Date X-Amz-Expires X-Amz-Algorithm response_type redirect_uri scope state grant_type
    client_id version v callback format fields filter id name user email lat lon basic
""".split()


@pytest.mark.parametrize("name", SECRET)
def test_value_of_a_secret_name_is_hidden(name):
    for url in (
        f"http://h/p?{name}=hush",
        f"http://h/p?a=1&{name}=hush;b=2",
        f"http://h/?{name}=h=h",
    ):
        redacted = redact_url(str(parse_url(url)))
        assert "hush" not in redacted
        assert f"{name}=***" in redacted


@pytest.mark.parametrize("name", PLAIN)
def test_value_of_a_plain_name_is_shown(name):
    url = f"http://h/p?a=1&{name}=value&b=2"
    assert redact_url(str(parse_url(url))) == url


def test_url_without_secret_values_is_unchanged():
    for url in (
        "http://h/",
        "http://h/p?token",
        "http://h/token=x",
        "http://h/p?token=&a=b",
        "http://h/?",
    ):
        assert redact_url(str(parse_url(url))) == url


def test_user_info_and_fragment_are_removed():
    url = parse_url("http://me:hush@h:81/p?a=b#access_token=hush")
    assert redact_url(str(url)) == "http://h:81/p?a=b"


# set_logging


def test_set_logging_replaces_the_handler_of_the_last_call(logger, server):
    first, second = io.StringIO(), io.StringIO()
    set_logging("debug", logging.StreamHandler(first))
    set_logging("DEBUG", logging.StreamHandler(second))
    restkit.get(server.url())
    assert first.getvalue() == ""
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] \[DEBUG\] GET \S+: 200 OK, \d+\.\d{3} s\n"
    assert re.fullmatch(line, second.getvalue())


def test_same_handler_can_be_given_again_with_another_level(logger, server):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("mine: %(message)s"))
    set_logging(logging.DEBUG, handler)
    set_logging("debug", handler)
    restkit.get(server.url())
    assert text.getvalue().startswith("mine: GET")
    assert text.getvalue().count("\n") == 1
    set_logging("info", handler)
    restkit.get(server.url())
    assert text.getvalue().count("\n") == 1


def test_lines_go_to_stderr_by_default(logger, server, capsys):
    set_logging("debug")
    restkit.get(server.url())
    assert capsys.readouterr().err.count("200 OK") == 1


@pytest.mark.parametrize("wrong", ["loud", "", None, True, 1.5, b"debug"])
def test_invalid_level_raises(wrong, logger):
    with pytest.raises(ValueError, match="level must be a number or one of debug, info"):
        set_logging(wrong)


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
