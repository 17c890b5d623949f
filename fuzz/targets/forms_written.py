"""Forms that restkit encodes, read by four parsers: each returns the same fields and bytes.

An input is the fields, separated by two LFs: name and text, or name, file name and bytes, with one
LF between them.
"""

from __future__ import annotations

import random
import re

from fuzz.target import Mismatch, Target, make_random, split_at_random
from restkit import FormData, PayloadError
from restkit.forms.multipart import MultipartPayload
from restkit.server.forms import parse_form
from support.form_parsers import PARSERS, ParsedPart, SplitFile

_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_MAX_FIELDS = 100  # multipart reads 128 by default
# Names that each parser returns as they are written on the wire. The quoting of browsers is not
# unique: no parser can restore a percent sign before text that looks quoted, a backslash is an
# escape for some of them and the end of a folder for others, and email has its own line ends.
_PLAIN = {
    "multipart": re.compile(r"[^%\\]+"),
    "python-multipart": re.compile(r"[^\\]+"),
    "email": re.compile(r"[ !#-\[\]-~]*[!#-\[\]-~]"),
}


def make_form(data: bytes, source: random.Random) -> tuple[FormData, list[ParsedPart]]:
    """Return a form that is sent as multipart, and the parts that it must be read as."""
    form, expected = FormData(), []
    for record in data.split(b"\n\n"):
        name, *rest = (part.decode("utf-8", "surrogateescape") for part in record.split(b"\n", 2))
        content = rest[-1].encode("utf-8", "surrogateescape") if rest else b""
        if len(rest) > 1:
            value = content if source.random() < 0.5 else iter(split_at_random(content, source))
            form.add_field(name, value, file_name=rest[0])
            expected.append(ParsedPart(name, rest[0], content))
        else:
            text = content.decode("latin-1")
            form.add_field(name, text, content_type="text/plain")
            expected.append(ParsedPart(name, None, text.encode()))
    return form, expected


def names_of(parts: list[ParsedPart]) -> str:
    return "".join(part.name + (part.file_name or "") for part in parts)


def as_on_the_wire(part: ParsedPart) -> ParsedPart:
    """Return the part with its names quoted, as a parser returns them that decodes nothing."""
    file_name = part.file_name and part.file_name.translate(_QUOTED)
    return ParsedPart(part.name.translate(_QUOTED), file_name, part.data)


def parse_by_restkit(content_type: str, parts: list[bytes]) -> list[ParsedPart]:
    """Read the form with the parser of restkit.server: the fields, then the files."""
    form = parse_form(SplitFile(parts), content_type)
    fields = [ParsedPart(name, None, text.encode()) for name, text in form.fields]
    return fields + [ParsedPart(name, file.filename, file.read()) for name, file in form.files]


def check(data: bytes) -> None:
    """Encode the fields of an input, and read them."""
    if data.count(b"\n\n") > _MAX_FIELDS:
        return
    source = make_random(data)
    try:
        form, expected = make_form(data, source)
    except PayloadError:
        return
    payload = form.__payload__()
    assert isinstance(payload, MultipartPayload)
    body = b"".join(bytes(chunk) for chunk in payload)
    content_type = payload.headers[0][1]
    if payload.length not in (None, len(body)):
        raise Mismatch("the length is wrong", f"{payload.length}, not {len(body)}")
    for parser, parse in PARSERS.items():
        if _PLAIN[parser].fullmatch(names_of(expected)):
            wanted = expected if parser == "multipart" else [*map(as_on_the_wire, expected)]
            _compare(parser, parse(content_type, body), wanted, body)
    if _PLAIN["multipart"].fullmatch(names_of(expected)):
        ordered = sorted(expected, key=lambda part: part.file_name is not None)
        found = parse_by_restkit(content_type, split_at_random(body, source))
        _compare("restkit.server", found, ordered, body)


def _compare(parser: str, found: list[ParsedPart], wanted: list[ParsedPart], body: bytes) -> None:
    if found != wanted:
        raise Mismatch(f"{parser} reads another form", f"{found}\nnot {wanted}\nfrom {body!r}")


TARGET = Target(
    check,
    seeds=[
        b"a\n1",
        b"a\n1\n\nb\nfile.txt\nbytes\r\n\xff",
        b'gr\xc3\xbc\xc3\x9fe "x"\nb.txt\n--\r\n--',
        b"f\n100%.txt\n\r\n\n\ng\n" + bytes(range(256)),
    ],
    words=[b"\n\n", b"\r\n", b"--", b'"', b"%22", b'"; filename="', b"\xc3\xbc", b"\xe2\x80\xa8"],
    max_length=600,
)
