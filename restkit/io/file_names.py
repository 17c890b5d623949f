"""Find invisible characters in the names of files, which another program has chosen.

Such a name may look like another one, or reverse the text after it on a screen.
"""

from __future__ import annotations

import re

# Control and format characters, surrogates, and the separators of lines and paragraphs. Format
# characters include those that change the direction of text.
_INVISIBLE = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
# Letters, marks and symbols without a visible form.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
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
