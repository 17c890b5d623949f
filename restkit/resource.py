"""API clients: paths, default arguments, and errors by status.

A place on a server, and what is behind it: what clients of an API are made from.

What callers give a Resource and its methods: which keyword is a parameter, and which is not.

Its methods take parameters of the query as keywords. One that has the name of an option, or of a
payload where there is none, was meant as that: sent in the query it would be lost, and seen by all.

Which error a status is, where the caller asked for it to be one, and what it says.
"""

from __future__ import annotations

from copy import copy
from time import monotonic
from typing import TYPE_CHECKING, Any

from restkit.client.build import one_payload, pairs_of
from restkit.client.call import release_for_resend
from restkit.client.client import Client
from restkit.client.options import RequestOptions, apply_options
from restkit.content_encoding.decoding import parse_codings
from restkit.errors import DecodingError, Error, InvalidUrl, ResourceError, error_for
from restkit.message.header_values import is_charset
from restkit.payload.base import can_send
from restkit.redaction import redact_url
from restkit.settings import Settings
from restkit.url.query import Params
from restkit.url.url import URL, join_uri, parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self, Unpack

    from restkit.client.build import GivenHeaders
    from restkit.client.options import ClientOptions, CommonOptions
    from restkit.headers import HeaderValue
    from restkit.message.response import HttpResponse
    from restkit.payload.base import Payload
    from restkit.url.query import ParamValue

    HeaderPairs = list[tuple[str, HeaderValue | None]]

    ParamsDict = Mapping[str, ParamValue]


_REFUSED = frozenset((401, 403))


