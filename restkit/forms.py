"""Forms: fields of text, files and streams, sent urlencoded where they are text and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from restkit.form_fields import field, fields_of, is_pair, json_field
from restkit.multipart import MULTIPART, URLENCODED, MultipartPayload, Part, media_type
from restkit.sources import BytesPayload

if TYPE_CHECKING:
    from restkit.payload import Payload


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
