"""Credentials: Basic, Bearer, functions and netrc, what ``auth=`` takes, and where they go."""

from __future__ import annotations

import copy
import functools
import locale
import pickle
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


def made(url="http://a.test/", headers=()):
    return Request("GET", parse_url(url), Headers(headers))


def sent_by(auth: Auth, url="http://a.test/") -> str | None:
    request = made(url)
    auth.authorize(request)
    return request.headers.get("Authorization")


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


# Basic and Bearer


@pytest.mark.parametrize(
    ("user", "password", "sent"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 2
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),  # RFC 7617 2.1
        ("", "", "Basic Og=="),
        ("us@er", "p:w", "Basic dXNAZXI6cDp3"),
    ],
)
def test_basic_is_both_in_utf_8(user, password, sent):
    assert sent_by(BasicAuth(user, password)) == sent


@pytest.mark.parametrize(
    ("user", "password", "fault"),
    [
        ("a:b", "p", "user name has a colon"),
        ("a\r\nX: y", "p", r"user name has U\+000D at 1"),
        ("a", "p\n", r"password has U\+000A at 1"),
        ("a", "p\0", r"password has U\+0000 at 1"),
        ("a", "p\ud800", r"password has U\+D800 at 1"),
        (b"a", "p", "user name is of type bytes; str"),
        ("a", None, "password is of type NoneType; str"),
    ],
)
def test_what_basic_cannot_say_is_refused_and_not_shown(user, password, fault):
    with pytest.raises(RequestError, match=fault) as caught:
        BasicAuth(user, password)
    assert caught.value.__cause__ is None
    if isinstance(password, str) and len(password) > 1:
        assert password not in str(caught.value)


def test_bearer_is_the_token():
    assert sent_by(BearerAuth("mF_9.B5f-4.1JqM")) == "Bearer mF_9.B5f-4.1JqM"


@pytest.mark.parametrize("token", ["", "a b", "token\n", "tok\r\nX: y", "é", b"token", None])
def test_what_is_no_token_is_refused_and_not_shown(token):
    with pytest.raises(RequestError, match="the token ") as caught:
        BearerAuth(token)
    assert "tok\r" not in str(caught.value)


class Named(Auth):
    """The least that one of a user's own needs."""

    def authorize(self, request):
        request.headers["X-Name"] = "me"


def test_no_secret_is_in_a_repr_and_equal_ones_are_equal():
    secrets = ["us@er", "s3cret", basic(USER, PASSWORD)]
    for kind, given, other in [
        (BasicAuth, (USER, PASSWORD), (USER, "other")),
        (BearerAuth, ("s3cret",), ("other",)),
        (DigestAuth, (USER, PASSWORD), (USER, "other")),
        (CallableAuth, (functools.partial(print, "s3cret"),), (len,)),
        (NetrcAuth, ("/no/such/file",), ()),
    ]:
        one, same = kind(*given), kind(*given)
        assert (one == same, hash(one) == hash(same), one != kind(*other)) == (True,) * 3, kind
        assert one != given
        assert one != Named()
        shown = repr(one) + str(Settings(auth=one))
        assert not any(secret in shown for secret in secrets), shown


def test_a_request_that_bears_credentials_shows_and_pickles_none():
    request = made(f"http://us%40er:{PASSWORD}@a.test/")
    BasicAuth(USER, PASSWORD).authorize(request)
    for shown in (
        repr(request),
        repr(request.headers),
        str(pickle.dumps(request)),
        repr(request.url),
    ):
        assert basic(USER, PASSWORD) not in shown
        assert PASSWORD not in shown


# What auth= takes


