"""The module functions and the Client: arguments, options, the shared client and closing."""

from __future__ import annotations

import gc
import inspect
import json
import os
import subprocess
import sys
import threading

import pytest
import urllib3

import restkit
from restkit import (
    Client,
    Headers,
    InvalidHeader,
    Payload,
    RequestError,
    RequestOptions,
    Timeout,
    default_client,
)
from support import ScriptedServer, body_of, chunked_response, field, fields_of, head_of, response

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]

VERBS = ("get", "head", "post", "put", "patch", "delete", "options")


@pytest.fixture
def client():
    with Client(timeout=10) as client:
        yield client


# Methods and arguments


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_sends_its_method(verb, server, client):
    for owner in (restkit, client):
        for send in (
            getattr(owner, verb),
            lambda url, o=owner, **given: o.request(url, verb.upper(), **given),
        ):
            got = send(server.url("/p?q=1"), payload=b"payload", headers={"X": "1"})
            assert got.status == 200
            assert got.body == (b"" if verb == "head" else b"answer")
            request = server.requests[-1]
            assert request.startswith(b"%b /p?q=1 HTTP/1.1\r\n" % verb.upper().encode())
            assert body_of(request) == b"payload"
            assert field(request, "x") == "1"
    assert server.connections == 2


def test_method_defaults_to_get(server, client):
    client.request(server.url())
    restkit.request(server.url())
    assert {request.split()[0] for request in server.requests} == {b"GET"}


@pytest.mark.parametrize(
    ("method", "sent"), [("get", "GET"), ("Post", "POST"), ("purge", "purge"), ("M-SEARCH",) * 2]
)
def test_known_method_is_uppercased_and_unknown_is_unchanged(method, sent, server, client):
    client.request(server.url(), method)
    assert server.request.startswith(sent.encode() + b" / ")


@pytest.mark.parametrize("method", ["", "G ET", "GET\r\n", "GÉT", "GET\0", b"GET", None, 1])
def test_W16_invalid_method_raises_request_error(method, server, client):
    with pytest.raises(RequestError, match="the method must be a word"):
        client.request(server.url(), method)
    assert server.connections == 0


@pytest.mark.parametrize("verb", ["request", *VERBS])
def test_functions_and_methods_take_the_same_arguments(verb):
    function, method = getattr(restkit, verb), getattr(Client, verb)
    of_function = [*inspect.signature(function).parameters.values()]
    of_method = [*inspect.signature(method).parameters.values()][1:]
    assert of_function == of_method
    assert function.__doc__
    assert method.__doc__


def test_plain_get_sends_only_the_default_headers(server, client):
    client.get(server.url("/x"))
    head = head_of(server.request)
    assert head.split(b"\r\n")[0] == b"GET /x HTTP/1.1"
    assert fields_of(head)[:2] == [
        ("host", f"127.0.0.1:{server.port}"),
        ("user-agent", f"restkit/{restkit.__version__}"),
    ]
    assert [name for name, _ in fields_of(head)] == ["host", "user-agent", "accept-encoding"]
    assert field(head, "accept-encoding").startswith("gzip, deflate")


# The payload and its aliases


@pytest.mark.parametrize("name", ["payload", "body", "data"])
def test_R08_body_and_data_are_aliases_of_payload(name, server, client):
    for send in (client.post, restkit.post):
        send(server.url(), **{name: b"abc"})
        assert body_of(server.requests[-1]) == b"abc"
    client.post(server.url(), **{name: None})
    assert field(server.requests[-1], "content-length") == "0"


@pytest.mark.parametrize(
    "given",
    [
        {"payload": b"a", "body": b"b"},
        {"payload": b"a", "data": b"b"},
        {"body": b"a", "data": b"a"},
        {"payload": b"a", "json": 1},
        {"data": b"", "json": None},
    ],
)
def test_R08_two_payloads_raise_type_error(given, server, client):
    with pytest.raises(TypeError, match=f"{' and '.join(given)} are both given"):
        client.post(server.url(), **given)
    assert server.connections == 0


