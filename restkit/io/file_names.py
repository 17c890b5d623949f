"""Check the names of files, which another program has chosen: what is invisible, and what Windows
reads as something else than a file.

A name with invisible characters may look like another one, or reverse the text after it on a
screen.
"""

from __future__ import annotations

import re

# Control and format characters, surrogates, and the separators of lines and paragraphs. Format
# characters include those that change the direction of text.
_INVISIBLE = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
# Letters, marks and symbols without a visible form.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
# Docs of Windows, "Naming Files, Paths, and Namespaces".
FORBIDDEN_ON_WINDOWS = re.compile('[<>:"|?*]')
_RESERVED_ON_WINDOWS = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL
)
_JOINERS = "\u200c\u200d"
_JOINED = re.compile("[LMS]")  # the categories of letters, marks and symbols


def remove_invisible(name: str) -> str:
    """Return a name without invisible characters; those of Persian words and emoji stay.

    The joiners U+200C and U+200D stay between two letters, marks or symbols that are not ASCII.

    >>> remove_invisible('a\u200bb\u202etxt.exe\ufeff'), remove_invisible('a\u200db')
    ('abtxt.exe', 'ab')
    >>> remove_invisible('\u0645\u06cc\u200c\u062e') == '\u0645\u06cc\u200c\u062e'
    True
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join([each for at, each in enumerate(name) if not _is_invisible(name, at)])


def _is_invisible(name: str, at: int) -> bool:
    from unicodedata import category

    character = name[at]
    if character in _JOINERS:
        return not (
            0 < at < len(name) - 1 and _is_joined(name[at - 1]) and _is_joined(name[at + 1])
        )
    return category(character) in _INVISIBLE or _BLANK.match(character) is not None


def _is_joined(character: str) -> bool:
    from unicodedata import category

    is_visible = not _BLANK.match(character) and _JOINED.match(category(character))
    return bool(is_visible) and not character.isascii()


def is_reserved_on_windows(name: str) -> bool:
    """Return whether Windows reads a file name as a device, whatever its extension is.

    >>> is_reserved_on_windows('NUL.txt'), is_reserved_on_windows('null.txt')
    (True, False)
    """
    return _RESERVED_ON_WINDOWS.fullmatch(name) is not None


def is_special_on_windows(name: str) -> bool:
    """Return whether Windows reads a file name as a device, drive, stream or another name.

    >>> [is_special_on_windows(name) for name in ('a.txt', 'NUL.txt', 'C:a.txt', 'a.txt.')]
    [False, True, True, True]
    """
    # Windows removes a dot or a space at the end.
    is_changed = name.endswith((".", " ")) or FORBIDDEN_ON_WINDOWS.search(name) is not None
    return is_changed or is_reserved_on_windows(name)
