"""Hide credentials in URLs, logs, errors and reprs."""

from __future__ import annotations

import re

_MAX_LENGTH = 200
_SCHEME = re.compile("https?|socks(?:4a?|5h?)", re.IGNORECASE)
_BEFORE_PORT = re.compile(r"(?:[^/?#]*://)?(\[[^\]/?#]*\]|[^:\[/?#]*):")
_PORT = re.compile("[^/?#]*")
_PORT_NUMBER = re.compile("[0-9]{0,5}")
_IPV6_ADDRESS = re.compile("[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_PARAM = re.compile("([?&;])([^=&;]+)=[^&;]+")
_FIELD = re.compile(
    r"""([A-Za-z0-9_-]{1,60})(["']?\s{0,9}[:=]\s{0,9}["']?)(?:(?:Bearer|Basic) )?[^"'&;,\s<>{}]+"""
)
# A name is secret by a part of it, by one of its words, or as a whole. "sort_key" is hidden
# unnecessarily, which does no harm; "country_code", "author" and "keyword" are shown.
_SECRET_PART = re.compile(
    "token|secret|passw|passphrase|pwd|signature|credential|sess(?:ion|id)|jwt|hmac|authoriz|cookie|"
    "verifier|(?:api|app|access|auth|private|subscription)key"
)
_SECRET_WORDS = frozenset("assertion auth bearer key otp pass pin sid sig sign".split())
_SECRET_NAMES = frozenset("code ticket".split())
_USER_INFO = re.compile(r"//[^/?#@\s]*@")
_VALUE_PARAM = re.compile(r"(^|[?&;,#\s])([^?&;,#=\s]+)=(\"[^\"]*\"|[^&;,\s>]+)")
_AUTH_SCHEME = re.compile(
    r"(AWS4-HMAC-SHA256|Basic|Bearer|Digest|Negotiate|NTLM|OAuth) ", re.IGNORECASE
)
_WORD = re.compile("[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def redact_url(url: str) -> str:
    """Return a URL without its fragment and the values of its secret parameters.

    The URL must have no user info. Secrets in the path are not found.

    >>> redact_url('http://host/path?page=2&api_key=abc#top')
    'http://host/path?page=2&api_key=***'
    """
    text = url.partition("#")[0]
    return _PARAM.sub(_redact_param, text) if "?" in text else text


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
    user info of URLs and the values of secret parameters are hidden.

    >>> redact_header('Authorization', 'Bearer abc')
    'Bearer ***'
    >>> redact_header('Location', 'http://me:pw@host/?code=abc&page=2')
    'http://***@host/?code=***&page=2'
    """
    if is_secret(name):
        scheme = _AUTH_SCHEME.match(value)
        return f"{scheme[1]} ***" if scheme else "***"
    return _VALUE_PARAM.sub(_redact_param, _USER_INFO.sub("//***@", value))


def redact_fields(text: str) -> str:
    """Return a text without the values after secret names, as in JSON, forms and settings.

    >>> redact_fields('{"access_token": "abc", "page": 2}')
    '{"access_token": "***", "page": 2}'
    """
    return _FIELD.sub(_redact_field, text)


def is_secret(name: str) -> bool:
    """Whether the name of a parameter or header looks like that of a credential.

    >>> is_secret('X-Api-Key'), is_secret('Content-Type')
    (True, False)
    """
    if "%" in name:
        from urllib.parse import unquote

        name = unquote(name)
    low = name.lower()
    if low in _SECRET_NAMES or _SECRET_PART.search(low):
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))


def _redact_port(text: str) -> str:
    before = _BEFORE_PORT.match(text)
    port = before and _PORT.match(text, before.end())
    if not before or not port or _PORT_NUMBER.fullmatch(port[0]):
        return text
    if _IPV6_ADDRESS.fullmatch(text, before.start(1), port.end()):
        return text  # an IPv6 address without its brackets
    return f"{before[0]}***{text[port.end() :]}"


def _redact_param(param: re.Match[str]) -> str:
    return f"{param[1]}{param[2]}=***" if is_secret(param[2]) else param[0]


def _redact_field(field: re.Match[str]) -> str:
    return f"{field[1]}{field[2]}***" if is_secret(field[1]) else field[0]
