"""What a Content-Type says beside the type."""

from __future__ import annotations

import re

_CHARSET = re.compile(r';[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)


def charset_of(content_type: str) -> str | None:
    """The charset parameter, without its quotes; None where there is none."""
    match = _CHARSET.search(content_type)
    return (match[1] or match[2] or None) if match else None
