"""A Client with every policy switched on, a call that needs each of them, and its server.

Programs that fork, and programs of greenlets, import it too.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import urllib3

from restkit import Client, DigestAuth, Timeout

from .messages import field, head_of, payload_of, response
from .peer import HANG_BOUND, Peer

USER, PASSWORD, REALM = "Mufasa", "Circle of Life", "savannah"


def is_refused_once(name: str) -> bool:
    """Whether the server answers the first try of a call of this name with 503."""
    return zlib.crc32(name.encode()) % 3 == 0


def is_hung_up_on(name: str) -> bool:
    """Whether the server closes the connection behind its answer, without a word of that."""
    return zlib.crc32(name.encode()) % 5 == 0


def rows(name: str) -> Iterator[bytes]:
    """What a call of this name sends: once."""
    for number in range(20):
        yield f"{name}:{number};".encode() * 150


class Naming:
    """A filter, which gives each request its name, and counts requests and answers."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def on_request(self, request: Any) -> None:
        request.headers["X-Call"] = request.url.target.partition("?")[0].rpartition("/")[2]
        self._count("requests")

    def on_response(self, response: Any, request: Any) -> None:
        assert request.headers["X-Call"] == response.headers["X-Call"]
        self._count("responses")

    def _count(self, what: str) -> None:
        with self._lock:
            self.seen[what] += 1


def everything_on(base_url: str, ca_file: str, **more: Any) -> Client:
    """A Client with everything that there is to switch on."""
    options: dict[str, Any] = {
        "filters": Naming(),
        "pool_size": 10,
        "max_connections": 12,
        **more,
    }
    return Client(
        base_url=base_url,
        verify=ca_file,
        timeout=Timeout(HANG_BOUND, HANG_BOUND, 2 * HANG_BOUND),
        auth=DigestAuth(USER, PASSWORD),
        cookies=True,
        retries=urllib3.Retry(20, status=3, status_forcelist=[503], backoff_factor=0),
        replay="spool",
        spool_size=20_000,  # what is kept of a payload is in a file
        headers={"X-Team": "blue"},
        params={"key": "k"},
        **options,
    )


def call(client: Client, name: str) -> list[int]:
    """One call, checked from end to end; the statuses on its way, its own the last."""
    told: list[int] = []
    whole = b"".join(rows(name))
    got = client.put(
        f"/in/{name}", rows(name), params={"n": name}, progress=lambda done, _: told.append(done)
    )
    assert (got.status, got.body) == (200, whole), (name, got, got.history)
    statuses = [each.status for each in got.history if each.status is not None]
    after = [307, 503] if is_refused_once(name) else [307]
    assert [each for each in statuses if each != 401] == after, (name, got.history)
    # A pass on a rested connection that turns out to be dead is told of, too.
    assert len(statuses) < told.count(len(whole)) <= told.count(0), (name, told)
    assert client.cookies[f"c-{name}"] == f"v-{name}"
    return [*statuses, got.status]


def at_rest(client: Client) -> int:
    """How many connections rest."""
    found = re.search(r"(\d+) idle connections", repr(client))
    assert found
    return int(found[1])


class Service:
    """Wants Digest, sends on with a cookie, refuses once, gives back what it got, and hangs up.

    ``statuses`` counts the answers, ``names`` has the calls that came by each connection.
    """

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.names: dict[Peer, set[str]] = {}
        self._nonces = (f"nonce-{number}" for number in itertools.count())
        self._given: set[str] = set()
        self._used: set[tuple[str, str]] = set()
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        names = self.names.setdefault(peer, set())
        while (request := peer.next_request()) is not None:
            name = field(request, "x-call")
            assert name is not None
            names.add(name)
            with self._lock:
                status, fields, body = self._answer(request, name)
                self.statuses[status] += 1
            peer.send(response(body, f"X-Call: {name}", *fields, status=f"{status} Indeed"))
            if status != 401 and is_hung_up_on(name):
                return

    def _answer(self, request: bytes, name: str) -> tuple[int, list[str], bytes]:
        target = request.split(b" ", 2)[1].decode()
        assert field(request, "x-team") == "blue"
        assert payload_of(request) == b"".join(rows(name)), head_of(request)
        if not self._is_let_in(request, target):
            return 401, [self._challenge()], b"who are you?"
        if target == f"/in/{name}?key=k&n={name}":
            fields = [f"Location: /on/{name}", f"Set-Cookie: c-{name}=v-{name}; Path=/"]
            return 307, fields, b"not here"
        assert target == f"/on/{name}"
        assert f"c-{name}=v-{name}" in (field(request, "cookie") or "").split("; ")
        if is_refused_once(name) and name not in self._refused:
            self._refused.add(name)
            return 503, ["Retry-After: 0"], b"not now"
        return 200, [], payload_of(request)

    def _challenge(self) -> str:
        nonce = next(self._nonces)
        self._given.add(nonce)
        stale = "true" if len(self._given) > 1 else "false"
        said = f'realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=SHA-256, stale={stale}'
        return f"WWW-Authenticate: Digest {said}"

    def _is_let_in(self, request: bytes, target: str) -> bool:
        """Whether the proof is right, and this nonce and count have not been seen before."""
        found = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,"]+))', field(request, "authorization") or "")
        said = {name: quoted or plain for name, quoted, plain in found}
        if not said:
            return False
        method = request.split(b" ", 1)[0].decode()
        secret = _hashed(USER, REALM, PASSWORD)
        nonce, count, cnonce = said["nonce"], said["nc"], said["cnonce"]
        proof = _hashed(secret, nonce, count, cnonce, "auth", _hashed(method, target))
        assert (said["uri"], said["response"]) == (target, proof)
        assert nonce in self._given
        fresh = (nonce, count) not in self._used
        self._used.add((nonce, count))
        return fresh


def _hashed(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()
