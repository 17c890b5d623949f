"""Give each file of an archive a name of its own.

Names that occur twice in an archive, told apart: ``a.txt``, ``a (1).txt``, ``a (2).txt``.

A deduplicator is a generator: it is started with ``send(None)``, is sent one name after the other
in the order of the files, gives a name for each, and is closed when all have theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import count
from typing import TypeAlias

from restkit.errors import PayloadError

NameDeduplicator: TypeAlias = Generator[str | None, str, None]
"""What gives names: primed with ``send(None)``, then sent each name in turn."""

Deduplication: TypeAlias = NameDeduplicator | Callable[[], NameDeduplicator] | None
"""A deduplicator, or a function that makes one for each archive; None is to keep names."""

NameReconstructor: TypeAlias = Callable[[str, int, str | None], str]
"""From path, index and extension (without its dot, None where there is none) to a name."""

# The extension begins at the first dot of the last component. DOTALL: a name with a line break in
# it is a name like others, and without it such names took time by the cube of their length.
_NAME = re.compile(r"((?:.*/)?.*?)(?: \((\d+)\))?(?:\.(.*?))?", re.DOTALL)

_LONGEST_INDEX = 18  # digits; int() refuses thousands of them, and no archive has so many files


def numbered_name(path: str, index: int, extension: str | None) -> str:
    """``path (index).extension``; index 0 is the plain name."""
    suffix = f" ({index})" if index else ""
    return f"{path}{suffix}" if extension is None else f"{path}{suffix}.{extension}"


def name_deduplicator_default(
    regex: re.Pattern[str] = _NAME, reconstructor: NameReconstructor = numbered_name
) -> NameDeduplicator:
    """A deduplicator that numbers the names of one archive, each of them given once.

    ``regex`` must match a whole name, and has three groups: path, index, extension; a name that it
    does not match is all path. ``reconstructor(path, index, extension)`` puts them together again:
    plain names pass through it with index 0, so that the two have to agree. A name whose own
    index is free is kept as it is; any other gets the lowest index that is. PayloadError where the
    reconstructor makes no new names of new indexes.

    >>> names = name_deduplicator_default()
    >>> names.send(None)
    >>> names.send('a.txt'), names.send('a.txt'), names.send('b.txt')
    ('a.txt', 'a (1).txt', 'b.txt')
    """
    given = _UsedNames(regex, reconstructor)
    name = yield None
    while True:
        name = yield given.another(name)


def unique_names(names: Sequence[str], deduplicator: Deduplication) -> Sequence[str]:
    """What a deduplicator, or one that a function makes, gives for these names; it is closed then.

    None leaves them as they are. Of a folder's name, with the slash at its end, the deduplicator
    sees what is before that. Raises PayloadError for a deduplicator that ends too early, TypeError
    for a name that is no text, and whatever the deduplicator raises.
    """
    if deduplicator is None:
        return names
    if deduplicator is name_deduplicator_default and _are_plain(names):
        return names
    generator = deduplicator() if callable(deduplicator) else deduplicator
    with closing(generator):
        _sent(generator, None)
        return [_another(generator, name) for name in names]


def _are_plain(names: Iterable[str]) -> bool:
    """Whether each occurs once, and none has what could be an index: the default keeps these."""
    seen = set()
    for name in names:
        plain = name.removesuffix("/")
        if plain in seen or " (" in plain:
            return False
        seen.add(plain)
    return True


def _another(generator: NameDeduplicator, name: str) -> str:
    slash = "/" if name.endswith("/") else ""
    given = _sent(generator, name.removesuffix("/"))
    if not isinstance(given, str):
        raise TypeError(
            f"the name deduplicator gave {type(given).__name__} for {name!r}; str is wanted"
        )
    if given.endswith("/") and not slash:
        raise PayloadError(
            f"the name deduplicator gave {given!r} for {name!r}, which is no folder: a name with a "
            "slash at its end is a folder's"
        )
    return given + slash


def _sent(generator: NameDeduplicator, name: str | None) -> object:
    try:
        return generator.send(name)  # type: ignore[arg-type]  # None is what primes a generator
    except StopIteration as exc:
        raise PayloadError(
            f"the name deduplicator ended before the name {name!r}"
            if name is not None
            else "the name deduplicator has ended: a generator serves one archive; the function "
            "that makes it, without a call, serves any number"
        ) from exc


class _UsedNames:
    """The names that were given so far, and what is known of the next free indexes."""

    def __init__(self, regex: re.Pattern[str], reconstructor: NameReconstructor) -> None:
        self._regex = regex
        self._reconstructor = reconstructor
        self._names: set[str] = set()
        self._taken: set[tuple[str, str | None, int]] = set()
        self._next: dict[tuple[str, str | None], int] = {}

    def another(self, name: str) -> str:
        path, index, extension = self._parts(name)
        free = (path, extension, index) not in self._taken and name not in self._names
        if not (index and free):
            index, name = self._next_free(path, extension)
        self._taken.add((path, extension, index))
        self._names.add(name)
        return name

    def _parts(self, name: str) -> tuple[str, int, str | None]:
        match = self._regex.fullmatch(name)
        if match is None:
            return name, 0, None
        path, index, extension = match.groups()
        if index is not None and len(index) > _LONGEST_INDEX:
            return name, 0, None
        return path, int(index or 0), extension

    def _next_free(self, path: str, extension: str | None) -> tuple[int, str]:
        # The same name may come of other parts: `a (1)` with 0, and `a` with 1. Among one more new
        # names than there are given ones, one is free.
        tries = len(self._names) + 1
        for index in count(self._next.get((path, extension), 0)):
            if (path, extension, index) in self._taken:
                continue
            name = self._reconstructor(path, index, extension)
            if name not in self._names:
                self._next[path, extension] = index + 1
                return index, name
            tries -= 1
            if not tries:
                break
        raise PayloadError(
            f"the name reconstructor gives names that are taken, such as {name!r}, whatever the "
            "index: a new one is wanted for each"
        )
