"""Parse and write structured fields: Items, Lists and Dictionaries (RFC 9651; RFC 8941).

The parser is strict and takes linear time. Two things are accepted, as section 4.2.7 asks: base64
without its padding, and with bits after the last byte. A field has at most ``MAX_SIZE``
characters, ``MAX_MEMBERS`` members, and ``MAX_INNER`` items or parameters in one place.

Python types of bare items: ``int``, ``float`` (Decimal), ``str`` (String), ``Token``, ``bytes``
(Byte Sequence), ``bool``, ``Date`` and ``DisplayString``. A float holds each Decimal exactly
enough: it has at most 15 digits.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from restkit.errors import ParserError

MAX_SIZE = 256 * 1024
"""The largest number of characters of a field."""

MAX_MEMBERS = 1024
"""The largest number of members of a List or Dictionary; RFC 9651 3.1 and 3.2 require as many."""

MAX_INNER = 256
"""The largest number of items of an Inner List, and of parameters; required by 3.1.1 and 3.1.2."""

_MAX_INTEGER = 10**15


class Token(str):
    """A Token: a short word without quotes."""

    __slots__ = ()


class DisplayString(str):
    """A Display String: text with any characters of Unicode (RFC 9651 3.3.8)."""

    __slots__ = ()


class Date(int):
    """A Date: seconds since 1970-01-01 UTC (RFC 9651 3.3.7)."""

    __slots__ = ()


BareItem: TypeAlias = "int | float | str | bytes | bool"
Parameters: TypeAlias = Mapping[str, BareItem]

_NO_PARAMETERS: Parameters = MappingProxyType({})


class Item(NamedTuple):
    """A bare item with its parameters."""

    value: BareItem
    parameters: Parameters = _NO_PARAMETERS


class InnerList(NamedTuple):
    """A list of items inside a List or Dictionary, with its parameters."""

    items: tuple[Item, ...]
    parameters: Parameters = _NO_PARAMETERS


Member: TypeAlias = "Item | InnerList"

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*")
_BARE_ITEM = re.compile(
    r"(?P<decimal>-?[0-9]{1,12}\.[0-9]{1,3})"
    r"|(?P<integer>-?[0-9]{1,15})"
    r'|"(?P<string>(?:[ !#-\[\]-~]|\\["\\])*)"'
    rf"|(?P<token>{_TOKEN.pattern})"
    r"|:(?P<bytes>[A-Za-z0-9+/]*)={0,2}:"
    r"|\?(?P<boolean>[01])"
    r"|@(?P<date>-?[0-9]{1,15})"
    r'|%"(?P<display>(?:[ !#$&-~]|%[0-9a-f]{2})*)"'
)
_SPACES = re.compile(" *")
_OPTIONAL_WHITESPACE = re.compile("[ \t]*")
_ESCAPED = re.compile(r"\\(.)")
_ENCODED = re.compile("%([0-9a-f]{2})")
_PRINTABLE = re.compile("[ -~]*")


def parse_item(text: str) -> Item:
    """Return the Item of a field; raise ParserError unless it is one.

    >>> parse_item('sha-256;q=0.5')
    Item(value='sha-256', parameters={'q': 0.5})
    """
    at = _begin(text)
    item, at = _parse_item(text, at)
    if _end_of(_SPACES, text, at) != len(text):
        raise _fault(text, at, "the end of the field")
    return item


def parse_list(text: str) -> list[Member]:
    """Return the members of a List. The caller joins several lines of a field by commas.

    >>> parse_list('1, (2 3);x')
    [Item(value=1, parameters={}), InnerList(items=(Item(value=2, parameters={}), \
Item(value=3, parameters={})), parameters={'x': True})]
    """
    members: list[Member] = []
    for at in (walk := _Members(text)):
        member, walk.at = _parse_member(text, at)
        members.append(member)
    return members


def parse_dictionary(text: str) -> dict[str, Member]:
    """Return the members of a Dictionary by key; the last one of a key counts, at its place.

    >>> parse_dictionary('a=1, b;x, a=:YQ==:')
    {'a': Item(value=b'a', parameters={}), 'b': Item(value=True, parameters={'x': True})}
    """
    members: dict[str, Member] = {}
    for at in (walk := _Members(text)):
        key, after = _parse_key(text, at)
        if text.startswith("=", after):
            members[key], walk.at = _parse_member(text, after + 1)
        else:
            parameters, walk.at = _parse_parameters(text, after)
            members[key] = Item(True, parameters)
    return members


class _Members:
    """The positions of the members in a field; the reader of a member sets ``at`` to its end."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = _begin(text)

    def __iter__(self) -> Iterator[int]:
        text, count = self.text, 0
        while self.at < len(text):
            count += 1
            if count > MAX_MEMBERS:
                raise ParserError(f"a structured field has more than {MAX_MEMBERS} members")
            yield self.at
            if _end_of(_SPACES, text, self.at) == len(text):
                return
            comma = _end_of(_OPTIONAL_WHITESPACE, text, self.at)
            if comma == len(text):  # only spaces may end a field, not tabs
                raise _fault(text, self.at, "a comma")
            if text[comma] != ",":
                raise _fault(text, comma, "a comma")
            self.at = _end_of(_OPTIONAL_WHITESPACE, text, comma + 1)
            if self.at == len(text):
                raise _fault(text, self.at, "a member after the comma")


