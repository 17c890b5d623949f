"""Header fields: ordered, case-insensitive, checked.

Header fields: in order, found in any case, several values a name.

Text is latin-1 both ways (RFC 9110 5.5 leaves the octets above ASCII to the recipient; latin-1
is the one reading that loses none of them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TypeAlias

from restkit.errors import InvalidHeader
from restkit.redaction import is_secret

HeaderValue: TypeAlias = "str | bytes | int"

OF_THE_CONNECTION = frozenset(
    "connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
"""The names, in lower case, of what is about one connection and no more (RFC 9110 7.6.1)."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN = re.compile("[\r\n\0]")
_FORBIDDEN_NAMES = {"\r": "CR", "\n": "LF", "\0": "NUL"}


class Headers(MutableMapping[str, str]):
    """An ordered multi-mapping of header fields, case-insensitive in its names.

    ``headers['accept']`` is all values of the name joined with ``', '``, as RFC 9110 5.2 reads
    them; ``Set-Cookie`` alone cannot be joined, so the first is given, and ``get_all`` has
    every one. Setting replaces all values of a name; ``add`` puts one more beside them. What
    cannot go on the wire is refused as it is put in, with ``InvalidHeader``. Equal are those
    with the same values, in order, of the same names; the ``repr`` shows no credentials.

    >>> headers = Headers([('Accept', 'text/plain'), ('accept', 'text/html')])
    >>> headers['ACCEPT']
    'text/plain, text/html'
    """

    __slots__ = ("_fields", "_lines", "_names")

    def __init__(
        self,
        fields: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]] | None = None,
    ) -> None:
        self._fields: list[tuple[str, str, str]] = []
        self._changed()
        if fields is not None:
            for name, value in _pairs(fields):
                self.add(name, value)

    @classmethod
    def of_trusted(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """Headers of pairs that a strict parser has already passed: they are not checked again."""
        headers = cls.__new__(cls)
        headers._fields = [(name.lower(), name, value) for name, value in pairs]
        headers._changed()
        return headers

    def copy(self) -> Headers:
        """The same fields, free to change."""
        other = Headers.__new__(Headers)
        other._fields = self._fields.copy()
        other._lines, other._names = self._lines, self._names
        return other

    def _changed(self) -> None:
        # A Client sends the same fields again and again: what they look like is kept with them.
        self._lines: str | None = None
        self._names: frozenset[str] | None = None

    def add(self, name: str, value: HeaderValue) -> None:
        """Put one more field at the end, beside those of the same name."""
        name = checked_name(name)
        self._fields.append((name.lower(), name, _checked_value(name, value)))
        self._changed()

    def get_all(self, name: str) -> list[str]:
        """Every value of the name, in order; an empty list where there is none."""
        low = name.lower()
        return [value for key, _, value in self._fields if key == low]

    def names(self) -> frozenset[str]:
        """The names that are there, in lower case."""
        if self._names is None:
            self._names = frozenset([low for low, _, _ in self._fields])
        return self._names

    def lines(self) -> str:
        """The fields as they stand in a head, one line each."""
        if self._lines is None:
            self._lines = "".join([f"{name}: {value}\r\n" for _, name, value in self._fields])
        return self._lines

    def pairs(self) -> list[tuple[str, str]]:
        """Every field as (name, value), in order and as it was written."""
        return [(name, value) for _, name, value in self._fields]

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        values = self.get_all(name)
        if len(values) == 1 or name.lower() == "set-cookie":
            return values[0]
        return ", ".join(values)

    def __setitem__(self, name: str, value: HeaderValue) -> None:
        name = checked_name(name)
        low = name.lower()
        field = (low, name, _checked_value(name, value))
        self._changed()
        for place, (key, _, _) in enumerate(self._fields):
            if key == low:
                rest = [other for other in self._fields[place + 1 :] if other[0] != low]
                self._fields[place:] = [field, *rest]
                return
        self._fields.append(field)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        low = name.lower()
        self._changed()
        self._fields = [field for field in self._fields if field[0] != low]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return name.lower() in self.names()

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for low, name, _ in self._fields:
            if low not in seen:
                seen.add(low)
                yield name

    def __len__(self) -> int:
        return len(self.names())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._by_name() == other._by_name()
        if isinstance(other, Mapping):
            try:
                return self == Headers(other)
            except InvalidHeader:
                return False
        return NotImplemented

    def _by_name(self) -> dict[str, list[str]]:
        """The values of each name: fields of different names may change places (RFC 9110 5.3)."""
        values: dict[str, list[str]] = {}
        for low, _, value in self._fields:
            values.setdefault(low, []).append(value)
        return values

    __hash__ = None  # type: ignore[assignment]  # a mutable mapping has no hash

    def __repr__(self) -> str:
        shown = [(name, "..." if is_secret(name) else value) for _, name, value in self._fields]
        return f"Headers({shown!r})"

    def __reduce__(self) -> tuple[type[Headers], tuple[list[tuple[str, str]]]]:
        return Headers, (self.pairs(),)


def _pairs(
    fields: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]],
) -> Iterable[tuple[str, HeaderValue]]:
    if isinstance(fields, Headers):
        return fields.pairs()
    return fields.items() if isinstance(fields, Mapping) else fields


def checked_name(name: object) -> str:
    """The name as plain text; raises InvalidHeader for what is none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidHeader(
            f"{name!r} is no header name: letters, digits and !#$%&'*+-.^_`|~ make one"
        )
    return str.__str__(name)  # a member of an enum would write itself in its own way


def _checked_value(name: str, value: object) -> str:
    if isinstance(value, bytes):
        value = bytes.decode(value, "latin-1")
    elif isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    elif isinstance(value, str):
        value = str.__str__(value)
    else:
        raise InvalidHeader(
            f"the value of {name} is of type {type(value).__name__}; str, bytes or int would do"
        )
    fault = _FORBIDDEN.search(value)
    if fault:
        raise InvalidHeader(
            f"the value of {name} has a {_FORBIDDEN_NAMES[fault[0]]} at {fault.start()}: "
            "a header is one line of text"
        )
    try:
        value.encode("latin-1")
    except UnicodeEncodeError as exc:
        raise InvalidHeader(
            f"the value of {name} has {value[exc.start]!r} at {exc.start}, and a header is "
            f"latin-1: write it as RFC 8187 does, {name}*=UTF-8''..., or percent-encoded"
        ) from exc
    return value.strip(" \t")