class Resource:
    """A URI with the methods of HTTP; what is asked for is behind it, and an error is raised.

    An answer of 400 or more is a child of ``ResourceError``: ``ResourceNotFound`` for 404,
    ``Unauthorized`` for 401 and 403, ``ResourceGone`` for 410, ``RequestFailed`` for any other.
    Further keywords of a method are parameters of the query, a list one for each item; those that
    have the name of an argument, or of an option of a call, go into ``params_dict``. ``body`` and
    ``data`` are other names of ``payload``.

    Takes a ``client``, to share its connections, or makes one: then ``close()``, or ``with``,
    closes it. The options are those of that new Client; for a client that is given they are those
    of a call, and hold for the calls from here alone. Subclass it to write the client of an API,
    and override ``make_params``, ``make_headers``, ``make_error``, ``unauthorized``.

    >>> with Resource('http://host/db/', timeout=5) as db:
    ...     db('2026', 'notes').uri
    'http://host/db/2026/notes'
    """

    response_class: type[HttpResponse] | None = None
    """What answers are made as, where it is not ``HttpResponse``; a child of that."""

    basic_auth_url: bool = True
    """Whether user name and password in the URI are used, as Basic credentials."""

    def __init__(
        self, uri: str | URL, client: Client | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        url = parse_url(uri)
        self._url = url if self.basic_auth_url else url.without_userinfo()
        self._owns = client is None
        self._options: dict[str, Any] = {}
        if client is None:
            client = Client(**options)
        elif options:
            self._options = options_of(dict(options))
        self.client = client

    @property
    def url(self) -> URL:
        """The URL that paths go behind, with the credentials it may have in it."""
        return self._url

    @property
    def uri(self) -> str:
        """The same as text, without them."""
        return str(self._url)

    # Other places

    def __call__(self, *path: str | None) -> Self:
        """The same resource at ``path`` behind this one; it shares the client."""
        other = self.clone()
        other.update_uri(*path)
        return other

    def clone(self, **options: Unpack[CommonOptions]) -> Self:
        """The same resource once more, with these options for its calls; it shares the client."""
        other = copy(self)
        other._owns = False
        other._options = {**self._options, **options_of(dict(options))}
        return other

    def update_uri(self, *path: str | None) -> None:
        """Be at ``path``, behind where it has been until now."""
        self._url = self._behind(*path)

    # The methods of HTTP

    def get(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with GET."""
        return self.request("GET", path, None, headers, params_of(params, params_dict))

    def head(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with HEAD."""
        return self.request("HEAD", path, None, headers, params_of(params, params_dict))

    def delete(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with DELETE."""
        return self.request("DELETE", path, None, headers, params_of(params, params_dict))

    def options(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with OPTIONS."""
        return self.request("OPTIONS", path, None, headers, params_of(params, params_dict))

    def post(
        self,
        path: str | None = None,
        payload: object = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        *,
        json: object = None,
        body: object = None,
        data: object = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with POST."""
        given, merged = payload_of(payload, body, data), params_of(params, params_dict)
        return self.request("POST", path, given, headers, merged, json=json)

    def put(
        self,
        path: str | None = None,
        payload: object = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        *,
        json: object = None,
        body: object = None,
        data: object = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with PUT."""
        given, merged = payload_of(payload, body, data), params_of(params, params_dict)
        return self.request("PUT", path, given, headers, merged, json=json)

    def patch(
        self,
        path: str | None = None,
        payload: object = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        *,
        json: object = None,
        body: object = None,
        data: object = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """``request`` with PATCH."""
        given, merged = payload_of(payload, body, data), params_of(params, params_dict)
        return self.request("PATCH", path, given, headers, merged, json=json)

    def request(
        self,
        method: str,
        path: str | None = None,
        payload: object = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        *,
        json: object = None,
        body: object = None,
        data: object = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """Send a request to ``path`` behind this URI; its answer, which is below 400.

        Raises ``ResourceError`` for any other, and what ``Client.request`` raises. ``path`` is
        text of a URL (see the guide), or an absolute URL of the same origin. ``json`` is a value
        to be sent as JSON in place of a payload; None is none, and ``payload=b'null'`` sends null.
        """
        # Made once, so that a second try is the same payload or an error, and never an empty one.
        asked = params_of(params, params_dict)
        content = payload_of(payload, body, data)
        sent = one_payload(content, {} if json is None else {"json": json})
        given = None if headers is None else pairs_of(headers)
        response = self._answer(method, path, sent, given, asked)
        if response.status in _REFUSED and self.unauthorized(response) is False:
            response = self._answer(method, path, _again(sent, response), given, asked, response)
        if response.status >= 400:
            raise self.make_error(response)
        return response

    # What a subclass may do otherwise

    def make_params(self, params: dict[str, ParamValue]) -> Params:
        """The parameters to send, for those of a call; the dict is the hook's own to change."""
        return params

    def make_headers(self, headers: HeaderPairs) -> GivenHeaders:
        """The headers to send, for those of a call; the list is the hook's own to change."""
        return headers

    def make_error(self, response: HttpResponse) -> ResourceError:
        """The error to raise for an answer of 400 or more; see ``restkit.ResourceError``."""
        return error_of(response)

    def unauthorized(self, response: HttpResponse) -> bool:
        """Whether an answer of 401 or 403 is an error; False sends the request once more.

        That is for a hook that has got new credentials, by which ``make_headers`` or
        ``make_params`` do better the second time. It is asked once for each call; whatever else
        it returns, None too, means that it is an error.
        """
        del response
        return True

    # Inside

    def _answer(
        self,
        method: str,
        path: str | None,
        body: Payload | None,
        headers: HeaderPairs | None,
        params: ParamsDict,
        before: HttpResponse | None = None,
    ) -> HttpResponse:
        url = self._behind(path)
        options = dict(self._options)
        if self.response_class is not None:
            options["response_class"] = self.response_class
        if asked := self.make_params(dict(params)):
            options["params"] = asked
        fields = self.make_headers([] if headers is None else headers.copy())
        response = self.client.request(url, method, body, fields or None, **options)
        if before is not None:
            response.history = (*before.history, before, *response.history)
        return response

    def _behind(self, *path: str | None) -> URL:
        """The URL of a path; one of another origin would be sent this one's credentials."""
        url, own = join_uri(self._url, *path), self._url
        if url.origin != own.origin:
            raise InvalidUrl(
                f"{redact_url(str(url))} is of another origin than {redact_url(str(own))}: a Resource asks "
                "for what is behind it; its client may ask for anything"
            )
        if url.username is None and own.username is not None:
            return URL(*url.origin, url.target, url.fragment, own.username, own.password)
        return url

    # The end

    def close(self) -> None:
        """Close the client, where this resource has made it, and not been given it."""
        if self._owns:
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {redact_url(self.uri)} by {self.client!r}>"


def _again(body: Payload | None, refused: HttpResponse) -> Payload | None:
    """The payload for a second try: itself, or what was kept of it; raises where it is spent."""
    if not can_send(body):
        body = refused.request.payload or body
    release_for_resend(refused, body, "to be sent again with other credentials")
    return body


_OF_A_PAYLOAD = frozenset(("payload", "body", "data"))
_OF_A_CALL = RequestOptions.__optional_keys__ - {"json"}


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options, if a call takes them: said at once, and not at the first call."""
    for name in sorted(options.keys() & {"headers", "params"}):
        raise TypeError(
            f"{name}= is no option here, where the client is there already: give them to the "
            f"Client, or override make_{name}"
        )
    apply_options(Settings(), options)
    return options


def params_of(params: ParamsDict, params_dict: ParamsDict | None) -> ParamsDict:
    """The parameters of a call; raises TypeError for what was not meant to be one."""
    for name in params:
        if name in _OF_A_PAYLOAD:
            otherwise = "request() sends a payload with any method"
        elif name == "params":
            otherwise = "parameters are keywords"
        elif name in _OF_A_CALL:
            otherwise = f"clone({name}=...) is the same resource with that option"
        else:
            continue
        raise TypeError(f"{name}= is no parameter: use params_dict for one so named; {otherwise}")
    return {**params, **params_dict} if params_dict else params


def payload_of(payload: object, body: object, data: object) -> object:
    """The one that is given of three names for a payload; raises TypeError for two."""
    given = {"payload": payload, "body": body, "data": data}
    found = [name for name, value in given.items() if value is not None]
    if len(found) > 1:
        raise TypeError(f"{' and '.join(found)} are given, and there is one payload")
    return given[found[0]] if found else None


_MOST_SAID = 64 * 1024
_LONGEST_SAID = 1.0


def error_of(response: HttpResponse) -> ResourceError:
    """The error that an answer of 400 or more is; its message is the body's text.

    Reads at most 64 KiB of the body, or what comes of it within a second, and that through the
    spool: all of it can still be read from the response. A body that is silent is waited for as
    the timeouts say. Of one that breaks off the message is what came, and the break is the error's
    cause.
    """
    said, fault = _first_of(response)
    make = error_for(response.status)
    message, sent = _as_text(said, response), response.sent
    error = make(message, sent=sent, request=response.request, response=response)
    error.history = response.history
    error.__cause__ = fault
    return error


def _first_of(response: HttpResponse) -> tuple[bytes, Error | None]:
    said, end = bytearray(), monotonic() + _LONGEST_SAID
    try:
        body = response.tee()
        while piece := body.read1(_MOST_SAID - len(said)):
            said += piece
            if monotonic() >= end:
                break
    except Error as exc:
        return bytes(said), exc
    return bytes(said), None


def _as_text(said: bytes, response: HttpResponse) -> str:
    if _still_coded(response):
        return ""
    charset = response.charset
    try:
        return said.decode(charset if is_charset(charset) else "utf-8", "replace")
    except (LookupError, ValueError):
        return said.decode("utf-8", "replace")


def _still_coded(response: HttpResponse) -> bool:
    """Whether a content coding is left on the body, so that it is no text."""
    codings = response.headers.get_all("content-encoding")
    if not codings:
        return False
    try:
        return parse_codings(codings) is None or not response.request.settings.decompress
    except DecodingError:
        return True