def test_auth_takes_what_it_names():
    assert as_auth(None) is None
    assert as_auth(("user", "pass")) == as_auth(["user", "pass"]) == BasicAuth("user", "pass")
    mine = Named()
    assert as_auth(mine) is mine
    assert as_auth("netrc") == NetrcAuth()
    assert as_auth(len) == CallableAuth(len)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("s3cret", "was given a text"),
        (("user",), "1 values"),
        (("user", "s3cret", "x"), "3 values"),
        (BasicAuth, "the class BasicAuth"),
        (1, "was given int"),
        ({"user": "s3cret"}, "was given dict"),
        (("user", 1), "password is of type int"),
    ],
)
def test_anything_else_is_refused_without_being_shown(value, fault, client):
    with pytest.raises(RequestError, match=fault) as caught:
        client.get("http://127.0.0.1:9/", auth=value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.sent == "nothing"


# A function


def test_a_function_changes_the_request_of_each_try():
    seen = []

    def sign(request):
        seen.append(request.headers.get("X-Try"))
        request.headers["X-Try"] = str(len(seen))
        return request

    moved = response(b"", "Location: /there", status="307 Moved")
    with ScriptedServer.serving(moved, response(b"there")) as server, Client(timeout=20) as client:
        client.post(server.url(), b"payload", auth=sign)
    assert seen == [None, None], "each try is a fresh copy"
    assert [field(request, "x-try") for request in server.requests] == ["1", "2"]


def test_a_function_may_return_nothing_else_than_the_request(client):
    with pytest.raises(
        TypeError, match="returned an object of type str; it is to change"
    ) as caught:
        client.get("http://127.0.0.1:9/", auth=lambda request: "Bearer s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(TypeError, match="returned an object of type Request"):
        CallableAuth(copy.copy).authorize(made())


def test_what_a_function_raises_reaches_the_caller_as_it_is(client):
    def fails(request):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.get("http://127.0.0.1:9/", auth=fails)


# netrc


@pytest.fixture
def netrc(tmp_path):
    """Writes a netrc file; returns its path."""

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


def test_netrc_gives_a_host_its_login_and_others_none(netrc):
    auth = NetrcAuth(netrc(LOGINS))
    assert sent_by(auth, "http://a.test:81/x") == basic("me", "s3cret")
    assert sent_by(auth, "https://a.test/") == basic("me", "s3cret")
    assert sent_by(auth, "http://b.test/") == basic("you", "yours")
    assert sent_by(auth, "http://c.test/") is None
    assert sent_by(auth, "http://sub.a.test/") is None


def test_netrc_has_its_default_for_all_the_others(netrc):
    auth = NetrcAuth(netrc(LOGINS + "default login anyone password guest\n"))
    assert sent_by(auth, "http://a.test/") == basic("me", "s3cret")
    assert sent_by(auth, "http://c.test/") == basic("anyone", "guest")


def test_W22_netrc_is_read_once(netrc):
    path = netrc(LOGINS)
    auth = NetrcAuth(path)
    path.write_text("machine a.test login new password new\n")
    assert sent_by(auth) == basic("new", "new"), "not before it is needed"
    path.write_text("machine a.test login newer password newer\n")
    assert sent_by(auth) == basic("new", "new")


def test_netrc_is_the_file_that_the_environment_names_or_the_one_at_home(
    netrc, tmp_path, monkeypatch
):
    monkeypatch.setenv("NETRC", str(netrc(LOGINS)))
    assert sent_by(NetrcAuth()) == basic("me", "s3cret")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine a.test login home password home\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    assert sent_by(NetrcAuth()) == basic("me", "s3cret")
    assert sent_by(NetrcAuth("~/.netrc")) == basic("home", "home")
    monkeypatch.setenv("NETRC", "")
    assert sent_by(NetrcAuth()) == basic("home", "home")


def test_a_netrc_that_is_missing_has_no_logins(tmp_path, monkeypatch):
    assert sent_by(NetrcAuth(tmp_path / "missing")) is None
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sent_by(NetrcAuth()) is None


def test_a_netrc_at_home_that_others_may_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(LOGINS)
    (tmp_path / ".netrc").chmod(0o644)
    with pytest.raises(RequestError, match=r"~/\.netrc: .*owner|nobody else may read it"):
        sent_by(NetrcAuth())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("machine a.test login me s3cret\n", r"logins: line \d, or the entry that ends there"),
        ("s3cret machine a.test\n", "logins: line 1, or the entry that ends there"),
        ("machine a.test\nlogin me\npasword s3cret\n", r"logins: line \d"),
    ],
)
def test_a_netrc_that_is_not_understood_names_file_and_line_and_no_secret(
    text, fault, netrc, client
):
    with pytest.raises(RequestError, match=fault) as caught:
        client.get("http://127.0.0.1:9/x", auth=NetrcAuth(netrc(text)))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert str(caught.value).startswith("GET http://127.0.0.1:9/x: ")


