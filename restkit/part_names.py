"""Names and types as they stand in the head of a part of a form: looked at, and quoted.

Quoted as browsers do it (WHATWG HTML, "multipart/form-data encoding algorithm"): a quote, CR and
LF percent-encoded, UTF-8 for what is not ASCII, and everything else as it is. So a ``%22`` that
stands in a name already is read as a quote by whoever knows the rule. The ``filename*=`` of
RFC 5987 is forbidden here (RFC 7578 4.2), and a backslash escapes nothing.
"""

from __future__ import annotations

import os
import re

from restkit.errors import PayloadError

_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_CONTROLS = re.compile("[\0-\x08\x0a-\x1f\x7f]")  # a tab may stand between parameters
_OF_NO_FILE = re.compile("<.*>")  # what sys.stdin and os.fdopen() call themselves


def checked_name(name: object, what: str) -> str:
    """The name as plain text; TypeError for what is no str, PayloadError for what cannot go."""
    text = _plain(name, what)
    if "\0" in text:
        raise PayloadError(f"{what} has a NUL at {text.index(chr(0))}: no name may have one")
    return text


def checked_content_type(value: object, what: str) -> str:
    """The content type as plain text of one line; TypeError or PayloadError for what is none."""
    text = _plain(value, what)
    fault = _CONTROLS.search(text)
    if fault:
        raise PayloadError(f"{what} has {fault[0]!a} at {fault.start()}: it is one line of text")
    if not text.strip():
        raise PayloadError(f"{what} is empty: a type such as 'text/csv' is wanted, or None")
    return text


def disposition(name: str, file_name: str | None) -> str:
    """The Content-Disposition of a part; both names have been checked."""
    line = f'Content-Disposition: form-data; name="{name.translate(_QUOTED)}"'
    if file_name is None:
        return line
    return f'{line}; filename="{file_name.translate(_QUOTED)}"'


def own_file_name(value: object) -> str | None:
    """What a path, or a file that was opened by its name, is called, without its folders."""
    name = value if isinstance(value, os.PathLike) else getattr(value, "name", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return None  # a temporary file's is a number
    base = os.path.basename(os.fsdecode(name))
    return None if _OF_NO_FILE.fullmatch(base) else base or None


def _plain(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is of type {type(value).__name__}; str is wanted")
    text = str.__str__(value)  # a member of an enum would write itself in its own way
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise PayloadError(
            f"{what} has a lone surrogate, {text[exc.start]!a}, at {exc.start}: it cannot be UTF-8"
        ) from exc
    return text
