"""Decide where a redirect leads.

Where a redirect leads: the request that follows it, or the reason why none does.

Methods change as browsers and RFC 9110 15.4 have it: POST becomes GET at 301 and 302, whatever is
not GET or HEAD at 303; 307 and 308 change nothing. To another origin (scheme, host or port) only
headers go along that are known to carry no secret; lists of what to leave behind have been too
short in more than one client, whose users had credentials of their own naming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import InvalidUrl, RedirectLimit, ResponseError
from restkit.message.header_values import as_utf_8
from restkit.message.request import Request
from restkit.message.response import locations_of
from restkit.redaction import redact_url
from restkit.url.url import URL

if TYPE_CHECKING:
    from restkit.headers import Headers
    from restkit.message.response import HttpResponse
    from restkit.settings import Settings


_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SAME_METHOD = ("GET", "HEAD")

# What describes a body, and goes with it.
_OF_A_BODY = frozenset(
    "content-type content-length content-encoding content-language content-location content-md5 "
    "content-disposition content-range content-digest repr-digest want-content-digest digest "
    "transfer-encoding trailer expect".split()
)
_HARMLESS = frozenset(
    "accept accept-charset accept-encoding accept-language accept-datetime accept-patch "
    "cache-control connection dnt expect if-match if-modified-since if-none-match if-range "
    "if-unmodified-since pragma priority range te trailer transfer-encoding "
    "upgrade-insecure-requests user-agent".split()
)


def redirect_request(request: Request, response: HttpResponse, followed: int) -> Request | None:
    """The request that a redirect asks for, after so many others; None where it asks for none.

    Raises RedirectLimit where the options forbid to follow, and ResponseError where nothing can
    be followed. Whether the payload can go again is for the caller to ask.
    """
    settings = request.settings
    if response.status not in _REDIRECTS or not settings.follow_redirect:
        return None
    locations = locations_of(response.headers)
    if not locations:
        return None
    url = _target(request, response, locations)
    _refuse_forbidden(request, response, url, followed)
    following = Request(
        request.method, url, request.headers.copy(), request.withheld, request.payload, settings
    )
    if _becomes_get(request, response.status):
        following.method, following.payload = "GET", None
        _remove(following.headers, _OF_A_BODY)
    if url.origin != request.url.origin:
        _strip_credentials(following, settings, downgraded=request.url.scheme > url.scheme)
    return following


def _target(request: Request, response: HttpResponse, locations: list[str]) -> URL:
    """Where it leads, with the user info that the caller has given for there, if any."""
    if len(locations) > 1:
        why = "to several places at once: its Location fields differ"
        raise _unfollowable(why, request, response)
    try:
        url = request.url.join(as_utf_8(locations[0]))
    except InvalidUrl as exc:
        why = f"to a place that cannot be asked: {exc.message}"
        raise _unfollowable(why, request, response) from exc
    # Who redirects does not say as whom the next request is made (RFC 9110 4.2.4).
    own = request.url
    if url.origin != own.origin or own.username is None:
        return url.without_userinfo()
    return URL(*url.origin, url.target, url.fragment, own.username, own.password)


def _unfollowable(why: str, request: Request, response: HttpResponse) -> ResponseError:
    return ResponseError(
        f"answered {response.status_line} {why}",
        sent=response.sent,
        request=request,
        response=response,
    )


def _refuse_forbidden(request: Request, response: HttpResponse, url: URL, followed: int) -> None:
    settings = request.settings
    why = None
    if followed >= settings.max_follow_redirect:
        why = f"one redirect more than the {settings.max_follow_redirect} of max_follow_redirect"
    elif request.url.scheme == "https" and url.scheme == "http" and not settings.follow_downgrade:
        why = "from https to http, which follow_downgrade=False forbids"
    if why is not None:
        raise RedirectLimit(
            f"answered {response.status_line}, to {redact_url(str(url))}: {why}",
            sent=response.sent,
            request=request,
            response=response,
        )


def _becomes_get(request: Request, status: int) -> bool:
    if request.method in _SAME_METHOD:
        return False
    if status == 303:
        return True
    force = request.settings.force_follow_redirect
    return status in (301, 302) and request.method == "POST" and not force


def _strip_credentials(request: Request, settings: Settings, *, downgraded: bool) -> None:
    """Leave behind what the first origin was told in confidence, and what names it.

    A certificate of the option ``cert`` stays; one that an ``ssl_context`` has been given goes
    along with it, as nobody can tell what is in one.
    """
    kept = _HARMLESS | settings.keep_headers
    stay = {
        name
        for name in request.headers.names()
        if name not in kept and not name.startswith("content-")
    }
    _remove(request.headers, stay)
    auth = settings.auth
    if auth is not None:
        auth = None if downgraded else auth.for_other_origin()
    request.settings = settings._replace(auth=auth, tls=settings.tls._replace(cert=None))


def _remove(headers: Headers, names: frozenset[str] | set[str]) -> None:
    for name in headers.names() & names:
        del headers[name]
