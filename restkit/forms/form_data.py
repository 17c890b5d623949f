"""Forms, and what their fields may be.

Forms: fields of text, files and streams, sent urlencoded where they are text and no more.

From what a caller gives for a field of a form to the part that it becomes, checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from restkit.forms.multipart import (
    MULTIPART,
    URLENCODED,
    MultipartPayload,
    Part,
    checked_content_type,
    checked_name,
    media_type,
    own_file_name,
)
from restkit.forms.transfer_encodings import checked_encoding, transfer_encoded
from restkit.headers import Headers
from restkit.payload.base import OCTET_STREAM, Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import content_type as type_by_name
from restkit.payload.values import TEXT_PLAIN, BytesPayload, json_payload, utf_8
from restkit.url.query import text_of


class FormData:
    """The fields of a form, in their order, with text, files and streams for values.

    It goes as ``application/x-www-form-urlencoded`` while every field is text and nothing more,
    and as ``multipart/form-data`` otherwise: by its exact length where every value has one, in
    chunks where one has none; and again where every value can go again. Its boundary stays the
    same until another field is added.

    >>> form = FormData.from_fields({'a': [1, 2], 'b': 'ü'})
    >>> form.add_field('c', b'GIF89a', file_name='logo.gif')
    >>> form
    <FormData of 4 fields, multipart>
    """

    __slots__ = ("_made", "_parts")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._made: dict[str, Payload] = {}

    @classmethod
    def from_fields(
        cls, fields: FormData | Mapping[str, object] | Iterable[tuple[str, object]]
    ) -> FormData:
        """A form of a mapping, of pairs of name and value, or of another form's fields.

        A list or a tuple gives its name once for each item, what is None is left out, and bytes
        are text as they are: it is ``add_field`` that makes a file of them. Raises as that does.

        >>> b''.join(FormData.from_fields([('a', '1'), ('b', None), ('c', True)]).__payload__())
        b'a=1&c=true'
        """
        form = cls()
        form._parts.extend(fields._parts if isinstance(fields, FormData) else fields_of(fields))
        return form

    def add_field(
        self,
        name: str,
        value: object,
        content_type: str | None = None,
        file_name: str | None = None,
        transfer_encoding: str | None = None,
    ) -> None:
        """Put one more field at the end.

        Text is a str, and a number or a truth as in ``params=``: ``12``, ``true``. Whatever else
        can be a payload is a file, called by ``file_name``, or its own name without the folders,
        or that of the field. Its type is ``content_type``, or what its ``file_name`` tells, or
        the payload's own. ``transfer_encoding`` is 'base64', 'quoted-printable' or 'binary'.
        Nothing of the value is read, but where it begins, and how long it is, is seen now.
        Raises TypeError for what cannot be sent, ValueError for another encoding, PayloadError
        for a name or a type that cannot stand in a part's head.
        """
        self._add(field(name, value, content_type, file_name, transfer_encoding))

    def add_json(self, name: str, value: object) -> None:
        """Put a value at the end as JSON, made now; PayloadError for what JSON cannot say."""
        self._add(json_field(name, value))

    def _add(self, part: Part) -> None:
        self._parts.append(part)
        self._made = {}

    @property
    def _is_plain(self) -> bool:
        return all(part.is_plain for part in self._parts)

    def __payload__(self) -> Payload:
        made = self._made
        if not made:
            parts = tuple(self._parts)
            payload = UrlencodedPayload(parts) if self._is_plain else MultipartPayload(parts)
            # The first is that of all threads: its boundary is made with it.
            return made.setdefault("payload", payload)
        return made["payload"]

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        count = "1 field" if len(self) == 1 else f"{len(self)} fields"
        return f"<FormData of {count}, {'urlencoded' if self._is_plain else 'multipart'}>"


class UrlencodedPayload(BytesPayload):
    """Fields of text as ``a=1&b=2``, in UTF-8; it can also be had as multipart."""

    def __init__(self, parts: Sequence[Part]) -> None:
        from urllib.parse import quote_plus

        pairs = (f"{quote_plus(p.name)}={quote_plus(b''.join(p.payload.chunks()))}" for p in parts)
        super().__init__("&".join(pairs).encode(), (("Content-Type", URLENCODED),))
        self._parts = parts

    def as_multipart(self) -> MultipartPayload:
        """The same fields, each as a part."""
        return MultipartPayload(self._parts)


_NEVER_FORMS = frozenset((type(None), bytes, str))  # most payloads: told from forms at once


def as_form(value: object) -> FormData | None:
    """The form that a mapping, or a list or tuple of pairs, stands for; None for anything else.

    What says itself how it is sent, by ``__payload__()``, is nothing else. Raises as
    ``FormData.from_fields`` does.
    """
    if type(value) in _NEVER_FORMS:
        return None
    if isinstance(value, list | tuple):
        is_form = bool(value) and is_pair(value[0])
    else:
        is_form = isinstance(value, Mapping)
    if not is_form or hasattr(type(value), "__payload__"):
        return None
    return FormData.from_fields(value)  # type: ignore[arg-type]  # of its items is asked there


def as_declared(payload: Payload, content_type: str) -> Payload:
    """The payload as the caller's own Content-Type wants it: fields of text as multipart, too."""
    if isinstance(payload, UrlencodedPayload) and media_type(content_type) == MULTIPART:
        return payload.as_multipart()
    return payload


