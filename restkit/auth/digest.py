"""Digest authentication (RFC 7616): prove a password without sending it.

The parameters of a challenge are kept for its origin, so that later requests need no 401. A
session is replaced as a whole, and its counter counts in one step: threads share it without a lock,
which a fork could leave locked. Threads that are challenged at once with the same nonce use one
counter: starting at one again would be a replay (section 3.4.5).

- Realm, nonce and opaque are hashed and returned as the decoded values of their quoted strings,
  with their original bytes. User name and password are UTF-8, the only charset (section 4).
- Without ``qop`` the response is that of RFC 2069, which some devices still require.
- The secret of ``-sess`` is made from the nonce and cnonce that begin a session (section 3.4.2).
- The server's own proof (``rspauth``) is not checked.
- The example of section 3.9.2 was not made with SHA-512/256; erratum 4897 corrects it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from restkit.auth.auth import Auth, check_credential
from restkit.auth.challenges import Challenge, parse_challenges, parse_parameters
from restkit.errors import InvalidUrl, PayloadNotReplayable
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.payload.base import Payload
from restkit.url.url import URL

if TYPE_CHECKING:
    Origin = tuple[str, str, int]


# Threads may still use these nonces; older ones are forgotten.
_MAX_NONCES = 64
# Names in hashlib, the weakest first. An OpenSSL may be built without some.
# RFC 7616 does not have "sha" and "sha-512", which requests and some servers use.
_HASHES = {
    "md5": "md5",
    "sha": "sha1",
    "sha-256": "sha256",
    "sha-512": "sha512",
    "sha-512-256": "sha512_256",
}
_STRENGTH = list(_HASHES.values())
_SEPARATORS = re.compile(r"[\s,]+")
_QUOTABLE = re.compile(r"[ -~]*")
_TO_ESCAPE = re.compile(r'(["\\])')


class DigestAuth(Auth):
    """User name and password, sent as a response to the server's challenge.

    It uses the strongest hash that the server offers: SHA-512-256, SHA-512, SHA-256, SHA (which is
    SHA-1) or MD5, each also with ``-sess``. If the server requires auth-int, the response covers
    the payload, which is read before it is sent: a one-shot payload then raises
    PayloadNotReplayable.

    >>> DigestAuth('user', 'password')
    <DigestAuth, challenged by 0 origins>
    """

    __slots__ = ("_by_nonce", "_password", "_sessions", "_user")
    answers_challenges = True

    def __init__(self, user: str, password: str) -> None:
        # Not at the first challenge: see import_early() in network/dial.py.
        import hashlib  # noqa: F401
        import secrets  # noqa: F401

        check_credential("user name", user)
        check_credential("password", password)
        self._user = user
        self._password = password
        self._sessions: dict[Origin, _Session] = {}
        self._by_nonce: dict[_NonceKey, _Session] = {}

    def authorize(self, request: Request) -> None:
        session = self._sessions.get(request.url.origin)
        if session is None or not session.covers(request.url):
            return
        challenge = session.challenge
        covered = CoveredRequest(request.method, request.target)
        if challenge.covers_payload:
            if request.payload is not None and not request.payload.replayable:
                return  # the server sends a 401, and answer() raises
            covered = covered._replace(payload_hash=hash_payload(challenge, request.payload))
        request.headers["Authorization"] = session.format_authorization(self._user, covered)

    def answer(self, request: Request, response: HttpResponse) -> bool:
        challenge = choose_challenge(parse_challenges(response.headers.get_all("www-authenticate")))
        if challenge is None or self._is_rejected(request, challenge):
            return False
        payload = request.payload
        if challenge.covers_payload and payload is not None and not payload.replayable:
            raise PayloadNotReplayable(
                f"the server responded {response.status_line} and requires qop=auth-int: "
                f"{payload!r} would have to be read before it is sent. Use spool=True to keep it",
                request=request,
                response=response,
            )
        self._update_session(request, challenge)
        return True

    def _update_session(self, request: Request, challenge: DigestChallenge) -> None:
        """Continue the session of this nonce, or start one if there is none."""
        key, scope = _NonceKey.of(challenge, request.url), _find_scope(challenge, request.url)
        session, sent = self._by_nonce.get(key), _sent_parameters(request)
        # Requests may arrive in another order: only the last one shows that the session is invalid.
        if session and (sent.get("nonce"), sent.get("nc")) == (challenge.nonce, session.last_count):
            self._by_nonce.pop(key, None)
            session = None
        if session is None:
            session = _start_session(challenge, self._user, self._password, scope)
        self._set_session(key, session)
        if not session.covers(request.url):
            session.extend(scope)

    def _set_session(self, key: _NonceKey, session: _Session) -> None:
        # If two threads have started a session each, both continue with the first.
        self._sessions[key.origin] = self._by_nonce.setdefault(key, session)
        for oldest in list(self._by_nonce)[:-_MAX_NONCES]:
            self._by_nonce.pop(oldest, None)

    def _is_rejected(self, request: Request, challenge: DigestChallenge) -> bool:
        """Whether the 401 means that user name or password are wrong.

        False if the nonce is stale or was accepted before, because not every server reports that a
        nonce has expired. False if another thread has started a new session in the meantime.
        """
        if "authorization" not in request.headers:
            return False
        sent, session = _sent_parameters(request), self._sessions.get(request.url.origin)
        if session is None or "nonce" not in sent:
            return True  # the header was not set here
        if challenge.stale or sent.get("realm") != challenge.realm:
            return False
        return sent["nonce"] == session.challenge.nonce and not session.accepted

    def learn(self, request: Request, response: HttpResponse) -> None:
        session = self._sessions.get(request.url.origin)
        if session is None or response.status == 401:
            return
        info = response.headers.get("authentication-info")
        if info is None and session.accepted:
            return
        nonce = session.challenge.nonce
        if _sent_parameters(request).get("nonce") != nonce:
            return
        session.accepted = True
        next_nonce = parse_parameters(info or "").get("nextnonce", nonce)
        # The same nonce must not count from one again: that would be a replay.
        if next_nonce != nonce:
            session = session.with_nonce(next_nonce)
            self._set_session(_NonceKey.of(session.challenge, request.url), session)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DigestAuth):
            return NotImplemented
        return (self._user, self._password) == (other._user, other._password)

    def __hash__(self) -> int:
        return hash((self._user, self._password))

    def __repr__(self) -> str:
        count = len(self._sessions)
        return f"<DigestAuth, challenged by {count} {'origin' if count == 1 else 'origins'}>"


class _NonceKey(NamedTuple):
    """The scope of one counter."""

    origin: Origin
    realm: str
    algorithm: str | None
    nonce: str

    @classmethod
    def of(cls, challenge: DigestChallenge, url: URL) -> _NonceKey:
        return cls(url.origin, challenge.realm, challenge.algorithm, challenge.nonce)


class _Session:
    """The state for the requests from one challenge to the next."""

    __slots__ = (
        "_counts",
        "_first_cnonce",
        "_scope",
        "_secret",
        "accepted",
        "challenge",
        "last_count",
    )

    def __init__(
        self,
        challenge: DigestChallenge,
        secret: str,
        first_cnonce: str,
        scope: tuple[str, ...],
        *,
        accepted: bool,
    ) -> None:
        self.challenge = challenge
        self.accepted = accepted
        self._secret = secret
        self._first_cnonce = first_cnonce
        self._scope = scope
        self._counts = count(1)
        self.last_count = ""

    def covers(self, url: URL) -> bool:
        return url.target.startswith(self._scope)

    def extend(self, scope: tuple[str, ...]) -> None:
        self._scope += scope

    def format_authorization(self, user: str, covered: CoveredRequest) -> str:
        # Some servers make the secret of a -sess session again for each request, from the cnonce of
        # this request. With the same cnonce for all, the result is the same.
        cnonce = self._first_cnonce if self.challenge.in_session else _make_cnonce()
        number = next(self._counts)
        self.last_count = f"{number:08x}"
        return format_authorization(self.challenge, user, self._secret, covered, number, cnonce)

    def with_nonce(self, nonce: str) -> _Session:
        challenge = self.challenge._replace(nonce=nonce)
        return _Session(challenge, self._secret, self._first_cnonce, self._scope, accepted=True)


def _start_session(
    challenge: DigestChallenge, user: str, password: str, scope: tuple[str, ...]
) -> _Session:
    cnonce = _make_cnonce()
    secret = compute_secret(challenge, user, password, cnonce)
    return _Session(challenge, secret, cnonce, scope, accepted=False)


def _make_cnonce() -> str:
    from secrets import token_urlsafe

    return token_urlsafe(24)


def _find_scope(challenge: DigestChallenge, url: URL) -> tuple[str, ...]:
    """Return the target prefixes of a protection space, within the origin of the challenge.

    Other origins in ``domain`` are ignored: they must send a challenge themselves.
    """
    if not challenge.domain.strip():
        return ("",)
    targets = [url.target.partition("?")[0]]
    for reference in challenge.domain.split():
        try:
            other = url.join(reference)
        except InvalidUrl:
            continue
        if other.origin == url.origin:
            targets.append(other.target)
    return tuple(targets)


def _sent_parameters(request: Request) -> dict[str, str]:
    """Return the parameters of the Digest header that this request was sent with."""
    sent = parse_challenges(request.headers.get_all("authorization"))
    return sent[0].parameters if sent and sent[0].scheme == "digest" else {}


class DigestChallenge(NamedTuple):
    """A Digest challenge that is supported."""

    realm: str
    nonce: str
    opaque: str | None
    algorithm: str | None  # with its original spelling, which is sent back
    hash_name: str
    in_session: bool  # an algorithm that ends with -sess
    qops: frozenset[str]  # empty: as in RFC 2069
    userhash: bool
    stale: bool
    domain: str

    @property
    def covers_payload(self) -> bool:
        """Whether the response must cover the payload: the server offers only auth-int."""
        return bool(self.qops) and "auth" not in self.qops


class CoveredRequest(NamedTuple):
    """The parts of a request that the response covers; the payload by its hash, if at all."""

    method: str
    target: str
    payload_hash: str | None = None


def choose_challenge(challenges: Iterable[Challenge]) -> DigestChallenge | None:
    """Return the strongest supported Digest challenge, the first of equals, or None."""
    supported = [each for challenge in challenges if (each := _read_challenge(challenge))]
    return max(supported, key=lambda each: _STRENGTH.index(each.hash_name), default=None)


def _read_challenge(challenge: Challenge) -> DigestChallenge | None:
    parameters = challenge.parameters
    algorithm = parameters.get("algorithm")
    base, in_session = _split_algorithm("MD5" if algorithm is None else algorithm)
    hash_name = _HASHES.get(base)
    qops = frozenset(_SEPARATORS.split(parameters.get("qop", "").lower())) - {""}
    supported = qops & {"auth", "auth-int"}
    if challenge.scheme != "digest" or not parameters.keys() >= {"realm", "nonce"}:
        return None
    if hash_name is None or not _is_available(hash_name) or bool(qops) > bool(supported):
        return None
    return DigestChallenge(
        parameters["realm"],
        parameters["nonce"],
        parameters.get("opaque"),
        algorithm,
        hash_name,
        in_session,
        supported,
        parameters.get("userhash", "").lower() == "true",
        parameters.get("stale", "").lower() == "true",
        parameters.get("domain", ""),
    )


def _split_algorithm(algorithm: str) -> tuple[str, bool]:
    low = algorithm.lower()
    return low.removesuffix("-sess"), low.endswith("-sess")


def _is_available(hash_name: str) -> bool:
    import hashlib

    try:
        hashlib.new(hash_name)
    except ValueError:
        return False
    return True


def compute_secret(challenge: DigestChallenge, user: str, password: str, cnonce: str) -> str:
    """Return H(A1), which only client and server know; all responses of a session use it."""
    secret = _hash(challenge, user, _encode_field(challenge.realm), password)
    if not challenge.in_session:
        return secret
    return _hash(challenge, secret, _encode_field(challenge.nonce), cnonce)


def hash_payload(challenge: DigestChallenge, payload: Payload | None) -> str:
    """Return the hash of a payload. It is read completely, so it must be replayable."""
    import hashlib

    payload_hash = hashlib.new(challenge.hash_name)
    for chunk in payload or ():
        payload_hash.update(chunk)
    return payload_hash.hexdigest()


def format_authorization(
    challenge: DigestChallenge,
    user: str,
    secret: str,
    covered: CoveredRequest,
    count: int,
    cnonce: str,
) -> str:
    """Return the ``Authorization`` of the ``count``-th request with the nonce of the challenge."""
    fields = [
        _format_username(challenge, user),
        f"realm={_quote(challenge.realm)}",
        f"uri={_quote(covered.target)}",
    ]
    if challenge.algorithm is not None:
        fields.append(f"algorithm={challenge.algorithm}")
    fields.append(f"nonce={_quote(challenge.nonce)}")
    qop = _choose_qop(challenge, covered)
    session_fields = (f"{count:08x}", cnonce, qop) if qop else ()
    if qop:
        fields += [f"nc={count:08x}", f"cnonce={_quote(cnonce)}", f"qop={qop}"]
    elif challenge.in_session:
        fields.append(f"cnonce={_quote(cnonce)}")  # the server needs it for the secret
    response = _hash(
        challenge,
        secret,
        _encode_field(challenge.nonce),
        *session_fields,
        _hash_request(challenge, covered),
    )
    fields.append(f"response={_quote(response)}")
    if challenge.opaque is not None:
        fields.append(f"opaque={_quote(challenge.opaque)}")
    if challenge.userhash:
        fields.append("userhash=true")
    return f"Digest {', '.join(fields)}"


def _choose_qop(challenge: DigestChallenge, covered: CoveredRequest) -> str:
    if not challenge.qops:
        return ""
    return "auth" if covered.payload_hash is None else "auth-int"


def _hash_request(challenge: DigestChallenge, covered: CoveredRequest) -> str:
    payload = () if covered.payload_hash is None else (covered.payload_hash,)
    return _hash(challenge, covered.method, covered.target, *payload)


def _format_username(challenge: DigestChallenge, user: str) -> str:
    if challenge.userhash:
        return f"username={_quote(_hash(challenge, user, _encode_field(challenge.realm)))}"
    if _QUOTABLE.fullmatch(user):
        return f"username={_quote(user)}"
    from urllib.parse import quote

    return f"username*=UTF-8''{quote(user, safe='!#$&+^`|')}"


def _quote(text: str) -> str:
    escaped = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{escaped}"'


def _encode_field(text: str) -> bytes:
    """Return the original bytes of the text of a header field."""
    return text.encode("latin-1")


def _hash(challenge: DigestChallenge, *parts: str | bytes) -> str:
    import hashlib

    data = b":".join([part if isinstance(part, bytes) else part.encode() for part in parts])
    return hashlib.new(challenge.hash_name, data).hexdigest()
