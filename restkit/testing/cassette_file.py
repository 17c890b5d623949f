"""The file of a Cassette: exchanges as JSON that people can read and edit.

An exchange is a dict of ``request`` and ``response``. Header fields are pairs. A body is
``{"text": ...}`` with a str or a list of lines if it is text, and else ``{"base64": ...}``. A
payload that is too long to keep is ``{"size": ..., "sha256": ...}``. Secrets are masked; ``key`` is
the key of the digests in their masks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.io.files import open_target, write_all
from restkit.io.spool import Spool
from restkit.testing.cassette_bodies import can_encode, from_json_body

Exchange: TypeAlias = dict[str, Any]

_FORMAT = "restkit.testing.Cassette/1"
_CHUNK = 256 * 1024
_KEY_SIZE = 16
_VERSION = re.compile("1\\.[0-9]")
_LINE_BREAK = re.compile("[\r\n\0]")


class Content(NamedTuple):
    """The content of a file: its exchanges, and the key of the digests in their masks."""

    exchanges: list[Exchange]
    key: bytes


def make_content() -> Content:
    """Return the content of a new file."""
    return Content([], os.urandom(_KEY_SIZE))


def load_content(path: str) -> Content:
    """Return the content of a file; raise OSError, or RequestError if it is damaged."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'it has no "format": "{_FORMAT}"')
        exchanges = content.get("exchanges")
        if not isinstance(exchanges, list):
            raise ValueError('it has no list "exchanges"')
        for number, exchange in enumerate(exchanges, 1):
            try:
                check_exchange(exchange)
            except ValueError as exc:
                raise ValueError(f"exchange {number}: {exc}") from exc
        # A file that was written by hand has no key, and no digests.
        key = bytes.fromhex(content["key"]) if "key" in content else make_content().key
        if len(key) != _KEY_SIZE:
            raise ValueError(f"the key must have {2 * _KEY_SIZE} hexadecimal digits")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise RequestError(f"the cassette {path!r} is damaged: {exc}") from exc
    return Content(exchanges, key)


def check_exchange(exchange: object) -> None:
    """Raise ValueError, with the place, if an exchange cannot be kept or played."""
    for name, check in (("request", _check_request), ("response", _check_response)):
        if not isinstance(exchange, dict) or not isinstance(exchange.get(name), dict):
            raise ValueError(f'it has no "{name}" with its fields')
        try:
            check(exchange[name])
        except (LookupError, TypeError, AttributeError, ValueError, RequestError) as exc:
            reason = f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)
            raise ValueError(f"{name}: {reason}") from exc


def _check_request(request: dict[str, Any]) -> None:
    for name in ("method", "url"):
        _check_text(name, request[name])
    _check_fields("headers", request["headers"])
    body = request.get("body", {})
    if "sha256" not in body:
        from_json_body(body)


def _check_response(response: dict[str, Any]) -> None:
    version, status = response["version"], response["status"]
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError(f'the version must be "1.1" or "1.0"; got {version!r:.60}')
    if type(status) is not int or not 200 <= status <= 999:
        raise ValueError(f"the status must be a number from 200 to 999; got {status!r:.60}")
    _check_text("reason", response["reason"])
    _check_fields("headers", response["headers"])
    _check_fields("trailers", response.get("trailers", []))
    from_json_body(response["body"])
    coding = response.get("encode_body", "gzip")
    if not isinstance(coding, str) or not can_encode(coding):
        raise ValueError(f'encode_body must be "gzip" or "deflate"; got {coding!r:.60}')


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise ValueError(f"the {name} must be a string; got {text!r:.60}")
    if _LINE_BREAK.search(text):
        raise ValueError(f"the {name} must have no CR, LF or NUL; got {text!r:.60}")
    text.encode("latin-1")


def _check_fields(name: str, fields: object) -> None:
    if not isinstance(fields, list):
        raise ValueError(f"{name} must be a list of pairs; got {fields!r:.60}")
    for pair in fields:
        if not isinstance(pair, list | tuple) or [type(each) for each in pair] != [str, str]:
            raise ValueError(f"{name} must be pairs of strings; got {pair!r:.60}")
        Headers([(pair[0], pair[1])])


def write_content(path: str, loaded: Content, recorded: Spool) -> None:
    """Replace the file in one step; ``recorded`` are further exchanges as ``dump`` returns them.

    The target of a symbolic link is replaced, not the link. The text for a device or a pipe is
    written to it.
    """
    target = os.path.realpath(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open_target(target, path) as file:
        head = f'{{\n "format": "{_FORMAT}",\n "key": "{loaded.key.hex()}",\n "exchanges": ['
        write_all(file, head.encode())
        separator = b"\n"
        for exchange in loaded.exchanges:
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
    # A lone surrogate becomes its escape in JSON.
    return re.sub("^", "  ", text, flags=re.MULTILINE).encode(errors="backslashreplace")
