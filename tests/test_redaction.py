"""Secrets in URLs, headers and text: which are hidden, also nested and encoded."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import restkit
from restkit import Client, Headers, parse_url
from restkit.redaction import (
    is_secret,
    redact_fields,
    redact_header,
    redact_text,
    redact_url,
)
from support import refusing

pytestmark = pytest.mark.lowest

# redact_header


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer hush", "Bearer ***"),
        ("authorization", "hush", "***"),
        ("Authorization", "hush hush", "***"),
        ("Authorization", 'Digest username="hush", nonce="n"', "Digest ***"),
        ("Proxy-Authorization", "basic hush", "basic ***"),
        ("Cookie", "a=hush; b=hush", "***"),
        ("Set-Cookie", "a=hush; Path=/", "***"),
        ("X-Api-Key", "hush", "***"),
        ("X-Auth-Token", "hush", "***"),
        ("X-Amz-Security-Token", "hush", "***"),
        ("Location", "http://me:hush@h/?a=1&token=hush#x", "http://***@h/?a=1&token=***#x"),
        ("Location", "/cb#access_token=hush&a=1", "/cb#access_token=***&a=1"),
        ("Link", '<http://h/?code=hush>; rel="next"', '<http://h/?code=***>; rel="next"'),
        ("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
        ("Content-Disposition", 'attachment; filename="a@b"', 'attachment; filename="a@b"'),
        ("From", "me@example.org", "me@example.org"),
        ("X-Custom", "a, secret=hush, b=2", "a, secret=***, b=2"),
        ("X-Custom", 'password="hu sh, hush" x', 'password="***" x'),
    ],
)
def test_secrets_of_a_header_are_hidden(name, value, shown):
    assert redact_header(name, value) == shown


# redact_url


SECRET = """
    token access_token refresh_token id_token auth_token authToken csrf-token X-Amz-Security-Token
    secret client_secret clientSecret password passwd pwd user_pass pass passphrase
    key apikey api_key api-key apiKey APIKEY access_key AWSAccessKeyId subscription-key
    subscriptionKey private_key signature X-Amz-Signature X-Goog-Signature sig sign
    X-Amz-Credential credential auth authorization oauth_signature oauth_token oauth_verifier
    code auth_code_verifier code_verifier session session_id sessionid jsessionid PHPSESSID sid jwt
    hmac otp pin bearer ticket client_assertion
    DPoP X-DPoP-Proof passcode X-Passcode passkey pw X-PW user_pw psw psk wifi-psk SAMLResponse
    samlRequest totp mfa mfaToken cred creds X-Creds masterkey licensekey licencekey clientkey
    sharedkey encryptionkey pass1 verification_code verificationCode verificationcode mfa_code
    one-time-code X-Admin-Code backup_codes tok assertion data%5Btoken%5D api%5Fkey TOKEN
""".split()
PLAIN = """
    q query page per_page limit offset sort order author authors keyword keywords keys monkey
    country_code countryCode X-Error-Code postal-code codes status_codes encode decoder
    country_codes psalm laptop zipcode status_code postcode lang passenger compass assignee
    design designer signal spin pinned sidebar inside lesson since until startkey endkey
    include_docs rev X-Amz-Date X-Amz-Expires X-Amz-Algorithm response_type redirect_uri scope
    state grant_type client_id version v callback format fields filter id name user email lat
    lon basic
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


# Nested and encoded


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/?next=http://x/?token=hush", "http://h/?next=http://x/?token=***"),
        (
            "http://h/?next=http%3A%2F%2Fx%2F%3Ftoken%3Dhush%26a%3D1&b=2",
            "http://h/?next=http%3A%2F%2Fx%2F%3Ftoken%3D***%26a%3D1&b=2",
        ),
        ("/?a=%252Fb%253Ftoken%253Dhush", "/?a=%252Fb%253Ftoken%253D***"),
        ("http://h/?u=http://me:hush@x/", "http://h/?u=http://***@x/"),
        ("http://h/?u=http%3A%2F%2Fme%3Ahush%40x%2F", "http://h/?u=http%3A%2F%2F***%40x%2F"),
        ("/?u=//me@corp:pa/hush@x/", "/?u=//***@x/"),
        ("/?u=me:pa/hush@x/", "/?u=***@x/"),
        ("/?d=%7B%22token%22%3A%22a%20hush%22%7D", "/?d=%7B%22token%22%3A%22***%22%7D"),
        ("/?d=%22creds%22%3A%7B%22a%22%3A%5B%22hush%22%5D%7D,1", "/?d=%22creds%22%3A***%2C1"),
        ("/?token%3Dhush", "/?token%3D***"),
        ("/?a=token:hush,hush", "/?a=token:***"),
        ("/x;token=hush/y", "/x;token=***"),
        ("/x;jsessionid=hush?a=1", "/x;jsessionid=***?a=1"),
        ("http://me:hush@h/?a=1", "http://***@h/?a=1"),
        ("/?a=" + quote("%" * 20, safe="") + "1", "/?a=" + "%25" * 20 + "1"),
        ("/?a=" + "%25" * 9 + "2525252525252525" + "3Dhush", "/?a=***"),
    ],
)
def test_nested_and_encoded_secret_of_a_url_is_hidden(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "/?time=12:30&mail=me@example.org",
        "/?next=http%3A%2F%2Fx%3A80%2F@vite%2Fclient%3Fpage%3D2",
        "/?next=http://x:8080/@scope/package",
        "http://h/npm/@scope/package?a=1",
        "/?mail=mailto:me@example.org",
        "/?q=%E4%BD%A0%20%ff%zz%",
        "/?filter=%7B%22page%22%3A2%7D&token=",
    ],
)
def test_url_without_secrets_in_its_values_is_unchanged(url):
    assert redact_url(url) == url


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Refresh", "0;url=http://h/?token=hush", "0;url=http://h/?token=***"),
        ("Location", "/login?return=/a?sid=hush", "/login?return=/a?sid=***"),
        ("Location", "http:\\\\me:hush@h/", "http:\\\\***@h/"),
        ("Location", "http://me:pa/hush@h/", "http://***@h/"),
        ("Location", "http://me:pa?hu#sh@h/", "http://***@h/"),
        ("Location", "/?token=a, hush", "/?token=***"),
        ("X-Debug", '{"access_token":"hush"}', '{"access_token":"***"}'),
        ("X-Debug", '{"pin": "hu, \\"sh", "page": 2}', '{"pin": "***", "page": 2}'),
        ("X-Debug", '"{\\"pin\\":\\"hu sh\\"}"', '"{\\"pin\\":\\"***\\"}"'),
        ("X-Debug", '{"creds": {"a": ["hush]"]}, "b": 1}', '{"creds": ***, "b": 1}'),
        ("X-Debug", "token: hush", "token: ***"),
        ("X-Debug", "token = hush, page = 2", "token = ***, page = 2"),
        ("X-Debug", "authorization: Token hush hush", "authorization: ***"),
        ("X-Debug", "auth: Bearer hush", "auth: ***"),
        ("X-Url", "/x?r=http%3A%2F%2Fh%2F%3Ftoken%3Dhush", "/x?r=http%3A%2F%2Fh%2F%3Ftoken%3D***"),
        ("X-Url", "a me:pa/hush@h b", "a ***@h b"),
        ("Link", "<mailto:me@example.org>; rel=author", "<mailto:me@example.org>; rel=author"),
        ("Date", "Tue, 01 Dec 2026 08:00:00 GMT", "Tue, 01 Dec 2026 08:00:00 GMT"),
        ("DPoP", "hush", "***"),
    ],
)
def test_nested_and_encoded_secret_of_a_header_is_hidden(name, value, shown):
    assert redact_header(name, value) == shown


