"""The policies of a Client, tested against httpbin, an independent application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import restkit
from restkit import Client, DigestAuth, RedirectLimit
from support.httpbin import Httpbin

pytestmark = pytest.mark.peer(name="httpbin")


@pytest.fixture(scope="module")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Httpbin]:
    with Httpbin(tmp_path_factory.mktemp("httpbin")) as server:
        yield server


# Redirects


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_R15_redirects_are_followed_to_the_final_url(httpbin, client, kind):
    response = client.get(httpbin.url(f"/{kind}/6"))
    assert response.status == 200
    assert response.json()["url"] == response.final_url == httpbin.url("/get")
    assert [each.status for each in response.history] == [302] * 6


def test_R15_eleventh_redirect_exceeds_the_limit(httpbin, client):
    assert len(client.get(httpbin.url("/redirect/10")).history) == 10
    with pytest.raises(RedirectLimit):
        client.get(httpbin.url("/redirect/11"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_R16_redirect_that_keeps_the_method_keeps_the_payload(httpbin, client, status):
    url = httpbin.url(f"/redirect-to?url=/anything&status_code={status}")
    seen = client.post(url, b"payload").json()
    kept = status in (307, 308)
    assert seen["method"] == ("POST" if kept else "GET")
    assert seen["data"] == ("payload" if kept else "")
    assert ("Content-Type" in seen["headers"]) == kept


def test_R15_redirects_can_be_disabled(httpbin, client):
    response = client.get(httpbin.url("/redirect/1"), follow_redirect=False)
    assert (response.status, response.location) == (302, httpbin.url("/get"))


# Credentials


def test_R17_basic_auth_from_option_and_from_url(httpbin, client):
    url = httpbin.url("/basic-auth/us%40er/p%3Aw")
    assert client.get(url).status == 401
    assert client.get(url, auth=("us@er", "p:w")).json()["authenticated"] is True
    assert client.get(url.replace("//", "//us%40er:p%3Aw@", 1)).json()["user"] == "us@er"
    assert client.get(url, auth=("us@er", "wrong")).status == 401


def test_bearer_token_is_accepted(httpbin, client):
    assert client.get(httpbin.url("/bearer")).status == 401
    response = client.get(httpbin.url("/bearer"), auth=restkit.BearerAuth("t0k"))
    assert response.json() == {"authenticated": True, "token": "t0k"}


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_digest_auth_is_accepted(httpbin, client, qop, algorithm):
    url = httpbin.url(f"/digest-auth/{qop}/user/pass/{algorithm}")
    response = client.get(url, auth=DigestAuth("user", "pass"))
    assert response.json() == {"authenticated": True, "user": "user"}
    assert [each.status for each in response.history] == [401]
    assert client.get(url, auth=DigestAuth("user", "wrong")).status == 401


def test_digest_auth_handles_a_stale_nonce(httpbin):
    url = httpbin.url("/digest-auth/auth/user/pass/MD5/1")
    with Client(auth=DigestAuth("user", "pass")) as client:
        assert [client.get(url).status for _ in range(4)] == [200] * 4


# Cookies


def test_cookies_are_stored_and_sent_back(httpbin, client):
    response = client.get(httpbin.url("/cookies/set?a=1&b=two"))
    assert response.json() == {"cookies": {"a": "1", "b": "two"}}
    assert response.history[0].cookies == {"a": "1", "b": "two"}
    client.get(httpbin.url("/cookies/delete?a"))
    assert client.get(httpbin.url("/cookies")).json() == {"cookies": {"b": "two"}}


def test_module_functions_do_not_store_cookies(httpbin):
    restkit.get(httpbin.url("/cookies/set?a=1"))
    assert restkit.get(httpbin.url("/cookies")).json() == {"cookies": {}}


# Content encodings


@pytest.mark.parametrize(
    ("page", "key"), [("gzip", "gzipped"), ("deflate", "deflated"), ("brotli", "brotli")]
)
def test_content_encodings_are_decoded(httpbin, client, page, key):
    response = client.get(httpbin.url(f"/{page}"))
    assert response.json()[key] is True
    assert list(client.get(httpbin.url(f"/{page}"), decompress=False).body[:1]) != [ord("{")]


# Statuses


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 410, 418, 429, 500, 503])
def test_error_statuses_are_returned_as_responses(httpbin, client, status):
    response = client.get(httpbin.url(f"/status/{status}"))
    assert (response.status, response.ok) == (status, status < 400)
    if status >= 400:
        with pytest.raises(restkit.ResourceError):
            response.raise_for_status()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_method_params_and_headers_reach_the_server(httpbin, client, method):
    response = client.request(
        httpbin.url(f"/{method.lower()}"), method, params={"a": ["1", "2"]}, headers={"X-Mine": "x"}
    )
    seen = response.json()
    assert seen["args"] == {"a": ["1", "2"]}
    assert seen["headers"]["X-Mine"] == "x"


def test_generator_is_received_chunked(httpbin, client):
    seen = client.post(httpbin.url("/post"), (b"%d\n" % n for n in range(3))).json()
    assert seen["data"] == "0\n1\n2\n"
    assert seen["headers"]["Transfer-Encoding"] == "chunked"


def test_streamed_bodies_are_read_completely(httpbin, client):
    response = client.get(httpbin.url("/stream-bytes/100000?seed=1&chunk_size=1000"))
    assert sum(map(len, response.payload_stream)) == 100000
    assert len(list(client.get(httpbin.url("/stream/7")).iter_lines())) == 7
    assert len(client.get(httpbin.url("/drip?duration=0.2&numbytes=50")).body) == 50
