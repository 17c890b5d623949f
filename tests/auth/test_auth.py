"""Basic, Bearer, functions and netrc; the option ``auth``; which requests get credentials."""

from __future__ import annotations

import copy
import functools
import locale
import pickle
import sys
from base64 import b64encode
from pathlib import Path

import pytest

import restkit
from restkit import Client, Headers, Request, RequestError, parse_url
from restkit.auth.auth import Auth, BasicAuth, BearerAuth, CallableAuth, NetrcAuth, as_auth
from restkit.auth.digest import DigestAuth
from restkit.client.options import Settings
from support import ScriptedServer, field, response

pytestmark = pytest.mark.smoke

USER, PASSWORD = "us@er", "p:w-s3cret"


def make_request(url="http://a.test/", headers=()):
    return Request("GET", parse_url(url), Headers(headers))


def authorization_of(auth: Auth, url="http://a.test/") -> str | None:
    request = make_request(url)
    auth.authorize(request)
    return request.headers.get("Authorization")


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


# Basic and Bearer


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 2
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),  # RFC 7617 2.1
        ("", "", "Basic Og=="),
        ("us@er", "p:w", "Basic dXNAZXI6cDp3"),
    ],
)
def test_basic_encodes_user_and_password_in_utf_8(user, password, expected):
    assert authorization_of(BasicAuth(user, password)) == expected


@pytest.mark.parametrize(
    ("user", "password", "fault"),
    [
        ("a:b", "p", "user name must not contain a colon"),
        ("a\r\nX: y", "p", r"user name contains U\+000D at 1"),
        ("a", "p\n", r"password contains U\+000A at 1"),
        ("a", "p\0", r"password contains U\+0000 at 1"),
        ("a", "p\ud800", r"password contains U\+D800 at 1"),
        (b"a", "p", "user name must be a str; got bytes"),
        ("a", None, "password must be a str; got NoneType"),
    ],
)
def test_basic_rejects_text_that_cannot_be_sent_and_hides_it(user, password, fault):
    with pytest.raises(RequestError, match=fault) as caught:
        BasicAuth(user, password)
    assert caught.value.__cause__ is None
    if isinstance(password, str) and len(password) > 1:
        assert password not in str(caught.value)


def test_bearer_sends_the_token():
    assert authorization_of(BearerAuth("mF_9.B5f-4.1JqM")) == "Bearer mF_9.B5f-4.1JqM"


@pytest.mark.parametrize("token", ["", "a b", "token\n", "tok\r\nX: y", "é", b"token", None])
def test_bearer_rejects_an_invalid_token_and_hides_it(token):
    with pytest.raises(RequestError, match="the token ") as caught:
        BearerAuth(token)
    assert "tok\r" not in str(caught.value)


class MinimalAuth(Auth):
    """A subclass with the least that it needs."""

    def authorize(self, request):
        request.headers["X-Name"] = "me"


def test_credentials_compare_by_value_and_hide_secrets_in_repr():
    secrets = ["us@er", "s3cret", basic(USER, PASSWORD)]
    for kind, given, other in [
        (BasicAuth, (USER, PASSWORD), (USER, "other")),
        (BearerAuth, ("s3cret",), ("other",)),
        (DigestAuth, (USER, PASSWORD), (USER, "other")),
        (CallableAuth, (functools.partial(print, "s3cret"),), (len,)),
        (NetrcAuth, ("/no/such/file",), ()),
    ]:
        auth, same = kind(*given), kind(*given)
        assert (auth == same, hash(auth) == hash(same), auth != kind(*other)) == (True,) * 3, kind
        assert auth != given
        assert auth != MinimalAuth()
        text = repr(auth) + str(Settings(auth=auth))
        assert not any(secret in text for secret in secrets), text


def test_request_with_credentials_hides_them_in_repr_and_pickle():
    request = make_request(f"http://us%40er:{PASSWORD}@a.test/")
    BasicAuth(USER, PASSWORD).authorize(request)
    for text in (
        repr(request),
        repr(request.headers),
        str(pickle.dumps(request)),
        repr(request.url),
    ):
        assert basic(USER, PASSWORD) not in text
        assert PASSWORD not in text


# The option auth


