"""A value as JSON, ready to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import PayloadError
from restkit.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.payload import Buffer


class JsonPayload(Payload):
    """The compact JSON of a value, made once."""

    replayable = True
    headers = (("Content-Type", "application/json"),)

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.length = len(text)

    def chunks(self) -> Iterator[Buffer]:
        yield self._text


def json_payload(value: object, said: str = "json=") -> JsonPayload:
    """The value as JSON in UTF-8; PayloadError, with who ``said`` it, for what JSON cannot say."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return JsonPayload(text.encode())
    except (TypeError, ValueError, RecursionError) as exc:
        raise PayloadError(f"{said} cannot be sent as JSON: {exc}", sent="nothing") from exc