def test_R08_alias_set_to_none_is_ignored(server, client):
    client.post(server.url(), None, body=None, data=b"abc")
    assert body_of(server.request) == b"abc"


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True]}, [], "grün", 0, None, {"ключ": "€"}, "\u2028"]
)
def test_json_is_sent_as_compact_utf_8(value, server, client):
    client.post(server.url(), json=value)
    assert json.loads(body_of(server.request)) == value
    assert field(server.request, "content-type") == "application/json"
    assert field(server.request, "content-length") == str(len(body_of(server.request)))
    assert b" " not in body_of(server.request)
    assert b"\\u" not in body_of(server.request) or value == "\u2028"


def test_given_content_type_overrides_the_json_type(server, client):
    client.patch(server.url(), json=[], headers={"content-type": "application/merge-patch+json"})
    assert field(server.request, "content-type") == "application/merge-patch+json"


def test_params_are_added_to_the_query(server, client):
    client.get(server.url("/x?a=1"), params={"b": ["2", 3], "c": "ü&="})
    assert server.request.startswith(b"GET /x?a=1&b=2&b=3&c=%C3%BC%26%3D HTTP/1.1\r\n")


# Headers


def test_C12_header_none_removes_a_default(server, client):
    client.get(server.url(), headers={"user-AGENT": None, "Accept-Encoding": None, "X": None})
    assert [name for name, _ in fields_of(server.request)] == ["host"]


def test_given_header_replaces_a_default(server, client):
    client.get(server.url(), headers={"user-agent": "mine", "Host": "other.example"})
    assert field(server.request, "user-agent") == "mine"
    assert field(server.request, "host") == "other.example"


@pytest.mark.parametrize(
    "make", [list, tuple, iter, Headers, urllib3.HTTPHeaderDict], ids=lambda make: make.__name__
)
def test_repeated_headers_are_sent_in_the_given_order(make, server, client):
    pairs = [("X", "1"), ("Y", "2"), ("x", "3"), ("Cookie", "a"), ("Cookie", "b")]
    client.get(server.url(), headers=make(pairs))
    sent = [pair for pair in fields_of(server.request) if pair[0] in ("x", "y", "cookie")]
    if make is urllib3.HTTPHeaderDict:  # groups the values of a name
        pairs.sort(key=lambda pair: "XYC".index(pair[0][0].upper()))
    assert sent == [(name.lower(), value) for name, value in pairs]


@pytest.mark.parametrize("given", [{b"X-A": b"1"}, [(b"X-A", b"1")], {b"X-A": "1"}, {"X-A": b"1"}])
def test_header_names_and_values_as_bytes_are_sent(given, server, client):
    client.get(server.url(), headers=given)
    with Client(headers=given) as other:
        other.get(server.url())
    assert [b"\r\nX-A: 1\r\n" in request for request in server.requests] == [True, True]


def test_header_name_as_bytes_replaces_or_removes_a_default(server, client):
    client.get(server.url(), headers={b"user-agent": b"mine", b"Accept-Encoding": None})
    assert fields_of(server.request)[1:] == [("user-agent", "mine")]


@pytest.mark.parametrize(
    "given", [{b"X A": b"1"}, {b"X\r\nY": b"1"}, {b"\xfc": b"1"}, {b"X": b"\n"}]
)
def test_header_name_as_bytes_gets_the_checks_of_a_str(given, server, client):
    with pytest.raises(InvalidHeader):
        client.get(server.url(), headers=given)
    assert server.connections == 0


def test_given_headers_are_not_modified(server, client):
    headers = Headers({"X": "1"})
    given = {"X": "1"}
    client.post(server.url(), b"abc", headers)
    client.post(server.url(), b"abc", given)
    assert (headers.pairs(), given) == ([("X", "1")], {"X": "1"})


def test_headers_of_one_request_are_not_sent_with_the_next(server, client):
    client.post(server.url(), b"abc", {"X": "1", "User-Agent": "mine"})
    client.get(server.url())
    names = [name for name, _ in fields_of(server.requests[-1])]
    assert names == ["host", "user-agent", "accept-encoding"]
    assert field(server.requests[-1], "user-agent").startswith("restkit/")


