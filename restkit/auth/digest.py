"""Digest authentication (RFC 7616).

Digest (RFC 7616): a password that never goes on the wire, proved against a server's challenge.

What was learned from a challenge is kept for its origin, so that later requests need no 401 of
their own. It is replaced as a whole and its counter counts in one step: threads share it without
a lock, which a fork could leave held. Of those that are challenged at once with the same nonce all
count on together: to begin at one again would be a replay (section 3.4.5). The server's own proof
(``rspauth``) is not looked at.

The arithmetic of Digest (RFC 7616): from what a server asks to the header that answers it.

- Realm, nonce and opaque are hashed and given back as what their quoted strings mean, the octets
  as they came; user name and password are UTF-8, the one charset there is (section 4).
- Without ``qop`` the answer is that of RFC 2069, which some devices still ask for.
- The ``-sess`` secret is made of the nonce and cnonce that a session begins with (section 3.4.2).
- What the example of section 3.9.2 prints was not made with SHA-512/256; erratum 4897 corrects it.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from restkit.auth.auth import Auth, as_credential
from restkit.auth.challenges import parse_challenges, parse_parameters
from restkit.errors import InvalidUrl, PayloadNotReplayable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from restkit.auth.challenges import Challenge
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse
    from restkit.payload.base import Payload
    from restkit.url.url import URL

    Origin = tuple[str, str, int]


# Nonces that threads may still be at work with; what is older is not asked for again.
_MOST_KNOWN = 64


class DigestAuth(Auth):
    """User name and password, sent as an answer to the server's challenge.

    Of what the server offers the strongest is taken: SHA-512-256, SHA-256 or MD5, each with
    ``-sess``. A server that asks for auth-int has its answer made over the payload, which is
    read through for it before it goes: one that can be sent once is PayloadNotReplayable.
    """

    __slots__ = ("_known", "_password", "_sessions", "_user")
    answers_challenges = True

    def __init__(self, user: str, password: str) -> None:
        # Now, and not at the first challenge: see wire/dial.get_ready().
        import hashlib  # noqa: F401
        import secrets  # noqa: F401

        self._user = as_credential("user name", user)
        self._password = as_credential("password", password)
        self._sessions: dict[Origin, _Session] = {}
        self._known: dict[_Nonce, _Session] = {}

    def authorize(self, request: Request) -> None:
        session = self._sessions.get(request.url.origin)
        if session is None or not session.reaches(request.url):
            return
        terms = session.terms
        asked = Asked(request.method, request.target)
        if terms.covers_payload:
            if request.payload is not None and not request.payload.replayable:
                return  # the 401 is for answer() to speak of
            asked = asked._replace(payload_hash=payload_hash(terms, request.payload))
        request.headers["Authorization"] = session.authorization(self._user, asked)

    def answer(self, request: Request, response: HttpResponse) -> bool:
        terms = best_terms(parse_challenges(response.headers.get_all("www-authenticate")))
        if terms is None or self._is_refused(request, terms):
            return False
        payload = request.payload
        if terms.covers_payload and payload is not None and not payload.replayable:
            raise PayloadNotReplayable(
                f"answered {response.status_line}, and wants qop=auth-int: {payload!r} would have "
                "to be read before it is sent. spool=True keeps it for that",
                request=request,
                response=response,
            )
        self._take_up(request, terms)
        return True

    def _take_up(self, request: Request, terms: Terms) -> None:
        """Go on with the session of this nonce, or begin one where there is none."""
        nonce, reach = _Nonce.of(terms, request.url), _reach(terms, request.url)
        session, sent = self._known.get(nonce), _sent(request)
        # It may have been overtaken on the way: only the last one speaks for the session.
        if session and (sent.get("nonce"), sent.get("nc")) == (terms.nonce, session.last_count):
            self._known.pop(nonce, None)
            session = None
        if session is None:
            session = _begun(terms, self._user, self._password, reach)
        self._go_on_with(nonce, session)
        if not session.reaches(request.url):
            session.widen(reach)

    def _go_on_with(self, nonce: _Nonce, session: _Session) -> None:
        # Two threads may have begun one each: it is the first that both go on with.
        self._sessions[nonce.origin] = self._known.setdefault(nonce, session)
        for oldest in list(self._known)[:-_MOST_KNOWN]:
            self._known.pop(oldest, None)

    def _is_refused(self, request: Request, terms: Terms) -> bool:
        """Whether the 401 means that user name or password are wrong.

        Not where the nonce is said to be stale, or has been good before: not every server says
        that it has run out. And not where another thread has begun anew in the meantime.
        """
        if "authorization" not in request.headers:
            return False
        sent, session = _sent(request), self._sessions.get(request.url.origin)
        if session is None or "nonce" not in sent:
            return True  # the header is not from here
        if terms.stale or sent.get("realm") != terms.realm:
            return False
        return sent["nonce"] == session.terms.nonce and not session.proved

    def learn(self, request: Request, response: HttpResponse) -> None:
        session = self._sessions.get(request.url.origin)
        if session is None or response.status == 401:
            return
        info = response.headers.get("authentication-info")
        if info is None and session.proved:
            return
        if _sent(request).get("nonce") != session.terms.nonce:
            return
        session.proved = True
        following = parse_parameters(info or "").get("nextnonce", session.terms.nonce)
        # The same once more must not count from one again: that would be a replay.
        if following != session.terms.nonce:
            session = session.going_on_with(following)
            self._go_on_with(_Nonce.of(session.terms, request.url), session)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DigestAuth):
            return NotImplemented
        return (self._user, self._password) == (other._user, other._password)

    def __hash__(self) -> int:
        return hash((self._user, self._password))

    def __repr__(self) -> str:
        known = len(self._sessions)
        return f"<DigestAuth, challenged by {known} {'origin' if known == 1 else 'origins'}>"


class _Nonce(NamedTuple):
    """What a counter counts for."""

    origin: Origin
    realm: str
    algorithm: str | None
    nonce: str

    @classmethod
    def of(cls, terms: Terms, url: URL) -> _Nonce:
        return cls(url.origin, terms.realm, terms.algorithm, terms.nonce)


class _Session:
    """What answers are made of, from one challenge to the next."""

    __slots__ = ("_counts", "_first_cnonce", "_reach", "_secret", "last_count", "proved", "terms")

    def __init__(
        self, terms: Terms, secret: str, first_cnonce: str, reach: tuple[str, ...], *, proved: bool
    ) -> None:
        self.terms = terms
        self.proved = proved
        self._secret = secret
        self._first_cnonce = first_cnonce
        self._reach = reach
        self._counts = count(1)
        self.last_count = ""

    def reaches(self, url: URL) -> bool:
        return url.target.startswith(self._reach)

    def widen(self, reach: tuple[str, ...]) -> None:
        self._reach += reach

    def authorization(self, user: str, asked: Asked) -> str:
        # There are servers that make the secret of a -sess session again for each request, from
        # the cnonce in it: with one for all they come to the same.
        cnonce = self._first_cnonce if self.terms.in_session else _new_cnonce()
        number = next(self._counts)
        self.last_count = f"{number:08x}"
        return authorization(self.terms, user, self._secret, asked, number, cnonce)

    def going_on_with(self, nonce: str) -> _Session:
        terms = self.terms._replace(nonce=nonce)
        return _Session(terms, self._secret, self._first_cnonce, self._reach, proved=True)


def _begun(terms: Terms, user: str, password: str, reach: tuple[str, ...]) -> _Session:
    cnonce = _new_cnonce()
    return _Session(terms, secret_of(terms, user, password, cnonce), cnonce, reach, proved=False)


def _new_cnonce() -> str:
    from secrets import token_urlsafe

    return token_urlsafe(24)


def _reach(terms: Terms, challenged: URL) -> tuple[str, ...]:
    """How the targets of a protection space begin, within the origin that has asked.

    What ``domain`` says of other origins is not heeded: they must ask for themselves.
    """
    if not terms.domain.strip():
        return ("",)
    targets = [challenged.target.partition("?")[0]]
    for reference in terms.domain.split():
        try:
            url = challenged.join(reference)
        except InvalidUrl:
            continue
        if url.origin == challenged.origin:
            targets.append(url.target)
    return tuple(targets)


def _sent(request: Request) -> dict[str, str]:
    """The parameters of the Digest that this request went out with."""
    sent = parse_challenges(request.headers.get_all("authorization"))
    return sent[0].parameters if sent and sent[0].scheme == "digest" else {}


# In hashlib's words, the weakest first. OpenSSL may have been built without some.
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_STRENGTH = list(_HASHES.values())
_SEPARATORS = re.compile(r"[\s,]+")
_QUOTABLE = re.compile(r"[ -~]*")
_TO_ESCAPE = re.compile(r'(["\\])')


class Terms(NamedTuple):
    """What a server asks for: one of its Digest challenges, understood."""

    realm: str
    nonce: str
    opaque: str | None
    algorithm: str | None  # as it was written, to be given back
    hash_name: str
    in_session: bool  # an algorithm that ends in -sess
    qops: frozenset[str]  # empty: as in RFC 2069
    userhash: bool
    stale: bool
    domain: str

    @property
    def covers_payload(self) -> bool:
        """Whether the answer must be made over the payload: auth-int is all that is offered."""
        return bool(self.qops) and "auth" not in self.qops


class Asked(NamedTuple):
    """The request that an answer is for; the hash of its payload where that is covered."""

    method: str
    target: str
    payload_hash: str | None = None


def best_terms(challenges: Iterable[Challenge]) -> Terms | None:
    """The strongest Digest challenge that can be answered, of equals the first; or None."""
    usable = [terms for challenge in challenges if (terms := _terms_of(challenge)) is not None]
    return max(usable, key=lambda terms: _STRENGTH.index(terms.hash_name), default=None)


def _terms_of(challenge: Challenge) -> Terms | None:
    given = challenge.parameters
    algorithm = given.get("algorithm")
    base, in_session = _parted("MD5" if algorithm is None else algorithm)
    hash_name = _HASHES.get(base)
    qops = frozenset(_SEPARATORS.split(given.get("qop", "").lower())) - {""}
    understood = qops & {"auth", "auth-int"}
    if challenge.scheme != "digest" or not given.keys() >= {"realm", "nonce"}:
        return None
    if hash_name is None or not _is_there(hash_name) or bool(qops) > bool(understood):
        return None
    return Terms(
        given["realm"],
        given["nonce"],
        given.get("opaque"),
        algorithm,
        hash_name,
        in_session,
        understood,
        given.get("userhash", "").lower() == "true",
        given.get("stale", "").lower() == "true",
        given.get("domain", ""),
    )


def _parted(algorithm: str) -> tuple[str, bool]:
    low = algorithm.lower()
    return low.removesuffix("-sess"), low.endswith("-sess")


def _is_there(hash_name: str) -> bool:
    import hashlib

    try:
        hashlib.new(hash_name)
    except ValueError:
        return False
    return True


def secret_of(terms: Terms, user: str, password: str, cnonce: str) -> str:
    """What only the two sides can know, and all answers of a session are made with: H(A1)."""
    secret = _hash(terms, user, _octets(terms.realm), password)
    return _hash(terms, secret, _octets(terms.nonce), cnonce) if terms.in_session else secret


def payload_hash(terms: Terms, payload: Payload | None) -> str:
    """The hash of a payload, for which it is read through: it must be one that can go again."""
    import hashlib

    hashed = hashlib.new(terms.hash_name)
    for piece in payload or ():
        hashed.update(piece)
    return hashed.hexdigest()


def authorization(
    terms: Terms, user: str, secret: str, asked: Asked, count: int, cnonce: str
) -> str:
    """The value of ``Authorization`` for the ``count``-th request with the nonce of these terms."""
    fields = [
        _user_field(terms, user),
        f"realm={_quoted(terms.realm)}",
        f"uri={_quoted(asked.target)}",
    ]
    if terms.algorithm is not None:
        fields.append(f"algorithm={terms.algorithm}")
    fields.append(f"nonce={_quoted(terms.nonce)}")
    qop = _qop_of(terms, asked)
    use = (f"{count:08x}", cnonce, qop) if qop else ()
    if qop:
        fields += [f"nc={count:08x}", f"cnonce={_quoted(cnonce)}", f"qop={qop}"]
    elif terms.in_session:
        fields.append(f"cnonce={_quoted(cnonce)}")  # without it nobody could tell the secret
    response = _hash(terms, secret, _octets(terms.nonce), *use, _request_hash(terms, asked))
    fields.append(f"response={_quoted(response)}")
    if terms.opaque is not None:
        fields.append(f"opaque={_quoted(terms.opaque)}")
    if terms.userhash:
        fields.append("userhash=true")
    return f"Digest {', '.join(fields)}"


def _qop_of(terms: Terms, asked: Asked) -> str:
    if not terms.qops:
        return ""
    return "auth" if asked.payload_hash is None else "auth-int"


def _request_hash(terms: Terms, asked: Asked) -> str:
    covered = () if asked.payload_hash is None else (asked.payload_hash,)
    return _hash(terms, asked.method, asked.target, *covered)


def _user_field(terms: Terms, user: str) -> str:
    if terms.userhash:
        return f"username={_quoted(_hash(terms, user, _octets(terms.realm)))}"
    if _QUOTABLE.fullmatch(user):
        return f"username={_quoted(user)}"
    from urllib.parse import quote

    return f"username*=UTF-8''{quote(user, safe='!#$&+^`|')}"


def _quoted(text: str) -> str:
    escaped = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{escaped}"'


def _octets(text: str) -> bytes:
    """Header text as the octets that it came as."""
    return text.encode("latin-1")


def _hash(terms: Terms, *parts: str | bytes) -> str:
    import hashlib

    data = b":".join([part if isinstance(part, bytes) else part.encode() for part in parts])
    return hashlib.new(terms.hash_name, data).hexdigest()
