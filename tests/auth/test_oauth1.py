"""OAuth 1.0a: the vector, what the signature covers, and what is never read to be signed."""

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

FORM = "application/x-www-form-urlencoded"
KEYS = ("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")
FIXED = {"nonce": "kllo9940pd9333jh", "timestamp": "1191242096"}
PHOTOS = "http://photos.example.net/photos"


def made(url, method="GET", payload=None, headers=()):
    fields = Headers(headers)
    return Request(method, parse_url(url), fields, payload)


def signed(auth, *args, **kwargs) -> dict[str, str]:
    """What the Authorization of such a request says."""
    request = made(*args, **kwargs)
    auth.authorize(request)
    (challenge,) = parse_challenges([request.headers["Authorization"]])
    assert challenge.scheme == "oauth"
    return {name: unquote(value) for name, value in challenge.parameters.items()}


def signature(*args, **kwargs) -> str:
    return signed(OAuth1(*KEYS, **FIXED), *args, **kwargs)["oauth_signature"]


def test_R24_the_photos_vector():
    said = signed(OAuth1(*KEYS, **FIXED), f"{PHOTOS}?file=vacation.jpg&size=original")
    assert said == {
        "oauth_consumer_key": "dpf43f3p2l4k3l03",
        "oauth_token": "nnch734d00sl2jdk",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1191242096",
        "oauth_nonce": "kllo9940pd9333jh",
        "oauth_version": "1.0",
        "oauth_signature": "tR3+Ty81lMeYAr/Fid0kMTYa/WM=",
    }


def test_R24_on_the_wire_and_a_payload_is_sent_as_it_is(client):
    auth = OAuth1(*KEYS, **FIXED)
    with ScriptedServer.serving(response(b"photo")) as server:
        url = f"{server.url('/photos')}?file=vacation.jpg&size=original"
        client.get(url, auth=auth)
        client.post(url, (piece for piece in [b"a", b"b"]), auth=auth)
    expected = signed(auth, url)
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
def test_a_form_in_memory_is_covered_as_the_same_query_is(payload):
    assert signature(PHOTOS, "POST", payload) == signature(f"{PHOTOS}?{FORM_BODY.decode()}", "POST")
    assert b"".join(payload) == FORM_BODY


def test_a_content_type_of_the_callers_says_what_is_a_form():
    headers = {"content-type": FORM}
    covered = signature(f"{PHOTOS}?{FORM_BODY.decode()}", "POST")
    assert signature(PHOTOS, "POST", as_payload(bytearray(FORM_BODY)), headers) == covered
    plain = BytesPayload(FORM_BODY, (("Content-Type", FORM),))
    assert signature(PHOTOS, "POST", plain, {"Content-Type": "text/plain"}) == signature(
        PHOTOS, "POST"
    )


class NeverRead(Payload):
    """A form that must not be asked for its bytes."""

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
def test_R24_what_is_no_form_in_memory_is_neither_read_nor_covered(method, payload):
    said = signed(OAuth1(*KEYS, **FIXED), PHOTOS, method, payload)
    assert said["oauth_signature"] == signature(PHOTOS, method)
    assert "oauth_body_hash" not in said


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_form_with_get_is_not_covered(method):
    payload = BytesPayload(FORM_BODY, (("Content-Type", FORM),))
    assert signature(PHOTOS, method, payload) == signature(PHOTOS, method)


def test_a_host_of_the_callers_is_the_one_that_is_signed():
    headers = {"Host": "photos.example.net"}
    assert signature("http://127.0.0.1:8080/photos", headers=headers) == signature(PHOTOS)


def test_each_try_has_a_nonce_of_its_own():
    auth = OAuth1(*KEYS)
    nonces = {signed(auth, PHOTOS)["oauth_nonce"] for _ in range(20)}
    assert len(nonces) == 20


def test_the_other_methods_and_what_a_token_is_got_with():
    plain = OAuth1("key", "s&cret", signature_method="PLAINTEXT", realm="Photos")
    said = signed(plain, PHOTOS)
    assert said["oauth_signature"] == "s%26cret&"
    assert said["realm"] == "Photos"
    assert "oauth_token" not in said
    # Worked out by hand, with hmac and urllib.parse.quote.
    strong = OAuth1(*KEYS, **FIXED, signature_method="HMAC-SHA256")
    assert signed(strong, PHOTOS)["oauth_signature"] == (
        "VGVBE0PdU7IXQuCodpmasITxI1TmiNauWWjg8BQpudQ="
    )
    steps = OAuth1("key", "secret", callback_uri="http://mine/back", verifier="v")
    said = signed(steps, PHOTOS)
    assert (said["oauth_callback"], said["oauth_verifier"]) == ("http://mine/back", "v")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"signature_method": "HMAC-MD5"}, "'HMAC-MD5': one of HMAC-SHA1, "),
        ({"realm": 'a"b'}, "without quotes"),
        ({"realm": "a\r\nX: y"}, r"realm has U\+000D at 1"),
        ({"client_secret": b"secret"}, "client_secret is of type bytes"),
        ({"client_key": None}, "client_key is of type NoneType"),
        ({"client_key": "a\nb"}, r"client_key has U\+000A at 1"),
    ],
)
def test_what_cannot_be_signed_with_is_refused_at_once(given, fault):
    with pytest.raises(RequestError, match=fault):
        OAuth1(**{"client_key": "key", **given})


@pytest.mark.parametrize("key", [None, "no key"])
def test_a_key_that_is_none_is_refused_at_once_and_not_shown(key):
    with pytest.raises(RequestError, match=r"PyJWT and cryptography|no private RSA key") as caught:
        OAuth1("key", signature_method="RSA-SHA1", rsa_key=key)
    assert "no key" not in str(caught.value)


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
    said = signed(auth, PHOTOS)
    assert said["oauth_signature_method"] == "RSA-SHA1"
    assert len(said["oauth_signature"]) == 344


def test_no_secret_is_shown_and_equal_ones_are_equal():
    one, same = OAuth1(*KEYS), OAuth1(*KEYS)
    assert (one == same, hash(one) == hash(same)) == (True, True)
    assert one != OAuth1(*KEYS[:3], "other")
    assert one != "one"
    assert not any(key in repr(one) for key in KEYS)
    assert repr(one) == "<OAuth1 HMAC-SHA1>"


def test_without_oauthlib_the_error_names_the_extra():
    program = (
        "import sys; sys.modules['oauthlib'] = None\n"
        "from restkit import RequestError\n"
        "from restkit.auth.oauth1 import OAuth1\n"
        "try: OAuth1('key')\n"
        "except RequestError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'restkit[oauth]'" in said.stdout


def test_a_signature_stays_with_the_origin_it_was_made_for():
    with ScriptedServer.serving(response(b"there")) as other:
        moved = response(b"", f"Location: {other.url()}", status="302 Found")
        with ScriptedServer.serving(moved) as server, Client(timeout=20) as client:
            client.get(server.url(), auth=OAuth1(*KEYS))
    assert field(server.request, "authorization").startswith("OAuth ")
    assert field(other.request, "authorization") is None