@pytest.mark.parametrize(
    "headers", ["X: 1", [("X",)], [1], 5, [(5, "x")], {"X": 1.5}, {1: "x"}, {"": "x"}]
)
def test_invalid_headers_raise_before_connecting(headers, server, client):
    with pytest.raises((TypeError, ValueError, InvalidHeader)):
        client.get(server.url(), headers=headers)
    assert server.connections == 0


@pytest.mark.parametrize("field", [("X", "a\r\nY: b"), ("X\r\nY", "b"), ("X", "€")])
def test_W16_headers_of_a_payload_are_checked_too(field, server, client):
    class Own(Payload):
        length = 1
        headers = (field,)

        def chunks(self):
            yield b"x"

    with pytest.raises(InvalidHeader) as caught:
        client.post(server.url(), Own())
    assert caught.value.sent == "nothing"
    assert server.connections == 0


def test_range_request_defaults_to_identity_encoding(server, client):
    client.get(server.url(), headers={"Range": "bytes=0-1"})
    client.get(server.url(), headers={"range": "bytes=0-1", "accept-encoding": "gzip"})
    assert [field(request, "accept-encoding") for request in server.requests] == [
        "identity",
        "gzip",
    ]


# Options


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"timeout": "5"}, "timeout must be .*; got '5'"),
        ({"timeout": 0}, "Timeout.connect must be .*; got 0"),
        ({"timeout": -1}, "above 0"),
        ({"timeout": True}, "timeout must be .*; got True"),
        ({"timeout": Timeout(idle=0)}, "Timeout.idle must be .*; got 0"),
        ({"timeout": Timeout(total="x")}, "Timeout.total must be .*; got 'x'"),
        ({"decompress": 1}, "decompress must be True or False"),
        ({"spool_size": -1}, "spool_size must be .*; got -1"),
        ({"spool_size": 1.5}, "spool_size must be .*; got 1.5"),
        ({"spool_dir": 5}, "spool_dir must be .*; got 5"),
        ({"max_body": "1"}, "max_body must be .*; got '1'"),
        ({"expect_continue": "yes"}, "expect_continue must be .*; got 'yes'"),
    ],
)
def test_option_of_a_wrong_type_raises_an_error_naming_it(options, fault, server, client):
    with pytest.raises(RequestError, match=fault):
        client.get(server.url(), **options)
    with pytest.raises(RequestError, match=fault):
        Client(**options)
    assert server.connections == 0


@pytest.mark.parametrize(
    "timeout",
    [
        5,
        0.5,
        None,
        (5, 10),
        (None, 1),
        Timeout(1, 2, 3),
        urllib3.Timeout(connect=5, read=5),
        10**9,
    ],
)
def test_every_form_of_timeout_is_accepted(timeout, server, client):
    assert client.get(server.url(), timeout=timeout).body == b"answer"


@pytest.mark.parametrize(
    "name", ["pool_size", "max_idle_connections", "max_idle", "base_url", "cookies", "uds"]
)
def test_client_option_in_a_call_raises_type_error(name, server, client):
    with pytest.raises(TypeError, match=f"{name}= .*is an option of a Client"):
        client.get(server.url(), **{name: 5})


@pytest.mark.parametrize("name", ["json", "body", "data", "payload", "method", "url"])
def test_call_option_on_a_client_raises_type_error(name):
    with pytest.raises(TypeError, match=f"{name}= .*is an option of a call"):
        Client(**{name: 5})


def test_call_option_overrides_the_client_for_one_call(server):
    with Client(max_body=3) as client:
        with pytest.raises(restkit.BodyTooLarge):
            assert not client.get(server.url()).body
        assert client.get(server.url(), max_body=None).body == b"answer"
        with pytest.raises(restkit.BodyTooLarge):
            assert not client.get(server.url()).body


