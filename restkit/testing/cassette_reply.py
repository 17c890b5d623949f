"""The response of an exchange: described for the file of a Cassette, and made again from it."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

from restkit.connections.reply import Reply
from restkit.errors import RequestError
from restkit.message.pickling import PickledResponse, restore_reply
from restkit.message.response import HttpResponse
from restkit.testing.cassette_bodies import (
    can_encode,
    decode_body,
    encode_body,
    from_json_body,
    to_json_body,
)
from restkit.testing.cassette_masks import Masking

_DIGEST_FIELDS = frozenset(["content-digest", "repr-digest", "digest", "content-md5"])


def describe_response(
    response: HttpResponse,
    body: bytes,
    trailers: list[tuple[str, str]],
    masking: Masking,
    max_body: int,
) -> dict[str, Any]:
    """Return the response as in the file, its secrets masked.

    ``body`` is still encoded. With gzip or deflate alone it is kept decoded, and is encoded when it
    is played. A body with another coding is decoded only if a secret in it is masked. Then its
    Content-Encoding is left out. If a secret is masked, digests are left out, because they would
    not match the masked body.
    """
    body, coding, is_masked = _mask_body(response, body, masking, max_body)
    fields = response.headerslist
    if is_masked:
        fields = [pair for pair in fields if not _is_digest(pair)]
        trailers = [pair for pair in trailers if not _is_digest(pair)]
        if coding is None:
            fields = _describe_plain_body(fields, len(body))
    described = {
        "version": f"1.{response.version[1]}",
        "status": response.status,
        "reason": response.reason,
        "headers": masking.mask_response_fields(fields),
        "body": to_json_body(body),
    }
    if coding:
        described["encode_body"] = coding
    if trailers:
        described["trailers"] = masking.mask_response_fields(trailers)
    return described


class _KeptBody(NamedTuple):
    """A body for the file, the coding that it gets when it is played, and whether it is masked."""

    body: bytes
    coding: str | None
    is_masked: bool


def _mask_body(response: HttpResponse, body: bytes, masking: Masking, max_body: int) -> _KeptBody:
    codings = response.headers.get_all("content-encoding")
    coding = codings[0] if len(codings) == 1 and can_encode(codings[0]) else None
    if any("-digest" in name for name in response.headers.names()):
        kept_decoded = None  # encoded again, it may have other bytes
    else:
        kept_decoded = coding
    if not body or not (kept_decoded or masking.has_names):
        return _KeptBody(body, None, False)
    decoded = decode_body(body, codings, max_body)
    if decoded is None:
        if masking.has_names:
            raise RequestError(
                "secrets= cannot be masked in this response: its body cannot be decoded from "
                f"Content-Encoding: {', '.join(codings)}, or its decoded size is above {max_body} "
                "bytes. Install a decoder, such as restkit[brotli] or restkit[zstd], or send "
                "Accept-Encoding: identity"
            )
        return _KeptBody(body, None, False)
    masked = masking.mask_response_body(decoded, response.headers.get("content-type", ""))
    if masked != decoded:
        return _KeptBody(masked, coding, True)
    return _KeptBody(decoded, coding, False) if kept_decoded else _KeptBody(body, None, False)


def _is_digest(pair: tuple[str, str]) -> bool:
    return pair[0].lower() in _DIGEST_FIELDS


def _describe_plain_body(fields: list[tuple[str, str]], length: int) -> list[tuple[str, str]]:
    """Return the fields for a body of this length without codings."""
    return [
        (name, str(length) if name.lower() == "content-length" else value)
        for name, value in fields
        if name.lower() != "content-encoding"
    ]


def make_reply(response: dict[str, Any]) -> Reply:
    """Return the reply of a checked exchange."""
    body = from_json_body(response["body"])
    if "encode_body" in response:
        body = encode_body(body, response["encode_body"])
    now = perf_counter()
    state = PickledResponse(
        int(response["version"].rpartition(".")[2]),
        response["status"],
        response["reason"],
        [(name, value) for name, value in response["headers"]],
        [(name, value) for name, value in response.get("trailers", [])],
        body,
        None,
        False,
        (None, None, now, now, now),
        "all",
    )
    return restore_reply(state)
