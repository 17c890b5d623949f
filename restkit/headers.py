"""Header fields: ordered, case-insensitive, checked.

Text is latin-1 in both directions. RFC 9110 5.5 leaves octets above ASCII to the recipient;
latin-1 is the only decoding that keeps all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeAlias, TypeVar, overload

from restkit.errors import InvalidHeader
from restkit.redaction import is_secret, redact_header

HeaderName: TypeAlias = str | bytes
HeaderValue: TypeAlias = str | bytes | int
_T = TypeVar("_T")
_Item_co = TypeVar("_Item_co", covariant=True)


class HasItems(Protocol[_Item_co]):
    """A mapping. The keys of ``Mapping`` are invariant: dict[str, str] must be accepted too."""

    def items(self) -> Iterable[_Item_co]:
        """Return the pairs of name and value."""
        ...


# Not Iterable, because a dict is one: mypy then infers {b"A": "1", "B": b"2"} without a context.
Pairs: TypeAlias = Sequence[_T] | AbstractSet[_T] | Iterator[_T]
GivenFields: TypeAlias = (
    HasItems[tuple[HeaderName, HeaderValue]] | Pairs[tuple[HeaderName, HeaderValue]]
)
_REQUIRED = object()
_Field: TypeAlias = "tuple[str, str, str]"  # the name in lower case, the name, the value

HOP_BY_HOP_HEADERS = frozenset(
    "connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
"""The lower-case names of fields that apply to one connection only (RFC 9110 7.6.1)."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_LATIN_1 = re.compile("[^\0-\xff]")
_FORBIDDEN = re.compile("[\r\n\0]")
_CONTROL_NAMES = {"\r": "CR", "\n": "LF", "\0": "NUL"}


