"""The arithmetic of Digest (RFC 7616): from what a server asks to the header that answers it.

- Realm, nonce and opaque are hashed and given back as what their quoted strings mean, the octets
  as they came; user name and password are UTF-8, the one charset there is (section 4).
- Without ``qop`` the answer is that of RFC 2069, which some devices still ask for.
- The ``-sess`` secret is made of the nonce and cnonce that a session begins with (section 3.4.2).
- What the example of section 3.9.2 prints was not made with SHA-512/256; erratum 4897 corrects it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from restkit.payload import Payload
    from restkit.policy.challenges import Challenge

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
