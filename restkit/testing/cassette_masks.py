"""Mask the secrets of an exchange before a Cassette keeps it.

A value with a secret name becomes ``***``. If the value selects a recording, a short keyed digest
follows, so that different values stay different: ``***0a1b2c3d4e5f``. The key is random, and is
kept in the file. So a short value, such as a PIN, can be guessed from its digest. The values of
names in ``secrets=`` therefore have no digest.

The URL of a request and a ``Location`` field are masked in the same way: the client follows the
masked URL of a recorded redirect, and the recording of the next request must be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from restkit.redaction import URL_FIELDS, is_secret, redact_header

MASK = "***"
_DIGEST_SIZE = 6
_IS_MASK = re.compile(rb"\*\*\*(?:[0-9a-f]{12})?")
_CHALLENGES = frozenset(["www-authenticate", "proxy-authenticate"])

_USER_INFO = re.compile(r"//[^/?#@\s]*@")
_PARAM_NAME = re.compile(r"""(?:^|(?<=[?&;,#=\s"'<>/]))([^?&;,#=\s"'<>/]+)=""")
_PARAM_VALUE = re.compile(r'"[^"]*"?|<[^>]*>?|[^&#\s"<>]*')
_IN_ANGLES = re.compile("(?<=<)[^<>]+(?=>)")
_FORM_VALUE = re.compile("[^&]*")
_COOKIE = re.compile(r"(\s*)(?:([^=;]+)=)?([^;]*)")

_JSON_START = re.compile("[\ufeff\x1e \t\r\n]*[{[]")
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_PART_NAME = re.compile(
    rb'^content-disposition:[^\r\n]*?;\s*name=(?:"([^"\r\n]*)"|([^\s;"]+))',
    re.IGNORECASE | re.MULTILINE,
)
_PART_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PART_HEAD_END = re.compile(rb"\r?\n\r?\n")


class _Rule(NamedTuple):
    """The names whose values are masked, and the mask of a value."""

    is_masked: Callable[[str], bool]
    mask: Callable[[str, bytes], str]


class Masking:
    """Replaces secrets: those with a name that looks secret, or that is given.

    ``matched_headers`` are the names of the header fields that select a recording; ``match_body``
    is whether payloads do.
    """

    def __init__(
        self, names: Iterable[str], key: bytes, matched_headers: Iterable[str], *, match_body: bool
    ) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._key = key
        self._matched_headers = frozenset(name.lower() for name in matched_headers)
        self._match_body = match_body

    @property
    def has_names(self) -> bool:
        """Whether names are given, so that bodies of responses are masked too."""
        return bool(self._names)

    # Masks of single values

    def _is_given(self, name: str) -> bool:
        return bool(self._names) and unquote(name).lower() in self._names

    def _is_secret(self, name: str) -> bool:
        return self._is_given(name) or is_secret(name)

    def _mask_value(self, name: str, value: bytes, *, digest: bool) -> str:
        if self._is_given(name) or not digest:
            return MASK
        if _IS_MASK.fullmatch(value):
            return value.decode()  # a played response contained it, and it is sent again
        return MASK + blake2b(value, key=self._key, digest_size=_DIGEST_SIZE).hexdigest()

    def _rule(self, *, digest: bool) -> _Rule:
        return _Rule(self._is_secret, partial(self._mask_value, digest=digest))

    # Heads

    def mask_url(self, url: str) -> str:
        """Mask the values of secret parameters."""
        return self._mask_url(url, digest=True)

    def mask_request_fields(self, pairs: list[tuple[str, str]]) -> list[list[str]]:
        """Mask the header fields of a request; those that select a recording get digests."""
        return [
            [name, self._mask_field(name, value, digest=name.lower() in self._matched_headers)]
            for name, value in pairs
        ]

    def mask_response_fields(self, pairs: list[tuple[str, str]]) -> list[list[str]]:
        """Mask the header fields of a response. All get digests: the client may send them."""
        return [[name, self._mask_field(name, value, digest=True)] for name, value in pairs]

    def _mask_field(self, name: str, value: str, *, digest: bool) -> str:
        low = name.lower()
        if self._is_given(name):
            return MASK
        if low == "cookie":
            mask = partial(self._mask_cookie, digest=digest)
            return ";".join(_COOKIE.sub(mask, each, count=1) for each in value.split(";"))
        if low == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            mask = partial(self._mask_cookie, digest=digest)
            return f"{_COOKIE.sub(mask, pair, count=1)}{semicolon}{attributes}"
        if low in _CHALLENGES:
            return value
        if is_secret(name):
            return self._mask_value(name, value.encode("latin-1"), digest=digest)
        if low in URL_FIELDS:
            return self._mask_url(value, digest=digest)
        return self._mask_text(name, value, digest=digest)

    def _mask_cookie(self, pair: re.Match[str], *, digest: bool) -> str:
        spaces, name, value = pair[1], pair[2], pair[3]
        if not name and not value:
            return pair[0]
        mask = self._mask_value(name or "", value.strip().encode("latin-1"), digest=digest)
        return f"{spaces}{name}={mask}" if name else f"{spaces}{mask}"

    def _mask_text(self, name: str, text: str, *, digest: bool) -> str:
        """Mask user info and parameters of URLs, wherever these are in a header field."""
        text = _IN_ANGLES.sub(lambda url: self._mask_url(url[0], digest=digest), text)
        text = _USER_INFO.sub(f"//{MASK}@", text)
        return self._mask_part(name, text, digest=digest)

    def _mask_url(self, url: str, *, digest: bool) -> str:
        """Mask a URL. Equal parameters have equal masks, also in absolute and relative URLs."""
        rest, hash_sign, fragment = _USER_INFO.sub(f"//{MASK}@", url).partition("#")
        path, question_mark, query = rest.partition("?")
        path = self._mask_part("Location", path, digest=digest)
        query, fragment = (
            "&".join(self._mask_param(param, digest=digest) for param in text.split("&"))
            for text in (query, fragment)
        )
        return f"{path}{question_mark}{query}{hash_sign}{fragment}"

    def _mask_param(self, param: str, *, digest: bool) -> str:
        return self._mask_part("Location", f"?{param}", digest=digest)[1:]

    def _mask_part(self, field_name: str, text: str, *, digest: bool) -> str:
        text = _mask_params(text, _PARAM_VALUE, self._rule(digest=digest))
        redacted = redact_header(field_name, text)
        return text if redacted == text else self._restore_digests(text, redacted, digest=digest)

    def _restore_digests(self, text: str, redacted: str, *, digest: bool) -> str:
        """Return the redacted text with digests of what was hidden. All other text is redacted."""
        first, *others = redacted.split(MASK)
        # If other text was changed, every mask gets the digest of the whole text.
        whole = self._mask_value("", _unquote(text), digest=digest)
        if not text.startswith(first):
            return redacted.replace(MASK, whole)
        parts, position = [first], len(first)
        for number, other in enumerate(others, 1):
            last = number == len(others)
            found = len(text) - len(other) if last else text.find(other, position)
            if found < position or not text.startswith(other, found):
                return redacted.replace(MASK, whole)
            hidden = self._mask_value("", _unquote(text[position:found]), digest=digest)
            parts += (hidden, other)
            position = found + len(other)
        return "".join(parts)

    # Bodies

    def mask_payload(self, data: bytes, content_type: str) -> bytes:
        """Mask the secret fields of a form, of the parts of a form, or of JSON."""
        return _mask_body(data, content_type, self._rule(digest=self._match_body))

    def mask_response_body(self, data: bytes, content_type: str) -> bytes:
        """Mask the fields with given names."""
        rule = _Rule(self._is_given, partial(self._mask_value, digest=False))
        return _mask_body(data, content_type, rule) if self._names else data


def _mask_body(data: bytes, content_type: str, rule: _Rule) -> bytes:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _mask_params(data.decode("latin-1"), _FORM_VALUE, rule).encode("latin-1")
    if kind.startswith("multipart/"):
        boundary = _BOUNDARY.search(content_type)
        return _mask_parts(data, (boundary[1] or boundary[2]).encode(), rule) if boundary else data
    encoding: str = json.detect_encoding(data)
    try:
        text = data.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"  # every byte stays
    if "json" not in kind and not _JSON_START.match(text):
        return data
    masked = _mask_json(text, rule)
    return data if masked == text else masked.encode(encoding, "surrogatepass")


def _mask_params(text: str, value_pattern: re.Pattern[str], rule: _Rule) -> str:
    """Mask the values of ``name=value``."""
    parts, position = [], 0
    while found := _PARAM_NAME.search(text, position):
        parts.append(text[position : found.end()])
        position = found.end()
        value = value_pattern.match(text, position) if rule.is_masked(found[1]) else None
        if value is None:
            continue
        parts.append(rule.mask(found[1], _unquote(value[0].replace("+", " "))))
        position = value.end()
    parts.append(text[position:])
    return "".join(parts)


def _unquote(text: str) -> bytes:
    """Return the bytes of a value: a URL is normalized when it is sent."""
    return unquote_to_bytes(text.encode("latin-1"))


def _mask_json(text: str, rule: _Rule) -> str:
    """Mask the values of members with a secret name; all other text stays as it is."""
    parts: list[str] = []
    done = 0
    for key, start in _find_members(text):
        if start < done or not rule.is_masked(key):
            continue
        value, end = _read_json_value(text, start)
        parts += (text[done:start], f'"{rule.mask(key, value)}"')
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _find_members(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each member of an object, and where its value begins."""
    position = text.find('"')
    while position >= 0 and (string := _JSON_STRING.match(text, position)):
        colon = _JSON_COLON.match(text, string.end())
        if colon:
            try:
                name = json.loads(string[0], strict=False)
            except ValueError:
                name = string[0]
            yield name, colon.end()
        position = text.find('"', colon.end() if colon else string.end())


def _read_json_value(text: str, start: int) -> tuple[bytes, int]:
    """Return the value at a position, and its end; all the rest if it is not valid JSON."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return b"\0" + text[start:].encode(errors="surrogatepass"), len(text)
    if isinstance(value, str):
        return value.encode(errors="surrogatepass"), end
    # The number 1 and the text "1" are different.
    return b"\0" + text[start:end].encode(errors="surrogatepass"), end


_DECODER = json.JSONDecoder(strict=False)


def _mask_parts(data: bytes, boundary: bytes, rule: _Rule) -> bytes:
    """Mask the contents of parts with a secret name, and secret fields in other parts."""
    delimiter = b"--" + boundary
    first, *parts = re.split(rb"(?:^|(?<=\n))" + re.escape(delimiter), data)
    return delimiter.join([first, *(_mask_part(part, rule) for part in parts)])


def _mask_part(part: bytes, rule: _Rule) -> bytes:
    head_end = _PART_HEAD_END.search(part)
    if head_end is None:
        return part
    head = part[: head_end.end()]
    content = part[head_end.end() :]
    line_end = b"\r\n" if content.endswith(b"\r\n") else b"\n" if content.endswith(b"\n") else b""
    content = content.removesuffix(line_end)
    found = _PART_NAME.search(head)
    name = (found[1] or found[2] or b"").decode(errors="replace") if found else ""
    if rule.is_masked(name):
        return head + rule.mask(name, content).encode() + line_end
    kind = _PART_TYPE.search(head)
    content_type = kind[1].decode("latin-1") if kind else ""
    if content_type.lower().startswith("multipart/"):
        return part  # RFC 7578 4.3 deprecates it
    return head + _mask_body(content, content_type, rule) + line_end
