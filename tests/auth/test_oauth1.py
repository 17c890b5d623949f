"""OAuth 1.0a: the test vector, what the signature covers, invalid options."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import unquote

import pytest

from restkit import Client, Headers, Request, RequestError, as_payload, parse_url
from restkit.auth.challenges import parse_challenges
from restkit.auth.oauth1 import OAuth1
from restkit.payload.base import Payload
from restkit.payload.values import BytesPayload, text_payload
from support import ScriptedServer, field, payload_of, response

pytestmark = pytest.mark.lowest

FORM = "application/x-www-form-urlencoded"
KEYS = ("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")
FIXED = {"nonce": "kllo9940pd9333jh", "timestamp": "1191242096"}
PHOTOS = "http://photos.example.net/photos"


def make_request(url, method="GET", payload=None, headers=()):
    fields = Headers(headers)
    return Request(method, parse_url(url), fields, payload)


def oauth_parameters(auth, *args, **kwargs) -> dict[str, str]:
    """Return the parameters of the Authorization of such a request."""
    request = make_request(*args, **kwargs)
    auth.authorize(request)
    (challenge,) = parse_challenges([request.headers["Authorization"]])
    assert challenge.scheme == "oauth"
    return {name: unquote(value) for name, value in challenge.parameters.items()}


def signature(*args, **kwargs) -> str:
    return oauth_parameters(OAuth1(*KEYS, **FIXED), *args, **kwargs)["oauth_signature"]


def test_R24_photos_vector():
    parameters = oauth_parameters(
        OAuth1(*KEYS, **FIXED), f"{PHOTOS}?file=vacation.jpg&size=original"
    )
    assert parameters == {
        "oauth_consumer_key": "dpf43f3p2l4k3l03",
        "oauth_token": "nnch734d00sl2jdk",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1191242096",
        "oauth_nonce": "kllo9940pd9333jh",
        "oauth_version": "1.0",
        "oauth_signature": "tR3+Ty81lMeYAr/Fid0kMTYa/WM=",
    }


def test_R24_signed_request_is_sent_with_its_payload_unchanged(client):
    auth = OAuth1(*KEYS, **FIXED)
    with ScriptedServer.serving(response(b"photo")) as server:
        url = f"{server.url('/photos')}?file=vacation.jpg&size=original"
        client.get(url, auth=auth)
        client.post(url, (chunk for chunk in [b"a", b"b"]), auth=auth)
    expected = oauth_parameters(auth, url)
    (sent,) = parse_challenges([field(server.requests[0], "authorization")])
    assert unquote(sent.parameters["oauth_signature"]) == expected["oauth_signature"]
    assert b"oauth" not in server.requests[0].split(b"\r\n")[0]
    assert payload_of(server.requests[1]) == b"ab"


FORM_BODY = b"file=vacation.jpg&size=original"


@pytest.mark.parametrize(
    "payload",
    [
        BytesPayload(FORM_BODY, (("Content-Type", FORM),)),
        text_payload(FORM_BODY.decode(), (("Content-Type", f"{FORM.title()} ; charset=utf-8"),)),
    ],
)
def test_form_in_memory_is_covered_like_the_same_query(payload):
    assert signature(PHOTOS, "POST", payload) == signature(f"{PHOTOS}?{FORM_BODY.decode()}", "POST")
    assert b"".join(payload) == FORM_BODY


def test_content_type_of_the_call_decides_about_a_form():
    headers = {"content-type": FORM}
    covered = signature(f"{PHOTOS}?{FORM_BODY.decode()}", "POST")
    assert signature(PHOTOS, "POST", as_payload(bytearray(FORM_BODY)), headers) == covered
    plain = BytesPayload(FORM_BODY, (("Content-Type", FORM),))
    assert signature(PHOTOS, "POST", plain, {"Content-Type": "text/plain"}) == signature(
        PHOTOS, "POST"
    )


class NeverRead(Payload):
    """A form that fails the test if it is read."""

    replayable = True
    headers = (("Content-Type", FORM),)

    def chunks(self):
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("method", "payload"),
    [
        ("POST", NeverRead()),
        ("POST", BytesPayload(b"a=b")),
        ("POST", BytesPayload(b'{"a": 1}', (("Content-Type", "application/json"),))),
        ("POST", BytesPayload(b"no form <at all>", (("Content-Type", FORM),))),
        ("POST", BytesPayload("a=é".encode(), (("Content-Type", FORM),))),
        ("POST", BytesPayload(b"", (("Content-Type", FORM),))),
    ],
)
def test_R24_other_payloads_are_neither_read_nor_covered(method, payload):
    parameters = oauth_parameters(OAuth1(*KEYS, **FIXED), PHOTOS, method, payload)
    assert parameters["oauth_signature"] == signature(PHOTOS, method)
    assert "oauth_body_hash" not in parameters


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_form_with_get_is_not_covered(method):
    payload = BytesPayload(FORM_BODY, (("Content-Type", FORM),))
    assert signature(PHOTOS, method, payload) == signature(PHOTOS, method)


def test_host_header_of_the_call_is_signed():
    headers = {"Host": "photos.example.net"}
    assert signature("http://127.0.0.1:8080/photos", headers=headers) == signature(PHOTOS)


def test_each_attempt_has_its_own_nonce():
    auth = OAuth1(*KEYS)
    nonces = {oauth_parameters(auth, PHOTOS)["oauth_nonce"] for _ in range(20)}
    assert len(nonces) == 20


def test_other_methods_and_the_options_to_obtain_a_token():
    plain = OAuth1("key", "s&cret", signature_method="PLAINTEXT", realm="Photos")
    parameters = oauth_parameters(plain, PHOTOS)
    assert parameters["oauth_signature"] == "s%26cret&"
    assert parameters["realm"] == "Photos"
    assert "oauth_token" not in parameters
    # Computed separately, with hmac and urllib.parse.quote.
    strong = OAuth1(*KEYS, **FIXED, signature_method="HMAC-SHA256")
    assert oauth_parameters(strong, PHOTOS)["oauth_signature"] == (
        "VGVBE0PdU7IXQuCodpmasITxI1TmiNauWWjg8BQpudQ="
    )
    steps = OAuth1("key", "secret", callback_uri="http://mine/back", verifier="v")
    parameters = oauth_parameters(steps, PHOTOS)
    assert (parameters["oauth_callback"], parameters["oauth_verifier"]) == ("http://mine/back", "v")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"signature_method": "HMAC-MD5"}, "must be one of HMAC-SHA1, .*; got 'HMAC-MD5'"),
        ({"realm": 'a"b'}, "without quotes"),
        ({"realm": "a\r\nX: y"}, r"realm contains U\+000D at 1"),
        ({"client_secret": b"secret"}, "client_secret must be a str; got bytes"),
        ({"client_key": None}, "client_key must be a str; got NoneType"),
        ({"client_key": "a\nb"}, r"client_key contains U\+000A at 1"),
    ],
)
def test_invalid_option_raises_at_once(given, fault):
    with pytest.raises(RequestError, match=fault):
        OAuth1(**{"client_key": "key", **given})


@pytest.mark.parametrize("key", [None, "not a key"])
def test_invalid_rsa_key_raises_at_once_and_is_hidden(key):
    with pytest.raises(
        RequestError, match=r"PyJWT and cryptography|must be a private RSA key"
    ) as caught:
        OAuth1("key", signature_method="RSA-SHA1", rsa_key=key)
    assert "not a key" not in str(caught.value)


def test_RSA_signs_with_a_private_key():
    pytest.importorskip("jwt")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    auth = OAuth1("key", signature_method="RSA-SHA1", rsa_key=key.decode())
    parameters = oauth_parameters(auth, PHOTOS)
    assert parameters["oauth_signature_method"] == "RSA-SHA1"
    assert len(parameters["oauth_signature"]) == 344


def test_credentials_compare_by_value_and_hide_secrets_in_repr():
    auth, same = OAuth1(*KEYS), OAuth1(*KEYS)
    assert (auth == same, hash(auth) == hash(same)) == (True, True)
    assert auth != OAuth1(*KEYS[:3], "other")
    assert auth != "auth"
    assert not any(key in repr(auth) for key in KEYS)
    assert repr(auth) == "<OAuth1 HMAC-SHA1>"


def test_error_without_oauthlib_names_the_extra():
    program = (
        "import sys; sys.modules['oauthlib'] = None\n"
        "from restkit import RequestError\n"
        "from restkit.auth.oauth1 import OAuth1\n"
        "try: OAuth1('key')\n"
        "except RequestError as error: print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'restkit[oauth]'" in finished.stdout


def test_redirect_to_another_origin_gets_no_signature():
    with ScriptedServer.serving(response(b"there")) as other:
        moved = response(b"", f"Location: {other.url()}", status="302 Found")
        with ScriptedServer.serving(moved) as server, Client(timeout=20) as client:
            client.get(server.url(), auth=OAuth1(*KEYS))
    assert field(server.request, "authorization").startswith("OAuth ")
    assert field(other.request, "authorization") is None