class Headers(MutableMapping[str, str]):
    """An ordered multi-mapping of header fields with case-insensitive names.

    ``headers['accept']`` returns all values of the name, joined with ``', '`` (RFC 9110 5.2).
    ``Set-Cookie`` is the one field that cannot be joined: its first value is returned, and
    ``get_all`` returns each. Setting a name replaces all its values; ``add`` appends one more.
    Names and values may be bytes. A name or value that cannot be sent raises ``InvalidHeader`` at
    once. Two objects are equal if each name has the same values in the same order. The ``repr``
    hides credentials.

    >>> headers = Headers([('Accept', 'text/plain'), ('accept', 'text/html')])
    >>> headers['ACCEPT']
    'text/plain, text/html'
    >>> headers['X-Number'] = 5
    >>> headers.pairs()
    [('Accept', 'text/plain'), ('accept', 'text/html'), ('X-Number', '5')]
    """

    __slots__ = ("_fields", "_lines", "_names")

    def __init__(self, fields: GivenFields | None = None) -> None:
        self._fields: list[_Field] = []
        self._clear_caches()
        if fields is not None:
            for name, value in read_pairs(fields):
                self.add(name, value)

    @classmethod
    def from_trusted(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """Make headers from pairs that a strict parser returned, without a second check."""
        headers = cls.__new__(cls)
        headers._fields = [(name.lower(), name, value) for name, value in pairs]
        headers._clear_caches()
        return headers

    def copy(self) -> Headers:
        """Return independent headers with the same fields."""
        other = Headers.__new__(Headers)
        other._fields = self._fields.copy()
        other._lines, other._names = self._lines, self._names
        return other

    def _clear_caches(self) -> None:
        # A Client sends the same fields many times: cache their lines and their names.
        self._lines: str | None = None
        self._names: frozenset[str] | None = None

    def add(self, name: HeaderName, value: HeaderValue) -> None:
        """Append a field. Fields of the same name stay."""
        self._fields.append(_make_field(name, value))
        self._clear_caches()

    def get_all(self, name: HeaderName) -> list[str]:
        """Return every value of the name, in order; an empty list if there is none."""
        lower_name = name_as_str(name).lower()
        return [value for key, _, value in self._fields if key == lower_name]

    def names(self) -> frozenset[str]:
        """Return the set of names, in lower case."""
        if self._names is None:
            self._names = frozenset([lower_name for lower_name, _, _ in self._fields])
        return self._names

    def lines(self) -> str:
        """Return the fields as the text of a head, one line each."""
        if self._lines is None:
            self._lines = "".join([f"{name}: {value}\r\n" for _, name, value in self._fields])
        return self._lines

    def pairs(self) -> list[tuple[str, str]]:
        """Return every field as (name, value), in order, names as they were given."""
        return [(name, value) for _, name, value in self._fields]

    def __getitem__(self, name: HeaderName) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        if len(values) == 1 or name_as_str(name).lower() == "set-cookie":
            return values[0]
        return ", ".join(values)

    def __setitem__(self, name: HeaderName, value: HeaderValue) -> None:
        field = _make_field(name, value)
        lower_name = field[0]
        self._clear_caches()
        for index, (key, _, _) in enumerate(self._fields):
            if key == lower_name:
                rest = [other for other in self._fields[index + 1 :] if other[0] != lower_name]
                self._fields[index:] = [field, *rest]
                return
        self._fields.append(field)

    def __delitem__(self, name: HeaderName) -> None:
        if name not in self:
            raise KeyError(name)
        lower_name = name_as_str(name).lower()
        self._clear_caches()
        self._fields = [field for field in self._fields if field[0] != lower_name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            if not isinstance(name, bytes):
                return False
            name = bytes.decode(name, "latin-1")
        return name.lower() in self.names()

    @overload
    def get(self, name: HeaderName, /) -> str | None: ...
    @overload
    def get(self, name: HeaderName, /, default: str | _T) -> str | _T: ...
    def get(self, name: HeaderName, /, default: object = None) -> object:
        """Return the values of the name, joined as by ``headers[name]``, or ``default``."""
        if name in self:
            return self[name]
        return default

    @overload
    def pop(self, name: HeaderName, /) -> str: ...
    @overload
    def pop(self, name: HeaderName, /, default: str | _T) -> str | _T: ...
    def pop(self, name: HeaderName, /, default: object = _REQUIRED) -> object:
        """Remove the name and return its values, joined; else ``default``, or raise KeyError."""
        if name not in self and default is not _REQUIRED:
            return default
        value = self[name]
        del self[name]
        return value

    def setdefault(self, name: HeaderName, default: HeaderValue | None = None, /) -> str:
        """Return the values of the name, joined; set it to ``default`` first if it is missing."""
        if name not in self:
            self._fields.append(_make_field(name, default))
            self._clear_caches()
        return self[name]

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for lower_name, name, _ in self._fields:
            if lower_name not in seen:
                seen.add(lower_name)
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
        """Return the values of each name. The order of different names is free (RFC 9110 5.3)."""
        values: dict[str, list[str]] = {}
        for lower_name, _, value in self._fields:
            values.setdefault(lower_name, []).append(value)
        return values

    __hash__ = None  # type: ignore[assignment]  # a mutable mapping has no hash

    def __repr__(self) -> str:
        redacted = [
            (name, "..." if is_secret(name) else redact_header(name, value))
            for _, name, value in self._fields
        ]
        return f"Headers({redacted!r})"

    def __reduce__(self) -> tuple[type[Headers], tuple[list[tuple[str, str]]]]:
        return Headers, (self.pairs(),)


def read_pairs(fields: object) -> list[tuple[Any, Any]]:
    """Return given headers as pairs, unchecked; raise InvalidHeader for other types.

    >>> read_pairs({'Accept': 'text/css', b'X-Id': 7})
    [('Accept', 'text/css'), (b'X-Id', 7)]
    """
    if isinstance(fields, Headers):
        return list(fields.pairs())  # items() joins the values of a name
    try:
        items: Any = getattr(fields, "items", None)
        pairs: Any = fields if items is None else items()
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError) as exc:
        raise InvalidHeader(
            f"headers must be a mapping or pairs of (name, value); got {fields!r:.60}"
        ) from exc


def check_name(name: HeaderName) -> str:
    """Return a header name as a plain str; raise InvalidHeader if it is not one."""
    name = name_as_str(name)
    if fault := field_fault(name, ""):
        raise InvalidHeader(fault)
    return str.__str__(name)


def field_fault(name: object, value: str) -> str | None:
    r"""Return the reason why a header field cannot be sent, or None if it can.

    >>> field_fault('X-Name', 'a value')
    >>> field_fault('X-Name', 'two\nlines')
    'the value of X-Name has LF at 3: a header is one line of text'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"a header name must be made of letters, digits and !#$%&'*+-.^_`|~; got {name!r}"
    control = _FORBIDDEN.search(value)
    if control:
        return (
            f"the value of {name} has {_CONTROL_NAMES[control[0]]} at {control.start()}: "
            "a header is one line of text"
        )
    foreign = None if value.isascii() else _NOT_LATIN_1.search(value)
    if foreign is not None:
        return (
            f"the value of {name} has {foreign[0]!r} at {foreign.start()}, which is not "
            f"latin-1: write it as {name}*=UTF-8''... (RFC 8187), or percent-encoded"
        )
    return None


def name_as_str(name: HeaderName) -> str:
    """Return a header name given as str or bytes as a str, unchecked."""
    return bytes.decode(name, "latin-1") if isinstance(name, bytes) else name


def _make_field(name: HeaderName, value: HeaderValue | None) -> _Field:
    name = name_as_str(name)
    text = _to_text(value)
    if text is None:
        check_name(name)
        raise InvalidHeader(
            f"the value of {name} must be str, bytes or int; got {type(value).__name__}"
        )
    if fault := field_fault(name, text):
        raise InvalidHeader(fault)  # without a cause, which would hold the value, perhaps a secret
    name = str.__str__(name)
    return name.lower(), name, text.strip(" \t")


def _to_text(value: object) -> str | None:
    """Return a value as plain text; None if it is not str, bytes or int.

    The methods of the base types are called: those of a subclass may return anything, and the
    ``str()`` of an enum member is its name.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes.decode(value, "latin-1")
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    return None
