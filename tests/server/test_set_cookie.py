"""response.set_cookie: safe by default, and never a cookie that a browser reads differently."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

import restkit
from restkit.server import App, serve
from restkit.server.response import Response, redirect, stream, text
from support.caller import Caller, get
from support.messages import fields_of


def cookie(name: str = "id", value: str = "1", **options: object) -> str:
    response = Response()
    response.set_cookie(name, value, **options)
    return response.headers["Set-Cookie"]


NO_TIME_ZONE = datetime(2030, 1, 2, 3, 4, 5)  # noqa: DTZ001
IN_PARIS = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "id=1; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"secure": False}, "id=1; Path=/; HttpOnly; SameSite=Lax"),
        ({"httponly": False}, "id=1; Path=/; Secure; SameSite=Lax"),
        ({"samesite": None}, "id=1; Path=/; Secure; HttpOnly"),
        ({"samesite": "strict"}, "id=1; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ({"samesite": "None"}, "id=1; Path=/; Secure; HttpOnly; SameSite=None"),
        ({"path": "/a b/u"}, "id=1; Path=/a b/u; Secure; HttpOnly; SameSite=Lax"),
        ({"path": None}, "id=1; Secure; HttpOnly; SameSite=Lax"),
        ({"domain": "a.B"}, "id=1; Domain=a.B; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"max_age": 60}, "id=1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"max_age": 0}, "id=1; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            {"expires": IN_PARIS},
            "id=1; Expires=Wed, 02 Jan 2030 02:04:05 GMT; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
        ({"value": ""}, "id=; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"value": "a=b!#$%&'()*+-./:<=>?@[]^_`{|}~"}, None),
        ({"name": "__Host-id"}, "__Host-id=1; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            {"name": "__Secure-id", "domain": "a.b", "path": "/x"},
            "__Secure-id=1; Domain=a.b; Path=/x; Secure; HttpOnly; SameSite=Lax",
        ),
    ],
)
def test_cookie_has_its_attributes(options, expected):
    if expected is None:
        expected = f"id={options['value']}; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert cookie(**options) == expected


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        *(
            ({"name": name}, ValueError, "^the name of a cookie must have only letters, digits")
            for name in ("", "a b", "a=b", "a;b", "a,b", "ä", "a\r\nb", "a\0", '"a"', "a[b]")
        ),
        *(
            ({"value": value}, ValueError, "^the value of the cookie id must have only printable")
            for value in ("a b", "a;b", "a,b", 'a"b', "a\\b", "ä", "a\r\nSet-Cookie: x=y", "\x7f")
        ),
        ({"name": b"a"}, TypeError, "^the name of a cookie must be a str; got bytes"),
        ({"value": 1}, TypeError, "^the value of the cookie id must be a str; got int"),
        ({"value": "x" * 4095}, ValueError, "^the cookie id has 4097 bytes; browsers drop"),
        *(
            ({"path": path}, ValueError, "^path must begin with / and have no semicolon")
            for path in ("", "a", "/a;b", "/a\n", "/ä")
        ),
        *(
            ({"domain": domain}, ValueError, "^domain must be a host name in ASCII")
            for domain in ("", ".a.b", "a b", "a;b", "ä.de", "a.b.", "a:80", "-a")
        ),
        ({"max_age": 1.5}, TypeError, "^max_age must be an int, of seconds; got 1.5"),
        ({"max_age": True}, TypeError, "^max_age must be an int, of seconds; got True"),
        ({"max_age": timedelta(1)}, TypeError, "^max_age must be an int"),
        ({"expires": NO_TIME_ZONE}, ValueError, "^expires must have a time zone"),
        ({"expires": 3600}, TypeError, "^expires must be a datetime; got 3600; for seconds use"),
        ({"samesite": "loose"}, ValueError, "^samesite must be 'Strict', 'Lax', 'None' or None"),
        ({"samesite": True}, ValueError, "^samesite must be"),
        ({"samesite": "None", "secure": False}, ValueError, "^samesite='None' needs secure=True"),
        (
            {"name": "__Host-a", "path": "/x"},
            ValueError,
            "needs secure=True, path='/' and no domai",
        ),
        ({"name": "__host-a", "domain": "a.b"}, ValueError, "needs secure=True, path='/' and no d"),
        ({"name": "__HOST-a", "secure": False}, ValueError, "needs secure=True, path='/' and no d"),
        ({"name": "__secure-a", "secure": False}, ValueError, "needs secure=True .__Secure-"),
    ],
)
def test_invalid_cookie_is_an_error(options, kind, message):
    with pytest.raises(kind, match=message):
        cookie(**options)


def test_error_does_not_show_the_value():
    with pytest.raises(ValueError, match="the value of the cookie id") as caught:
        cookie(value="secret; Path=/")
    assert "secret" not in str(caught.value)


def test_cookies_of_every_kind_of_response_are_sent_in_their_own_fields():
    app = App()
    makers = {
        "/text": lambda: text("x"),
        "/stream": lambda: stream(["x"]),
        "/redirect": lambda: redirect("/text"),
    }

    @app.get("/<name>")
    def answer(request, name):
        response = makers[request.path]()
        response.set_cookie("a", "1", secure=False)
        response.set_cookie("b", "2", secure=False)
        return response

    with serve(app) as server, Caller(server.port) as caller:
        for path in makers:
            caller.send(get(path))
            head = caller.read_head()
            caller.read_body(head)
            assert [value for name, value in fields_of(head) if name == "set-cookie"] == [
                "a=1; Path=/; HttpOnly; SameSite=Lax",
                "b=2; Path=/; HttpOnly; SameSite=Lax",
            ]


def test_cookie_comes_back_and_is_deleted():
    app = App()

    @app.get("/set")
    def set_it(request):
        response = text("")
        response.set_cookie("id", "a=b", secure=False, path="/deep")
        return response

    @app.get("/deep/show")
    def show(request):
        return text(request.cookies.get("id"), status=200 if request.cookies else 404)

    @app.get("/delete")
    def delete_it(request):
        response = text("")
        response.delete_cookie("id", secure=False, path="/deep")
        return response

    with serve(app) as server, restkit.Client(base_url=server.url) as client:
        client.get("/set")
        assert client.get("/deep/show").text == "a=b"
        deleted = client.get("/delete").headers["Set-Cookie"]
        assert client.cookies.get("id") is None
    assert deleted == (
        "id=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/deep; HttpOnly; SameSite=Lax"
    )
