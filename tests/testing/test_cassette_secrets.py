"""Cassette: what is masked, what stays readable, and that different secrets stay different."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Client, FormData, RequestError
from restkit.testing import Cassette, UnknownRequest
from restkit.testing.cassette_bodies import from_json_body
from restkit.testing.cassette_masks import Masking
from support import ScriptedServer, response

DIGEST = r"\*\*\*[0-9a-f]{12}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "api.json"


def load(path):
    return json.loads(path.read_bytes())["exchanges"]


def record(path, *calls, answers=None, **options):
    """Record calls of ``client.request``, each a dict with the target as ``at``; return the URL."""
    answers = answers or [response(str(number).encode()) for number in range(len(calls))]
    with ScriptedServer.serving(*answers) as server, Client() as client:
        with Cassette(path, **options):
            for call in calls:
                send(client, server.url(), **call)
        return server.url()


def send(client, origin, at="/x", method="GET", **options):
    return client.request(f"{origin.rstrip('/')}{at}", method, **options).text


def play(path, origin, call, **options):
    with Cassette(path, "none", **options), Client() as client:
        return send(client, origin, **call)


def sent_body(path, number=0):
    return from_json_body(load(path)[number]["request"]["body"])


# Different values stay different, equal ones equal


@pytest.mark.parametrize("name", ["key", "code", "pin", "sid", "ticket", "sort_key", "api_key"])
def test_parameter_with_a_secret_name_selects_its_recording(path, name):
    calls = [{"at": f"/view?{name}={value}"} for value in (1, 2)]
    origin = record(path, *calls)
    assert [play(path, origin, call) for call in reversed(calls)] == ["1", "0"]
    with pytest.raises(UnknownRequest, match=f"its url is .*{name}={DIGEST}', not "):
        play(path, origin, {"at": f"/view?{name}=777"})
    for exchange in load(path):
        assert re.search(f"view\\?{name}={DIGEST}$", exchange["request"]["url"])


@pytest.mark.parametrize(
    "make",
    [
        lambda value: {"json": {"key": value}},
        lambda value: {"json": {"key": [value, {"a": 1}]}},
        lambda value: {"payload": {"key": value}},
        lambda value: {"json": {"key": value}, "compress": "gzip"},
    ],
)
def test_payload_with_a_secret_name_selects_its_recording(path, make):
    calls = [{"method": "POST", **make(value)} for value in ("DE", "FR")]
    origin = record(path, *calls, match_body=True)
    assert [play(path, origin, call, match_body=True) for call in reversed(calls)] == ["1", "0"]
    with pytest.raises(UnknownRequest, match="its body is"):
        play(path, origin, {"method": "POST", **make("US")}, match_body=True)
    assert not re.search("DE|FR", "".join(re.findall(r'"text": .*', path.read_text())))


def test_number_and_text_are_different_secrets(path):
    origin = record(path, {"method": "POST", "json": {"pin": 1}}, match_body=True)
    with pytest.raises(UnknownRequest, match="its body is"):
        play(path, origin, {"method": "POST", "json": {"pin": "1"}}, match_body=True)


def test_authorization_selects_the_recording_where_it_is_matched(path):
    calls = [{"auth": ("ann", password)} for password in ("one", "two")]
    match = {"match_headers": ["Authorization"]}
    origin = record(path, *calls, **match)
    assert [play(path, origin, call, **match) for call in reversed(calls)] == ["1", "0"]
    with pytest.raises(UnknownRequest, match=f"its header Authorization is '{DIGEST}', not "):
        play(path, origin, {"auth": ("ann", "other")}, **match)


def test_secrets_that_select_nothing_have_no_digest(path):
    record(
        path,
        {
            "method": "POST",
            "auth": ("ann", "one"),
            "headers": {"Cookie": "a=b", "Referer": "http://h.test/?pin=1"},
            "json": {"password": "one"},
        },
    )
    request = load(path)[0]["request"]
    for field in (["Authorization", "***"], ["Cookie", "a=***"]):
        assert field in request["headers"]
    assert ["Referer", "http://h.test/?pin=***"] in request["headers"]
    assert json.loads(sent_body(path)) == {"password": "***"}


def test_all_values_of_a_given_name_are_equal(path):
    options = {"secrets": ["pin", "password", "X-Team"], "match_body": True}
    options["match_headers"] = ["x-team"]
    call = {"at": "/x?pin=1", "method": "POST", "json": {"password": "a"}}
    origin = record(path, call | {"headers": {"X-Team": "1"}}, **options)
    other = {"at": "/x?pin=2", "json": {"password": ["b"]}}
    assert play(path, origin, call | other | {"headers": {"X-Team": "2"}}, **options) == "0"
    [exchange] = load(path)
    assert exchange["request"]["url"] == f"{origin}x?pin=***"
    assert exchange["request"]["body"] == {"text": '{"password":"***"}'}
    assert ["X-Team", "***"] in exchange["request"]["headers"]


def test_digests_of_two_files_differ(tmp_path):
    urls = []
    for name in ("one", "two"):
        origin = record(tmp_path / name, {"at": "/?key=1"})
        urls.append(load(tmp_path / name)[0]["request"]["url"].removeprefix(origin))
    assert urls[0] != urls[1]


def test_new_exchanges_have_the_key_of_the_file(path):
    first, second = {"at": "/x?key=1"}, {"at": "/x?key=2"}
    with ScriptedServer.serving(response(b"0"), response(b"1")) as server, Client() as client:
        for calls in ((first,), (first, second), (second, first)):
            with Cassette(path, "new"):
                texts = [send(client, server.url(), **call) for call in calls]
        assert texts == ["1", "0"]
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "signed",
    [
        "/dl?sig={}&file=x",
        "/dl?file=x&sig={};a,b",
        "/dl?sig=%c3%A4+{}",
        "/dl;token={}/file?next=http://h.test/?sid={}",
        "/dl?a=1#access_token={}",
        "dl?next=http%3a%2f%2fh.test%2F%3Fa=1%26token%3D{}",
    ],
)
def test_redirects_to_signed_urls_are_not_mixed_up(path, signed):
    answers = []
    for value in "ab":
        location = f"Location: {signed.replace('{}', value)}"
        answers += [response(b"", location, status="302 Found"), response(value.encode())]
    calls = [{"at": "/1"}, {"at": "/2"}]
    origin = record(path, *calls, answers=answers)
    with Cassette(path, "none") as cassette, Client() as client:
        order = reversed(calls) if "#" not in signed else calls
        texts = [send(client, origin, **call) for call in order]
    assert texts == (["b", "a"] if "#" not in signed else ["a", "b"])
    assert cassette.unused == []


def test_cookie_of_a_response_selects_the_recording_when_it_is_sent_again(path):
    answers = [response(b"", "Set-Cookie: csrf=a+b/=; Path=/"), response(b"ok")]
    with ScriptedServer.serving(*answers) as server:
        for mode in ("once", "none"):
            match = {"match_headers": ["Cookie", "X-Csrf-Token"], "match_body": True}
            with Cassette(path, mode, **match), Client() as client:
                client.get(server.url("/login"))
                token = client.cookies["csrf"]
                headers = {"X-Csrf-Token": token}
                form = {"csrf_token": token}
                assert client.post(server.url("/x"), form, headers=headers).text == "ok"
    assert token.startswith("***")


# What is masked


def test_secrets_are_masked_before_they_are_written(path):
    answer = response(
        b'{"session_name": "open", "my_field": "hushG"}',
        "Set-Cookie: sid=hushA; Path=/; HttpOnly",
        "X-Api-Token: hushB",
        "Location: /next?code=hushC&page=1",
        "Content-Type: application/json",
    )
    call = {
        "at": "/x?api_key=hushD&page=2&mine=hushE",
        "method": "POST",
        "json": {"user": "ann", "password": 'hush"F', "my_field": "hushG"},
        "auth": ("ann", "hushH"),
        "headers": {"Cookie": "sid=hushI; theme=hushJ", "X-My-Secret": "hushK", "X-Mine": "hushL"},
    }
    origin = record(path, call, answers=[answer], secrets=["mine", "X-Mine", "my_field"])
    text = path.read_text()
    assert "hush" not in text
    assert "YW5uOmh1c2hI" not in text  # ann:hushH in base64
    [exchange] = load(path)
    assert re.search(rf"/x\?api_key={DIGEST}&page=2&mine=\*\*\*$", exchange["request"]["url"])
    assert ["Cookie", "sid=***; theme=***"] in exchange["request"]["headers"]
    assert json.loads(exchange["request"]["body"]["text"]) == {
        "user": "ann", "password": "***", "my_field": "***",
    }  # fmt: skip
    fields = dict(exchange["response"]["headers"])
    assert re.fullmatch(f"sid={DIGEST}; Path=/; HttpOnly", fields["Set-Cookie"])
    assert re.fullmatch(f"/next\\?code={DIGEST}&page=1", fields["Location"])
    assert re.fullmatch(DIGEST, fields["X-Api-Token"])
    again = {"json": {"password": "another"}, "auth": None, "headers": {}}
    played = json.loads(play(path, origin, call | again, secrets=["mine"]))
    assert played == {"session_name": "open", "my_field": "***"}


@pytest.mark.parametrize(
    ("field", "masked"),
    [
        ("Location: https://me:hush@h.test/cb?x=1", r"https://\*\*\*@h\.test/cb\?x=1"),
        ("Location: /cb#access_token=hush&x=1", f"/cb#access_token={DIGEST}&x=1"),
        ("Location: /cb?password=hush;hush,hush&x=1", rf"/cb\?password={DIGEST}&x=1"),
        (
            "Location: /cb?a[token]=hush&p%61ssword=hush",
            rf"/cb\?a\[token\]={DIGEST}&p%61ssword={DIGEST}",
        ),
        (
            "Location: /cb?next=http://h.test/?token=hush",
            rf"/cb\?next=http://h.test/\?token={DIGEST}",
        ),
        (
            'Link: <https://u:hush@h.test/?a=1>; rel="next"',
            r'<https://\*\*\*@h.test/\?a=1>; rel="next"',
        ),
        (
            'Link: <https://h.test/?token=hush,hush>; rel="next"',
            rf'<https://h.test/\?token={DIGEST}>; rel="next"',
        ),
        (
            "Refresh: 0; url=https://h.test/?access_token=hush",
            rf"0; url=https://h.test/\?access_token={DIGEST}",
        ),
        ("X-Debug: token=<hush>", f"token={DIGEST}"),
        ('X-Debug: "token"=hush', f'"token"={DIGEST}'),
        ("X-Debug: user=me, token=hush", f"user=me, token={DIGEST}"),
        (
            "X-Original-Url: http://h.test/?access_token=hush&a=1",
            rf"http://h.test/\?access_token={DIGEST}&a=1",
        ),
        ("Set-Cookie: hush; Path=/", f"{DIGEST}; Path=/"),
        ("Set-Cookie: a=hush=hush; Path=/", f"a={DIGEST}; Path=/"),
        (
            'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"',
            'Digest realm="r", nonce="n", qop="auth"',
        ),
        ("Cache-Control: max-age=3", "max-age=3"),
        ("Content-Type: text/html; charset=utf-8", "text/html; charset=utf-8"),
    ],
)
def test_header_field_of_a_response_is_masked(path, field, masked):
    answer = response(b"", field)
    with ScriptedServer.serving(answer) as server, Client() as client, Cassette(path):
        client.get(server.url("/"), follow_redirect=False)
    assert "hush" not in path.read_text()
    name = field.partition(":")[0]
    assert re.fullmatch(masked, dict(load(path)[0]["response"]["headers"])[name])


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        ("Cookie", "hush", "***"),
        ("Cookie", "a=hush; hush; b=", "a=***; ***; b=***"),
        ("Referer", "http://me:hush@h.test/a", "http://***@h.test/a"),
        ("X-Original-Url", "http://h.test/?access_token=hush", "http://h.test/?access_token=***"),
        ("X-Auth-Token", "hush", "***"),
    ],
)
def test_header_field_of_a_request_is_masked(path, name, value, masked):
    record(path, {"headers": {name: value}})
    assert [name, masked] in load(path)[0]["request"]["headers"]


JSON = "application/json"


@pytest.mark.parametrize(
    ("payload", "content_type", "masked"),
    [
        (b'{"pin": 80802, "a": 1}', JSON, b'{"pin": "***", "a": 1}'),
        (b'{"password": ["hush", {"b": "}"}], "a": 1}', JSON, b'{"password": "***", "a": 1}'),
        (b'{"a": {"credentials": {"v": "hush"}}}', JSON, b'{"a": {"credentials": "***"}}'),
        (b'[{"token": null}, {"key" :\n true}]', JSON, b'[{"token": "***"}, {"key" :\n "***"}]'),
        (b'{"pass\\u0077ord": "hush"}', JSON, b'{"pass\\u0077ord": "***"}'),
        (b'{"a": "\\"password\\": 1", "b": 1.00}', JSON, b'{"a": "\\"password\\": 1", "b": 1.00}'),
        (b'{"password": "hush"}', None, b'{"password": "***"}'),
        (b' [{"password": "hush"}]', "text/plain", b' [{"password": "***"}]'),
        (b'{"password": "hush"', JSON, b'{"password": "***"'),
        (b'{"password": hush, "a": 1}', JSON, b'{"password": "***"'),
        (
            b'{"a": 1}\n{"pin": 1}\n{"b": 2}\n',
            "application/x-ndjson",
            b'{"a": 1}\n{"pin": "***"}\n{"b": 2}\n',
        ),
        ('{"password": "hush", "é": "é"}'.encode(), JSON, '{"password": "***", "é": "é"}'.encode()),
        (b'{"password": "hush", "a": "\xe9"}', JSON, b'{"password": "***", "a": "\xe9"}'),
        ('{"password": "hush"}'.encode("utf-16"), JSON, '{"password": "***"}'.encode("utf-16")),
        ('{"pin": 80802}'.encode("utf-16-be"), JSON, '{"pin": "***"}'.encode("utf-16-be")),
        (
            b"password=hu;sh hush&a=b;pin=1",
            "application/x-www-form-urlencoded",
            b"password=***&a=b;pin=***",
        ),
    ],
)
def test_secret_fields_of_a_payload_are_masked_and_the_rest_stays(
    path, payload, content_type, masked
):
    headers = {"Content-Type": content_type} if content_type else {}
    record(path, {"method": "POST", "payload": payload, "headers": headers})
    assert sent_body(path) == masked


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_compressed_payload_is_kept_decoded_and_masked(path, coding):
    if coding == "zstd":
        pytest.importorskip("backports.zstd")
    record(path, {"method": "POST", "json": {"password": "hush"}, "compress": coding})
    assert json.loads(sent_body(path)) == {"password": "***"}


def test_long_content_of_a_compressed_payload_is_kept_as_size_and_digest(path):
    record(path, {"method": "POST", "payload": b"x" * 100_000, "compress": "gzip"})
    assert load(path)[0]["request"]["body"] == {
        "size": 100_000,
        "sha256": sha256(b"x" * 100_000).hexdigest(),
    }


def test_payload_that_cannot_be_decoded_is_kept_as_it_is(path):
    headers = {"Content-Encoding": "x-own"}
    record(path, {"method": "POST", "payload": b"own", "headers": headers})
    assert sent_body(path) == b"own"


def test_parts_of_a_form_are_masked_by_their_names(path):
    form = FormData()
    form.add_field("user", "ann")
    form.add_field("password", "hush\r\nhush")
    form.add_field("secret_file", b"hush", file_name="a.bin")
    form.add_field("meta", b'{"pin": 80802, "a": 1}', content_type=JSON)
    form.add_field("data", b"\x00\r\n\r\nrest\r\n", file_name="b.bin")
    record(path, {"method": "POST", "payload": form})
    body = sent_body(path)
    assert b"hush" not in body
    assert b"80802" not in body
    boundary = body.partition(b"\r\n")[0]
    parts = [part.partition(b"\r\n\r\n")[2] for part in body.split(boundary)[1:-1]]
    assert parts == [
        b"ann\r\n",
        b"***\r\n",
        b"***\r\n",
        b'{"pin": "***", "a": 1}\r\n',
        b"\x00\r\n\r\nrest\r\n\r\n",
    ]


def test_part_without_quotes_and_a_boundary_in_quotes_are_understood(path):
    payload = (
        b"--b c\r\ncontent-disposition: form-data; name=password\r\n\r\nhush\r\n"
        b"--b c\r\n\r\nno name\r\n--b c--\r\n"
    )
    headers = {"Content-Type": 'multipart/form-data; boundary="b c"'}
    record(path, {"method": "POST", "payload": payload, "headers": headers})
    assert sent_body(path) == payload.replace(b"hush", b"***")


MEMBERS = st.sampled_from(["a", "token", "pin", "é", 'k"', "a\\", "x:y", "{"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner),
    max_leaves=20,
)


def mask(value):
    if isinstance(value, list):
        return [mask(each) for each in value]
    if isinstance(value, dict):
        return {
            name: "***" if name in ("token", "pin") else mask(each) for name, each in value.items()
        }
    return value


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_is_masked_and_stays_json(value, ascii_only, indent):
    masking = Masking((), bytes(16), (), match_body=False)
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    data = text.encode(errors="surrogatepass")
    masked = masking.mask_payload(data, JSON)
    assert json.loads(masked) == mask(value)
    assert masking.mask_payload(masked, JSON) == masked


@given(st.binary(max_size=200), st.sampled_from([JSON, "", "multipart/form-data; boundary=a"]))
def test_any_bytes_can_be_masked(data, content_type):
    masking = Masking((), bytes(16), (), match_body=True)
    masked = masking.mask_payload(data, content_type)
    assert masking.mask_payload(masked, content_type) == masked


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_any_url_can_be_masked_and_is_masked_once(text):
    masking = Masking((), bytes(16), (), match_body=True)
    masked = masking.mask_url(f"/dl?{text}")
    assert masking.mask_url(masked) == masked


# Bodies of responses


BODY = b'{"mine": "hush", "n": {"mine": 80802}, "l": {"mine": ["hush"]}, "token": "open"}'
MASKED = {"mine": "***", "n": {"mine": "***"}, "l": {"mine": "***"}, "token": "open"}


def encode(body, coding):
    if coding == "br":
        return pytest.importorskip("brotli").compress(body)
    if coding == "zstd":
        return pytest.importorskip("backports.zstd").compress(body)
    if coding == "gzip, deflate":
        return zlib.compress(gzip.compress(body))
    return gzip.compress(body) if coding == "gzip" else body


@pytest.mark.parametrize("size", [0, 20_000])
@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd", "gzip, deflate"])
@pytest.mark.parametrize("digest", [False, True])
def test_given_names_are_masked_in_a_response_whatever_its_coding(path, coding, digest, size):
    body = BODY + b" " * size
    encoded = encode(body, coding)
    fields = ["Content-Type: application/json", *([f"Content-Encoding: {coding}"] * bool(coding))]
    if digest:
        value = base64.b64encode(sha256(encoded).digest()).decode()
        fields.append(f"Content-Digest: sha-256=:{value}:")
    origin = record(path, {}, answers=[response(encoded, *fields)], secrets=["mine"])
    described = load(path)[0]["response"]
    assert json.loads(from_json_body(described["body"])) == MASKED
    names = [name for name, _ in described["headers"]]
    assert ("Content-Encoding" in names) == (coding == "gzip")
    assert "Content-Digest" not in names
    with Cassette(path, "none", secrets=["mine"]), Client() as client:
        got = client.get(f"{origin}x")
        assert got.json() == MASKED
        if coding != "gzip":
            assert int(got.headers["Content-Length"]) == len(got.body)


@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_response_without_a_given_name_stays_as_it_arrived(path, coding):
    encoded = encode(b'{"a": 1}', coding)
    value = base64.b64encode(sha256(encoded).digest()).decode()
    fields = (f"Content-Encoding: {coding}", f"Content-Digest: sha-256=:{value}:")
    record(path, {}, answers=[response(encoded, *fields)], secrets=["mine"])
    described = load(path)[0]["response"]
    assert from_json_body(described["body"]) == encoded
    assert {"Content-Encoding", "Content-Digest"} < {name for name, _ in described["headers"]}


@pytest.mark.parametrize("coding", ["rot13", "gzip"])
def test_secrets_and_a_response_that_cannot_be_decoded_are_a_clear_error(path, coding):
    answer = response(b"not encoded", f"Content-Encoding: {coding}")
    with pytest.raises(RequestError, match=f"cannot be decoded from Content-Encoding: {coding}"):
        with ScriptedServer.serving(answer) as server, Client() as client:
            with Cassette(path, secrets=["mine"]):
                client.get(server.url(), decompress=False)
    assert not path.exists()
    with ScriptedServer.serving(answer) as server, Client() as client, Cassette(path):
        client.get(server.url(), decompress=False)
    assert load(path)[0]["response"]["body"] == {"text": "not encoded"}


def test_body_of_a_response_is_recorded_as_it_is(path):
    body = b'{"access_token": "shown"}'
    record(path, {}, answers=[response(body, "Content-Type: application/json")])
    assert from_json_body(load(path)[0]["response"]["body"]) == body
