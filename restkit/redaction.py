"""Hide credentials in URLs, logs, errors and reprs.

A value is hidden if its name is secret, and so is the user info of a URL. Both are also searched
for inside the values of other names, as they are and percent-decoded. Every function takes linear
time. Text that is redacted already stays unchanged. docs/quickstart.rst lists what is hidden.
"""

from __future__ import annotations

import re

_MASK = "***"
_MAX_LENGTH = 200
_MAX_LEVELS = 5  # of percent-encoding; a value with more levels is hidden as a whole
_SCHEME = re.compile("https?|socks(?:4a?|5h?)", re.IGNORECASE)
_BEFORE_PORT = re.compile(r"(?:[^/?#]*://)?(\[[^\]/?#]*\]|[^:\[/?#]*):")
_PORT = re.compile("[^/?#]*")
_PORT_NUMBER = re.compile("[0-9]{0,5}")
_IPV6_ADDRESS = re.compile("[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")

# A name is secret by a part of it, by one of its words, or as a whole. "sort_key" is hidden
# unnecessarily, which does no harm; "author" and "keyword" are shown.
_SECRET_PART = re.compile(
    "token|secret|passw|passphrase|passcode|passkey|pwd|signature|credential|sess(?:ion|id)|jwt|"
    "hmac|authoriz|cookie|verifier|dpop|saml|(?:pw|psw|psk|otp)$|"
    "(?:api|app|access|account|admin|auth|client|consumer|dev|developer|encryption|host|licen[cs]e|"
    "master|private|product|secret|server|service|shared|signing|storage|subscription|user|webhook|"
    "write)key|"
    "(?:access|activation|admin|auth|backup|confirmation|invite|login|mfa|recovery|reset|security|"
    "sms|verification|verify)codes?$"
)
_SECRET_WORDS = frozenset(
    "assertion auth bearer cred creds key mfa otp pass pin psk psw pw sid sig sign tok totp".split()
)
_SECRET_NAMES = frozenset(["ticket"])
# The last word "code" makes a name secret, unless one of these words is before it.
_PLAIN_CODES = frozenset(
    "airport area bank bar branch byte campaign category char city class color colour country "
    "course currency department error err exit http iso item lang language locale op post postal "
    "product promo qr reason region response result return site source state station status store "
    "tax tracking type unit zip".split()
)
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_PATH_PARAM = re.compile("(;)([^=;/]+)=([^;]+)")
# Not "*", which begins a mask. RFC 8187 has it after a name.
_NAME_CHARACTER = r"""[^\s=:&;?,"'<>{}()#/\\+@|`*]"""
# The look-behind makes the time linear: a search begins only at the first character of a name.
_PAIR = re.compile(
    rf"""(?<!{_NAME_CHARACTER})({_NAME_CHARACTER}+)"""
    r"""(\*?\\{0,9}["']?[\s+]{0,9}[:=]{1,3}>?[\s+]{0,9})"""
)
_PARAM_VALUE = re.compile("[^&;]+")  # in a query
_PARAM_VALUE_IN_TEXT = re.compile(r"""[^&;\s"<>]+""")  # in the query of a URL in other text
_UNQUOTED = re.compile(r"""[^"'&;,\s<>{}]+""")
_UNQUOTED_OR_NONE = re.compile(r"""[^"'&;,\s<>{}]*""")
_QUOTED = re.compile(r"""(\\{0,9}["']).*?((?<!\\)\1|\Z)""", re.DOTALL)
_BRACKET_OR_STRING = re.compile(r"""[\[\]{}]|"(?:[^"\\]|\\.)*"?""", re.DOTALL)
_LINE = re.compile(r"[^\r\n]+")
_WHOLE_LINE = re.compile("cookie|authoriz", re.IGNORECASE)
_AUTH_SCHEME = re.compile(
    r"(AWS4-HMAC-SHA256|Basic|Bearer|Digest|DPoP|Negotiate|NTLM|OAuth|Token) ", re.IGNORECASE
)
URL_FIELDS = frozenset(["location", "content-location", "referer"])
"""Header fields, in lower case, whose value is one URL."""

_ENCODED = re.compile("([^&;=%]*=)?([^&;]+)")
_ENCODED_IN_TEXT = re.compile(r"""([^\s&;,"'<>=%]*=)?([^\s&;,"'<>]+)""")

# A password may have raw characters that end a host. So a text like "//name:" is taken for user
# info, with all that follows up to the last "@", unless a port follows.
_NO_PORT = r"""(?![0-9]{0,5}(?:[/\\?#"',;&<>\s]|$))"""
_USER_INFO = re.compile(r"([/\\]{2,9})[^/\\?#\s]*@")
_USER_AND_COLON = re.compile(rf"([/\\]{{2,9}})[^/\\?#\s:]*:{_NO_PORT}")
_USER_WITHOUT_SCHEME = re.compile(
    rf"""(^|["'=<])(?!(?:mailto|sips?|acct|xmpp):)[^/\\?#\s:@"'=<]+:{_NO_PORT}"""
)
_WORD_WITH_AT = re.compile(r"[^&;\s]+")
_TEXT_WITH_AT = re.compile(r"\S+")

