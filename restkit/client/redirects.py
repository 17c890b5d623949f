"""Decide where a redirect leads.

Methods change as in browsers and RFC 9110 15.4: POST becomes GET after 301 and 302; every method
except GET and HEAD becomes GET after 303; 307 and 308 change nothing. Another origin (scheme, host
or port) gets only headers that are known to carry no secret. A list of headers to remove is never
complete, because callers put credentials into headers of their own.
"""

from __future__ import annotations

from restkit.client.options import Settings
from restkit.errors import InvalidUrl, RedirectLimit, ResponseError
from restkit.headers import Headers
from restkit.message.header_values import as_utf_8, locations_of
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.redaction import redact_url
from restkit.url.url import URL

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SAFE_METHODS = ("GET", "HEAD")

_BODY_HEADERS = frozenset(
    "content-type content-length content-encoding content-language content-location content-md5 "
    "content-disposition content-range content-digest repr-digest want-content-digest digest "
    "transfer-encoding trailer expect".split()
)
_HARMLESS_HEADERS = frozenset(
    "accept accept-charset accept-encoding accept-language accept-datetime accept-patch "
    "cache-control connection dnt expect if-match if-modified-since if-none-match if-range "
    "if-unmodified-since pragma priority range te trailer transfer-encoding "
    "upgrade-insecure-requests user-agent".split()
)


def redirect_request(
    request: Request, settings: Settings, response: HttpResponse, redirect_count: int
) -> tuple[Request, Settings] | None:
    """Return the request that a response redirects to, and its settings; None for no redirect.

    ``redirect_count`` is the number of earlier redirects of this call. Raises RedirectLimit if the
    options forbid this redirect, and ResponseError if the target is malformed. The caller checks
    whether the payload can be sent again.
    """
    if response.status not in _REDIRECTS or not settings.follow_redirect:
        return None
    locations = locations_of(response.headers)
    if not locations:
        return None
    url = _target(request, response, locations)
    _check_allowed(request, settings, response, url, redirect_count)
    next_request = request.with_target(url)
    if _becomes_get(request.method, response.status, force=settings.force_follow_redirect):
        next_request.method, next_request.payload = "GET", None
        _remove(next_request.headers, _BODY_HEADERS)
    if url.origin != request.url.origin:
        downgraded = request.url.scheme > url.scheme
        settings = _strip_credentials(next_request, settings, downgraded=downgraded)
    return next_request, settings


def _target(request: Request, response: HttpResponse, locations: list[str]) -> URL:
    """Return the target, with the user info that the caller gave for this origin, if any."""
    if len(locations) > 1:
        raise _invalid_redirect("with several different Location fields", request, response)
    try:
        url = request.url.join(as_utf_8(locations[0]))
    except InvalidUrl as exc:
        reason = f"to an invalid URL: {exc.message}"
        raise _invalid_redirect(reason, request, response) from exc
    # A redirect must not choose the credentials of the next request (RFC 9110 4.2.4).
    current = request.url
    if url.origin != current.origin or current.username is None:
        return url.without_userinfo()
    return URL(*url.origin, url.target, url.fragment, current.username, current.password)


def _invalid_redirect(reason: str, request: Request, response: HttpResponse) -> ResponseError:
    return ResponseError(
        f"the server redirected with {response.status_line} {reason}",
        sent=response.sent,
        request=request,
        response=response,
    )


def _check_allowed(
    request: Request, settings: Settings, response: HttpResponse, url: URL, redirect_count: int
) -> None:
    reason = None
    if redirect_count >= settings.max_follow_redirect:
        reason = f"more redirects than max_follow_redirect={settings.max_follow_redirect} allows"
    elif request.url.scheme == "https" and url.scheme == "http" and not settings.follow_downgrade:
        reason = "from https to http, which follow_downgrade=False forbids"
    if reason is not None:
        raise RedirectLimit(
            f"the server redirected with {response.status_line} to {redact_url(str(url))}: "
            f"{reason}",
            sent=response.sent,
            request=request,
            response=response,
        )


def _becomes_get(method: str, status: int, *, force: bool) -> bool:
    if method in _SAFE_METHODS:
        return False
    return status == 303 or (status in (301, 302) and method == "POST" and not force)


def _strip_credentials(request: Request, settings: Settings, *, downgraded: bool) -> Settings:
    """Remove headers and settings that only the first origin may receive.

    Returns the settings for the other origin, without the client certificate of ``cert``. A
    certificate in an ``ssl_context`` stays in use, because it cannot be removed.
    """
    harmless = _HARMLESS_HEADERS | settings.keep_headers
    names = request.headers.names()
    secret = {name for name in names if name not in harmless and not name.startswith("content-")}
    _remove(request.headers, secret)
    auth = settings.auth
    if auth is not None:
        auth = None if downgraded else auth.for_other_origin()
    return settings.replace(auth=auth, tls=settings.tls._replace(cert=None))


def _remove(headers: Headers, names: frozenset[str] | set[str]) -> None:
    for name in headers.names() & names:
        del headers[name]
