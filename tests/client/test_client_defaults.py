"""Options of a Client, and how a call overrides them, checked on the wire."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from restkit import (
    BasicAuth,
    BearerAuth,
    Client,
    HttpResponse,
    RequestError,
    Timeout,
    TLSError,
)
from restkit.client.options import CallOptions, ClientOptions, CommonOptions
from restkit.url.url import parse_url
from support import ScriptedServer, field, fields_of, response
from support.peer import HANG_BOUND, Peer

PATIENT = Timeout(HANG_BOUND, HANG_BOUND)
OK = response(b"ok")
BASIC = "Basic dXNlcjpwdw=="  # user:pw


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer.serving(OK) as serving:
        yield serving


def target(request: bytes) -> str:
    return request.split(b" ", 2)[1].decode()


# Headers


def test_C12_default_headers_are_sent_and_a_call_can_override_them(server):
    with Client(headers={"X-Team": "blue", "accept": "text/csv", "User-Agent": "mine/1"}) as client:
        client.get(server.url())
        client.get(server.url(), headers={"x-team": "red", "ACCEPT": None, "X-One": "1"})
        client.get(server.url(), headers=[("X-Team", "red"), ("x-team", "green")])
        client.get(server.url())
    first, second, third, fourth = map(fields_of, server.requests)
    assert first[1:] == [
        ("accept-encoding", first[1][1]),
        ("x-team", "blue"),
        ("accept", "text/csv"),
        ("user-agent", "mine/1"),
    ]
    assert dict(second)["x-team"] == "red"
    assert dict(second)["x-one"] == "1"
    assert "accept" not in dict(second)
    assert [value for name, value in third if name == "x-team"] == ["red", "green"]
    assert fourth == first


@pytest.mark.parametrize("name", ["User-Agent", "user-agent", "ACCEPT-ENCODING"])
def test_C12_none_on_the_client_removes_a_builtin_default(name, server):
    with Client(headers={name: None}) as client:
        client.get(server.url())
        client.get(server.url(), headers={"X-Other": "1"})
        client.get(server.url(), headers={name: "back"})
    assert [field(each, name) for each in server.requests] == [None, None, "back"]


def test_C12_none_on_the_client_removes_payload_and_auth_headers(server):
    with Client(headers={"Content-Type": None}) as client:
        client.post(server.url(), "text")
        client.post(server.url(), "text", headers={"X-Other": "1"})
        client.post(server.url(), "text", headers={"Content-Type": "a/b"})
    with Client(headers={"Authorization": None}, auth=("user", "pw")) as client:
        client.get(server.url())
    assert [field(each, "content-type") for each in server.requests] == [None, None, "a/b", None]
    assert field(server.requests[3], "authorization") is None


# Parameters


@pytest.mark.parametrize(
    ("default", "given", "query"),
    [
        ({"a": 1, "b": 2}, None, "a=1&b=2"),
        ({"a": 1, "b": 2}, {}, "a=1&b=2"),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, "a=1&b=3&c=4"),
        ({"a": [1, 2]}, {"a": [3, 4]}, "a=3&a=4"),
        ([("a", 1), ("a", 2), ("b", 3)], [("a", 4), ("a", 5)], "b=3&a=4&a=5"),
        ({"a": 1}, "x=%20&y", "a=1&x=%20&y"),
        ("key=a b", {"a": 1}, "key=a%20b&a=1"),
        ("key=1", "key=2", "key=1&key=2"),
        (None, {"a": None, "b": True, "c": ["x", None, 2]}, "b=true&c=x&c=2"),
        ({"a": 1, "b": 2}, {"b": None}, "a=1"),
        ({"a": None, "b": 2}, None, "b=2"),
        (iter([("a", 1)]), {"b": 2}, "a=1&b=2"),
        ({"a": lambda: [1, 2], "b": [lambda: 3]}, {"c": 1}, "a=1&a=2&b=3&c=1"),
        ({b"a": b"\xff"}, [("b", 1)], "a=%FF&b=1"),
        ({1: "x", "b": 1}, {"1": "y"}, "b=1&1=y"),
    ],
)
def test_C12_call_params_replace_client_params_of_the_same_name(default, given, query, server):
    with Client(params=default) as client:
        for _ in range(2):
            client.get(server.url("/p?own=1"), params=given)
    assert [target(each) for each in server.requests] == [f"/p?own=1&{query}"] * 2


# Base URL


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("", "/", "/"),
        ("", "", "/"),
        ("/v1", "users", "/v1/users"),
        ("/v1/", "/users/", "/v1/users/"),
        ("/v1", "", "/v1"),
        ("/v1?key=1", "users?page=2", "/v1/users?key=1&page=2"),
        ("/v1", "//other.test/x", "/v1//other.test/x"),
        ("/v1", "a b", "/v1/a%20b"),
    ],
)
def test_C12_relative_url_is_appended_to_the_base(base, url, expected, server):
    for given in (server.origin + base, parse_url(server.origin + base)):
        with Client(base_url=given) as client:
            client.get(url)
    assert [target(each) for each in server.requests] == [expected] * 2


def test_C12_absolute_url_and_url_object_ignore_the_base(server):
    with Client(base_url="http://user:pw@127.0.0.1:1/v1", params={"p": 1}) as client:
        client.get(server.url("/x"))
        client.get(parse_url(server.url("/y")))
    assert [target(each) for each in server.requests] == ["/x?p=1", "/y?p=1"]
    assert [field(each, "authorization") for each in server.requests] == [None, None]


def test_C12_path_cannot_leave_the_base(server):
    with Client(base_url=server.url("/v1/")) as client:
        for path in ("../admin", "a/%2e%2E/b", ".."):
            with pytest.raises(RequestError, match="lead out of the base URL"):
                client.get(path)
    assert server.connections == 0


# Credentials


@pytest.mark.parametrize(
    ("at_client", "in_url", "in_call", "sent"),
    [
        (None, "", {}, None),
        (("user", "pw"), "", {}, BASIC),
        (("user", "pw"), "", {"auth": None}, None),
        (("user", "pw"), "", {"auth": BearerAuth("t")}, "Bearer t"),
        (None, "user:pw@", {}, BASIC),
        (BearerAuth("t"), "user:pw@", {}, "Bearer t"),
        (BearerAuth("t"), "user:p%77@", {"auth": BearerAuth("u")}, "Bearer u"),
        (BearerAuth("t"), "", {"headers": {"authorization": "Own x"}}, "Own x"),
        (BearerAuth("t"), "user:pw@", {"headers": {"Authorization": None}}, None),
        ("netrc", "user:pw@", {}, BASIC),
        (BasicAuth("user", "pw"), "", {"headers": {"X-Other": "1"}}, BASIC),
    ],
)
@pytest.mark.parametrize("based", [False, True], ids=["in the call", "in base_url"])
def test_C12_auth_order_is_call_then_client_then_url(
    based, at_client, in_url, in_call, sent, server
):
    url = server.url("/x").replace("://", f"://{in_url}")
    with Client(auth=at_client, base_url=url if based else None) as client:
        client.get("" if based else url, **in_call)
        client.get(server.url(), auth=None)
    assert [field(each, "authorization") for each in server.requests] == [sent, None]
    assert target(server.requests[0]) == "/x"


# Sockets


class UnixServer(ScriptedServer):
    """A ScriptedServer that listens on a Unix socket."""

    def __init__(self, path: Path, *scripts) -> None:
        super().__init__(*scripts)
        self._listener.close()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(16)


def respond_to_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


@contextmanager
def short_folder() -> Iterator[Path]:
    # A Unix socket path is limited to about 100 bytes; paths of pytest folders are longer.
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_C12_unix_socket_is_used_for_every_host(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with short_folder() as folder, UnixServer(folder / "api", respond_to_all) as server:
        with Client(uds=folder / "api", base_url="http://docker/v1.41", timeout=PATIENT) as client:
            assert client.get("/info").body == b"ok"
            assert client.get("http://other.test:8080/x").body == b"ok"
            assert client.post("build", b"x", headers={"Host": "own"}).body == b"ok"
            with pytest.raises(RequestError, match=r"^GET .*check_address= cannot be"):
                client.get("/info", check_address=bool)
    assert [(target(each), field(each, "host")) for each in server.requests] == [
        ("/v1.41/info", "docker"),
        ("/x", "other.test:8080"),
        ("/v1.41/build", "own"),
    ]


def test_C12_connections_use_source_address():
    seen: list[object] = []

    def serve(peer: Peer) -> None:
        seen.append(peer.sock.getpeername())
        respond_to_all(peer)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        source = free.getsockname()
    with ScriptedServer(serve) as server, Client(source_address=source) as client:
        assert client.get(server.url()).body == b"ok"
    assert seen == [source]


def test_C12_socket_options_are_added_to_the_defaults():
    def switch(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        peer.read_to_end()

    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        [socket.SOL_SOCKET, socket.SO_OOBINLINE, 1],
    ]
    with ScriptedServer(switch) as server, Client(socket_options=iter(options)) as client:
        for _ in range(2):  # an iterator is read once and used for every connection
            upgrade = {"Upgrade": "x", "Connection": "Upgrade"}
            sock, _rest = client.get(server.url(), headers=upgrade).detach()
            with sock:
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE)


def test_C12_resolve_changes_the_address_but_not_the_host_header(certs):
    with (
        ScriptedServer.serving(OK) as one,
        ScriptedServer.serving(OK, host="127.0.0.1") as other,
    ):
        resolve = {"API.test": "127.0.0.1", f"api.test:{other.port}": "127.0.0.1"}
        with Client(resolve=resolve, timeout=PATIENT) as client:
            assert client.get(f"http://api.test:{one.port}/a").body == b"ok"
            assert client.get(f"http://api.test:{other.port}/b").body == b"ok"
    assert field(one.request, "host") == f"api.test:{one.port}"
    assert field(other.request, "host") == f"api.test:{other.port}"


def test_C12_resolve_prefers_host_with_port_over_host():
    with ScriptedServer.serving(OK) as server:
        resolve = {"api.test": "0.0.0.0.nowhere.invalid", f"api.test:{server.port}": "127.0.0.1"}
        with Client(resolve=resolve, timeout=PATIENT) as client:
            assert client.get(f"http://api.test:{server.port}/").body == b"ok"


def test_C12_resolved_host_is_verified_by_its_name(certs):
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:
        resolve = {"localhost": "127.0.0.1", "api.test": "127.0.0.1"}
        with Client(resolve=resolve, verify=certs.ca_file, timeout=PATIENT) as client:
            assert client.get(f"https://localhost:{server.port}/").body == b"ok"
            with pytest.raises(TLSError, match=r"api\.test"):
                client.get(f"https://api.test:{server.port}/")
    assert field(server.request, "host") == f"localhost:{server.port}"


# The environment


def test_W22_environment_is_read_once_when_the_client_is_created(server, monkeypatch):
    with ScriptedServer.serving(response(b"proxy")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        with Client() as before:
            monkeypatch.delenv("HTTP_PROXY")
            with Client() as after:
                monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
                assert before.get(server.url()).body == b"proxy"
                assert after.get(server.url()).body == b"ok"
                assert before.get(server.url()).body == b"proxy"


def test_C12_trust_env_false_ignores_environment_proxies(server, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks9://nonsense")
    with Client(trust_env=False) as client:
        assert client.get(server.url()).body == b"ok"
    with Client() as client:
        with pytest.raises(RequestError, match="ALL_PROXY"):
            client.get(server.url())
        assert client.get(server.url(), proxy=None).body == b"ok"


def test_C13_ssl_cert_file_is_ignored_with_trust_env_false(certs, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.ca_file))
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:
        with Client(timeout=PATIENT) as client:
            assert client.get(server.url()).body == b"ok"
            with pytest.raises(TLSError):
                client.get(server.url(), verify=True)
        with Client(timeout=PATIENT, trust_env=False) as client, pytest.raises(TLSError):
            client.get(server.url())
        with Client(timeout=PATIENT, verify=certs.other_ca_file) as client:
            with pytest.raises(TLSError):
                client.get(server.url())


# TLS options that override each other


@pytest.mark.filterwarnings("ignore:verify=False:urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("environment", [False, True], ids=["", "SSL_CERT_FILE"])
def test_ssl_context_and_verify_of_the_call_override_the_client(environment, certs, monkeypatch):
    if environment:
        monkeypatch.setenv("SSL_CERT_FILE", str(certs.other_ca_file))
    trusting = ssl.create_default_context(cafile=str(certs.ca_file))
    distrusting = ssl.create_default_context(cafile=str(certs.other_ca_file))
    ours = certs.ca_file
    strict = {"verify": certs.other_ca_file, "min_tls": "1.2", "cert": str(certs.client_file)}
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:

        def succeeds(at_client: dict[str, object], in_call: dict[str, object]) -> bool:
            with Client(timeout=PATIENT, **at_client) as client:
                try:
                    return client.get(server.url(), **in_call).body == b"ok"
                except TLSError:
                    return False

        assert succeeds({"ssl_context": trusting}, {})
        assert succeeds(strict, {"ssl_context": trusting})
        assert succeeds({"verify": False}, {"ssl_context": trusting})
        assert not succeeds({"verify": False}, {"ssl_context": distrusting})
        assert not succeeds({"verify": ours}, {"ssl_context": distrusting})
        assert succeeds({"ssl_context": distrusting}, {"verify": ours})
        assert not succeeds({"ssl_context": trusting}, {"verify": certs.other_ca_file})
        # With min_tls, verification uses certifi again.
        assert not succeeds({"ssl_context": trusting}, {"min_tls": "1.3"})
        assert succeeds({"ssl_context": trusting}, {"fingerprint": certs.fingerprint})
        assert not succeeds({"ssl_context": trusting}, {"fingerprint": "0" * 64})
        assert succeeds({"verify": ours}, {"ssl_context": None})
        assert not succeeds({"ssl_context": trusting}, {"ssl_context": None})


def test_ssl_context_with_verify_in_one_place_is_rejected(server):
    context = ssl.create_default_context()
    both = {"ssl_context": context, "verify": False}
    with Client() as client, pytest.raises(RequestError, match="cannot change an ssl_context"):
        client.get(server.url(), **both)
    with pytest.raises(RequestError, match="cannot change an ssl_context"):
        Client(**both)


# Wrong values of options


class Odd:
    def __repr__(self) -> str:
        return "<an Odd>"


NAN = float("nan")
NOT_BOOLS = [0, 1, "yes", Odd(), []]
NOT_COUNTS = [-1, 1.5, "1", True, NAN, Odd(), [1]]
NOT_SECONDS = [-1, "1", True, NAN, Odd(), (1, 2)]
NOT_TEXTS = [0, b"x", Odd(), [], {}]

WRONG: dict[str, tuple[list[object], str]] = {
    "auth": (["user", ("a",), ("a", "b", "c"), 5, Odd(), BasicAuth], "auth must be "),
    "check_address": ([True, "10.0.0.0/8", Odd()], "must be a function of an IP address"),
    "cert": ([5, b"x", (), ("a",), ("a", None), Odd()], "cert must be a path, "),
    "decompress": ([None, *NOT_BOOLS], "must be True or False"),
    "expect_continue": (NOT_BOOLS, "must be True or False"),
    "filters": (
        [5, Odd(), [Odd()], "logging", {"a": 1}],
        "a filter must have a method|filters must be",
    ),
    "fingerprint": ([5, "00" * 16, "ab:cd", "x" * 64], "must be the SHA-256 of"),
    "follow_downgrade": ([None, *NOT_BOOLS], "must be True or False"),
    "follow_redirect": ([None, *NOT_BOOLS], "must be True or False"),
    "force_follow_redirect": ([None, *NOT_BOOLS], "must be True or False"),
    "keep_headers": ([None, 5, True, [5], [b"x"], Odd()], "must be names of headers"),
    "eager_body": ([None, *NOT_COUNTS], "must be a number of bytes, 0 or more"),
    "max_body": (NOT_COUNTS, "must be a number of bytes, 0 or more"),
    "max_follow_redirect": ([None, *NOT_COUNTS], "must be a whole number, 0 or more"),
    "max_tries": ([None, 0, *NOT_COUNTS], "must be a whole number, 1 or more"),
    "max_wait": (
        [None, *NOT_SECONDS],
        r"must be a number of seconds from 0 to 1e\+09",
    ),
    "min_tls": ([1.2, "1.1", "TLSv1.3", ssl.TLSVersion.TLSv1_1], "min_tls must be '1.2' or '1.3'"),
    "progress": ([5, "bar", Odd()], "progress must be a callable"),
    "proxy": ([5, b"x", "ftp://proxy", "http://", Odd(), {"http": "x"}], "proxy"),
    "replay": ([True, False, "file", 5], "must be 'spool' or None"),
    "response_class": (
        [5, HttpResponse.__init__, dict, Odd()],
        "must be HttpResponse or a subclass",
    ),
    "retries": ([-1, True, 1.5, "3", Odd()], "must be a number of retries"),
    "retry_unsafe": ([None, *NOT_BOOLS], "must be True or False"),
    "compress": ([5, "", "br", "GZIP", b"gzip"], "must be one of gzip, deflate, zstd, or None"),
    "content_digest": (NOT_BOOLS, "must be True or False"),
    "spool": ([None, *NOT_BOOLS], "must be True or False"),
    "spool_dir": ([5, b"x", Odd()], "must be a path or None"),
    "spool_size": ([None, *NOT_COUNTS], "must be a number of bytes, 0 or more"),
    "ssl_context": ([True, "x", Odd()], "must be an ssl.SSLContext"),
    "timeout": (["5", 0, -1, True, NAN, (1, 2, 3), ("a", 1), Odd()], "number of seconds"),
    "verify": ([None, 1, b"x", [], ["a", 5], Odd()], "must be True, False, 'system' or a path"),
    "wait_tries": (
        [None, *NOT_SECONDS],
        r"must be a number of seconds from 0 to 1e\+09",
    ),
}
OF_A_CLIENT: dict[str, tuple[list[object], str]] = {
    "base_url": ([5, b"http://x", "", "/path", "ftp://x", "http://", Odd()], "base_url: "),
    "connect": ([5, "/run/x", Odd()], "must be a function of host and port"),
    "cookies": (
        [5, "a=b", [("a", "b")], Odd()],
        "cookies must be True, False, a dict of names and values, Cookies or a CookieJar",
    ),
    "headers": (
        [5, "a: b", ["a"], {"a b": "c"}, {"a": 1.5}, {"a": "b\n"}, Odd()],
        "header|the value of a",
    ),
    "max_connections": ([0, *NOT_COUNTS], "must be a whole number, 1 or more"),
    "max_idle": (
        [None, *NOT_SECONDS],
        r"must be a number of seconds from 0 to 1e\+09",
    ),
    "params": ([5, ["a"], {"a": Odd()}, {Odd(): 1}, [([], 1)], "\ud800", Odd()], "param"),
    "pool_size": ([None, *NOT_COUNTS], "must be a whole number, 0 or more"),
    "max_idle_connections": (NOT_COUNTS, "must be a whole number, 0 or more"),
    "resolve": ([5, "a", ["a"], {"a/b": "::1"}, {"a": None}, {"": "::1"}, {5: 5}], "resolve"),
    "socket_options": (
        [None, 5, [5], [(1, 2)], [(1, 2, "3")], Odd()],
        r"must be (a list of )?\(level, option, value\)",
    ),
    "source_address": (
        [5, "127.0.0.1", ("a",), ("a", "1"), ("a", 70000)],
        r"must be \(address, port\)",
    ),
    "trust_env": ([None, *NOT_BOOLS], "must be True or False"),
    "uds": ([5, b"/run/x", True, Odd()], "must be the path of a Unix socket"),
}
OF_A_CALL: dict[str, tuple[list[object], str]] = {
    "headers": OF_A_CLIENT["headers"],
    "method": ([5, None, "", "GET /", "G\nT", Odd()], "the method must be a word"),
    "params": OF_A_CLIENT["params"],
    "url": ([5, None, "", "/x", "ftp://x/", "http://a b/", b"http://x/"], ""),
}


def table(rows: dict[str, tuple[list[object], str]]) -> list[tuple[str, object, str]]:
    return [(name, value, message) for name, (values, message) in rows.items() for value in values]


def check_rejected(name: str, message: str, make) -> None:
    with pytest.raises(RequestError, match=f"(?s){message}") as caught:
        make()
    if name not in {"headers", "url"}:
        assert name.rstrip("s") in str(caught.value).lower()


def test_every_option_has_wrong_values_in_the_table():
    assert set(WRONG) == set(CommonOptions.__annotations__)
    assert set(OF_A_CLIENT) | set(WRONG) == set(ClientOptions.__annotations__)
    bodies = {"json", "body", "data"}  # test_payload.py checks the payload options
    assert set(CallOptions.__annotations__) - set(WRONG) - bodies == {"params"}


@pytest.mark.parametrize(("name", "value", "message"), table({**WRONG, **OF_A_CLIENT}))
def test_C12_wrong_client_option_raises_an_error_naming_it(name, value, message):
    check_rejected(name, message, lambda: Client(**{name: value}))


def test_C12_wrong_call_option_raises_before_connecting(server):
    with Client(params={"default": 1}) as client:
        for name, value, message in table({**WRONG, **OF_A_CALL}):
            given = {"url": server.url(), name: value}
            check_rejected(name, message, lambda given=given: client.request(**given))
    assert server.connections == 0


def test_C12_conflicting_options_are_rejected():
    with pytest.raises(RequestError, match="a Unix socket has no address"):
        Client(uds="/run/x", source_address=("127.0.0.1", 0))
    for other in ({"uds": "/run/x"}, {"source_address": ("127.0.0.1", 0)}):
        with pytest.raises(RequestError, match=f"connect and {next(iter(other))} are both given"):
            Client(connect=socket.create_connection, **other)


# Calls do not change their Client


def test_C12_changing_given_options_later_does_not_affect_the_client(server):
    headers = {"X-List": "1"}
    pairs = [("a", 1)]
    params = {"p": [1], "q": pairs}
    params.pop("q")
    resolve = {"localhost": "127.0.0.1"}
    keep, options = ["x-keep"], [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    filters: list[object] = []
    with Client(
        headers=headers,
        params=params,
        resolve=resolve,
        keep_headers=keep,
        socket_options=options,
        filters=filters,
    ) as client:
        headers["X-List"] = "2"
        headers["X-New"] = "3"
        params["p"].append(2)
        params["new"] = [1]
        resolve["localhost"] = "192.0.2.1"
        options.append("nonsense")
        keep.append(5)
        filters.append(5)
        assert client.get(f"http://localhost:{server.port}/").body == b"ok"
    assert field(server.request, "x-list") == "1"
    assert field(server.request, "x-new") is None
    assert target(server.request) == "/?p=1"


def test_C12_changes_by_filter_auth_or_call_end_with_the_call(server):
    class Changing:
        def on_request(self, request) -> None:
            assert "X-Once" not in request.headers
            assert request.url.target == "/?p=1"
            request.headers["X-Once"] = "filter"
            del request.headers["X-Default"]
            request.url = request.url.with_params({"more": 1})
            request.method = "PUT"

    def authorize(request) -> None:
        assert "X-Auth" not in request.headers
        request.headers["X-Auth"] = "1"

    given = {"X-Call": "1"}
    with Client(
        headers={"X-Default": "1"}, params=[("p", 1)], filters=Changing(), auth=authorize
    ) as client:
        for _ in range(2):
            assert client.get(server.url(), headers=given).body == b"ok"
    with Client(headers={"X-Default": "1"}, auth=authorize) as client:
        for _ in range(2):
            assert client.get(server.url()).body == b"ok"
    assert given == {"X-Call": "1"}
    one, two, three, four = server.requests
    assert one == two
    assert three == four
    assert target(one) == "/?p=1&more=1"
    assert [field(one, name) for name in ("x-once", "x-default", "x-auth")] == [
        "filter",
        None,
        "1",
    ]
    assert [field(three, name) for name in ("x-once", "x-default", "x-auth")] == [None, "1", "1"]


def test_W11_threads_do_not_share_headers_and_options(server):
    def echo(peer: Peer) -> None:
        while (request := peer.next_request()) is not None:
            headers = {name: value for name, value in fields_of(request) if name.startswith("x-")}
            peer.send(response(json.dumps([target(request), headers]).encode()))

    class Marking:
        def on_request(self, request) -> None:
            request.headers[f"X-{request.headers['X-Number']}"] = "mine"

    wrong: list[object] = []

    def send_requests(number: int) -> None:
        for turn in range(10):
            name = f"{number}-{turn}"
            got = client.get(
                echoing.url(), headers={"X-Number": name}, params={"n": name}, filters=Marking()
            ).json()
            expected = {"x-default": "1", "x-number": name, f"x-{name}": "mine"}
            if got != [f"/?p=1&n={name}", expected]:
                wrong.append(got)

    with (
        ScriptedServer(echo) as echoing,
        Client(headers={"X-Default": "1"}, params={"p": 1}, timeout=PATIENT) as client,
    ):
        threads = [threading.Thread(target=send_requests, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * HANG_BOUND)
    assert wrong == []
    assert len(echoing.requests) == 80