def test_a_netrc_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: Is a directory"):
        sent_by(NetrcAuth(tmp_path))
    (tmp_path / "latin").write_bytes(b"machine a.test login me password \xff\xfe\n")
    if locale.getpreferredencoding(False).lower() == "utf-8":
        with pytest.raises(RequestError, match="latin is no text in UTF-8"):
            sent_by(NetrcAuth(tmp_path / "latin"))


def test_a_netrc_with_an_odd_login_is_refused_as_any_other(netrc):
    with pytest.raises(RequestError, match="user name has a colon"):
        sent_by(NetrcAuth(netrc("machine a.test login a:b password s3cret\n")))


# On the wire: who gets them


OK = response(b"there")


def moved_to(url: str) -> bytes:
    return response(b"", f"Location: {url}", status="302 Found")


def test_R17_user_info_is_sent_as_basic_percent_decoded_and_not_in_the_url(client):
    with ScriptedServer.serving(OK) as server:
        answer = client.get(server.url("/x?q").replace("://", "://us%40er:p%3Aw@"))
        client.get(server.url().replace("://", "://j%C3%A4s%C3%B8n:@"))
        client.get(server.url().replace("://", "://alone@"))
    first, second, third = server.requests
    assert first.startswith(b"GET /x?q HTTP/1.1\r\n")
    assert field(first, "host") == f"{server.host}:{server.port}"
    assert field(first, "authorization") == basic("us@er", "p:w")
    assert field(second, "authorization") == basic("jäsøn", "")
    assert field(third, "authorization") == basic("alone", "")
    assert str(answer.final_url) == server.url("/x?q")


def test_R17_user_info_is_not_sent_to_another_host(client):
    with (
        ScriptedServer.serving(OK) as other,
        ScriptedServer.serving(moved_to(other.url())) as server,
    ):
        answer = client.get(server.url().replace("://", "://us%40er:p%3Aw@"))
    assert answer.body == b"there"
    assert field(server.request, "authorization") == basic("us@er", "p:w")
    assert field(other.request, "authorization") is None
    assert b"us%40er" not in other.request


def put(request):
    request.headers["X-Name"] = "me"


@pytest.mark.parametrize(
    ("auth", "name"),
    [
        ((USER, PASSWORD), "authorization"),
        (BearerAuth("token"), "authorization"),
        (Named(), "x-name"),
        (put, "x-name"),
    ],
    ids=["basic", "bearer", "of one's own", "a function"],
)
def test_C01_credentials_go_along_within_an_origin_and_stay_behind_it(auth, name, client):
    with ScriptedServer.serving(OK) as other:
        answers = moved_to("/second"), moved_to(other.url())
        with ScriptedServer.serving(*answers) as server:
            client.get(server.url(), auth=auth)
    assert all(field(request, name) for request in server.requests)
    assert len(server.requests) == 2
    assert field(other.request, name) is None


def test_C02_netrc_is_used_only_when_asked_for(netrc, monkeypatch):
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


def test_C02_netrc_is_never_used_over_explicit_credentials(netrc):
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