@pytest.mark.filterwarnings("ignore:verify=False:urllib3.exceptions.InsecureRequestWarning")
def test_every_typed_request_option_is_accepted(server, client):
    values = {
        "timeout": 5,
        "decompress": True,
        "spool_size": 10,
        "spool_dir": None,
        "max_body": 100,
        "max_early_body": 100,
        "eager_body": 0,
        "verify": False,
        "cert": None,
        "ssl_context": None,
        "fingerprint": None,
        "min_tls": "1.2",
        "expect_continue": False,
        "follow_redirect": False,
        "max_follow_redirect": 3,
        "force_follow_redirect": True,
        "follow_downgrade": False,
        "keep_headers": ["X-Kept"],
        "max_tries": 1,
        "wait_tries": 0,
        "max_wait": 1,
        "retry_unsafe": True,
        "retries": 1,
        "replay": "spool",
        "spool": True,
        "compress": "gzip",
        "content_digest": True,
        "auth": ("user", "pass"),
        "proxy": None,
        "check_address": lambda address: True,
        "filters": [],
        "progress": None,
        "response_class": restkit.HttpResponse,
        "params": {"a": 1},
        "json": None,
        "body": None,
        "data": None,
        "payload": None,
        "headers": {"X": "1"},
    }
    assert set(RequestOptions.__annotations__) == set(values)
    for name, value in values.items():
        assert client.get(server.url(), **{name: value}).body == b"answer"


# The shared Client


def test_module_functions_work_after_default_client_is_closed(server):
    first = default_client()
    first.close()
    assert restkit.get(server.url()).body == b"answer"
    assert default_client() is not first


def test_R22_module_functions_share_one_client(server):
    for _ in range(3):
        assert restkit.get(server.url()).body == b"answer"
    assert server.connections == 1
    assert default_client() is default_client()
    assert repr(default_client()) == "<Client, 1 idle connections>"


def test_R22_threads_starting_together_share_one_client(server):
    start, found = threading.Barrier(8), []

    def send_request():
        start.wait()
        found.append(default_client())
        restkit.get(server.url())

    threads = [threading.Thread(target=send_request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(map(id, found))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_R22_W12_forked_child_gets_its_own_default_client(tmp_path):
    def script(peer):
        while peer.next_request():
            peer.send(response(b"%d" % peer.sock.getpeername()[1]))

    code = """
import os, sys, restkit
url = sys.argv[1]
mine = restkit.get(url).body
before = restkit.default_client()
child = os.fork()
if not child:
    other = restkit.get(url).body
    good = other != mine and restkit.default_client() is not before
    os._exit(0 if good and restkit.get(url).body == other else 1)
assert os.waitpid(child, 0)[1] == 0
assert restkit.default_client() is before
assert restkit.get(url).body == mine
"""
    with ScriptedServer(script) as server:
        # Fork in a new process: this one has threads, and forking it warns since Python 3.12.
        run = [sys.executable, "-W", "error", "-c", code, server.url()]
        subprocess.run(run, check=True, timeout=60, cwd=tmp_path)
        assert server.connections == 2


def test_default_client_is_closed_at_interpreter_exit(server, tmp_path):
    code = "import restkit, sys; restkit.get(sys.argv[1]); restkit.get(sys.argv[1])"
    run = [sys.executable, "-W", "error", "-X", "dev", "-c", code, server.url()]
    done = subprocess.run(run, check=True, timeout=60, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    server.until(lambda: server.peers[0].closed_by_client, "the end of the connection")


# Closing


def test_client_closes_on_with_exit_and_close_is_idempotent(server):
    with Client() as client:
        assert client.get(server.url()).body == b"answer"
        kept = client.get(server.url())
    client.close()
    server.until(lambda: server.peers[0].closed_by_client, "the end of the connection")
    assert kept.body == b"answer"
    with pytest.raises(RequestError, match="closed"):
        client.get(server.url())


def test_aborting_the_client_ends_a_partly_read_body():
    def script(peer):
        peer.read_request()
        peer.send(chunked_response(b"abc")[:-5])
        peer.read_to_end()

    with ScriptedServer(script) as server:
        with Client() as client:
            got = client.get(server.url())
            assert got.body_file.read1(10) == b"abc"
            client.close(abort=True)
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        with pytest.raises(restkit.TransportError):
            got.body_file.read()
        got.close()


def test_client_dropped_without_close_closes_its_connections(server):
    client = Client()
    client.get(server.url())
    del client
    gc.collect()
    server.until(lambda: server.peers[0].closed_by_client, "the end of the connection")


def test_two_clients_do_not_share_connections(server):
    with Client() as one, Client() as other:
        one.get(server.url())
        other.get(server.url())
        assert server.connections == 2
