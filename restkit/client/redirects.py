"""Decide where a redirect leads.

Methods change as in browsers and RFC 9110 15.4: POST becomes GET after 301 and 302; every method
except GET and HEAD becomes GET after 303; 307 and 308 change nothing. Another origin (scheme, host
or port) gets only headers that are known to carry no secret. Lists of what to remove were too
short in more than one client: callers have credentials in headers of their own.
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
    request: Request, settings: Settings, response: HttpResponse, followed: int
) -> tuple[Request, Settings] | None:
    """Return the request that a response redirects to, and its settings; None for no redirect.

    ``followed`` is the number of redirects so far. Raises RedirectLimit where the options forbid
    to follow, and ResponseError where the target is malformed. The caller checks whether the
    payload can be sent again.
    """
    if response.status not in _REDIRECTS or not settings.follow_redirect:
        return None
    locations = locations_of(response.headers)
    if not locations:
        return None
    url = _target(request, response, locations)
    _check_allowed(request, settings, response, url, followed)
    following = request.with_target(url)
    if _becomes_get(request.method, response.status, force=settings.force_follow_redirect):
        following.method, following.payload = "GET", None
        _remove(following.headers, _BODY_HEADERS)
    if url.origin != request.url.origin:
        downgraded = request.url.scheme > url.scheme
        settings = _strip_credentials(following, settings, downgraded=downgraded)
    return following, settings


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
    own = request.url
    if url.origin != own.origin or own.username is None:
        return url.without_userinfo()
    return URL(*url.origin, url.target, url.fragment, own.username, own.password)


def _invalid_redirect(reason: str, request: Request, response: HttpResponse) -> ResponseError:
    return ResponseError(
        f"the server redirected with {response.status_line} {reason}",
        sent=response.sent,
        request=request,
        response=response,
    )


def _check_allowed(
    request: Request, settings: Settings, response: HttpResponse, url: URL, followed: int
) -> None:
    reason = None
    if followed >= settings.max_follow_redirect:
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
    """Remove what only the first origin may see; return the settings for the other origin.

    The certificate of the option ``cert`` is removed. A certificate inside an ``ssl_context``
    stays in use, because a context does not tell what it holds.
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