def test_netrc_is_asked_again_for_the_host_that_a_redirect_leads_to(netrc):
    logins = "machine a.test login at-a password a\nmachine b.test login at-b password b\n"
    auth = NetrcAuth(netrc(logins))
    places = dict.fromkeys(("a.test", "b.test", "c.test"), "127.0.0.1")

    def answer(peer):
        while request := peer.next_request():
            following = {"a.test": "b.test", "b.test": "c.test"}.get(host_of(request))
            peer.send(moved_to(f"http://{following}:{server.port}/") if following else OK)

    with ScriptedServer(answer) as server, Client(auth=auth, resolve=places) as client:
        client.get(f"http://a.test:{server.port}/")
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == [basic("at-a", "a"), basic("at-b", "b"), None]


def test_C02_the_default_of_netrc_is_not_used_where_a_redirect_leads_to(netrc):
    logins = "machine b.test login at-b password b\ndefault login anyone password guest\n"
    auth = NetrcAuth(netrc(logins))
    places = dict.fromkeys(("a.test", "b.test", "c.test"), "127.0.0.1")

    def answer(peer):
        while request := peer.next_request():
            following = {"a.test": "b.test", "b.test": "c.test"}.get(host_of(request))
            peer.send(moved_to(f"http://{following}:{server.port}/") if following else OK)

    with ScriptedServer(answer) as server, Client(auth=auth, resolve=places) as client:
        client.get(f"http://a.test:{server.port}/")
        client.get(f"http://c.test:{server.port}/")
    sent = [field(request, "authorization") for request in server.requests]
    assert sent == [basic("anyone", "guest"), basic("at-b", "b"), None, basic("anyone", "guest")]


def test_user_info_of_a_location_is_nobody_to_netrc(netrc):
    auth = NetrcAuth(netrc(LOGINS))

    def answer(peer):
        while request := peer.next_request():
            there = f"http://evil:pw@127.0.0.1:{server.port}/b"
            peer.send(OK if b" /b " in request else moved_to(there))

    with ScriptedServer(answer) as server, Client(auth=auth) as client:
        client.get(server.url("/a"))
    assert [field(request, "authorization") for request in server.requests] == [None, None]


def host_of(request: bytes) -> str:
    return (field(request, "host") or "").partition(":")[0]


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_a_header_of_the_callers_goes_before_auth(name, client):
    with ScriptedServer.serving(response(b"", status="401 Unauthorized")) as server:
        client.get(server.url(), headers={name: "Mine own"}, auth=(USER, PASSWORD))
        client.get(server.url(), headers={name: "Mine own"}, auth=DigestAuth(USER, PASSWORD))
    assert [field(request, "authorization") for request in server.requests] == ["Mine own"] * 2


def test_a_401_without_a_challenge_that_is_answered_is_an_answer(client):
    challenge = response(b"no", 'WWW-Authenticate: Basic realm="r"', status="401 Unauthorized")
    with ScriptedServer.serving(challenge) as server:
        for auth in ((USER, PASSWORD), BearerAuth("token"), DigestAuth(USER, PASSWORD), Named()):
            answer = client.get(server.url(), auth=auth)
            assert (answer.status, answer.body, answer.history) == (401, b"no", ())
    assert len(server.requests) == 4


def test_who_a_call_says_it_is_goes_over_an_authorization_of_its_clients_defaults():
    with ScriptedServer.serving(response(b"")) as server:
        with Client(headers={"Authorization": "Bearer of the client"}) as client:
            client.get(server.url())
            client.get(server.url(), auth=("a", "b"))
            client.get(server.url().replace("//", "//a:b@"))
            client.get(server.url(), None, {"Authorization": "Bearer of the call"}, auth=("a", "b"))
        found = [field(request, "authorization") for request in server.requests]
    assert found == ["Bearer of the client", "Basic YTpi", "Basic YTpi", "Bearer of the call"]


def test_user_info_does_not_take_the_place_of_credentials_that_were_chosen():
    with ScriptedServer.serving(response(b"")) as server:
        with Client(auth=BearerAuth("chosen")) as client:
            client.get(server.url().replace("//", "//a:b@"))
        assert field(server.request, "authorization") == "Bearer chosen"
