"""Digest: the test vectors of the RFCs, and servers that check every response."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from urllib.parse import unquote

import pytest
from requests.auth import HTTPDigestAuth

from restkit import Client, Headers, HttpResponse, PayloadNotReplayable, Request, parse_url
from restkit.auth.challenges import parse_challenges
from restkit.auth.digest import (
    CoveredRequest,
    DigestAuth,
    choose_challenge,
    compute_secret,
    format_authorization,
    hash_payload,
)
from restkit.errors import RequestError
from restkit.payload.base import Payload
from restkit.payload.values import BytesPayload
from support import ScriptedServer, body_of, field, head_of, payload_of, response

pytestmark = pytest.mark.smoke

HASHES = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}
AVAILABLE = [name for name, known in HASHES.items() if known in hashlib.algorithms_available]
USER, PASSWORD = "Mufasa", "Circle of Life"


def parse_challenge(*fields: str):
    return choose_challenge(parse_challenges(fields))


def respond_to(fields, user, password, covered, *, count=1, cnonce="c"):
    """Return the value of Authorization for these challenges."""
    challenge = parse_challenge(*fields)
    secret = compute_secret(challenge, user, password, cnonce)
    return format_authorization(challenge, user, secret, covered, count, cnonce)


def skip_without(algorithm: str) -> None:
    if algorithm not in AVAILABLE:
        pytest.skip(f"this OpenSSL has no {algorithm}")


# Test vectors

SECTION_3_9_1 = [
    f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    for algorithm in ("SHA-256", "MD5")
]
SECTION_3_9_2 = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
)


@pytest.mark.parametrize(
    ("challenge", "algorithm", "proof"),
    [
        (
            SECTION_3_9_1[0],
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (SECTION_3_9_1[1], "MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ],
    ids=["SHA-256", "MD5"],
)
def test_vectors_of_RFC_7616_3_9_1(challenge, algorithm, proof):
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    covered = CoveredRequest("GET", "/dir/index.html")
    assert respond_to([challenge], USER, PASSWORD, covered, cnonce=cnonce) == (
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        f'nc=00000001, cnonce="{cnonce}", qop=auth, response="{proof}", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


def test_vector_of_RFC_7616_3_9_2_with_erratum_4897():
    skip_without("SHA-512-256")
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    covered = CoveredRequest("GET", "/doe.json")
    value = respond_to([SECTION_3_9_2], "Jäsøn Doe", "Secret, or not?", covered, cnonce=cnonce)
    assert value == (
        'Digest username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", '
        'realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
        f'cnonce="{cnonce}", qop=auth, '
        'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", userhash=true'
    )
    plain = SECTION_3_9_2.replace(", userhash=true", "")
    value = respond_to([plain], "Jäsøn Doe", "Secret, or not?", covered, cnonce=cnonce)
    assert value.startswith("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=")


def test_vector_of_RFC_2617():
    challenge = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    covered = CoveredRequest("GET", "/dir/index.html")
    value = respond_to([challenge], USER, "Circle Of Life", covered, cnonce="0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert "algorithm" not in value, "the server has named none"


def test_response_without_qop_is_that_of_RFC_2069():
    challenge = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    # The value of erratum 749 of RFC 2069.
    value = respond_to([challenge], USER, "CircleOfLife", CoveredRequest("GET", "/dir/index.html"))
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
    assert not re.search("nc=|cnonce=|qop=", value)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA", "SHA-256", "SHA-512"])
def test_SHA_and_SHA_512_are_computed_as_by_requests(algorithm):
    auth = HTTPDigestAuth(USER, PASSWORD)
    auth.init_per_thread_state()
    auth._thread_local.chal = {
        "realm": "r",
        "nonce": "n",
        "qop": "auth",
        "algorithm": algorithm,
        "opaque": "o",
    }
    theirs = parse_authorization(auth.build_digest_header("GET", "http://host/a?b"))
    fields = [f'Digest realm="r", nonce="n", qop="auth", algorithm={algorithm}, opaque="o"']
    covered = CoveredRequest("GET", "/a?b")
    ours = respond_to(fields, USER, PASSWORD, covered, cnonce=theirs["cnonce"])
    assert parse_authorization(ours) == theirs


# The choice of a challenge, and the user name


MD5, SHA_1, SHA, SHA_512, SHA_512_256 = (
    f'Digest realm="r", nonce="n", algorithm={name}' for name in HASHES
)


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ([MD5], "MD5"),
        ([MD5, SHA], "SHA-256"),
        ([f"{SHA}, {MD5}"], "SHA-256"),
        ([MD5, SHA_1], "SHA"),
        ([SHA, SHA_1, MD5], "SHA-256"),
        ([SHA_512, SHA, SHA_1], "SHA-512"),
        ([SHA_512.replace("SHA-512", "sha-512-SESS"), SHA], "sha-512-SESS"),
        ([f'Basic realm="r", {MD5}', "Negotiate"], "MD5"),
        ([MD5.replace("MD5", "md5-SESS")], "md5-SESS"),
        ([f"{MD5}-sess", MD5], "MD5-sess"),
        (['Digest realm="r", nonce="n"'], None),
        ([SHA.replace("SHA-256", "SHA3-1024"), MD5], "MD5"),
        ([f'{SHA}, qop="auth-conf"', MD5], "MD5"),
        ([f'{SHA}, qop="auth-conf, auth"', MD5], "SHA-256"),
        (["Digest", 'Digest realm="r"', MD5], "MD5"),
    ],
)
def test_strongest_supported_challenge_is_chosen(fields, chosen):
    assert parse_challenge(*fields).algorithm == chosen


def test_SHA_512_256_is_the_strongest_if_it_is_available():
    skip_without("SHA-512-256")
    assert parse_challenge(MD5, SHA, SHA_512_256, SHA_512).algorithm == "SHA-512-256"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ['Basic realm="r"'],
        ["Digest"],
        ['Digest nonce="n"'],
        ['Digest realm="r"'],
        ['Digest realm="r", nonce="n", algorithm=token'],
        ['Digest realm="r", nonce="n", qop="auth-conf"'],
        ["Digest abc="],
    ],
)
def test_unsupported_challenge_is_ignored(fields):
    assert parse_challenge(*fields) is None


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("us:er", 'username="us:er"'),
        ('a"b\\c', r'username="a\"b\\c"'),
        ("é", "username*=UTF-8''%C3%A9"),
        ("€ a'b*c", "username*=UTF-8''%E2%82%AC%20a%27b%2Ac"),
    ],
)
def test_user_name_is_quoted_or_encoded_by_RFC_8187(user, expected):
    assert respond_to([MD5], user, "p", CoveredRequest("GET", "/")).startswith(
        f"Digest {expected}, "
    )


def test_realm_is_hashed_decoded_and_returned_quoted():
    value = respond_to(
        [r'Digest realm="a \"b\", é", nonce="n\\"'], "u", "p", CoveredRequest("GET", "/")
    )
    assert r'realm="a \"b\", é"' in value
    assert r'nonce="n\\"' in value
    ha1 = md5(b'u:a "b", \xe9:p')
    proof = md5(f"{ha1}:n\\:{md5(b'GET:/')}".encode())
    assert f'response="{proof}"' in value


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize(("user", "password"), [("a\n", "p"), ("a", "p\r"), (None, "p")])
def test_credentials_that_cannot_be_sent_raise_at_once(user, password):
    with pytest.raises(RequestError, match=r"user name|password"):
        DigestAuth(user, password)


def test_hash_payload_reads_all_chunks():
    challenge = parse_challenge(SHA)
    assert hash_payload(challenge, None) == hashlib.sha256().hexdigest()
    whole = BytesPayload(bytes(3 << 20))
    assert hash_payload(challenge, whole) == hashlib.sha256(bytes(3 << 20)).hexdigest()


# A server that checks


class DigestServer:
    """A server that sends challenges and checks responses, with an implementation of its own."""

    def __init__(self, algorithm="MD5", qop="auth", *, users=None, extra=""):
        self.algorithm = algorithm
        self.qop = qop
        self.users = users or {USER: PASSWORD}
        self.extra = extra
        self.realm = "the realm"
        self.nonces: dict[str, int] = {}  # with the highest count of each
        self.secrets: dict[str, str] = {}  # for -sess, by nonce
        self.stale: list[str] = []  # expired nonces
        self.faults: list[str] = []
        self.counts: list[tuple[str, str]] = []
        self.next_nonce = False
        self.lock = threading.Lock()
        self._made = 0

    def make_nonce(self) -> str:
        self._made += 1
        self.nonces[f"nonce{self._made}"] = 0
        return f"nonce{self._made}"

    def hash(self, *parts: bytes) -> str:
        known = HASHES[self.algorithm.removesuffix("-sess")]
        return hashlib.new(known, b":".join(parts)).hexdigest()

    def challenge(self, *, stale=False) -> bytes:
        words = [f'realm="{self.realm}"', f'nonce="{self.make_nonce()}"', 'opaque="o,p"']
        words += [f"algorithm={self.algorithm}"] if self.algorithm else []
        words += [f'qop="{self.qop}"'] if self.qop else []
        words += ["stale=true"] if stale else []
        value = "Digest " + ", ".join(words) + self.extra
        return response(b"who?", f"WWW-Authenticate: {value}", status="401 Unauthorized")

    def respond(self, request: bytes) -> bytes:
        with self.lock:
            authorization = field(request, "authorization")
            if authorization is None:
                return self.challenge()
            given = parse_authorization(authorization)
            if given["nonce"] in self.stale:
                return self.challenge(stale=True)
            fault = self.fault(request, given)
            if fault:
                self.faults.append(fault)
                return self.challenge()
            self.counts.append((given["nonce"], given.get("nc", "")))
            info = []
            if self.next_nonce:
                next_nonce = self.make_nonce()
                if given["nonce"] in self.secrets:
                    self.secrets[next_nonce] = self.secrets[given["nonce"]]
                info = [f'Authentication-Info: nextnonce="{next_nonce}", qop=auth']
            return response(b"in", *info)

    def fault(self, request: bytes, given: dict[str, str]) -> str | None:
        method, target, _ = request.split(b"\r\n")[0].split(b" ")
        nonce = given["nonce"]
        expected = {"realm": self.realm, "uri": target.decode(), "opaque": "o,p"}
        for name, value in expected.items():
            if given.get(name) != value:
                return f"{name} is {given.get(name)!r}, not {value!r}"
        if nonce not in self.nonces:
            return f"the nonce {nonce!r} is unknown"
        count = int(given.get("nc", "0"), 16)
        if self.qop and count <= 0:
            return f"the count is {count}"
        self.nonces[nonce] = max(self.nonces[nonce], count)
        proof = self.proof(request, method, target, given)
        return None if given["response"] == proof else f"{given['response']} is not {proof}"

    def proof(self, request, method, target, given) -> str:
        user = self.user_of(given)
        nonce, cnonce = given["nonce"].encode(), given.get("cnonce", "").encode()
        ha1 = self.hash(user.encode(), self.realm.encode(), self.users.get(user, "?").encode())
        if self.algorithm.endswith("-sess"):
            made = self.hash(ha1.encode(), nonce, cnonce)
            ha1 = self.secrets.setdefault(given["nonce"], made)
        a2 = [method, target]
        if given.get("qop") == "auth-int":
            a2.append(self.hash(payload_of(request)).encode())
        counted = [given["nc"].encode(), cnonce, given["qop"].encode()] if self.qop else []
        return self.hash(ha1.encode(), nonce, *counted, self.hash(*a2).encode())

    def user_of(self, given) -> str:
        if "username*" in given:
            return unquote(given["username*"].removeprefix("UTF-8''"))
        if given.get("userhash") == "true":
            return {self.hash(u.encode(), self.realm.encode()): u for u in self.users}[
                given["username"]
            ]
        return given["username"]

    def serve(self, peer) -> None:
        while request := peer.next_request():
            peer.send(self.respond(request))


def parse_authorization(value: str) -> dict[str, str]:
    """Parse a Digest header simply, without the parser of restkit."""
    assert value.startswith("Digest ")
    found = re.findall(r'([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))', value)
    return {name: re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found}


def sent_nonces(server: ScriptedServer) -> list[str | None]:
    """Return the nonce of the Authorization of each request, or None."""
    values = [field(request, "authorization") for request in server.requests]
    return [None if value is None else parse_authorization(value)["nonce"] for value in values]


@pytest.mark.parametrize("sess", ["", "-sess"])
@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth,auth-int", ""])
def test_each_algorithm_and_qop_is_accepted_and_the_next_request_needs_no_401(
    algorithm, qop, sess, client
):
    skip_without(algorithm)
    guard = DigestServer(algorithm + sess, qop)
    with ScriptedServer(guard.serve) as server:
        auth = DigestAuth(USER, PASSWORD)
        first = client.get(server.url('/dir/a b?q="x"&r=%2F'), auth=auth)
        second = client.post(server.url("/other"), b"payload", auth=auth)
        third = client.put(server.url("/third"), io.BytesIO(b"a file"), auth=auth)
    assert guard.faults == []
    assert [r.body for r in (first, second, third)] == [b"in"] * 3
    assert [r.status for r in first.history] == [401]
    assert second.history == third.history == ()
    assert sent_nonces(server) == [None, "nonce1", "nonce1", "nonce1"]
    counts = ["00000001", "00000002", "00000003"] if qop else ["", "", ""]
    assert guard.counts == [("nonce1", count) for count in counts]
    assert payload_of(server.requests[3]) == b"a file"
    words = parse_authorization(field(server.requests[2], "authorization"))
    assert words.get("qop") == (("auth" if "auth" in qop.split(",") else qop) or None)


def test_cnonce_is_new_for_each_request_except_with_sess():
    seen = {}
    for algorithm in ("MD5", "MD5-sess"):
        guard = DigestServer(algorithm)
        with (
            ScriptedServer(guard.serve) as server,
            Client(auth=DigestAuth(USER, PASSWORD)) as client,
        ):
            for _ in range(4):
                client.get(server.url())
        values = [field(request, "authorization") for request in server.requests[1:]]
        seen[algorithm] = {parse_authorization(value)["cnonce"] for value in values}
    assert (len(seen["MD5"]), len(seen["MD5-sess"])) == (4, 1)


@pytest.mark.parametrize("extra", ["", ", userhash=true", ", charset=UTF-8"])
@pytest.mark.parametrize("user", ["Jäsøn Doe", 'a "b" \\ c', "us:er"])
def test_any_user_name_is_accepted(user, extra, client):
    guard = DigestServer("SHA-256", users={user: "pässword"}, extra=extra)
    with ScriptedServer(guard.serve) as server:
        assert client.get(server.url(), auth=DigestAuth(user, "pässword")).body == b"in"
    value = field(server.requests[1], "authorization")
    assert ("userhash=true" in value) == ("userhash" in extra)
    assert parse_authorization(value).get("username") == {
        ", userhash=true": guard.hash(user.encode(), guard.realm.encode())
    }.get(extra, user if user.isascii() else None)


def test_wrong_password_is_sent_once_and_the_401_is_the_response(client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server:
        result = client.get(server.url(), auth=DigestAuth(USER, "wrong"))
        assert (result.status, result.body) == (401, b"who?")
        assert [r.status for r in result.history] == [401]
    assert len(server.requests) == 2
    assert "wrong" not in repr(result.request) + str(server.requests)


def test_stale_nonce_is_replaced_and_the_request_is_sent_again(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server:
        client.get(server.url(), auth=auth)
        guard.stale.append("nonce1")
        result = client.post(server.url(), b"payload", auth=auth)
    assert result.body == b"in"
    assert sent_nonces(server) == [None, "nonce1", "nonce1", "nonce2"]
    assert guard.counts == [("nonce1", "00000001"), ("nonce2", "00000001")]
    assert [payload_of(request) for request in server.requests[2:]] == [b"payload"] * 2


def test_expired_nonce_without_stale_is_replaced_once(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server:
        client.get(server.url(), auth=auth)
        del guard.nonces["nonce1"]
        assert client.get(server.url(), auth=auth).body == b"in"
        guard.users[USER] = "changed"
        assert client.get(server.url(), auth=auth).status == 401
    assert sent_nonces(server) == [None, "nonce1", "nonce1", "nonce2", "nonce2", "nonce3"]


def test_server_that_rejects_every_nonce_as_stale_ends_the_attempts(client):
    guard = DigestServer()
    with ScriptedServer(lambda peer: always_stale(peer, guard)) as server:
        assert client.get(server.url(), auth=DigestAuth(USER, PASSWORD)).status == 401
    assert len(server.requests) == 4


def always_stale(peer, guard):
    while peer.next_request():
        peer.send(guard.challenge(stale=True))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256-sess"])
def test_next_nonce_of_a_response_is_used(algorithm, client):
    guard = DigestServer(algorithm)
    guard.next_nonce = True
    with ScriptedServer(guard.serve) as server:
        auth = DigestAuth(USER, PASSWORD)
        for _ in range(3):
            assert client.get(server.url(), auth=auth).body == b"in"
    assert guard.faults == []
    assert sent_nonces(server) == [None, "nonce1", "nonce2", "nonce3"]
    assert [count for _, count in guard.counts] == ["00000001"] * 3


def test_same_next_nonce_does_not_restart_the_count():
    auth = DigestAuth(USER, PASSWORD)
    url = parse_url("http://a.test/")
    request = Request("GET", url, Headers())
    auth.answer(request, HttpResponse.made(request, 401, {"WWW-Authenticate": f"{MD5}, qop=auth"}))
    counts = []
    for _ in range(3):
        auth.authorize(request)
        counts.append(parse_authorization(request.headers["Authorization"])["nc"])
        auth.learn(request, HttpResponse.made(request, 200, {"Authentication-Info": "nextnonce=n"}))
    assert counts == ["00000001", "00000002", "00000003"]


# Which requests get credentials


def test_session_is_used_for_the_origin_of_the_challenge_only(client):
    guard, stranger = DigestServer(), DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server, ScriptedServer(stranger.serve) as other:
        client.get(server.url(), auth=auth)
        client.get(other.url(), auth=auth)
        client.get(server.url(), auth=auth)
    assert sent_nonces(server) == [None, "nonce1", "nonce1"]
    assert sent_nonces(other) == [None, "nonce1"]
    assert repr(auth) == "<DigestAuth, challenged by 2 origins>"


def test_redirect_to_another_origin_gets_no_credentials(client):
    stranger = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(stranger.serve) as other:
        guard = DigestServer()

        def script(peer):
            while request := peer.next_request():
                result = guard.respond(request)
                moved = response(b"", f"Location: {other.url()}", status="302 Found")
                peer.send(result if b" 401 " in result[:20] else moved)

        with ScriptedServer(script) as server:
            result = client.get(server.url(), auth=auth)
    assert result.status == 401, "the challenge of the other origin is ignored"
    assert sent_nonces(server) == [None, "nonce1"]
    assert sent_nonces(other) == [None]


def test_redirect_within_the_origin_needs_no_second_401(client):
    guard = DigestServer()

    def script(peer):
        while request := peer.next_request():
            result = guard.respond(request)
            if b" 401 " not in result[:20] and request.startswith(b"GET / "):
                result = response(b"", "Location: /there", status="302 Found")
            peer.send(result)

    with ScriptedServer(script) as server:
        result = client.get(server.url(), auth=DigestAuth(USER, PASSWORD))
    assert result.body == b"in"
    assert [r.status for r in result.history] == [401, 302]
    assert sent_nonces(server) == [None, "nonce1", "nonce1"]
    assert guard.faults == []


def test_domain_limits_the_requests_that_need_no_401(client):
    guard = DigestServer(extra=', domain="/in/ http://other.test/ :junk: /also?x"')
    auth = DigestAuth(USER, PASSWORD)
    paths = ["/door?x", "/in/a", "/also?x=1", "/door/a", "/out", "/in/a"]
    with ScriptedServer(guard.serve) as server:
        for path in paths:
            assert client.get(server.url(path), auth=auth).body == b"in"
    sent = zip(
        [r.split(b" ")[1].decode() for r in server.requests], sent_nonces(server), strict=True
    )
    assert [path for path, nonce in sent if nonce is None] == ["/door?x", "/out"]


def test_two_realms_of_one_origin_work_alternately(client):
    guards = {b"/a": DigestServer(), b"/b": DigestServer(users={USER: PASSWORD})}
    guards[b"/b"].realm = "another"
    guards[b"/b"]._made = 100

    def script(peer):
        while request := peer.next_request():
            peer.send(guards[request.split(b" ")[1]].respond(request))

    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(script) as server:
        for path in ("/a", "/b", "/a", "/b"):
            assert client.get(server.url(path), auth=auth).body == b"in"


def test_threads_count_a_shared_nonce_without_a_gap(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    threads, each = 4, 25
    bodies = []

    def work(url):
        bodies.extend([client.get(url, auth=auth).body for _ in range(each)])

    with ScriptedServer(guard.serve) as server:
        client.get(server.url(), auth=auth)
        workers = [threading.Thread(target=work, args=(server.url(),)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert bodies == [b"in"] * (threads * each)
    assert guard.faults == []
    numbers = sorted(int(count, 16) for _, count in guard.counts)
    assert numbers == list(range(1, threads * each + 2))


def test_threads_that_are_challenged_at_once_are_all_accepted(client):
    guard = DigestServer()
    guard.next_nonce = True
    auth = DigestAuth(USER, PASSWORD)
    start = threading.Barrier(4)
    seen = []

    def work(url):
        start.wait(30)
        seen.extend([client.get(url, auth=auth).status for _ in range(10)])

    with ScriptedServer(guard.serve) as server:
        workers = [threading.Thread(target=work, args=(server.url(),)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert seen == [200] * 40
    assert guard.faults == []


class CountingServer:
    """A server with one nonce for all, which accepts each count once."""

    def __init__(self, threads: int):
        self.counts: set[int] = set()
        self.replays = 0
        self.lock = threading.Lock()
        # The first response waits for all requests, so that each thread gets the challenge.
        self.all_here = threading.Barrier(threads)

    def serve(self, peer) -> None:
        while request := peer.next_request():
            value = field(request, "authorization")
            if value is None:
                self.all_here.wait(30)
            peer.send(response(b"in") if value and self.is_new(value) else self.challenge())

    def is_new(self, value: str) -> bool:
        number = int(parse_authorization(value)["nc"], 16)
        with self.lock:
            self.replays += number in self.counts
            new = number not in self.counts
            self.counts.add(number)
        return new

    @staticmethod
    def challenge() -> bytes:
        challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        return response(b"who?", challenge, status="401 Unauthorized")


def test_threads_with_the_same_nonce_share_its_count(client):
    guard = CountingServer(threads=8)
    auth = DigestAuth(USER, PASSWORD)
    seen = []

    def work(url):
        seen.extend([client.get(url, auth=auth).status for _ in range(4)])

    with ScriptedServer(guard.serve) as server:
        workers = [threading.Thread(target=work, args=(server.url(),)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert seen == [200] * 32
    assert guard.replays == 0
    assert guard.counts == set(range(1, 33))


def answer_challenge(auth, url, *, nonce="n", sent=None, extra="") -> bool:
    """Pass a 401 to a request with this Authorization to the auth; return its result."""
    headers = Headers([("Authorization", sent)] if sent else [])
    request = Request("GET", parse_url(url), headers)
    value = f'Digest realm="r", nonce="{nonce}", qop="auth"{extra}'
    return auth.answer(request, HttpResponse.made(request, 401, {"WWW-Authenticate": value}))


def authorization_of(auth, url="http://host/") -> str:
    request = Request("GET", parse_url(url), Headers())
    auth.authorize(request)
    return request.headers.get("authorization", "")


def nonce_and_count(auth, url="http://host/") -> tuple[str, int]:
    given = parse_authorization(authorization_of(auth, url))
    return given["nonce"], int(given["nc"], 16)


def accept(auth, sent, url="http://host/") -> None:
    request = Request("GET", parse_url(url), Headers({"Authorization": sent}))
    auth.learn(request, HttpResponse.made(request, 200))


def test_repeated_nonce_continues_its_count():
    auth = DigestAuth(USER, PASSWORD)
    url = "http://host/"
    assert answer_challenge(auth, url)
    assert nonce_and_count(auth) == ("n", 1)
    assert answer_challenge(auth, url)
    assert nonce_and_count(auth) == ("n", 2)
    assert answer_challenge(auth, url, nonce="m")
    assert nonce_and_count(auth) == ("m", 1)
    assert answer_challenge(auth, url)
    assert nonce_and_count(auth) == ("n", 3)


def test_only_a_rejected_last_count_starts_a_new_session():
    auth = DigestAuth(USER, PASSWORD)
    url = "http://host/"
    answer_challenge(auth, url)
    first, second = authorization_of(auth), authorization_of(auth)
    accept(auth, second)
    assert answer_challenge(auth, url, sent=first)
    last = authorization_of(auth)
    assert parse_authorization(last)["nc"] == "00000003"
    assert answer_challenge(auth, url, sent=last)
    assert nonce_and_count(auth) == ("n", 1)


def test_session_is_extended_to_every_challenged_target():
    auth = DigestAuth(USER, PASSWORD)
    for path in ("/a", "/b"):
        assert authorization_of(auth, f"http://host{path}") == ""
        assert answer_challenge(auth, f"http://host{path}", extra=', domain="/x"')
    assert nonce_and_count(auth, "http://host/a") == ("n", 1)
    assert nonce_and_count(auth, "http://host/b") == ("n", 2)
    assert authorization_of(auth, "http://host/c") == ""


def test_old_nonces_are_forgotten():
    auth = DigestAuth(USER, PASSWORD)
    for number in range(100):
        answer_challenge(auth, "http://host/", nonce=f"n{number}")
        authorization_of(auth)
    answer_challenge(auth, "http://host/", nonce="n99")
    assert nonce_and_count(auth) == ("n99", 2)
    answer_challenge(auth, "http://host/", nonce="n0")
    assert nonce_and_count(auth) == ("n0", 1)


# Payloads


def one_shot(*chunks: bytes):
    yield from chunks


def test_W20_one_shot_payload_is_sent_after_the_401(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    pulled = []

    def rows():
        for row in (b"a", b"b", b"c"):
            pulled.append(row)
            yield row

    def script(peer):
        head = peer.read_until(b"\r\n\r\n")
        assert field(head, "expect") == "100-continue"
        assert pulled == [], (
            "the payload is not read before the server has accepted the credentials"
        )
        peer.send(guard.respond(head))
        peer.pause(0)

    def then(peer):
        head = peer.read_until(b"\r\n\r\n")
        assert field(head, "expect") == "100-continue"
        assert (
            guard.fault(head + b"0\r\n\r\n", parse_authorization(field(head, "authorization")))
            is None
        )
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.append(peer.read_until(b"0\r\n\r\n"))
        peer.send(response(b"in"))

    got = []
    with ScriptedServer(script, then) as server:
        result = client.post(server.url(), rows(), auth=auth)
    assert result.body == b"in"
    assert got == [b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"]


@pytest.mark.parametrize("payload", [b"", b"replayable", None])
def test_W20_replayable_or_empty_payload_needs_no_100_continue(payload, client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server:
        client.post(server.url(), payload, auth=DigestAuth(USER, PASSWORD))
    assert [field(request, "expect") for request in server.requests] == [None] * 2


def test_W20_auth_without_challenges_needs_no_100_continue(client):
    with ScriptedServer.serving(response(b"in")) as server:
        client.post(server.url(), one_shot(b"x"), auth=(USER, PASSWORD))
        client.post(server.url(), one_shot(b"x"))
    assert [field(request, "expect") for request in server.requests] == [None] * 2


class OnePass(Payload):
    """A one-shot payload that records whether it was read."""

    length = 3

    def __init__(self):
        self.read = False

    def chunks(self):
        self.read = True
        yield b"abc"


def test_auth_int_with_a_one_shot_payload_raises(client):
    guard = DigestServer(qop="auth-int")
    payload = OnePass()
    auth = DigestAuth(USER, PASSWORD)

    def script(peer):
        peer.send(guard.respond(peer.read_until(b"\r\n\r\n")))

    with ScriptedServer(script) as server:
        with pytest.raises(PayloadNotReplayable, match=r"auth-int.*spool=True") as caught:
            client.post(server.url(), payload, auth=auth)
    assert caught.value.response.status == 401
    assert not payload.read


def test_auth_int_covers_a_spooled_payload(client):
    guard = DigestServer(qop="auth-int")
    with ScriptedServer(guard.serve) as server:
        auth = DigestAuth(USER, PASSWORD)
        result = client.post(server.url(), one_shot(b"a", b"b"), auth=auth, spool=True)
    assert result.body == b"in"
    assert guard.faults == []
    assert [payload_of(request) for request in server.requests] == [b"ab", b"ab"]


def test_known_auth_int_is_not_sent_with_a_one_shot_payload():
    auth = DigestAuth(USER, PASSWORD)
    url = parse_url("http://a.test/")
    first = Request("GET", url, Headers())
    challenge = {"WWW-Authenticate": f'{MD5}, qop="auth-int"'}
    assert auth.answer(first, HttpResponse.made(first, 401, challenge))
    request = Request("POST", url, Headers(), OnePass())
    auth.authorize(request)
    assert "authorization" not in request.headers
    assert not request.payload.read


def test_uri_is_the_target_of_the_request_line(client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server, Client(params={"key": "ü"}) as sharing:
        auth = DigestAuth(USER, PASSWORD)
        sharing.get(server.url("/a/../b;c?x=%2f&&y#fragment"), auth=auth)
        client.options(server.url("/ä"), auth=auth)
    assert guard.faults == []
    for request in server.requests[1:]:
        uri = parse_authorization(field(request, "authorization"))["uri"]
        assert uri.encode() == head_of(request).split(b" ")[1]
        assert body_of(request) == b""