def _begin(text: str) -> int:
    """Return the position of the first character that is not a space; check the size."""
    if len(text) > MAX_SIZE:
        raise ParserError(f"a structured field is longer than {MAX_SIZE} characters")
    return _end_of(_SPACES, text, 0)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end of a match that may be empty."""
    match = pattern.match(text, at)
    return match.end() if match else at


def _fault(text: str, at: int, expected: str) -> ParserError:
    found = repr(text[at : at + 20]) if at < len(text) else "its end"
    return ParserError(f"a structured field must have {expected} at position {at}; got {found}")


def _parse_member(text: str, at: int) -> tuple[Member, int]:
    if not text.startswith("(", at):
        return _parse_item(text, at)
    items: list[Item] = []
    at = _end_of(_SPACES, text, at + 1)
    while not text.startswith(")", at):
        if len(items) == MAX_INNER:
            raise ParserError(
                f"an inner list of a structured field has more than {MAX_INNER} items"
            )
        item, after = _parse_item(text, at)
        items.append(item)
        at = _end_of(_SPACES, text, after)
        if at == after and not text.startswith(")", at):
            raise _fault(text, at, "a space or ')'")
    parameters, at = _parse_parameters(text, at + 1)
    return InnerList(tuple(items), parameters), at


def _parse_item(text: str, at: int) -> tuple[Item, int]:
    value, at = _parse_bare_item(text, at)
    parameters, at = _parse_parameters(text, at)
    return Item(value, parameters), at


def _parse_parameters(text: str, at: int) -> tuple[dict[str, BareItem], int]:
    parameters: dict[str, BareItem] = {}
    count = 0
    while text.startswith(";", at):
        count += 1
        if count > MAX_INNER:
            raise ParserError(f"an item of a structured field has more than {MAX_INNER} parameters")
        key, at = _parse_key(text, _end_of(_SPACES, text, at + 1))
        value: BareItem = True
        if text.startswith("=", at):
            value, at = _parse_bare_item(text, at + 1)
        parameters[key] = value
    return parameters, at


def _parse_key(text: str, at: int) -> tuple[str, int]:
    match = _KEY.match(text, at)
    if match is None:
        raise _fault(text, at, "a key in lower case")
    return match[0], match.end()


def _parse_bare_item(text: str, at: int) -> tuple[BareItem, int]:
    # A number with too many digits matches in part. What follows an item is checked by the caller.
    match = _BARE_ITEM.match(text, at)
    if match is None:
        raise _fault(text, at, "an item")
    return _decode(match.lastgroup or "", match, text), match.end()


def _decode(kind: str, match: re.Match[str], text: str) -> BareItem:
    value = match[kind]
    if kind == "decimal":
        return float(value)
    if kind == "integer":
        return int(value)
    if kind == "string":
        return _ESCAPED.sub(r"\1", value) if "\\" in value else value
    if kind == "token":
        return Token(value)
    if kind == "boolean":
        return value == "1"
    if kind == "date":
        return Date(value)
    if kind == "bytes":
        if len(value) % 4 == 1:
            raise _fault(text, match.start(), "base64")
        return a2b_base64(value + "=" * (-len(value) % 4))
    try:
        octets = _ENCODED.sub(lambda found: chr(int(found[1], 16)), value).encode("latin-1")
        return DisplayString(octets.decode())
    except UnicodeDecodeError:
        raise _fault(text, match.start(), "UTF-8 in a Display String") from None


# Writing


def format_item(item: Item) -> str:
    r"""Return the text of an Item; raise ValueError for a value that a field cannot have.

    >>> format_item(Item('say "hi"', {'q': 0.5, 'x': True}))
    '"say \\"hi\\"";q=0.5;x'
    """
    return _format_bare_item(item.value) + _format_parameters(item.parameters)


def format_list(members: Iterable[Member]) -> str:
    """Return the text of a List; an empty one is '', and its field must not be sent (RFC 9651 4.1).

    >>> format_list([Item(1), InnerList((Item(Token('a')), Item(b'b')), {'x': Date(5)})])
    '1, (a :Yg==:);x=@5'
    """
    return ", ".join([_format_member(member) for member in members])


def format_dictionary(members: Mapping[str, Member]) -> str:
    """Return the text of a Dictionary; an empty one is '', and its field must not be sent.

    >>> format_dictionary({'sha-256': Item(b'abc'), 'u': Item(True)})
    'sha-256=:YWJj:, u'
    """
    texts = []
    for key, member in members.items():
        if isinstance(member, Item) and member.value is True:
            texts.append(_check_key(key) + _format_parameters(member.parameters))
        else:
            texts.append(f"{_check_key(key)}={_format_member(member)}")
    return ", ".join(texts)


def _format_member(member: Member) -> str:
    if isinstance(member, Item):
        return format_item(member)
    items = " ".join([format_item(item) for item in member.items])
    return f"({items}){_format_parameters(member.parameters)}"


def _format_parameters(parameters: Parameters) -> str:
    texts = []
    for key, value in parameters.items():
        texts.append(f";{_check_key(key)}")
        if value is not True:
            texts.append(f"={_format_bare_item(value)}")
    return "".join(texts)


def _check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"a key of a structured field must be in lower case, without spaces; got {key!r:.60}"
        )
    return key


def _format_bare_item(value: object) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        return f"@{_format_integer(value)}" if isinstance(value, Date) else _format_integer(value)
    if isinstance(value, float):
        return _format_decimal(value)
    if isinstance(value, Token):
        if not _TOKEN.fullmatch(value):
            raise ValueError(
                f"a Token must have the characters of RFC 9651 3.3.4; got {value!r:.60}"
            )
        return str(value)
    if isinstance(value, DisplayString):
        return f'%"{"".join([_encode_octet(octet) for octet in value.encode()])}"'
    if isinstance(value, str):
        if not _PRINTABLE.fullmatch(value):
            raise ValueError(
                "a String of a structured field must be printable ASCII; use DisplayString for "
                f"other text; got {value!r:.60}"
            )
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bytes):
        return f":{b2a_base64(value, newline=False).decode()}:"
    raise ValueError(f"a structured field cannot hold {type(value).__name__}; got {value!r:.60}")


def _format_integer(value: int) -> str:
    if not -_MAX_INTEGER < value < _MAX_INTEGER:
        raise ValueError(f"an Integer must have at most 15 digits; got {value!r:.60}")
    return str(int(value))


def _format_decimal(value: float) -> str:
    # Section 4.1.5 rounds the decimal digits, not the exact value of the binary number.
    number = Decimal(repr(value))
    if not number.is_finite() or abs(number) >= 10**13:
        raise ValueError(f"a Decimal must have at most 12 digits before its point; got {value!r}")
    text = f"{number.quantize(Decimal('0.001'), ROUND_HALF_EVEN):f}"
    if len(text.lstrip("-")) > 16:
        raise ValueError(f"a Decimal must have at most 12 digits before its point; got {value!r}")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _encode_octet(octet: int) -> str:
    return f"%{octet:02x}" if octet in b'%"' or not 0x20 <= octet < 0x7F else chr(octet)
