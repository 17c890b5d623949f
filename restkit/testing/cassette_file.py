"""The file of a Cassette: exchanges as JSON that people can read and edit.

An exchange is a dict of ``request`` and ``response``. Header fields are pairs. A body is
``{"text": ...}`` where it is text, a str or a list of its lines, and else ``{"base64": ...}``. A
payload that is too long to keep is ``{"size": ..., "sha256": ...}``. Secrets are masked.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.io.files import replace_file, write_all
from restkit.io.spool import Spool
from restkit.redaction import is_secret

Exchange: TypeAlias = dict[str, Any]
IsSecret: TypeAlias = Callable[[str], bool]

MASK = "***"
_FORMAT = "restkit.testing.Cassette/1"
_LINE = 76  # characters of base64
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PARAM = re.compile("([?&;]|^)([^=&;?]+)=([^&;]*)")
_JSON_FIELD = re.compile(r'("((?:[^"\\]|\\.)*)"\s*:\s*)"(?:[^"\\]|\\.)*"', re.DOTALL)
_COOKIE = re.compile(r"([^=;\s]+)=[^;]*")
_CHUNK = 256 * 1024


# Bodies


def to_json_body(data: bytes) -> dict[str, Any]:
    r"""Return the bytes as JSON: text where it is UTF-8 without control characters.

    >>> to_json_body(b"one\ntwo"), to_json_body(b"\x00\x01")
    ({'text': ['one\n', 'two']}, {'base64': 'AAE='})
    """
    if not data:
        return {}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not _NOT_TEXT.search(text):
        lines = re.findall(".*\n|.+$", text)
        return {"text": text if len(lines) == 1 else lines}
    encoded = b64encode(data).decode()
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return {"base64": encoded if len(lines) == 1 else lines}


def from_json_body(body: dict[str, Any]) -> bytes:
    """Return the bytes of a body in JSON; raise ValueError if it is damaged."""
    if "text" in body:
        return "".join(body["text"]).encode()
    return b64decode("".join(body.get("base64", "")), validate=True)


# Secrets


class Masking:
    """Replaces secrets by ``***``: those with a name that looks secret, or that is given."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def is_given(self, name: str) -> bool:
        return name.lower() in self._names

    def is_secret(self, name: str) -> bool:
        return is_secret(name) or self.is_given(name)

    def mask_url(self, url: str) -> str:
        """Mask the values of secret parameters in the query of a URL."""
        path, question_mark, query = url.partition("?")
        return f"{path}{question_mark}{self._mask_params(query)}"

    def _mask_params(self, text: str) -> str:
        return _PARAM.sub(
            lambda found: f"{found[1]}{found[2]}={MASK if self.is_secret(found[2]) else found[3]}",
            text,
        )

    def mask_fields(self, pairs: list[tuple[str, str]]) -> list[list[str]]:
        """Mask the values of secret header fields; of cookies, keep names and attributes."""
        return [[name, self._mask_field(name, value)] for name, value in pairs]

    def _mask_field(self, name: str, value: str) -> str:
        lower_name = name.lower()
        if lower_name == "cookie":
            return _COOKIE.sub(rf"\1={MASK}", value)
        if lower_name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return f"{pair.partition('=')[0]}={MASK}{semicolon}{attributes}"
        if lower_name in ("location", "content-location", "link", "referer"):
            return self.mask_url(value)
        return MASK if self.is_secret(name) and lower_name != "www-authenticate" else value

    def mask_payload(self, data: bytes, headers: Headers) -> bytes:
        """Mask the secret fields of a form or of JSON that is sent."""
        return self._mask_body(data, headers, self.is_secret)

    def mask_response_body(self, data: bytes, headers: Headers) -> bytes:
        """Mask the fields with given names in JSON that is received."""
        return self._mask_body(data, headers, self.is_given) if self._names else data

    def _mask_body(self, data: bytes, headers: Headers, is_hidden: IsSecret) -> bytes:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        text = data.decode("latin-1")  # every byte stays
        if kind == "application/x-www-form-urlencoded":
            return self._mask_params(text).encode("latin-1")
        if kind.endswith(("/json", "+json")):
            return _JSON_FIELD.sub(
                lambda found: f'{found[1]}"{MASK}"' if is_hidden(found[2]) else found[0], text
            ).encode("latin-1")
        return data


# The file


def load_exchanges(path: str) -> list[Exchange]:
    """Return the exchanges of a file; raise OSError, or RequestError if it is damaged."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'it has no "format": "{_FORMAT}"')
        exchanges: list[Exchange] = content["exchanges"]
        for number, exchange in enumerate(exchanges, 1):
            _check_exchange(exchange, number)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise RequestError(f"the cassette {path!r} is damaged: {exc}") from exc
    return exchanges


def _check_exchange(exchange: Exchange, number: int) -> None:
    try:
        request, response = exchange["request"], exchange["response"]
        for text in (request["method"], request["url"], response["reason"]):
            text.encode("latin-1")
        for fields in (request["headers"], response["headers"], response.get("trailers", [])):
            Headers([(name, value) for name, value in fields])
        if not 200 <= response["status"] <= 999:
            raise ValueError(f"the status is {response['status']}")
        from_json_body(response["body"])
    except (ValueError, LookupError, TypeError, AttributeError, RequestError) as exc:
        reason = f"{exc} is missing" if isinstance(exc, KeyError) else exc
        raise ValueError(f"exchange {number}: {reason}") from exc


def write_exchanges(path: str, loaded: list[Exchange], recorded: Spool) -> None:
    """Replace the file in one step; ``recorded`` are further exchanges as ``dump`` returns them."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with replace_file(path) as file:
        write_all(file, f'{{\n "format": "{_FORMAT}",\n "exchanges": ['.encode())
        separator = b"\n"
        for exchange in loaded:
            write_all(file, separator + dump(exchange))
            separator = b",\n"
        if recorded.size:
            write_all(file, separator)
            for chunk in _chunks(recorded):
                write_all(file, chunk)
        write_all(file, b"\n ]\n}\n")


def _chunks(spool: Spool) -> Iterator[bytes]:
    position = 0
    while chunk := spool.read_at(position, _CHUNK):
        position += len(chunk)
        yield chunk


def dump(exchange: Exchange) -> bytes:
    """Return an exchange as indented JSON, with each header field on one line."""
    text = json.dumps(exchange, indent=1, ensure_ascii=False)
    text = re.sub(r'\[\n\s+("(?:[^"\\]|\\.)*"),\n\s+("(?:[^"\\]|\\.)*")\n\s+\]', r"[\1, \2]", text)
    return re.sub("^", "  ", text, flags=re.MULTILINE).encode()
