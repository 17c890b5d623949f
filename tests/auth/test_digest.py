"""Digest: the vectors of its RFCs, and conversations with servers that check every answer."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from urllib.parse import unquote

import pytest

from restkit import Client, Headers, HttpResponse, PayloadNotReplayable, Request, parse_url
from restkit.auth.challenges import parse_challenges
from restkit.auth.digest import (
    Asked,
    DigestAuth,
    authorization,
    best_terms,
    payload_hash,
    secret_of,
)
from restkit.errors import RequestError
from restkit.payload.base import Payload
from restkit.payload.values import BytesPayload
from support import ScriptedServer, body_of, field, head_of, payload_of, response

pytestmark = pytest.mark.smoke

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
THERE = [name for name, known in HASHES.items() if known in hashlib.algorithms_available]
USER, PASSWORD = "Mufasa", "Circle of Life"


def terms_of(*fields: str):
    return best_terms(parse_challenges(fields))


def answer_to(fields, user, password, asked, *, count=1, cnonce="c"):
    """The value of Authorization for these challenges."""
    terms = terms_of(*fields)
    return authorization(
        terms, user, secret_of(terms, user, password, cnonce), asked, count, cnonce
    )


def needs(algorithm: str) -> None:
    if algorithm not in THERE:
        pytest.skip(f"this OpenSSL has no {algorithm}")


# The vectors

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
def test_the_vectors_of_RFC_7616_3_9_1(challenge, algorithm, proof):
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    asked = Asked("GET", "/dir/index.html")
    assert answer_to([challenge], USER, PASSWORD, asked, cnonce=cnonce) == (
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        f'nc=00000001, cnonce="{cnonce}", qop=auth, response="{proof}", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


def test_the_vector_of_RFC_7616_3_9_2_as_its_erratum_4897_has_it():
    needs("SHA-512-256")
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    asked = Asked("GET", "/doe.json")
    said = answer_to([SECTION_3_9_2], "Jäsøn Doe", "Secret, or not?", asked, cnonce=cnonce)
    assert said == (
        'Digest username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", '
        'realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
        f'cnonce="{cnonce}", qop=auth, '
        'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", userhash=true'
    )
    plain = SECTION_3_9_2.replace(", userhash=true", "")
    said = answer_to([plain], "Jäsøn Doe", "Secret, or not?", asked, cnonce=cnonce)
    assert said.startswith("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=")


def test_the_vector_of_RFC_2617():
    challenge = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    asked = Asked("GET", "/dir/index.html")
    said = answer_to([challenge], USER, "Circle Of Life", asked, cnonce="0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in said
    assert "algorithm" not in said, "where the server names none, none is named"


def test_without_qop_it_is_the_answer_of_RFC_2069():
    challenge = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    # The erratum 749 of RFC 2069 has it so.
    said = answer_to([challenge], USER, "CircleOfLife", Asked("GET", "/dir/index.html"))
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said
    assert not re.search("nc=|cnonce=|qop=", said)


# Which challenge is taken, and what is said of the user


MD5, SHA, SHA_512 = (f'Digest realm="r", nonce="n", algorithm={name}' for name in HASHES)


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ([MD5], "MD5"),
        ([MD5, SHA], "SHA-256"),
        ([f"{SHA}, {MD5}"], "SHA-256"),
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
def test_the_strongest_challenge_that_can_be_answered_is_taken(fields, taken):
    assert terms_of(*fields).algorithm == taken


def test_SHA_512_256_is_the_strongest_where_it_is_there():
    needs("SHA-512-256")
    assert terms_of(MD5, SHA, SHA_512).algorithm == "SHA-512-256"


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
def test_what_cannot_be_answered_is_left(fields):
    assert terms_of(*fields) is None


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("us:er", 'username="us:er"'),
        ('a"b\\c', r'username="a\"b\\c"'),
        ("é", "username*=UTF-8''%C3%A9"),
        ("€ a'b*c", "username*=UTF-8''%E2%82%AC%20a%27b%2Ac"),
    ],
)
def test_a_user_name_is_quoted_or_where_it_cannot_be_in_the_words_of_RFC_8187(user, said):
    assert answer_to([MD5], user, "p", Asked("GET", "/")).startswith(f"Digest {said}, ")


def test_a_realm_is_hashed_as_what_it_means_and_given_back_quoted():
    said = answer_to([r'Digest realm="a \"b\", é", nonce="n\\"'], "u", "p", Asked("GET", "/"))
    assert r'realm="a \"b\", é"' in said
    assert r'nonce="n\\"' in said
    ha1 = md5(b'u:a "b", \xe9:p')
    proof = md5(f"{ha1}:n\\:{md5(b'GET:/')}".encode())
    assert f'response="{proof}"' in said


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize(("user", "password"), [("a\n", "p"), ("a", "p\r"), (None, "p")])
def test_what_cannot_be_sent_is_refused_at_once(user, password):
    with pytest.raises(RequestError, match=r"user name|password"):
        DigestAuth(user, password)


def test_the_hash_of_a_payload_reads_it_piece_by_piece():
    terms = terms_of(SHA)
    assert payload_hash(terms, None) == hashlib.sha256().hexdigest()
    whole = BytesPayload(bytes(3 << 20))
    assert payload_hash(terms, whole) == hashlib.sha256(bytes(3 << 20)).hexdigest()


# A server that checks


class DigestServer:
    """Challenges, and lets in who answers right; works the answers out in its own way."""

    def __init__(self, algorithm="MD5", qop="auth", *, users=None, extra=""):
        self.algorithm = algorithm
        self.qop = qop
        self.users = users or {USER: PASSWORD}
        self.extra = extra
        self.realm = "the realm"
        self.good: dict[str, int] = {}  # nonces, with the highest count seen
        self.secrets: dict[str, str] = {}  # of -sess, by nonce
        self.ended: list[str] = []  # nonces that are stale
        self.faults: list[str] = []
        self.counts: list[tuple[str, str]] = []
        self.next_nonce = False
        self.lock = threading.Lock()
        self._made = 0

    def nonce(self) -> str:
        self._made += 1
        self.good[f"nonce{self._made}"] = 0
        return f"nonce{self._made}"

    def hash(self, *parts: bytes) -> str:
        known = HASHES[self.algorithm.removesuffix("-sess")]
        return hashlib.new(known, b":".join(parts)).hexdigest()

    def challenge(self, *, stale=False) -> bytes:
        words = [f'realm="{self.realm}"', f'nonce="{self.nonce()}"', 'opaque="o,p"']
        words += [f"algorithm={self.algorithm}"] if self.algorithm else []
        words += [f'qop="{self.qop}"'] if self.qop else []
        words += ["stale=true"] if stale else []
        value = "Digest " + ", ".join(words) + self.extra
        return response(b"who?", f"WWW-Authenticate: {value}", status="401 Unauthorized")

    def answer(self, request: bytes) -> bytes:
        with self.lock:
            said = field(request, "authorization")
            if said is None:
                return self.challenge()
            given = parameters(said)
            if given["nonce"] in self.ended:
                return self.challenge(stale=True)
            fault = self.fault(request, given)
            if fault:
                self.faults.append(fault)
                return self.challenge()
            self.counts.append((given["nonce"], given.get("nc", "")))
            info = []
            if self.next_nonce:
                following = self.nonce()
                if given["nonce"] in self.secrets:
                    self.secrets[following] = self.secrets[given["nonce"]]
                info = [f'Authentication-Info: nextnonce="{following}", qop=auth']
            return response(b"in", *info)

    def fault(self, request: bytes, given: dict[str, str]) -> str | None:
        method, target, _ = request.split(b"\r\n")[0].split(b" ")
        nonce = given["nonce"]
        wanted = {"realm": self.realm, "uri": target.decode(), "opaque": "o,p"}
        for name, value in wanted.items():
            if given.get(name) != value:
                return f"{name} is {given.get(name)!r}, not {value!r}"
        if nonce not in self.good:
            return f"the nonce {nonce!r} is none of ours"
        count = int(given.get("nc", "0"), 16)
        if self.qop and count <= 0:
            return f"the count is {count}"
        self.good[nonce] = max(self.good[nonce], count)
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
        use = [given["nc"].encode(), cnonce, given["qop"].encode()] if self.qop else []
        return self.hash(ha1.encode(), nonce, *use, self.hash(*a2).encode())

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
            peer.send(self.answer(request))


def parameters(said: str) -> dict[str, str]:
    """Read simple-mindedly, apart from restkit's own parser."""
    assert said.startswith("Digest ")
    found = re.findall(r'([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))', said)
    return {name: re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found}


