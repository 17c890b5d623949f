"""AWS Signature Version 4: a callable for ``auth=`` that signs the head and reads no stream.

It follows "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API reference.
A payload in memory is signed by its hash. Any other payload is declared as ``UNSIGNED-PAYLOAD``,
which S3 accepts, so that a file or a generator is only read once. Each attempt is signed with its
own time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, unquote

from restkit import Payload, Request
from restkit.payload import BufferPayload, BytesPayload

_SIGNED = frozenset(("content-md5", "content-type", "if-match", "if-none-match", "range"))


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class SigV4:
    """Signs requests with the secret of a key. ``repr`` and the request do not show the secret."""

    key_id: str
    secret: str = field(repr=False)
    region: str = "us-east-1"
    service: str = "s3"
    now: Callable[[], datetime] = field(default=_now, repr=False)

    def __call__(self, request: Request) -> None:
        """Add the headers with time, hash and signature to a request."""
        time = self.now().strftime("%Y%m%dT%H%M%SZ")
        request.headers["x-amz-date"] = time
        request.headers["x-amz-content-sha256"] = _content_hash(request.payload)
        scope = f"{time[:8]}/{self.region}/{self.service}/aws4_request"
        fields = _signed_fields(request)
        names = ";".join(name for name, _ in fields)
        digest = hashlib.sha256(_canonical_request(request, fields, names).encode()).hexdigest()
        signature = self._sign(scope, f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}")
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        )

    def _sign(self, scope: str, text: str) -> str:
        key = f"AWS4{self.secret}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex()


def _content_hash(payload: Payload | None) -> str:
    if payload is None:
        return hashlib.sha256().hexdigest()
    if not isinstance(payload, (BytesPayload, BufferPayload)):
        return "UNSIGNED-PAYLOAD"
    digest = hashlib.sha256()
    for chunk in payload:
        digest.update(chunk)
    return digest.hexdigest()


def _signed_fields(request: Request) -> list[tuple[str, str]]:
    """Return the header fields to sign: those that proxies do not change."""
    host = request.headers.get("host", request.authority)
    names = {name for name in request.headers.names() if name.startswith("x-amz-")}
    names |= _SIGNED & request.headers.names()
    return sorted([("host", host), *((name, request.headers[name]) for name in names)])


def _canonical_request(request: Request, fields: list[tuple[str, str]], names: str) -> str:
    path, _, query = request.url.target.partition("?")
    return "\n".join(
        [
            request.method,
            _encode(unquote(path, "latin-1"), "/"),
            _canonical_query(query),
            *(f"{name}:{' '.join(value.split())}" for name, value in fields),
            "",
            names,
            request.headers["x-amz-content-sha256"],
        ]
    )


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    return "&".join(sorted(f"{_encode(name)}={_encode(value)}" for name, value in pairs))


def _encode(text: str, safe: str = "") -> str:
    # latin-1 keeps bytes that are not UTF-8.
    return quote(text.encode("latin-1"), safe=safe)