def test_error_does_not_show_a_secret_in_a_nested_url():
    with refusing() as port, Client() as client:
        url = f"http://127.0.0.1:{port}/?next=http://x/?token=hush&u=http%3A%2F%2Fa%3Ahush%40b"
        with pytest.raises(restkit.ConnectError) as caught:
            client.get(url, max_tries=1)
        assert "?next=http://x/?token=***&u=http%3A%2F%2F***%40b: cannot" in str(caught.value)
        assert "hush" not in repr(caught.value.request)


def test_repr_of_headers_does_not_show_secrets_inside_a_value():
    headers = Headers({"Location": "http://me:hush@h/?token=hush", "X-Debug": '{"pin": "hush"}'})
    assert repr(headers) == (
        "Headers([('Location', 'http://***@h/?token=***'), ('X-Debug', '{\"pin\": \"***\"}')])"
    )


SECRET_FORMS = st.sampled_from(
    [
        "http://x/?token=hunter2",
        "http://x/?a=b&PassKey=hunter2&c=d",
        "/x;jsessionid=hunter2?a=1",
        "http://me:hunter2@x/",
        "http://me:pa/hunter2@x/",
        '{"a": 1, "client_secret": "hunter2"}',
        '{"creds": {"a": [1, "hunter2"]}}',
        "pin: hunter2",
    ]
)
WRAPPERS = st.lists(
    st.sampled_from(
        [
            lambda text: f"http://y/p?next={quote(text, safe='')}",
            lambda text: f"/p?a=1&next={quote_plus(text)}&b=2",
            lambda text: f"http://y/?next={quote(text)}",
            quote,
            lambda text: f"https://y/p?next={text}",
            lambda text: f"http://y/?data={quote(json.dumps({'page': 2, 'url': text}))}",
        ]
    ),
    max_size=5,
)


@given(SECRET_FORMS, WRAPPERS)
def test_redacted_url_never_contains_the_secret(text, wrappers):
    for wrap in wrappers:
        text = wrap(text)
    redacted = redact_url(f"http://h/?a=1&u={text}".partition("#")[0])
    assert "hunter2" not in redacted
    assert redacted.startswith("http://h/?a=1&u=")
    for name in ("Location", "Refresh", "X-Url"):
        assert "hunter2" not in redact_header(name, f"http://h/?u={text}")


FRAGMENTS = st.sampled_from(
    "token pin a b 80 x http *** Bearer\x20 = : & ; ? / // @ \" ' \\ { } [ ] , \x20 %22 %3D %26 %40"
    " %2F%2F %3A %25 %2520 %253D % # + < >".split(" ")
)


@given(st.lists(FRAGMENTS, max_size=14).map("".join))
@example("pin%22%3A{\n:(")
@example("'%2F%2F%40:pin{ =%3A%")
@example("&%3Dcookie=Bearer '%3A\n")
@example(";pin]=[%2520]// ;http}Bearer ")
@example("//pin:80/x,y@h")
def test_redacted_text_is_not_changed_again(text):
    for redact in (
        redact_url,
        redact_fields,
        lambda text: redact_header("Location", text),
        lambda text: redact_header("X-Url", text),
    ):
        assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "part",
    ['token="', "a=%3D", "%25", "//a:", "/", "a", "%", '{"token":["', "\\", "=a", "a:b@ ", ":"],
)
def test_text_of_a_megabyte_takes_linear_time(part):
    text = (part * 1_000_000)[:1_000_000]  # quadratic time would be hours
    for redacted in (
        redact_url(f"/?{text}@"),
        redact_fields(text),
        redact_header("Location", text),
        redact_text(text),
    ):
        assert len(redacted) <= len(text) * 3 + 9
    is_secret(text)
