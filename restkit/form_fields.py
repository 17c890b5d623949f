"""From what a caller gives for a field of a form to the part that it becomes, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from restkit.door import as_payload
from restkit.files import content_type as type_by_name
from restkit.headers import Headers
from restkit.json_body import json_payload
from restkit.multipart import Part
from restkit.part_names import checked_content_type, checked_name, own_file_name
from restkit.payload import OCTET_STREAM, Payload
from restkit.query import text_of
from restkit.sources import TEXT_PLAIN, BytesPayload, utf_8
from restkit.transfer_encodings import checked_encoding, transfer_encoded


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
