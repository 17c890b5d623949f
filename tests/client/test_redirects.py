"""Redirects: when they are followed, and with which method, payload and headers."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator

import pytest

from restkit import (
    HttpResponse,
    PayloadNotReplayable,
    RedirectLimit,
    Request,
    ResponseError,
    parse_url,
)
from restkit.client.options import Settings
from restkit.client.redirects import redirect_request
from restkit.headers import Headers
from restkit.payload.values import BytesPayload
from support import ScriptedServer, body_of, field, fields_of, head_of, payload_of, response

pytestmark = pytest.mark.smoke

OK = response(b"there")


def moved(status: int, to: str = "/there", *fields: str) -> bytes:
    return response(b"moved", f"Location: {to}", *fields, status=f"{status} Moved")


def line_of(request: bytes) -> str:
    return request.decode("latin-1").split("\r\n")[0]


# The decision alone, without a socket


def decide(
    method: str,
    status: int,
    location: str = "/there",
    url: str = "http://a.test/here",
    **settings: object,
) -> Request | None:
    payload = None if method in ("GET", "HEAD") else BytesPayload(b"body")
    headers = Headers({"Content-Type": "text/plain", "X-Mine": "1"})
    request = Request(method, parse_url(url), headers, payload)
    got = HttpResponse.made(request, status, {"Location": location})
    following = redirect_request(request, Settings(**settings), got, 0)
    return None if following is None else following[0]


METHODS = [
    ("GET", 301, "GET"),
    ("GET", 302, "GET"),
    ("GET", 303, "GET"),
    ("GET", 307, "GET"),
    ("GET", 308, "GET"),
    ("HEAD", 301, "HEAD"),
    ("HEAD", 302, "HEAD"),
    ("HEAD", 303, "HEAD"),
    ("HEAD", 308, "HEAD"),
    ("POST", 301, "GET"),
    ("POST", 302, "GET"),
    ("POST", 303, "GET"),
    ("POST", 307, "POST"),
    ("POST", 308, "POST"),
    ("PUT", 301, "PUT"),
    ("PUT", 302, "PUT"),
    ("PUT", 303, "GET"),
    ("PUT", 307, "PUT"),
    ("DELETE", 301, "DELETE"),
    ("DELETE", 302, "DELETE"),
    ("DELETE", 303, "GET"),
    ("PATCH", 302, "PATCH"),
    ("OPTIONS", 303, "GET"),
]


@pytest.mark.parametrize(("method", "status", "becomes"), METHODS)
def test_R16_method_changes_as_in_browsers(method, status, becomes):
    following = decide(method, status)
    assert following is not None
    assert following.method == becomes
    assert (following.payload is not None) == (becomes not in ("GET", "HEAD"))
    assert ("content-type" in following.headers) == (becomes == method)
    assert following.headers["x-mine"] == "1"


@pytest.mark.parametrize("status", [301, 302])
def test_R16_force_follow_redirect_keeps_the_method(status):
    following = decide("POST", status, force_follow_redirect=True)
    assert following is not None
    assert following.method == "POST"
    assert following.payload is not None


def test_R16_force_follow_redirect_does_not_change_303():
    following = decide("POST", 303, force_follow_redirect=True)
    assert following is not None
    assert (following.method, following.payload) == ("GET", None)


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 400])
def test_other_statuses_are_not_followed(status):
    assert decide("GET", status) is None


@pytest.mark.parametrize(
    "location",
    ["ftp://a.test/", "mailto:a@b", "http://", "http://a b/", "//:x/", "http://h:99999/"],
)
def test_invalid_location_raises_response_error_with_the_status(location):
    with pytest.raises(ResponseError, match="302 Found to an invalid URL") as caught:
        decide("GET", 302, location)
    assert caught.value.status == 302


def redirect_from(url: str, *locations: str) -> Request | None:
    request = Request("GET", parse_url(url))
    fields = [("Location", location) for location in locations]
    got = HttpResponse.made(request, 302, fields)
    following = redirect_request(request, Settings(), got, 0)
    return None if following is None else following[0]


def test_equal_locations_count_as_one_and_different_ones_raise():
    following = redirect_from("http://a.test/", "/b", "/b", "")
    assert str(following.url) == "http://a.test/b"
    with pytest.raises(ResponseError, match="several different Location fields") as caught:
        redirect_from("http://a.test/", "/b", "http://evil.test/")
    assert caught.value.status == 302


def test_empty_location_is_not_followed():
    assert redirect_from("http://a.test/", "") is None


@pytest.mark.parametrize(
    ("url", "location", "user"),
    [
        ("http://a.test/", "http://evil:pw@a.test/b", None),
        ("http://a.test/", "http://evil:pw@b.test/b", None),
        ("http://me:pw@a.test/", "http://evil:pw@a.test/b", "me"),
        ("http://me:pw@a.test/", "http://a.test/b", "me"),
        ("http://me:pw@a.test/", "/b", "me"),
        ("http://me:pw@a.test/", "http://b.test/", None),
        ("http://me:pw@a.test/", "http://evil:pw@b.test/", None),
    ],
)
def test_credentials_in_a_location_are_ignored(url, location, user):
    assert redirect_from(url, location).url.username == user


@pytest.mark.parametrize("location", ["ftp://a/?token=s3cret", "http://h:99999/?token=s3cret"])
def test_secrets_of_a_location_are_not_in_the_error(location):
    with pytest.raises(ResponseError) as caught:
        decide("GET", 302, location)
    assert "token=***" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_https_to_http_drops_secrets_and_can_be_forbidden():
    following = decide("GET", 302, "http://a.test/", "https://a.test/")
    assert following is not None
    assert "x-mine" not in following.headers
    with pytest.raises(RedirectLimit, match="from https to http, which follow_downgrade=False"):
        decide("GET", 302, "http://a.test/", "https://a.test/", follow_downgrade=False)
    assert decide("GET", 302, "https://a.test/", "http://a.test/", follow_downgrade=False)


@pytest.mark.parametrize(
    ("url", "location", "stays"),
    [
        ("http://a.test/", "http://a.test/x", True),
        ("http://a.test/", "http://A.TEST:80/x", True),
        ("http://a.test/", "//a.test/x", True),
        ("http://a.test/", "http://a.test:81/x", False),
        ("http://a.test/", "https://a.test/x", False),
        ("http://a.test/", "http://b.a.test/x", False),
        ("https://a.test/", "http://a.test/x", False),
        ("http://b.a.test/", "http://a.test/x", False),
    ],
)
def test_C01_origin_is_scheme_host_and_port(url, location, stays):
    following = decide("GET", 302, location, url)
    assert following is not None
    assert ("x-mine" in following.headers) == stays


# On the wire


def test_R15_redirects_are_followed_by_default(client):
    for method in ("GET", "HEAD", "POST"):
        # A response to HEAD has no body.
        first = response(b"", "Location: /there", status="302 Found")
        with ScriptedServer.serving(first if method == "HEAD" else moved(302), OK) as server:
            got = client.request(server.url("/here"), method)
            assert got.status == 200
            assert got.final_url == server.url("/there")
            assert [each.status for each in got.history] == [302]
            assert [each.final_url for each in got.history] == [server.url("/here")]
            assert server.connections == 1  # the discarded response returned its connection


def test_R15_ten_redirects_are_followed_by_default(client):
    with ScriptedServer.serving(*[moved(302)] * 10, OK) as server:
        got = client.get(server.url())
        assert (got.body, len(got.history)) == (b"there", 10)
    with ScriptedServer.serving(*[moved(302)] * 11, OK) as server:
        with pytest.raises(
            RedirectLimit, match="more redirects than max_follow_redirect=10"
        ) as caught:
            client.get(server.url())
        assert len(server.requests) == 11
    assert [each.status for each in caught.value.history] == [302] * 10
    assert caught.value.status == 302
    assert caught.value.sent == "all"


def test_R15_max_follow_redirect_sets_the_limit(client):
    with ScriptedServer.serving(moved(302), OK) as server:
        with pytest.raises(RedirectLimit, match="max_follow_redirect=0"):
            client.get(server.url(), max_follow_redirect=0)
    with ScriptedServer.serving(*[moved(302)] * 20, OK) as server:
        assert client.get(server.url(), max_follow_redirect=20).body == b"there"


def test_R15_relative_location_is_resolved_and_fragment_is_kept(client):
    with ScriptedServer.serving(moved(302, "zz"), moved(302, "?q#own"), OK) as server:
        got = client.get(server.url("/a/b#part"))
        assert [line_of(request) for request in server.requests] == [
            "GET /a/b HTTP/1.1",
            "GET /a/zz HTTP/1.1",
            "GET /a/zz?q HTTP/1.1",
        ]
        assert got.history[1].final_url == server.url("/a/zz#part")
        assert got.final_url == server.url("/a/zz?q#own")


def test_R15_follow_redirect_false_returns_the_redirect(client):
    with ScriptedServer.serving(moved(302, "zz"), OK) as server:
        got = client.get(server.url("/a/b"), follow_redirect=False)
        assert (got.status, got.body) == (302, b"moved")
        assert got.final_url == server.url("/a/b")
        assert got.location == server.url("/a/zz")
        assert got.history == ()
        assert len(server.requests) == 1


def test_redirect_without_location_is_returned(client):
    with ScriptedServer.serving(response(b"where?", status="302 Found")) as server:
        assert client.get(server.url()).body == b"where?"


def test_S13_redirect_303_becomes_get_without_content_headers(client):
    headers = {
        "Content-Language": "de",
        "Content-Encoding": "x-own",
        "Authorization": "secret",
        "Cookie": "a=b",
        "X-Api-Key": "secret",
        "Accept": "text/plain",
    }
    with ScriptedServer.serving(OK) as other:
        with ScriptedServer.serving(moved(303, other.url("/there"))) as server:
            assert client.post(server.url(), iter([b"x"]), headers).body == b"there"
    names = [name for name, _ in fields_of(other.request)]
    assert line_of(other.request) == "GET /there HTTP/1.1"
    assert names == ["host", "user-agent", "accept-encoding", "accept"]
    assert body_of(other.request) == b""


@pytest.mark.parametrize("status", [307, 308])
def test_S12_R16_redirect_resends_the_whole_payload(client, status, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    for payload in (b"0123456789", path, [b"01234", b"56789"]):
        with ScriptedServer.serving(OK) as other:
            with ScriptedServer.serving(moved(status, other.url("/there"))) as server:
                assert client.put(server.url(), payload).body == b"there"
        assert payload_of(server.request) == payload_of(other.request) == b"0123456789"
        assert field(other.request, "host") == f"127.0.0.1:{other.port}"
        assert line_of(other.request) == "PUT /there HTTP/1.1"


def test_P03_file_is_resent_from_its_original_position(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100 + b"the rest")
    with path.open("rb") as file, ScriptedServer.serving(moved(307), OK) as server:
        file.seek(100)
        assert client.post(server.url(), file).body == b"there"
        assert [body_of(request) for request in server.requests] == [b"the rest"] * 2
        assert not file.closed


@pytest.mark.parametrize("status", [307, 308])
def test_S12_iterator_payload_is_not_resent_to_the_second_host(client, status):
    def rows() -> Iterator[bytes]:
        yield b"once"

    with ScriptedServer.serving(OK) as other:
        with ScriptedServer.serving(moved(status, other.url("/there"))) as server:
            with pytest.raises(PayloadNotReplayable) as caught:
                client.put(server.url("/here"), rows())
        assert other.connections == 0
    assert len(server.requests) == 1
    error = caught.value
    assert "<IteratorPayload of generator" in str(error)
    assert other.url("/there") in str(error)
    assert (error.status, error.sent) == (status, "all")
    assert "replay='spool'" in str(error)


def test_S12_iterator_payload_can_be_redirected_to_get(client):
    with ScriptedServer.serving(moved(302), OK) as server:
        assert client.post(server.url(), iter([b"once"])).body == b"there"


SECRETS = {
    "Authorization": "Bearer x",
    "Cookie": "a=b",
    "X-Api-Key": "x",
    "Proxy-Authorization": "x",
    "X-Whatever": "x",
    "Referer": "http://here/",
    "Host": "virtual.test",
}
HARMLESS = {
    "Accept": "a/b",
    "Accept-Language": "de",
    "User-Agent": "me",
    "Range": "bytes=0-1",
    "If-None-Match": '"x"',
    "Content-Type": "text/plain",
    "Content-Language": "de",
}


def test_C01_only_safe_headers_go_to_another_origin(client):
    with ScriptedServer.serving(OK) as other:
        with ScriptedServer.serving(moved(307, other.url())) as server:
            client.put(server.url(), b"x", {**SECRETS, **HARMLESS})
    assert fields_of(other.request)[0] == ("host", f"127.0.0.1:{other.port}")
    names = {name for name, _ in fields_of(other.request)}
    assert names == {n.lower() for n in HARMLESS} | {"host", "accept-encoding", "content-length"}


def test_C01_all_headers_are_resent_to_the_same_origin(client):
    with ScriptedServer.serving(moved(307), OK) as server:
        client.put(server.url(), b"x", {**SECRETS, **HARMLESS})
    first, second = server.requests
    assert fields_of(first) == fields_of(second)


def test_C01_keep_headers_adds_to_the_safe_headers(client):
    with ScriptedServer.serving(OK) as other:
        with ScriptedServer.serving(moved(302, other.url())) as server:
            client.get(server.url(), headers=SECRETS, keep_headers=["x-api-key"])
    assert field(other.request, "x-api-key") == "x"
    assert field(other.request, "authorization") is None


def test_C01_dropped_headers_are_not_restored_on_return(client):
    with ScriptedServer.serving(moved(302, "/", "X-First: 1"), OK) as server:
        back = moved(302, server.url("/again"))
        with ScriptedServer.serving(back) as other:
            away = moved(302, other.url())
            with ScriptedServer.serving(away) as first:
                client.get(first.url(), headers=SECRETS)
    assert all(field(request, "x-api-key") is None for request in server.requests)


def test_header_removed_with_none_stays_removed(client):
    with ScriptedServer.serving(moved(307), OK) as server:
        client.put(server.url(), b"x", {"Content-Type": None})
    assert [field(request, "content-type") for request in server.requests] == [None, None]


def test_long_redirect_body_is_discarded_with_its_connection(client):
    endless = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 1000000000\r\n\r\n" + b"x"

    def redirecting(peer) -> None:
        peer.read_request()
        peer.send(endless)
        peer.read_to_end()

    def responding(peer) -> None:
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(redirecting, responding) as server:
        assert client.get(server.url()).body == b"there"


def test_redirect_during_sending_stops_the_payload(client):
    def refuse(peer) -> None:
        peer.read_head()
        peer.send(moved(303))
        peer.read_to_end()

    def responding(peer) -> None:
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(refuse, responding) as server:
        assert client.post(server.url(), bytes(64 * 1024 * 1024)).body == b"there"
        assert len(server.wire[0]) < 64 * 1024 * 1024
        assert head_of(server.wire[1]).startswith(b"GET /there ")


def test_history_is_pickled_with_the_response(client):
    with ScriptedServer.serving(moved(302), OK) as server:
        got = pickle.loads(pickle.dumps(client.get(server.url())))
    assert [each.status for each in got.history] == [302]
    assert got.body == b"there"
