"""Give each file of an archive its own name: ``a.txt``, ``a (1).txt``, ``a (2).txt``.

A deduplicator is a generator. It is started with ``send(None)``, receives one name after the other
in the order of the files, yields a name for each, and is closed after the last one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import count
from typing import TypeAlias

from restkit.errors import PayloadError

NameDeduplicator: TypeAlias = Generator[str | None, str, None]
"""A generator of names: started with ``send(None)``, then sent each name in turn."""

Deduplication: TypeAlias = NameDeduplicator | Callable[[], NameDeduplicator] | None
"""A deduplicator, or a function that makes one for each archive; None keeps duplicate names."""

NameReconstructor: TypeAlias = Callable[[str, int, str | None], str]
"""A function that makes a name of path, index and extension (without dot; None for none)."""

# The extension begins at the first dot of the last component. DOTALL: a line break in a name is an
# ordinary character; without the flag, matching such names takes cubic time.
_NAME = re.compile(r"((?:.*/)?.*?)(?: \((\d+)\))?(?:\.(.*?))?", re.DOTALL)

_MAX_INDEX_DIGITS = 18  # more than any archive needs; int() refuses thousands of digits


def numbered_name(path: str, index: int, extension: str | None) -> str:
    """Return ``path (index).extension``; index 0 is the plain name.

    >>> numbered_name('a', 2, 'txt'), numbered_name('a', 0, None)
    ('a (2).txt', 'a')
    """
    suffix = f" ({index})" if index else ""
    return f"{path}{suffix}" if extension is None else f"{path}{suffix}.{extension}"


def name_deduplicator_default(
    regex: re.Pattern[str] = _NAME, reconstructor: NameReconstructor = numbered_name
) -> NameDeduplicator:
    """Return a deduplicator that numbers the duplicate names of one archive.

    ``regex`` must match a whole name and has three groups: path, index, extension. A name that it
    does not match is all path. ``reconstructor(path, index, extension)`` makes a name from the
    parts. Plain names pass through it with index 0, so the two must agree. A name with a free index
    of its own is kept; any other name gets the lowest free index. Raises PayloadError if the
    reconstructor returns no new names for new indexes.

    >>> names = name_deduplicator_default()
    >>> names.send(None)
    >>> names.send('a.txt'), names.send('a.txt'), names.send('b.txt')
    ('a.txt', 'a (1).txt', 'b.txt')
    """
    used_names: set[str] = set()
    used_parts: set[tuple[str, str | None, int]] = set()
    next_index: dict[tuple[str, str | None], int] = {}
    name = yield None
    while True:
        path, index, extension = _split_name(name, regex)
        if not index or name in used_names or (path, extension, index) in used_parts:
            # Other parts may give the same name: `a (1)` with 0, and `a` with 1. Among one more
            # new names than there are used ones, at least one is free.
            attempts = len(used_names) + 1
            for index in count(next_index.get((path, extension), 0)):
                if (path, extension, index) in used_parts:
                    continue
                name = reconstructor(path, index, extension)
                if name not in used_names:
                    break
                attempts -= 1
                if not attempts:
                    raise PayloadError(
                        "the name reconstructor must return a new name for each index; got names "
                        f"that are used already, such as {name!r}"
                    )
            next_index[path, extension] = index + 1
        used_parts.add((path, extension, index))
        used_names.add(name)
        name = yield name


def _split_name(name: str, regex: re.Pattern[str]) -> tuple[str, int, str | None]:
    """Return path, index and extension."""
    match = regex.fullmatch(name)
    if match is None:
        return name, 0, None
    path, index, extension = match.groups()
    if index is not None and len(index) > _MAX_INDEX_DIGITS:
        return name, 0, None
    return path, int(index or 0), extension


def unique_names(names: Sequence[str], deduplicator: Deduplication) -> Sequence[str]:
    """Return the names that a deduplicator makes of these names, and close it.

    ``deduplicator`` may be a function that makes one; None keeps the names. The slash at the end
    of a folder's name is removed before and added after. Raises PayloadError for a deduplicator
    that ends too early, TypeError for a name that is no str, and every error of the deduplicator.
    """
    if deduplicator is None:
        return names
    if deduplicator is name_deduplicator_default and _are_unique_and_plain(names):
        return names
    generator = deduplicator() if callable(deduplicator) else deduplicator
    with closing(generator):
        _send(generator, None)
        return [_deduplicate(generator, name) for name in names]


def _are_unique_and_plain(names: Iterable[str]) -> bool:
    """Whether the default deduplicator keeps all names: no duplicates, and no index in any."""
    seen = set()
    for name in names:
        plain = name.removesuffix("/")
        if plain in seen or " (" in plain:
            return False
        seen.add(plain)
    return True


def _deduplicate(generator: NameDeduplicator, name: str) -> str:
    slash = "/" if name.endswith("/") else ""
    new_name = _send(generator, name.removesuffix("/"))
    if not isinstance(new_name, str):
        raise TypeError(
            f"the name deduplicator must yield str; got {type(new_name).__name__} for {name!r}"
        )
    if new_name.endswith("/") and not slash:
        raise PayloadError(
            f"the name deduplicator returned {new_name!r} for {name!r}: a slash at the end would "
            "make it a folder"
        )
    return new_name + slash


def _send(generator: NameDeduplicator, name: str | None) -> object:
    try:
        return generator.send(name)  # type: ignore[arg-type]  # None starts a generator
    except StopIteration as exc:
        raise PayloadError(
            f"the name deduplicator ended before the name {name!r}"
            if name is not None
            else "the name deduplicator has ended: a generator serves one archive; pass the "
            "function that makes it, without calling it, to serve any number of archives"
        ) from exc