def test_option_converts_every_form():
    assert as_auth(None) is None
    assert as_auth(("user", "pass")) == as_auth(["user", "pass"]) == BasicAuth("user", "pass")
    own = MinimalAuth()
    assert as_auth(own) is own
    assert as_auth("netrc") == NetrcAuth()
    assert as_auth(len) == CallableAuth(len)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("s3cret", "got another str"),
        (("user",), "got a tuple of 1"),
        (("user", "s3cret", "x"), "got a tuple of 3"),
        (BasicAuth, "got the class BasicAuth"),
        (1, "got int"),
        ({"user": "s3cret"}, "got dict"),
        (("user", 1), "password must be a str; got int"),
    ],
)
def test_option_rejects_other_values_and_hides_them(value, fault, client):
    with pytest.raises(RequestError, match=fault) as caught:
        client.get("http://127.0.0.1:9/", auth=value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.sent == "nothing"


# A function


def test_function_changes_the_request_of_each_attempt():
    seen = []

    def sign(request):
        seen.append(request.headers.get("X-Attempt"))
        request.headers["X-Attempt"] = str(len(seen))
        return request

    moved = response(b"", "Location: /there", status="307 Moved")
    with ScriptedServer.serving(moved, response(b"there")) as server, Client(timeout=20) as client:
        client.post(server.url(), b"payload", auth=sign)
    assert seen == [None, None], "each attempt is a fresh copy"
    assert [field(request, "x-attempt") for request in server.requests] == ["1", "2"]


def test_function_must_return_the_request_or_none(client):
    with pytest.raises(TypeError, match=r"must change the request .* it returned str") as caught:
        client.get("http://127.0.0.1:9/", auth=lambda request: "Bearer s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(TypeError, match="it returned Request"):
        CallableAuth(copy.copy).authorize(make_request())


def test_exception_of_a_function_is_raised_unchanged(client):
    def fails(request):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.get("http://127.0.0.1:9/", auth=fails)


# netrc


@pytest.fixture
def netrc(tmp_path):
    """A function that writes a netrc file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "logins"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


LOGINS = """
machine a.test login me password s3cret
machine B.Test
  login you
  password yours # a comment
"""


def test_netrc_sends_the_login_of_the_host_only(netrc):
    auth = NetrcAuth(netrc(LOGINS))
    assert authorization_of(auth, "http://a.test:81/x") == basic("me", "s3cret")
    assert authorization_of(auth, "https://a.test/") == basic("me", "s3cret")
    assert authorization_of(auth, "http://b.test/") == basic("you", "yours")
    assert authorization_of(auth, "http://c.test/") is None
    assert authorization_of(auth, "http://sub.a.test/") is None


ascii_only = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the netrc module of Python 3.10 reads ASCII words only"
)


@ascii_only
@pytest.mark.parametrize("machine", ["münchen.test", "MÜNCHEN.test", "xn--mnchen-3ya.test"])
@pytest.mark.parametrize("host", ["münchen.test", "xn--MNCHEN-3ya.test"])
def test_netrc_machine_with_non_ascii_characters_matches_its_host(netrc, machine, host):
    auth = NetrcAuth(netrc(f"machine {machine} login me password pw\n"))
    assert authorization_of(auth, f"http://{host}/") == basic("me", "pw")
    assert authorization_of(auth, "http://other.test/") is None


@ascii_only
def test_netrc_machine_that_is_no_host_name_is_not_an_error(netrc):
    logins = "machine a\u2024b login x password x\nmachine c.test login me password pw\n"
    auth = NetrcAuth(netrc(logins))
    assert authorization_of(auth, "http://a.b/") is None
    assert authorization_of(auth, "http://c.test/") == basic("me", "pw")


def test_netrc_default_is_for_all_other_hosts(netrc):
    auth = NetrcAuth(netrc(LOGINS + "default login anyone password guest\n"))
    assert authorization_of(auth, "http://a.test/") == basic("me", "s3cret")
    assert authorization_of(auth, "http://c.test/") == basic("anyone", "guest")


def test_W22_netrc_is_read_once(netrc):
    path = netrc(LOGINS)
    auth = NetrcAuth(path)
    path.write_text("machine a.test login new password new\n")
    assert authorization_of(auth) == basic("new", "new"), "it is read at the first request"
    path.write_text("machine a.test login newer password newer\n")
    assert authorization_of(auth) == basic("new", "new")


def test_netrc_file_is_that_of_the_environment_or_of_the_home_directory(
    netrc, tmp_path, monkeypatch
):
    monkeypatch.setenv("NETRC", str(netrc(LOGINS)))
    assert authorization_of(NetrcAuth()) == basic("me", "s3cret")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine a.test login home password home\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    assert authorization_of(NetrcAuth()) == basic("me", "s3cret")
    assert authorization_of(NetrcAuth("~/.netrc")) == basic("home", "home")
    monkeypatch.setenv("NETRC", "")
    assert authorization_of(NetrcAuth()) == basic("home", "home")


def test_missing_netrc_has_no_logins(tmp_path, monkeypatch):
    assert authorization_of(NetrcAuth(tmp_path / "missing")) is None
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert authorization_of(NetrcAuth()) is None


def test_netrc_in_the_home_directory_that_others_may_read_raises(tmp_path, monkeypatch):
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(LOGINS)
    (tmp_path / ".netrc").chmod(0o644)
    with pytest.raises(RequestError, match=r"~/\.netrc: .*owner|nobody else may read it"):
        authorization_of(NetrcAuth())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("machine a.test login me s3cret\n", r"logins: line \d, or the entry that ends there"),
        ("s3cret machine a.test\n", "logins: line 1, or the entry that ends there"),
        ("machine a.test\nlogin me\npasword s3cret\n", r"logins: line \d"),
    ],
)
def test_invalid_netrc_raises_with_file_and_line_and_no_secret(text, fault, netrc, client):
    with pytest.raises(RequestError, match=fault) as caught:
        client.get("http://127.0.0.1:9/x", auth=NetrcAuth(netrc(text)))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert str(caught.value).startswith("GET http://127.0.0.1:9/x: ")


def test_unreadable_netrc_raises_with_the_reason(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: Is a directory"):
        authorization_of(NetrcAuth(tmp_path))
    (tmp_path / "latin").write_bytes(b"machine a.test login me password \xff\xfe\n")
    if locale.getpreferredencoding(False).lower() == "utf-8":
        with pytest.raises(RequestError, match="latin must be text in UTF-8"):
            authorization_of(NetrcAuth(tmp_path / "latin"))


def test_netrc_login_is_checked_like_basic(netrc):
    with pytest.raises(RequestError, match="user name must not contain a colon"):
        authorization_of(NetrcAuth(netrc("machine a.test login a:b password s3cret\n")))


# On the wire: which server gets them


OK = response(b"there")


def moved_to(url: str) -> bytes:
    return response(b"", f"Location: {url}", status="302 Found")


def test_R17_user_info_is_decoded_and_sent_as_basic(client):
    with ScriptedServer.serving(OK) as server:
        got = client.get(server.url("/x?q").replace("://", "://us%40er:p%3Aw@"))
        client.get(server.url().replace("://", "://j%C3%A4s%C3%B8n:@"))
        client.get(server.url().replace("://", "://alone@"))
    first, second, third = server.requests
    assert first.startswith(b"GET /x?q HTTP/1.1\r\n")
    assert field(first, "host") == f"{server.host}:{server.port}"
    assert field(first, "authorization") == basic("us@er", "p:w")
    assert field(second, "authorization") == basic("jäsøn", "")
    assert field(third, "authorization") == basic("alone", "")
    assert str(got.final_url) == server.url("/x?q")


def test_R17_user_info_is_not_sent_to_another_host(client):
    with (
        ScriptedServer.serving(OK) as other,
        ScriptedServer.serving(moved_to(other.url())) as server,
    ):
        got = client.get(server.url().replace("://", "://us%40er:p%3Aw@"))
    assert got.body == b"there"
    assert field(server.request, "authorization") == basic("us@er", "p:w")
    assert field(other.request, "authorization") is None
    assert b"us%40er" not in other.request


def set_name(request):
    request.headers["X-Name"] = "me"


@pytest.mark.parametrize(
    ("auth", "name"),
    [
        ((USER, PASSWORD), "authorization"),
        (BearerAuth("token"), "authorization"),
        (MinimalAuth(), "x-name"),
        (set_name, "x-name"),
    ],
    ids=["basic", "bearer", "subclass", "function"],
)
def test_C01_redirect_keeps_credentials_within_the_origin_only(auth, name, client):
    with ScriptedServer.serving(OK) as other:
        responses = moved_to("/second"), moved_to(other.url())
        with ScriptedServer.serving(*responses) as server:
            client.get(server.url(), auth=auth)
    assert all(field(request, name) for request in server.requests)
    assert len(server.requests) == 2
    assert field(other.request, name) is None


def test_C02_netrc_is_used_only_if_it_is_given(netrc, monkeypatch):
    monkeypatch.setenv("NETRC", str(netrc("machine 127.0.0.1 login me password s3cret\n")))
    with ScriptedServer.serving(OK) as server:
        restkit.get(server.url())
        with Client(timeout=20) as client:
            client.get(server.url())
            client.get(server.url(), auth="netrc")
        with Client(timeout=20, auth="netrc") as client:
            client.get(server.url())
            client.get(server.url(), auth=None)
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == [None, None, basic("me", "s3cret"), basic("me", "s3cret"), None]


def test_C02_explicit_credentials_override_netrc(netrc):
    auth = NetrcAuth(netrc("machine 127.0.0.1 login me password s3cret\n"))
    with ScriptedServer.serving(OK) as server, Client(timeout=20, auth=auth) as client:
        with_user = server.url().replace("://", "://you:yours@")
        client.get(server.url(), headers={"authorization": "Mine"})
        client.get(server.url(), headers={"Authorization": None})
        client.get(server.url(), auth=("you", "yours"))
        client.get(with_user)
        client.get(with_user, auth=auth)
    yours = basic("you", "yours")
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == ["Mine", None, yours, yours, yours]


def test_netrc_is_used_again_for_the_host_of_a_redirect(netrc):
    logins = "machine a.test login at-a password a\nmachine b.test login at-b password b\n"
    auth = NetrcAuth(netrc(logins))
    addresses = dict.fromkeys(("a.test", "b.test", "c.test"), "127.0.0.1")

    def respond(peer):
        while request := peer.next_request():
            following = {"a.test": "b.test", "b.test": "c.test"}.get(host_of(request))
            peer.send(moved_to(f"http://{following}:{server.port}/") if following else OK)

    with ScriptedServer(respond) as server, Client(auth=auth, resolve=addresses) as client:
        client.get(f"http://a.test:{server.port}/")
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == [basic("at-a", "a"), basic("at-b", "b"), None]


def test_C02_netrc_default_is_not_used_after_a_redirect(netrc):
    logins = "machine b.test login at-b password b\ndefault login anyone password guest\n"
    auth = NetrcAuth(netrc(logins))
    addresses = dict.fromkeys(("a.test", "b.test", "c.test"), "127.0.0.1")

    def respond(peer):
        while request := peer.next_request():
            following = {"a.test": "b.test", "b.test": "c.test"}.get(host_of(request))
            peer.send(moved_to(f"http://{following}:{server.port}/") if following else OK)

    with ScriptedServer(respond) as server, Client(auth=auth, resolve=addresses) as client:
        client.get(f"http://a.test:{server.port}/")
        client.get(f"http://c.test:{server.port}/")
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == [basic("anyone", "guest"), basic("at-b", "b"), None, basic("anyone", "guest")]


def test_netrc_ignores_user_info_in_a_location(netrc):
    auth = NetrcAuth(netrc(LOGINS))

    def respond(peer):
        while request := peer.next_request():
            there = f"http://evil:pw@127.0.0.1:{server.port}/b"
            peer.send(OK if b" /b " in request else moved_to(there))

    with ScriptedServer(respond) as server, Client(auth=auth) as client:
        client.get(server.url("/a"))
    assert [field(request, "authorization") for request in server.requests] == [None, None]


def host_of(request: bytes) -> str:
    return (field(request, "host") or "").partition(":")[0]


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_authorization_header_of_the_call_overrides_auth(name, client):
    with ScriptedServer.serving(response(b"", status="401 Unauthorized")) as server:
        client.get(server.url(), headers={name: "Mine own"}, auth=(USER, PASSWORD))
        client.get(server.url(), headers={name: "Mine own"}, auth=DigestAuth(USER, PASSWORD))
    assert [field(request, "authorization") for request in server.requests] == ["Mine own"] * 2


def test_401_without_a_supported_challenge_is_the_response(client):
    challenge = response(b"no", 'WWW-Authenticate: Basic realm="r"', status="401 Unauthorized")
    with ScriptedServer.serving(challenge) as server:
        for auth in (
            (USER, PASSWORD),
            BearerAuth("token"),
            DigestAuth(USER, PASSWORD),
            MinimalAuth(),
        ):
            got = client.get(server.url(), auth=auth)
            assert (got.status, got.body, got.history) == (401, b"no", ())
    assert len(server.requests) == 4


def test_auth_of_a_call_overrides_the_authorization_header_of_the_client():
    with ScriptedServer.serving(response(b"")) as server:
        with Client(headers={"Authorization": "Bearer of the client"}) as client:
            client.get(server.url())
            client.get(server.url(), auth=("a", "b"))
            client.get(server.url().replace("//", "//a:b@"))
            client.get(
                server.url(), headers={"Authorization": "Bearer of the call"}, auth=("a", "b")
            )
        found = [field(request, "authorization") for request in server.requests]
    assert found == ["Bearer of the client", "Basic YTpi", "Basic YTpi", "Bearer of the call"]


def test_auth_of_the_client_overrides_user_info():
    with ScriptedServer.serving(response(b"")) as server:
        with Client(auth=BearerAuth("chosen")) as client:
            client.get(server.url().replace("//", "//a:b@"))
        assert field(server.request, "authorization") == "Bearer chosen"
