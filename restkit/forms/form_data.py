"""Forms, and the checks of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from restkit.forms.multipart import (
    MULTIPART,
    URLENCODED,
    MultipartPayload,
    Part,
    check_content_type,
    check_name,
    find_file_name,
    parse_media_type,
)
from restkit.forms.transfer_encodings import check_transfer_encoding, encode_payload
from restkit.headers import Headers
from restkit.payload.base import OCTET_STREAM, Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import guess_content_type
from restkit.payload.values import TEXT_PLAIN, BytesPayload, encode_utf_8, json_payload
from restkit.url.query import quote_text, scalar_to_text


class FormData:
    """The fields of a form in their order. A value is text, a file or a stream.

    It is sent as ``application/x-www-form-urlencoded`` if every field is only text, and as
    ``multipart/form-data`` otherwise. It has an exact length if every value has one, and is sent
    with chunked framing if not. It is replayable if every value is. Its boundary stays the same
    until another field is added.

    >>> form = FormData.from_fields({'a': [1, 2], 'b': 'ü'})
    >>> form.add_field('c', b'GIF89a', file_name='logo.gif')
    >>> form
    <FormData of 4 fields, multipart>
    """

    __slots__ = ("_parts", "_payload")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._payload: dict[str, Payload] = {}

    @classmethod
    def from_fields(
        cls, fields: FormData | Mapping[str, object] | Iterable[tuple[str, object]]
    ) -> FormData:
        """Return a form of a mapping, of pairs of name and value, or of another form's fields.

        A list or a tuple repeats its name for each item, and None is left out. Bytes are text here,
        and a file in ``add_field``, which also lists the errors.

        >>> b''.join(FormData.from_fields([('a', '1'), ('b', None), ('c', True)]).__payload__())
        b'a=1&c=true'
        """
        form = cls()
        form._parts.extend(fields._parts if isinstance(fields, FormData) else make_parts(fields))
        return form

    def add_field(
        self,
        name: str,
        value: object,
        content_type: str | None = None,
        file_name: str | None = None,
        transfer_encoding: str | None = None,
    ) -> None:
        """Add one field at the end.

        A str, number or bool is text as in ``params=``: ``12``, ``true``. Any other payload is a
        file. Its name is ``file_name``, or its own name without the folders, or that of the field.
        Its type is ``content_type``, or the one for its ``file_name``, or that of the payload.
        ``transfer_encoding`` is 'base64', 'quoted-printable' or 'binary'. The value is not read,
        but its position and length are taken now. Raises TypeError for a value that cannot be
        sent, ValueError for an unknown encoding, PayloadError for a name or a type that the head
        of a part cannot have.

        >>> form = FormData()
        >>> form.add_field('report', b'a,b', content_type='text/csv', file_name='report.csv')
        """
        self._add(make_part(name, value, content_type, file_name, transfer_encoding))

    def add_json(self, name: str, value: object) -> None:
        """Add a value as JSON, encoded now. Raises PayloadError for a value that JSON cannot hold.

        >>> form = FormData()
        >>> form.add_json('report', {'rows': 3})
        """
        self._add(make_json_part(name, value))

    def _add(self, part: Part) -> None:
        self._parts.append(part)
        self._payload = {}

    @property
    def _is_plain(self) -> bool:
        return all(part.is_plain for part in self._parts)

    def __payload__(self) -> Payload:
        cached = self._payload
        if not cached:
            parts = tuple(self._parts)
            payload = UrlencodedPayload(parts) if self._is_plain else MultipartPayload(parts)
            # Atomic: all threads get the first payload, and so the same boundary.
            return cached.setdefault("payload", payload)
        return cached["payload"]

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        count = "1 field" if len(self) == 1 else f"{len(self)} fields"
        return f"<FormData of {count}, {'urlencoded' if self._is_plain else 'multipart'}>"


class UrlencodedPayload(BytesPayload):
    """Fields of text as ``a=1&b=2``, in UTF-8."""

    def __init__(self, parts: Sequence[Part]) -> None:
        pairs = [
            f"{quote_text(part.name)}={quote_text(b''.join(part.payload.chunks()))}"
            for part in parts
        ]
        super().__init__("&".join(pairs).encode(), (("Content-Type", URLENCODED),))
        self._parts = parts

    def as_multipart(self) -> MultipartPayload:
        """Return the same fields as multipart."""
        return MultipartPayload(self._parts)


_NEVER_FORMS = frozenset((type(None), bytes, str))  # the types of most payloads


def as_form(value: object) -> FormData | None:
    """Return the form of a mapping, or of a list or tuple of pairs; None for any other value.

    An object with ``__payload__()`` is no form. Raises the errors of ``FormData.from_fields``.

    >>> as_form([('a', '1')]), as_form(['a', '1'])
    (<FormData of 1 field, urlencoded>, None)
    """
    if type(value) in _NEVER_FORMS:
        return None
    if isinstance(value, list | tuple):
        is_form = bool(value) and _is_pair(value[0])
    else:
        is_form = isinstance(value, Mapping)
    if not is_form or _has_payload_method(value):
        return None
    return FormData.from_fields(value)  # type: ignore[arg-type]  # its items are checked there


def apply_content_type(payload: Payload, content_type: str) -> Payload:
    """Return fields of text as multipart if the caller's Content-Type asks for it.

    >>> apply_content_type(as_form({'a': '1'}).__payload__(), 'multipart/form-data').source
    'of 1 field'
    """
    if isinstance(payload, UrlencodedPayload) and parse_media_type(content_type) == MULTIPART:
        return payload.as_multipart()
    return payload


def make_part(
    name: object,
    value: object,
    content_type: object = None,
    file_name: object = None,
    transfer_encoding: object = None,
) -> Part:
    """Return the part of a field. See ``FormData.add_field`` for the values and errors."""
    name = _check_field_name(name)
    given_name = None
    if file_name is not None:
        given_name = check_name(file_name, f"the file name of the field {name!r}")
    if content_type is not None:
        content_type = check_content_type(content_type, f"the content type of the field {name!r}")
    encoding = check_transfer_encoding(
        transfer_encoding, f"the transfer encoding of the field {name!r}"
    )
    text = scalar_to_text(value)
    part_name: str | None = given_name
    if text is not None:
        payload: Payload = BytesPayload(encode_utf_8(text, f"the field {name!r}"), TEXT_PLAIN)
    else:
        payload = _as_file_payload(name, value)
        if part_name is None:
            part_name = _choose_file_name(name, value)
    if content_type is None and part_name is not None:
        content_type = _choose_type(payload, given_name, f"the content type of the field {name!r}")
    encoded = encode_payload(payload, encoding)
    one_shot_source = None if payload.replayable else value
    return Part(name, encoded, part_name, content_type, encoding, one_shot_source)


def _make_text_part(name: str, text: str) -> Part:
    return Part(name, BytesPayload(encode_utf_8(text, f"the field {name!r}"), TEXT_PLAIN))


def make_json_part(name: object, value: object) -> Part:
    """Return a part of JSON. Raises PayloadError for a value that JSON cannot hold."""
    payload = json_payload(value, f"the field {name!r}")
    return Part(_check_field_name(name), payload, content_type="application/json")


def make_parts(fields: Mapping[str, object] | Iterable[tuple[str, object]]) -> Iterator[Part]:
    """Yield the parts of a mapping or of pairs."""
    if not isinstance(fields, Iterable):
        raise TypeError(f"fields must be a mapping or pairs; got {type(fields).__name__}")
    for index, pair in enumerate(fields.items() if isinstance(fields, Mapping) else fields):
        if not _is_pair(pair):
            raise TypeError(f"item {index} of the fields must be a pair of a name and a value")
        name = _check_field_name(pair[0])
        for value in _list_values(name, pair[1]):
            text = scalar_to_text(value)
            if text is not None:
                yield _make_text_part(name, text)
            elif isinstance(value, bytes | bytearray | memoryview):
                yield Part(name, BytesPayload(bytes(value)))
            elif value is not None:
                yield make_part(name, value)


def _check_field_name(name: object) -> str:
    return check_name(name, "the name of a field")


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2


def _list_values(name: str, value: object) -> Iterable[object]:
    """Return the values for which a name is repeated."""
    if not isinstance(value, list | tuple) or _has_payload_method(value):
        return (value,)
    if isinstance(value, tuple) and _looks_like_named_file(value):
        raise TypeError(
            f"the field {name!r} is a tuple of a text and a {type(value[1]).__name__}: for a file "
            "with a name use add_field(name, file, file_name=...), and for several values a list"
        )
    return value


def _looks_like_named_file(value: tuple[object, ...]) -> bool:
    """Whether it looks like the (name, file) tuple of other libraries.

    As two values it would silently be sent as a text and a file.
    """
    name, file, *_ = (*value, None, None)
    return isinstance(name, str | None) and not isinstance(file, str | int | float | None)


def _as_file_payload(name: str, value: object) -> Payload:
    if isinstance(value, Mapping | list | tuple) and not _has_payload_method(value):
        raise TypeError(
            f"the field {name!r} is of type {type(value).__name__}: add_json() sends it as JSON; "
            "for a list, from_fields() makes a field of each item, and as_payload() one stream"
        )
    try:
        payload = as_payload(value)
    except TypeError as exc:
        raise TypeError(f"the field {name!r}: {exc}") from exc
    if payload is None:
        raise TypeError(f"the field {name!r} is None: leave it out, or pass '' for an empty text")
    return payload


def _choose_file_name(name: str, value: object) -> str:
    """Return the own name of a file, or that of its field."""
    own_name = find_file_name(value)
    if own_name is None:
        return name
    return check_name(
        own_name, f"the own name of the file in the field {name!r}, without file_name=,"
    )


def _choose_type(payload: Payload, given_name: str | None, label: str) -> str:
    """Return the type for the name that the caller has given, or the payload's own type."""
    by_name = guess_content_type(given_name)[0][1]
    if by_name != OCTET_STREAM[0][1]:
        # The payload encoded the text as UTF-8, which a type by name does not say.
        is_text = payload.headers is TEXT_PLAIN and by_name.startswith("text/")
        return f"{by_name}; charset=utf-8" if is_text else by_name
    own = Headers(payload.headers)
    coding = own.get("content-encoding", "identity").lower()
    if coding != "identity":
        # A part has no Content-Encoding (RFC 7578 4.8), so its type is that of the coded bytes.
        return "application/gzip" if coding in ("gzip", "x-gzip") else OCTET_STREAM[0][1]
    return check_content_type(own.get("content-type", OCTET_STREAM[0][1]), label)


def _has_payload_method(value: object) -> bool:
    return hasattr(type(value), "__payload__")
