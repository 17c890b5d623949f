"""Which path a request asks for: decoded, and as it was sent where the server tells that.

PEP 3333 gives a path whose ``%2F`` can no longer be told from ``/``. Servers that also give the
target as it was sent (``RAW_URI``, ``REQUEST_URI``) are believed where the two agree: something
between may have taken a part off, or rewritten it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from restkit.server.exceptions import InvalidUsage
from restkit.server.patterns import SLASH_INSIDE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_ORIGIN = re.compile("^[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_UNRESERVED = "/:@!$&'()*+,;=~"


class Target(NamedTuple):
    """The path of the application: as text, as routes match it, and percent-encoded."""

    path: str
    matched: str
    encoded: str


def encoded_path(environ: WSGIEnvironment) -> str:
    """The path below the application, percent-encoded; never fails."""
    said = environ.get("PATH_INFO", "").encode("latin-1", "replace") or b"/"
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    sent = _without_script(raw.partition("?")[0], environ.get("SCRIPT_NAME", ""))
    if sent is not None and unquote_to_bytes(sent.encode("latin-1", "replace")) == said:
        return quote(sent, _UNRESERVED + "%", encoding="latin-1", errors="replace")
    return quote(said, _UNRESERVED)


def target_of(environ: WSGIEnvironment) -> Target:
    """What is asked for; raises InvalidUsage for a path that is no UTF-8."""
    encoded = encoded_path(environ)
    if "%" not in encoded:
        return Target(encoded, encoded, encoded)
    try:
        segments = [unquote_to_bytes(each).decode() for each in encoded.split("/")]
    except UnicodeDecodeError as exc:
        raise InvalidUsage(f"the path {encoded} is not UTF-8") from exc
    matched = "/".join(segment.replace("/", SLASH_INSIDE) for segment in segments)
    return Target("/".join(segments), matched, encoded)


def _without_script(sent: str, script: str) -> str | None:
    """The path as it was sent, behind what the application is mounted on."""
    sent = _ORIGIN.sub("", sent)
    if not script or not sent.startswith("/"):
        return sent
    mounted = len(script.split("/"))
    segments = sent.split("/")
    head, rest = segments[:mounted], segments[mounted:]
    decoded = unquote_to_bytes("/".join(head).encode("latin-1", "replace"))
    return "/" + "/".join(rest) if decoded == script.encode("latin-1", "replace") else None