def nonces(server: ScriptedServer) -> list[str | None]:
    """For each request, the nonce it answered with, or None."""
    said = [field(request, "authorization") for request in server.requests]
    return [None if text is None else parameters(text)["nonce"] for text in said]


@pytest.mark.parametrize("sess", ["", "-sess"])
@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth,auth-int", ""])
def test_each_algorithm_and_qop_is_let_in_and_the_next_needs_no_401(algorithm, qop, sess, client):
    needs(algorithm)
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
    assert nonces(server) == [None, "nonce1", "nonce1", "nonce1"]
    counts = ["00000001", "00000002", "00000003"] if qop else ["", "", ""]
    assert guard.counts == [("nonce1", count) for count in counts]
    assert payload_of(server.requests[3]) == b"a file"
    words = parameters(field(server.requests[2], "authorization"))
    assert words.get("qop") == (("auth" if "auth" in qop.split(",") else qop) or None)


def test_a_cnonce_is_new_for_each_request_and_in_a_session_the_same():
    seen = {}
    for algorithm in ("MD5", "MD5-sess"):
        guard = DigestServer(algorithm)
        with (
            ScriptedServer(guard.serve) as server,
            Client(auth=DigestAuth(USER, PASSWORD)) as client,
        ):
            for _ in range(4):
                client.get(server.url())
        said = [field(request, "authorization") for request in server.requests[1:]]
        seen[algorithm] = {parameters(text)["cnonce"] for text in said}
    assert (len(seen["MD5"]), len(seen["MD5-sess"])) == (4, 1)


