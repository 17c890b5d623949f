"""What of a URL may stand in a log, an error or a ``repr``: presigned ones are credentials."""

from __future__ import annotations

import re

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


def masked(url: str) -> str:
    """A URL without user info as it may be shown: no fragment, no value that looks secret.

    What is secret in a path cannot be told from the rest of it.
    """
    text = url.partition("#")[0]
    return _PARAM.sub(_masked_if_secret, text) if "?" in text else text


def _masked_if_secret(param: re.Match[str]) -> str:
    return f"{param[1]}{param[2]}=***" if _is_secret(param[2]) else param[0]


def _is_secret(name: str) -> bool:
    if "%" in name:
        from urllib.parse import unquote

        name = unquote(name)
    low = name.lower()
    if low in _SECRET_NAMES or _SECRET_PART.search(low):
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))
