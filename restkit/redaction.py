"""Hide credentials in URLs, logs, errors and reprs.

What of a URL or a header may stand in a log, an error or a ``repr``: some are credentials.
"""

from __future__ import annotations

import re

_LONGEST = 200
_SCHEME = re.compile("https?|socks(?:4a?|5h?)", re.IGNORECASE)
_BEFORE_PORT = re.compile(r"(?:[^/?#]*://)?(\[[^\]/?#]*\]|[^:\[/?#]*):")
_PORT = re.compile("[^/?#]*")
_NO_SECRET = re.compile("[0-9]{0,5}")
_ADDRESS = re.compile("[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_PARAM = re.compile("([?&;])([^=&;]+)=[^&;]+")
# Names are masked by what is in them, by their words, or as a whole: "sort_key" for nothing, which
# is a small loss; "country_code", "author" and "keyword" are left.
_SECRET_PART = re.compile(
    "token|secret|passw|passphrase|pwd|signature|credential|sess(?:ion|id)|jwt|hmac|authoriz|cookie|"
    "verifier|(?:api|app|access|auth|private|subscription)key"
)
_SECRET_WORDS = frozenset("assertion auth bearer key otp pass pin sid sig sign".split())
_SECRET_NAMES = frozenset("code ticket".split())
_WORD = re.compile("[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def redact_url(url: str) -> str:
    """A URL without user info as it may be shown: no fragment, no value that looks secret.

    What is secret in a path cannot be told from the rest of it.
    """
    text = url.partition("#")[0]
    return _PARAM.sub(_masked_if_secret, text) if "?" in text else text


def redact_text(text: str) -> str:
    """What was to be a URL and may be none, for an error: in quotes, bounded, its secrets masked.

    They are whatever is before an ``@``, wherever that is: a password may have a raw /, # or @ in
    it. Without one, what stands where a port would, and is no number, may be a password too.
    """
    before, at, after = text.rpartition("@")
    if at:
        scheme, slashes, _ = before.partition("://")
        # Of anything else before "://" nobody knows what it is.
        known = f"{scheme}{slashes}" if _SCHEME.fullmatch(scheme) else ""
        text = f"{known}***@{after}"
    else:
        text = _without_odd_port(text)
    text = redact_url(text)
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _without_odd_port(text: str) -> str:
    before = _BEFORE_PORT.match(text)
    port = before and _PORT.match(text, before.end())
    if not before or not port or _NO_SECRET.fullmatch(port[0]):
        return text
    if _ADDRESS.fullmatch(text, before.start(1), port.end()):
        return text  # of IPv6, without its brackets
    return f"{before[0]}***{text[port.end() :]}"


def _masked_if_secret(param: re.Match[str]) -> str:
    return f"{param[1]}{param[2]}=***" if is_secret(param[2]) else param[0]


def is_secret(name: str) -> bool:
    """Whether the value of a parameter or a header of this name is taken for a credential."""
    if "%" in name:
        from urllib.parse import unquote

        name = unquote(name)
    low = name.lower()
    if low in _SECRET_NAMES or _SECRET_PART.search(low):
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))