@pytest.mark.parametrize("extra", ["", ", userhash=true", ", charset=UTF-8"])
@pytest.mark.parametrize("user", ["Jäsøn Doe", 'a "b" \\ c', "us:er"])
def test_users_of_any_name_are_let_in(user, extra, client):
    guard = DigestServer("SHA-256", users={user: "pässword"}, extra=extra)
    with ScriptedServer(guard.serve) as server:
        assert client.get(server.url(), auth=DigestAuth(user, "pässword")).body == b"in"
    said = field(server.requests[1], "authorization")
    assert ("userhash=true" in said) == ("userhash" in extra)
    assert parameters(said).get("username") == {
        ", userhash=true": guard.hash(user.encode(), guard.realm.encode())
    }.get(extra, user if user.isascii() else None)


def test_a_wrong_password_is_tried_once_and_the_401_is_the_answer(client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server:
        answer = client.get(server.url(), auth=DigestAuth(USER, "wrong"))
        assert (answer.status, answer.body) == (401, b"who?")
        assert [r.status for r in answer.history] == [401]
    assert len(server.requests) == 2
    assert "wrong" not in repr(answer.request) + str(server.requests)


def test_a_stale_nonce_is_replaced_and_the_request_goes_again(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server:
        client.get(server.url(), auth=auth)
        guard.ended.append("nonce1")
        answer = client.post(server.url(), b"payload", auth=auth)
    assert answer.body == b"in"
    assert nonces(server) == [None, "nonce1", "nonce1", "nonce2"]
    assert guard.counts == [("nonce1", "00000001"), ("nonce2", "00000001")]
    assert [payload_of(request) for request in server.requests[2:]] == [b"payload"] * 2


def test_a_nonce_that_was_good_and_is_refused_without_a_word_is_replaced_once(client):
    guard = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server:
        client.get(server.url(), auth=auth)
        del guard.good["nonce1"]
        assert client.get(server.url(), auth=auth).body == b"in"
        guard.users[USER] = "changed"
        assert client.get(server.url(), auth=auth).status == 401
    assert nonces(server) == [None, "nonce1", "nonce1", "nonce2", "nonce2", "nonce3"]


def test_a_server_that_finds_every_nonce_stale_is_not_asked_for_ever(client):
    guard = DigestServer()
    with ScriptedServer(lambda peer: endless(peer, guard)) as server:
        assert client.get(server.url(), auth=DigestAuth(USER, PASSWORD)).status == 401
    assert len(server.requests) == 4


def endless(peer, guard):
    while peer.next_request():
        peer.send(guard.challenge(stale=True))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256-sess"])
def test_the_next_nonce_is_taken_from_the_answer(algorithm, client):
    guard = DigestServer(algorithm)
    guard.next_nonce = True
    with ScriptedServer(guard.serve) as server:
        auth = DigestAuth(USER, PASSWORD)
        for _ in range(3):
            assert client.get(server.url(), auth=auth).body == b"in"
    assert guard.faults == []
    assert nonces(server) == [None, "nonce1", "nonce2", "nonce3"]
    assert [count for _, count in guard.counts] == ["00000001"] * 3


def test_a_next_nonce_that_is_the_same_does_not_begin_to_count_anew():
    auth = DigestAuth(USER, PASSWORD)
    url = parse_url("http://a.test/")
    request = Request("GET", url, Headers(), None)
    auth.answer(request, HttpResponse.made(request, 401, {"WWW-Authenticate": f"{MD5}, qop=auth"}))
    counts = []
    for _ in range(3):
        auth.authorize(request)
        counts.append(parameters(request.headers["Authorization"])["nc"])
        auth.learn(request, HttpResponse.made(request, 200, {"Authentication-Info": "nextnonce=n"}))
    assert counts == ["00000001", "00000002", "00000003"]


# Which requests it goes with


def test_credentials_are_remembered_for_the_origin_that_asked_and_no_other(client):
    guard, stranger = DigestServer(), DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(guard.serve) as server, ScriptedServer(stranger.serve) as other:
        client.get(server.url(), auth=auth)
        client.get(other.url(), auth=auth)
        client.get(server.url(), auth=auth)
    assert nonces(server) == [None, "nonce1", "nonce1"]
    assert nonces(other) == [None, "nonce1"]
    assert repr(auth) == "<DigestAuth, challenged by 2 origins>"


def test_a_redirect_to_another_origin_leaves_the_password_and_its_proof_behind(client):
    stranger = DigestServer()
    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(stranger.serve) as other:
        guard = DigestServer()

        def script(peer):
            while request := peer.next_request():
                answer = guard.answer(request)
                moved = response(b"", f"Location: {other.url()}", status="302 Found")
                peer.send(answer if b" 401 " in answer[:20] else moved)

        with ScriptedServer(script) as server:
            answer = client.get(server.url(), auth=auth)
    assert answer.status == 401, "the other one's challenge is not answered"
    assert nonces(server) == [None, "nonce1"]
    assert nonces(other) == [None]


def test_a_redirect_within_the_origin_is_answered_before_it_asks(client):
    guard = DigestServer()

    def script(peer):
        while request := peer.next_request():
            answer = guard.answer(request)
            if b" 401 " not in answer[:20] and request.startswith(b"GET / "):
                answer = response(b"", "Location: /there", status="302 Found")
            peer.send(answer)

    with ScriptedServer(script) as server:
        answer = client.get(server.url(), auth=DigestAuth(USER, PASSWORD))
    assert answer.body == b"in"
    assert [r.status for r in answer.history] == [401, 302]
    assert nonces(server) == [None, "nonce1", "nonce1"]
    assert guard.faults == []


def test_a_domain_says_where_the_answer_is_given_unasked(client):
    guard = DigestServer(extra=', domain="/in/ http://other.test/ :junk: /also?x"')
    auth = DigestAuth(USER, PASSWORD)
    paths = ["/door?x", "/in/a", "/also?x=1", "/door/a", "/out", "/in/a"]
    with ScriptedServer(guard.serve) as server:
        for path in paths:
            assert client.get(server.url(path), auth=auth).body == b"in"
    asked = [request.split(b" ")[1].decode() for request in server.requests]
    unasked = [path for path, nonce in zip(asked, nonces(server), strict=True) if nonce is None]
    assert unasked == ["/door?x", "/out"]


def test_another_realm_of_the_same_origin_is_answered_as_well(client):
    guards = {b"/a": DigestServer(), b"/b": DigestServer(users={USER: PASSWORD})}
    guards[b"/b"].realm = "another"
    guards[b"/b"]._made = 100

    def script(peer):
        while request := peer.next_request():
            peer.send(guards[request.split(b" ")[1]].answer(request))

    auth = DigestAuth(USER, PASSWORD)
    with ScriptedServer(script) as server:
        for path in ("/a", "/b", "/a", "/b"):
            assert client.get(server.url(path), auth=auth).body == b"in"


def test_threads_share_one_client_and_count_its_nonce_without_a_gap(client):
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


def test_threads_that_are_challenged_at_once_all_get_in(client):
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
    """Gives one nonce to all, and lets each count of it in once."""

    def __init__(self, threads: int):
        self.counts: set[int] = set()
        self.replays = 0
        self.lock = threading.Lock()
        # Nobody is answered before all have asked: they are all challenged alike.
        self.all_here = threading.Barrier(threads)

    def serve(self, peer) -> None:
        while request := peer.next_request():
            said = field(request, "authorization")
            if said is None:
                self.all_here.wait(30)
            peer.send(response(b"in") if said and self.is_new(said) else self.challenge())

    def is_new(self, said: str) -> bool:
        number = int(parameters(said)["nc"], 16)
        with self.lock:
            self.replays += number in self.counts
            new = number not in self.counts
            self.counts.add(number)
        return new

    @staticmethod
    def challenge() -> bytes:
        asked = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        return response(b"who?", asked, status="401 Unauthorized")


def test_threads_that_are_given_one_nonce_count_on_together(client):
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


def challenged(auth, url, *, nonce="n", said=None, extra="") -> bool:
    """Show the auth a 401 to a request that said this; whether it would do better."""
    headers = Headers([("Authorization", said)] if said else [])
    asked = Request("GET", parse_url(url), headers, None)
    value = f'Digest realm="r", nonce="{nonce}", qop="auth"{extra}'
    return auth.answer(asked, HttpResponse.made(asked, 401, {"WWW-Authenticate": value}))


def says(auth, url="http://host/") -> str:
    asked = Request("GET", parse_url(url), Headers(), None)
    auth.authorize(asked)
    return asked.headers.get("authorization", "")


def counted(auth, url="http://host/") -> tuple[str, int]:
    given = parameters(says(auth, url))
    return given["nonce"], int(given["nc"], 16)


def let_in(auth, said, url="http://host/") -> None:
    asked = Request("GET", parse_url(url), Headers({"Authorization": said}), None)
    auth.learn(asked, HttpResponse.made(asked, 200))


def test_a_nonce_that_is_given_again_counts_on():
    auth = DigestAuth(USER, PASSWORD)
    url = "http://host/"
    assert challenged(auth, url)
    assert counted(auth) == ("n", 1)
    assert challenged(auth, url)
    assert counted(auth) == ("n", 2)
    assert challenged(auth, url, nonce="m")
    assert counted(auth) == ("m", 1)
    assert challenged(auth, url)
    assert counted(auth) == ("n", 3)


def test_only_the_last_count_that_is_refused_begins_anew():
    auth = DigestAuth(USER, PASSWORD)
    url = "http://host/"
    challenged(auth, url)
    first, second = says(auth), says(auth)
    let_in(auth, second)
    assert challenged(auth, url, said=first)
    last = says(auth)
    assert parameters(last)["nc"] == "00000003"
    assert challenged(auth, url, said=last)
    assert counted(auth) == ("n", 1)


def test_a_session_that_goes_on_reaches_whatever_is_challenged():
    auth = DigestAuth(USER, PASSWORD)
    for path in ("/a", "/b"):
        assert says(auth, f"http://host{path}") == ""
        assert challenged(auth, f"http://host{path}", extra=', domain="/x"')
    assert counted(auth, "http://host/a") == ("n", 1)
    assert counted(auth, "http://host/b") == ("n", 2)
    assert says(auth, "http://host/c") == ""


def test_old_nonces_are_forgotten():
    auth = DigestAuth(USER, PASSWORD)
    for number in range(100):
        challenged(auth, "http://host/", nonce=f"n{number}")
        says(auth)
    challenged(auth, "http://host/", nonce="n99")
    assert counted(auth) == ("n99", 2)
    challenged(auth, "http://host/", nonce="n0")
    assert counted(auth) == ("n0", 1)


# Payloads


def once(*pieces: bytes):
    yield from pieces


def test_W20_a_payload_of_one_pass_survives_the_401(client):
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
        assert pulled == [], "nothing was asked of the payload before the server let it in"
        peer.send(guard.answer(head))
        peer.pause(0)

    def then(peer):
        head = peer.read_until(b"\r\n\r\n")
        assert field(head, "expect") == "100-continue"
        assert guard.fault(head + b"0\r\n\r\n", parameters(field(head, "authorization"))) is None
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.append(peer.read_until(b"0\r\n\r\n"))
        peer.send(response(b"in"))

    got = []
    with ScriptedServer(script, then) as server:
        answer = client.post(server.url(), rows(), auth=auth)
    assert answer.body == b"in"
    assert got == [b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"]


@pytest.mark.parametrize("payload", [b"", b"replayable", None])
def test_W20_nothing_is_expected_of_what_can_go_again_or_is_empty(payload, client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server:
        client.post(server.url(), payload, auth=DigestAuth(USER, PASSWORD))
    assert [field(request, "expect") for request in server.requests] == [None] * 2


def test_W20_nothing_is_expected_where_no_challenge_is_answered(client):
    with ScriptedServer.serving(response(b"in")) as server:
        client.post(server.url(), once(b"x"), auth=(USER, PASSWORD))
        client.post(server.url(), once(b"x"))
    assert [field(request, "expect") for request in server.requests] == [None] * 2


class OnePass(Payload):
    """Cannot be sent twice, and says whether it was read."""

    length = 3

    def __init__(self):
        self.read = False

    def chunks(self):
        self.read = True
        yield b"abc"


def test_auth_int_over_a_payload_of_one_pass_is_an_error_that_says_what_to_do(client):
    guard = DigestServer(qop="auth-int")
    payload = OnePass()
    auth = DigestAuth(USER, PASSWORD)

    def script(peer):
        peer.send(guard.answer(peer.read_until(b"\r\n\r\n")))

    with ScriptedServer(script) as server:
        with pytest.raises(PayloadNotReplayable, match=r"auth-int.*spool=True") as caught:
            client.post(server.url(), payload, auth=auth)
    assert caught.value.response.status == 401
    assert not payload.read


def test_auth_int_covers_a_spooled_payload(client):
    guard = DigestServer(qop="auth-int")
    with ScriptedServer(guard.serve) as server:
        auth = DigestAuth(USER, PASSWORD)
        answer = client.post(server.url(), once(b"a", b"b"), auth=auth, spool=True)
    assert answer.body == b"in"
    assert guard.faults == []
    assert [payload_of(request) for request in server.requests] == [b"ab", b"ab"]


def test_auth_known_to_be_int_is_left_off_a_payload_of_one_pass():
    auth = DigestAuth(USER, PASSWORD)
    url = parse_url("http://a.test/")
    asking = Request("GET", url, Headers(), None)
    challenge = {"WWW-Authenticate": f'{MD5}, qop="auth-int"'}
    assert auth.answer(asking, HttpResponse.made(asking, 401, challenge))
    request = Request("POST", url, Headers(), OnePass())
    auth.authorize(request)
    assert "authorization" not in request.headers
    assert not request.payload.read


def test_the_answer_is_over_the_target_that_is_on_the_request_line(client):
    guard = DigestServer()
    with ScriptedServer(guard.serve) as server, Client(params={"key": "ü"}) as sharing:
        auth = DigestAuth(USER, PASSWORD)
        sharing.get(server.url("/a/../b;c?x=%2f&&y#fragment"), auth=auth)
        client.options(server.url("/ä"), auth=auth)
    assert guard.faults == []
    for request in server.requests[1:]:
        uri = parameters(field(request, "authorization"))["uri"]
        assert uri.encode() == head_of(request).split(b" ")[1]
        assert body_of(request) == b""