def field(
    name: object,
    value: object,
    content_type: object = None,
    file_name: object = None,
    transfer_encoding: object = None,
) -> Part:
    """The part that ``FormData.add_field`` makes of these; it says what of them is wrong."""
    name = _field_name(name)
    given = None
    if file_name is not None:
        given = checked_name(file_name, f"the file name of the field {name!r}")
    if content_type is not None:
        content_type = checked_content_type(content_type, f"the content type of the field {name!r}")
    encoding = checked_encoding(transfer_encoding, f"the transfer encoding of the field {name!r}")
    text = text_of(value)
    called: str | None = given
    if text is not None:
        payload: Payload = BytesPayload(utf_8(text, f"the field {name!r}"), TEXT_PLAIN)
    else:
        payload = _file_of(name, value)
        if called is None:
            called = _own_name(name, value)
    if content_type is None and called is not None:
        content_type = _type_of(payload, given, f"the content type of the field {name!r}")
    coded = transfer_encoded(payload, encoding)
    only = None if payload.replayable else value
    return Part(name, coded, called, content_type, encoding, only)


def json_field(name: object, value: object) -> Part:
    """A value as the JSON that it is; PayloadError for what JSON cannot say."""
    payload = json_payload(value, f"the field {name!r}")
    return Part(_field_name(name), payload, content_type="application/json")


def fields_of(fields: Mapping[str, object] | Iterable[tuple[str, object]]) -> Iterator[Part]:
    """The parts that a mapping or pairs stand for."""
    for index, pair in enumerate(fields.items() if isinstance(fields, Mapping) else fields):
        if not is_pair(pair):
            raise TypeError(f"item {index} of the fields is no pair of a name and a value")
        name = _field_name(pair[0])
        for value in _each(name, pair[1]):
            if isinstance(value, bytes | bytearray | memoryview):
                yield Part(name, BytesPayload(bytes(value)))
            elif value is not None:
                yield field(name, value)


def is_pair(item: object) -> bool:
    """Whether it is two things in a tuple or a list."""
    return isinstance(item, tuple | list) and len(item) == 2


def _field_name(name: object) -> str:
    return checked_name(name, "the name of a field")


def _file_of(name: str, value: object) -> Payload:
    if isinstance(value, Mapping | list | tuple) and not _says_how(value):
        raise TypeError(
            f"the field {name!r} is of type {_kind(value)}: add_json() sends that as JSON, and of "
            "a list from_fields() makes a field for each item, as_payload() one stream of all"
        )
    try:
        payload = as_payload(value)
    except TypeError as exc:
        raise TypeError(f"the field {name!r}: {exc}") from exc
    if payload is None:
        raise TypeError(f"the field {name!r} is None: leave it out, or give '' for no text")
    return payload


def _own_name(name: str, value: object) -> str:
    """What a file is called that nobody has given a name: its own, or that of its field."""
    own = own_file_name(value)
    if own is None:
        return name
    return checked_name(own, f"the file's own name, where the field {name!r} has no file_name=,")


def _each(name: str, value: object) -> Iterable[object]:
    """The values that a name is repeated for."""
    if not isinstance(value, list | tuple) or _says_how(value):
        return (value,)
    if isinstance(value, tuple) and _names_a_file(value):
        raise TypeError(
            f"the field {name!r} is a tuple of a text and a {_kind(value[1])}: a file "
            "with a name is add_field(name, file, file_name=...), and several values are a list"
        )
    return value


def _names_a_file(value: tuple[object, ...]) -> bool:
    """Whether it looks like a file with its name, as other libraries take it.

    Taken for two values it would go, without a word, as a text and a file.
    """
    name, what, *_ = (*value, None, None)
    return isinstance(name, str | None) and not isinstance(what, str | int | float | None)


def _type_of(payload: Payload, given_name: str | None, what: str) -> str:
    """The content type of a file: by the name that the caller has given it, or its payload's."""
    kind = type_by_name(given_name)[0][1]
    if kind != OCTET_STREAM[0][1]:
        # Text was encoded here, and a type by its name does not know that.
        is_text = payload.headers is TEXT_PLAIN and kind.startswith("text/")
        return f"{kind}; charset=utf-8" if is_text else kind
    own = Headers(payload.headers)
    coding = own.get("content-encoding", "identity").lower()
    if coding != "identity":
        # A part has no Content-Encoding (RFC 7578 4.8): its type is that of the coded bytes.
        return "application/gzip" if coding in ("gzip", "x-gzip") else OCTET_STREAM[0][1]
    return checked_content_type(own.get("content-type", OCTET_STREAM[0][1]), what)


def _says_how(value: object) -> bool:
    """Whether it says itself how it is sent, whatever else it is."""
    return hasattr(type(value), "__payload__")


def _kind(value: object) -> str:
    return type(value).__name__