# Credentials without a name before them: of an Authorization header, or a JSON Web Token.
_CREDENTIALS = re.compile(
    r"\b(Basic|Bearer|Negotiate|NTLM)((?:\s|\+|%20){1,9})[^\s\"'&;,<>{}\[\]]+", re.IGNORECASE
)
_JSON_WEB_TOKEN = re.compile(r"(?<![A-Za-z0-9])ey[AJ][A-Za-z0-9_-]{5,}[.A-Za-z0-9_-]*")


def redact_url(url: str) -> str:
    """Return a URL without its fragment, user info and the values of its secret parameters.

    Secrets in the path are not found, except parameters after a semicolon.

    >>> redact_url('http://host/path?page=2&api_key=abc#top')
    'http://host/path?page=2&api_key=***'
    >>> redact_url('/login?next=http%3A%2F%2Fhost%2F%3Ftoken%3Dabc')
    '/login?next=http%3A%2F%2Fhost%2F%3Ftoken%3D***'
    """
    text = url.partition("#")[0]
    if "@" in text:
        text = _redact_user_info(text, is_url=True)
    path, question_mark, query = text.partition("?")
    if ";" in path:
        path = _PATH_PARAM.sub(_redact_param, path)
    if not question_mark:
        return path
    return f"{path}?{_redact(query, is_url=True)}"


def redact_text(text: str) -> str:
    """Return the ``repr`` of a text that may not be a URL, for an error: bounded, without secrets.

    All text before an ``@`` is hidden, wherever the ``@`` is: a password may have a raw /, # or @
    in it. Without an ``@``, text in the place of a port that is not a number may be a password too.

    >>> redact_text('http://user:pa/ss@host/')
    "'http://***@host/'"
    """
    before, at, after = text.rpartition("@")
    if at:
        scheme, slashes, _ = before.partition("://")
        # Any other text before "://" may be part of a password.
        kept = f"{scheme}{slashes}" if _SCHEME.fullmatch(scheme) else ""
        text = f"{kept}***@{after}"
    else:
        text = _redact_port(text)
    text = redact_url(text)
    return repr(text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}...")


def redact_header(name: str, value: str) -> str:
    """Return the value of a header for a log, without secrets.

    A header with a secret name is hidden, except the scheme of its credentials. In others, the
    user info of URLs and the values of secret names are hidden.

    >>> redact_header('Authorization', 'Bearer abc')
    'Bearer ***'
    >>> redact_header('Location', 'http://me:pw@host/?code=abc&page=2')
    'http://***@host/?code=***&page=2'
    """
    if is_secret(name):
        scheme = _AUTH_SCHEME.match(value)
        return f"{scheme[1]} {_MASK}" if scheme else _MASK
    if name.lower() not in URL_FIELDS:
        return redact_fields(value)
    if "@" in value:
        value = _redact_user_info(value, is_url=True)
    url, hash_sign, fragment = value.partition("#")
    return f"{redact_url(url)}{hash_sign}{_redact(fragment, is_url=True)}"


def redact_fields(text: str) -> str:
    """Return a text without user info and the values of secret names, as in JSON and settings.

    >>> redact_fields('{"access_token": "abc", "page": 2}, pin = 123')
    '{"access_token": "***", "page": 2}, pin = ***'
    """
    return _redact(text, is_url=False)


def redact_excerpt(text: str) -> str:
    """Return a part of a body without the secrets of ``redact_fields``, and without credentials.

    >>> redact_excerpt('["Bearer abc"]')
    '["Bearer ***"]'
    """
    text = _CREDENTIALS.sub(rf"\1\2{_MASK}", redact_fields(text))
    return _JSON_WEB_TOKEN.sub(_MASK, text)


def is_secret(name: str) -> bool:
    """Whether the name of a parameter or header looks like that of a credential.

    >>> is_secret('X-Api-Key'), is_secret('Content-Type')
    (True, False)
    >>> is_secret('verification_code'), is_secret('country_code')
    (True, False)
    """
    if "%" in name:
        from urllib.parse import unquote

        for _ in range(_MAX_LEVELS):
            name = unquote(name)
    low = name.lower()
    if low in _SECRET_NAMES or _SECRET_PART.search(low):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    is_code = bool(words) and (words[-1] == "code" or (words[-1] == "codes" and len(words) > 1))
    return is_code and _PLAIN_CODES.isdisjoint(words)


def _redact_port(text: str) -> str:
    before = _BEFORE_PORT.match(text)
    port = before and _PORT.match(text, before.end())
    if not before or not port or _PORT_NUMBER.fullmatch(port[0]):
        return text
    if _IPV6_ADDRESS.fullmatch(text, before.start(1), port.end()):
        return text  # an IPv6 address without its brackets
    return f"{before[0]}***{text[port.end() :]}"


