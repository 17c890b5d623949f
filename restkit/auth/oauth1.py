"""OAuth 1.0a signatures (RFC 5849), made by ``oauthlib`` of the extra ``restkit[oauth]``.

The signature covers the method, the URL, and the fields of a form in memory. By the RFC
(3.4.1.3.1), it covers no other payload, so no stream is read for it. Two cases are hidden from
oauthlib (3.2, 4.0): for a body of another type it would add ``oauth_body_hash``, which is only a
draft, and it does not sign a GET or HEAD with a form.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from restkit.auth.auth import Auth, check_credential
from restkit.errors import RequestError
from restkit.message.request import Request
from restkit.payload.values import BufferPayload, BytesPayload

_FORM = "application/x-www-form-urlencoded"
_METHODS = "HMAC-SHA1 HMAC-SHA256 HMAC-SHA512 RSA-SHA1 RSA-SHA256 RSA-SHA512 PLAINTEXT".split()
_NOT_IN_REALM = re.compile(r'["\\]|[^ -~]')


class OAuth1(Auth):
    """OAuth 1 credentials. Each attempt gets a new signature in its ``Authorization`` header.

    Client key and secret belong to the program. Key and secret of the resource owner (the token)
    belong to its user. ``callback_uri`` and ``verifier`` are for requests that obtain a token. The
    RSA methods need a private key as PEM in ``rsa_key``, and ``oauthlib[signedtoken]``. ``nonce``
    and ``timestamp`` are new for each attempt, unless they are given, as for test vectors. Raises
    RequestError if oauthlib is not installed.

    >>> OAuth1('client key', 'client secret', 'token', 'token secret')
    <OAuth1 HMAC-SHA1>
    """

    __slots__ = ("_options", "_signer")

    def __init__(
        self,
        client_key: str,
        client_secret: str | None = None,
        resource_owner_key: str | None = None,
        resource_owner_secret: str | None = None,
        *,
        signature_method: str = "HMAC-SHA1",
        rsa_key: str | None = None,
        realm: str | None = None,
        callback_uri: str | None = None,
        verifier: str | None = None,
        nonce: str | None = None,
        timestamp: str | None = None,
    ) -> None:
        options = {
            "client_key": client_key,
            "client_secret": client_secret,
            "resource_owner_key": resource_owner_key,
            "resource_owner_secret": resource_owner_secret,
            "callback_uri": callback_uri,
            "verifier": verifier,
            "nonce": nonce,
            "timestamp": timestamp,
        }
        check_credential("client_key", client_key)
        for name, value in options.items():
            if value is not None:
                check_credential(name, value)
        _check_method(signature_method)
        _check_realm(realm)
        options["signature_method"] = signature_method
        self._options = {**options, "rsa_key": rsa_key, "realm": realm}
        self._signer: Any = _import_oauthlib().Client(**self._options)
        if signature_method.startswith("RSA"):
            self._check_key()

    def _check_key(self) -> None:
        try:
            self._signer.sign("http://localhost/")
        except ImportError as exc:
            raise RequestError(
                "the RSA methods need PyJWT and cryptography: pip install 'oauthlib[signedtoken]'"
            ) from exc
        except Exception as exc:  # oauthlib does not translate errors of PyJWT and cryptography
            raise RequestError("rsa_key must be a private RSA key in PEM") from exc

    def authorize(self, request: Request) -> None:
        url = request.url
        headers = {"Host": request.headers["host"]} if "host" in request.headers else {}
        form = _covered_form(request)
        if form is not None:
            headers["Content-Type"] = _FORM
        target = f"{url.scheme}://{url.authority}{url.target}"
        try:
            _, signed, _ = self._signer.sign(target, request.method, form, headers)
        except ValueError as exc:
            raise RequestError(f"OAuth cannot sign this URL: {exc}", request=request) from exc
        request.headers["Authorization"] = signed["Authorization"]

    def __eq__(self, other: object) -> bool:
        return self._options == other._options if isinstance(other, OAuth1) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._options.values()))

    def __repr__(self) -> str:
        return f"<OAuth1 {self._options['signature_method']}>"


def _import_oauthlib() -> ModuleType:
    try:
        from oauthlib import oauth1  # type: ignore[import-untyped]  # it has no types
    except ImportError as exc:
        raise RequestError(
            "OAuth1 needs oauthlib, which is not installed: pip install 'restkit[oauth]'"
        ) from exc
    module: ModuleType = oauth1
    return module


def _check_method(method: str) -> None:
    if method not in _METHODS:
        raise RequestError(f"signature_method must be one of {', '.join(_METHODS)}; got {method!r}")


def _check_realm(realm: str | None) -> None:
    if realm is None:
        return
    check_credential("realm", realm)
    # oauthlib puts it between quotes without escapes.
    if _NOT_IN_REALM.search(realm):
        raise RequestError(f"realm must be ASCII without quotes and backslashes; got {realm!r}")


def _covered_form(request: Request) -> str | None:
    """Return the form that the signature covers, None if there is none."""
    from oauthlib.common import extract_params  # type: ignore[import-untyped]  # it has no types

    payload = request.payload
    if not isinstance(payload, (BytesPayload, BufferPayload)) or not _is_form(request):
        return None
    if request.method in ("GET", "HEAD"):
        return None
    try:
        text = b"".join([bytes(chunk) for chunk in payload]).decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if extract_params(text) is None else text


def _is_form(request: Request) -> bool:
    payload = request.payload
    content_type = request.headers.get("content-type")
    if (
        content_type is None
        and payload is not None
        and "content-type" not in request.suppressed_headers
    ):
        content_type = dict(payload.headers).get("Content-Type")
    return content_type is not None and content_type.partition(";")[0].strip().lower() == _FORM
