"""OAuth 1 signatures.

OAuth 1.0a (RFC 5849): requests signed with ``oauthlib``, of the extra ``restkit[oauth]``.

The signature covers method, URL, and the fields of a form that lies in memory; any other payload
is left out, as the RFC has it (3.4.1.3.1), so that no stream is read to be signed. oauthlib
(3.2, 4.0) would add ``oauth_body_hash``, a draft's, where it is shown a body of another type, and
will not sign a GET or HEAD with a form: neither is shown to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from restkit.auth.auth import Auth, as_credential
from restkit.errors import RequestError
from restkit.payload.values import BufferPayload, BytesPayload

if TYPE_CHECKING:
    from types import ModuleType

    from restkit.message.request import Request


_FORM = "application/x-www-form-urlencoded"
_METHODS = "HMAC-SHA1 HMAC-SHA256 HMAC-SHA512 RSA-SHA1 RSA-SHA256 RSA-SHA512 PLAINTEXT".split()
_NOT_IN_A_REALM = re.compile(r'["\\]|[^ -~]')


class OAuth1(Auth):
    """Signs each try anew, in its ``Authorization`` header.

    Client key and secret are those of the program, key and secret of the resource owner (the
    token) those of its user; ``callback_uri`` and ``verifier`` are for the steps in which a token
    is got. The RSA methods take a private key as PEM in ``rsa_key``, and need
    ``oauthlib[signedtoken]``. ``nonce`` and ``timestamp`` are new for each try unless they are
    given, as test vectors have them. Raises RequestError where oauthlib is missing.
    """

    __slots__ = ("_given", "_signer")

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
        given = {
            "client_key": client_key,
            "client_secret": client_secret,
            "resource_owner_key": resource_owner_key,
            "resource_owner_secret": resource_owner_secret,
            "callback_uri": callback_uri,
            "verifier": verifier,
            "nonce": nonce,
            "timestamp": timestamp,
        }
        for name, value in given.items():
            if value is not None or name == "client_key":
                as_credential(name, value)
        given["signature_method"] = _known(signature_method)
        self._given = {**given, "rsa_key": rsa_key, "realm": _fit(realm)}
        self._signer: Any = _oauthlib().Client(**self._given)
        if signature_method.startswith("RSA"):
            self._try_the_key()

    def _try_the_key(self) -> None:
        try:
            self._signer.sign("http://localhost/")
        except ImportError as exc:
            raise RequestError(
                "the RSA methods need PyJWT and cryptography: pip install 'oauthlib[signedtoken]'"
            ) from exc
        except Exception as exc:  # oauthlib lets PyJWT's and cryptography's pass
            raise RequestError("rsa_key= is no private RSA key in PEM") from exc

    def authorize(self, request: Request) -> None:
        url = request.url
        shown = {"Host": request.headers["host"]} if "host" in request.headers else {}
        form = _form_of(request)
        if form is not None:
            shown["Content-Type"] = _FORM
        target = f"{url.scheme}://{url.authority}{url.target}"
        try:
            _, signed, _ = self._signer.sign(target, request.method, form, shown)
        except ValueError as exc:
            raise RequestError(f"OAuth cannot sign this URL: {exc}", request=request) from exc
        request.headers["Authorization"] = signed["Authorization"]

    def __eq__(self, other: object) -> bool:
        return self._given == other._given if isinstance(other, OAuth1) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._given.values()))

    def __repr__(self) -> str:
        return f"<OAuth1 {self._given['signature_method']}>"


def _oauthlib() -> ModuleType:
    try:
        from oauthlib import oauth1  # type: ignore[import-untyped]  # it has no types
    except ImportError as exc:
        raise RequestError(
            "OAuth1 needs oauthlib, which is not installed: pip install 'restkit[oauth]'"
        ) from exc
    module: ModuleType = oauth1
    return module


def _known(method: str) -> str:
    if method not in _METHODS:
        raise RequestError(f"signature_method={method!r}: one of {', '.join(_METHODS)} is wanted")
    return method


def _fit(realm: str | None) -> str | None:
    # oauthlib puts it between quotes as it is.
    if realm is not None and _NOT_IN_A_REALM.search(as_credential("realm", realm)):
        raise RequestError(f"realm={realm!r}: ASCII without quotes and backslashes is wanted")
    return realm


def _form_of(request: Request) -> str | None:
    """The form that the signature covers, None where there is none."""
    from oauthlib.common import extract_params  # type: ignore[import-untyped]  # it has no types

    payload = request.payload
    if not isinstance(payload, (BytesPayload, BufferPayload)) or not _is_form(request):
        return None
    if request.method in ("GET", "HEAD"):
        return None
    try:
        text = b"".join([bytes(piece) for piece in payload]).decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if extract_params(text) is None else text


def _is_form(request: Request) -> bool:
    payload = request.payload
    own = request.headers.get("content-type")
    if own is None and payload is not None and "content-type" not in request.suppressed_headers:
        own = dict(payload.headers).get("Content-Type")
    return own is not None and own.partition(";")[0].strip().lower() == _FORM