def _redact_param(param: re.Match[str]) -> str:
    return f"{param[1]}{param[2]}={_MASK}" if is_secret(param[2]) else param[0]


def _redact(text: str, *, is_url: bool, level: int = 0) -> str:
    """Redact a query, or text that was percent-encoded (``is_url``), or other text.

    In the former, a value ends only at the next parameter.
    """
    if "@" in text:
        text = _redact_user_info(text, is_url=is_url)
    if "=" in text or ":" in text:
        text = _redact_pairs(text, is_url=is_url)
    if "%" in text:
        pattern = _ENCODED if is_url else _ENCODED_IN_TEXT
        redacted = pattern.sub(lambda value: _redact_encoded(value, level), text)
        # Encoded again, a delimiter before a name may be a part of the name.
        text = text if redacted == text else _redact_pairs(redacted, is_url=is_url)
    # Hidden values may have contained the "@" or the port that made a text look like no user info.
    return _redact_user_info(text, is_url=is_url) if "@" in text else text


def _redact_pairs(text: str, *, is_url: bool) -> str:
    """Hide the values of secret names, which ``=`` or ``:`` separates from their values."""
    parts = []
    shown = at = 0
    while pair := _PAIR.search(text, at):
        at = pair.end()
        if is_secret(pair[1]):
            mask, at = _mask_value(text, pair, is_url=is_url)
            parts += [text[shown : pair.end()], mask]
            shown = at
    return "".join([*parts, text[shown:]])


def _mask_value(text: str, pair: re.Match[str], *, is_url: bool) -> tuple[str, int]:
    """Return the mask for the value after a secret name, and the end of the value."""
    start, separator = pair.end(), pair[2]
    if '"' not in separator and "'" not in separator:
        if is_url:
            return _mask_match(_PARAM_VALUE, text, start)
        if ":" in separator and _WHOLE_LINE.search(pair[1]):
            return _mask_match(_LINE, text, start)
    if quoted := _QUOTED.match(text, start):
        if quoted.end(1) == quoted.start(2):
            return "", start
        return f"{quoted[1]}{_MASK}{quoted[2]}", quoted.end()
    if text.startswith(("[", "{"), start):
        return _mask_match(_UNQUOTED_OR_NONE, text, _find_end_of_brackets(text, start))
    if separator == "=" and text.startswith(("?", "&"), pair.start() - 1):
        return _mask_match(_PARAM_VALUE_IN_TEXT, text, start)
    if scheme := _AUTH_SCHEME.match(text, start):
        has_parameters = scheme[1].lower() in ("digest", "oauth", "aws4-hmac-sha256")
        _, end = _mask_match(_LINE if has_parameters else _UNQUOTED, text, scheme.end())
        return _MASK, end
    return _mask_match(_UNQUOTED, text, start)


def _mask_match(pattern: re.Pattern[str], text: str, start: int) -> tuple[str, int]:
    found = pattern.match(text, start)
    return (_MASK, found.end()) if found else ("", start)


def _find_end_of_brackets(text: str, start: int) -> int:
    """Return the end of the JSON array or object that begins at ``start``."""
    depth = 0
    for found in _BRACKET_OR_STRING.finditer(text, start):
        if found[0] in ("[", "{"):
            depth += 1
        elif found[0] in ("]", "}"):
            depth -= 1
            if not depth:
                return found.end()
    return len(text)


def _redact_encoded(value: re.Match[str], level: int) -> str:
    """Redact percent-encoded text; return it unchanged if it has no secret."""
    from urllib.parse import quote, unquote

    before, encoded = value[1] or "", value[2]
    decoded = unquote(encoded)
    if decoded == encoded:
        return value[0]
    if level == _MAX_LEVELS:
        return f"{before}{_MASK}"
    redacted = _redact(decoded, is_url=True, level=level + 1)
    if redacted == decoded:
        return value[0]
    return f"{before}{quote(redacted, safe='*', errors='replace')}"


def _redact_user_info(text: str, *, is_url: bool) -> str:
    text = _USER_INFO.sub(rf"\1{_MASK}@", text)
    if is_url:
        text = _redact_before_at(_USER_AND_COLON, text)
    else:
        text = _TEXT_WITH_AT.sub(lambda word: _redact_before_at(_USER_AND_COLON, word[0]), text)
    return _WORD_WITH_AT.sub(lambda word: _redact_before_at(_USER_WITHOUT_SCHEME, word[0]), text)


def _redact_before_at(pattern: re.Pattern[str], text: str) -> str:
    """Hide the text between the first match of the pattern and the last ``@``."""
    before, at, after = text.rpartition("@")
    found = pattern.search(before) if at else None
    return f"{before[: found.end(1)]}{_MASK}@{after}" if found else text
