"""A place on a server, and what is behind it: what clients of an API are made from."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from restkit.arguments import options_of, params_of, payload_of
from restkit.client import Client
from restkit.course import let_go
from restkit.errors import InvalidUrl, ResourceError
from restkit.masking import masked
from restkit.message.status import error_of
from restkit.payload import is_whole
from restkit.preparing import one_payload, pairs_of
from restkit.uris import join_uri
from restkit.url import URL, Params, parse_url

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from restkit.arguments import ParamsDict
    from restkit.choices import ClientOptions, CommonOptions
    from restkit.headers import HeaderValue
    from restkit.message.response import HttpResponse
    from restkit.payload import Payload
    from restkit.preparing import GivenHeaders
    from restkit.query import ParamValue

    HeaderPairs = list[tuple[str, HeaderValue | None]]

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
                f"{masked(str(url))} is of another origin than {masked(str(own))}: a Resource asks "
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
        return f"<{type(self).__name__} {masked(self.uri)} by {self.client!r}>"


def _again(body: Payload | None, refused: HttpResponse) -> Payload | None:
    """The payload for a second try: itself, or what was kept of it; raises where it is spent."""
    if not is_whole(body):
        body = refused.request.payload or body
    let_go(refused, body, "to be sent again with other credentials")
    return body
