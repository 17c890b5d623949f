"""Resource: the base of API clients, with paths, default arguments, and errors by status."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from time import monotonic
from typing import Any, TypeAlias

from restkit.annotations import Self, Unpack
from restkit.client.build import header_pairs, pop_payload
from restkit.client.call import release_for_resend
from restkit.client.client import Client
from restkit.client.options import (
    CallOptions,
    ClientOptions,
    CommonOptions,
    GivenHeaders,
    Settings,
    apply_options,
)
from restkit.content_encoding.decoding import parse_codings
from restkit.errors import DecodingError, Error, InvalidUrl, ResourceError, make_status_error
from restkit.headers import HeaderValue
from restkit.message.header_values import is_charset
from restkit.message.response import HttpResponse
from restkit.payload.base import Payload, can_send
from restkit.redaction import redact_url
from restkit.url.query import Params, ParamValue
from restkit.url.url import URL, GivenURL, join_uri, parse_url

HeaderPairs: TypeAlias = list[tuple[str, HeaderValue | None]]
ParamsDict: TypeAlias = Mapping[str, ParamValue]

_CREDENTIALS_REFUSED = frozenset((401, 403))
_PAYLOAD_NAMES = frozenset(("payload", "body", "data"))
_CALL_OPTIONS = CallOptions.__optional_keys__ - {"json"}
_MAX_ERROR_TEXT = 64 * 1024
_MAX_ERROR_SECONDS = 1.0


class Resource:
    """A URI with the methods of HTTP. Paths are joined to the URI; bad statuses are raised.

    A status of 400 or more raises a ``ResourceError``: ``ResourceNotFound`` for 404,
    ``Unauthorized`` for 401 and 403, ``ResourceGone`` for 410, ``RequestFailed`` for others.
    Other keywords of a method are parameters of the query; a list gives one for each item. A
    parameter with the name of an argument or an option goes into ``params_dict``. ``body`` and
    ``data`` are aliases of ``payload``.

    Give a ``client`` to share its connections. Without one the Resource makes its own, which
    ``close()`` or leaving ``with`` closes. The options are those of the new Client. With a given
    client, they are options of the calls of this Resource. Subclass it to write the client of an
    API, and override ``make_params``, ``make_headers``, ``make_error``, ``unauthorized``.

    >>> with Resource('http://host/db/', timeout=5) as db:
    ...     db('2026', 'notes').uri
    'http://host/db/2026/notes'
    """

    response_class: type[HttpResponse] | None = None
    """The class of the responses, a subclass of ``HttpResponse``; None for ``HttpResponse``."""

    basic_auth_url: bool = True
    """Whether user name and password in the URI are sent as Basic credentials."""

    def __init__(
        self, uri: GivenURL, client: Client | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        url = parse_url(uri)
        self._url = url if self.basic_auth_url else url.without_userinfo()
        self._owns_client = client is None
        self._options: dict[str, Any] = {}
        if client is None:
            client = Client(**options)
        elif options:
            self._options = check_call_options(dict(options))
        self.client = client

    @property
    def url(self) -> URL:
        """The URL that paths are joined to, with its credentials, if any."""
        return self._url

    @property
    def uri(self) -> str:
        """The URL as text, without credentials."""
        return str(self._url)

    # Other URIs

    def __call__(self, *path: str | None) -> Self:
        """Return the resource at ``path`` below this one; it shares the client."""
        other = self.clone()
        other.update_uri(*path)
        return other

    def clone(self, **options: Unpack[CommonOptions]) -> Self:
        """Return the same resource with other options for its calls; it shares the client."""
        other = copy(self)
        other._owns_client = False
        other._options = {**self._options, **check_call_options(dict(options))}
        return other

    def update_uri(self, *path: str | None) -> None:
        """Move this resource to ``path`` below its URI."""
        self._url = self._join(*path)

    # The methods of HTTP

    def get(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """Send a GET request; see ``request``."""
        return self.request("GET", path, None, headers, merge_params(params, params_dict))

    def head(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """Send a HEAD request; see ``request``."""
        return self.request("HEAD", path, None, headers, merge_params(params, params_dict))

    def delete(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """Send a DELETE request; see ``request``."""
        return self.request("DELETE", path, None, headers, merge_params(params, params_dict))

    def options(
        self,
        path: str | None = None,
        headers: GivenHeaders | None = None,
        params_dict: ParamsDict | None = None,
        **params: ParamValue,
    ) -> HttpResponse:
        """Send an OPTIONS request; see ``request``."""
        return self.request("OPTIONS", path, None, headers, merge_params(params, params_dict))

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
        """Send a POST request; see ``request``."""
        content, merged = choose_payload(payload, body, data), merge_params(params, params_dict)
        return self.request("POST", path, content, headers, merged, json=json)

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
        """Send a PUT request; see ``request``."""
        content, merged = choose_payload(payload, body, data), merge_params(params, params_dict)
        return self.request("PUT", path, content, headers, merged, json=json)

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
        """Send a PATCH request; see ``request``."""
        content, merged = choose_payload(payload, body, data), merge_params(params, params_dict)
        return self.request("PATCH", path, content, headers, merged, json=json)

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
        """Send a request to ``path`` below this URI; return its response, of a status below 400.

        Raises ``ResourceError`` for other statuses, and what ``Client.request`` raises. ``path``
        is the text of a URL path, joined by ``join_uri``, or an absolute URL of the same origin.
        ``json`` is a value to send as JSON instead of a payload; None is no value,
        ``payload=b'null'`` sends null.
        """
        # Converted once: a second request has the same payload or fails, and is never empty.
        merged = merge_params(params, params_dict)
        content = choose_payload(payload, body, data)
        converted = pop_payload(content, {} if json is None else {"json": json})
        pairs = None if headers is None else header_pairs(headers)
        response = self._send(method, path, converted, pairs, merged)
        if response.status in _CREDENTIALS_REFUSED and self.unauthorized(response) is False:
            converted = _payload_to_resend(converted, response)
            response = self._send(method, path, converted, pairs, merged, response)
        if response.status >= 400:
            raise self.make_error(response)
        return response

    # Hooks for subclasses

    def make_params(self, params: dict[str, ParamValue]) -> Params:
        """Return the parameters to send. May change ``params``, the parameters of the call."""
        return params

    def make_headers(self, headers: HeaderPairs) -> GivenHeaders:
        """Return the headers to send. May change ``headers``, the headers of the call."""
        return headers

    def make_error(self, response: HttpResponse) -> ResourceError:
        """Return the error to raise for a response of 400 or more."""
        return error_from(response)

    def unauthorized(self, response: HttpResponse) -> bool:
        """Handle a response of 401 or 403: return False to send the request once more.

        This is for a hook that gets new credentials, which ``make_headers`` or ``make_params``
        then send. It is called once for each call. Any other result, None too, raises the error.
        """
        del response
        return True

    # Internals

    def _send(
        self,
        method: str,
        path: str | None,
        body: Payload | None,
        headers: HeaderPairs | None,
        params: ParamsDict,
        earlier: HttpResponse | None = None,
    ) -> HttpResponse:
        url = self._join(path)
        options = dict(self._options)
        if self.response_class is not None:
            options["response_class"] = self.response_class
        if sent_params := self.make_params(dict(params)):
            options["params"] = sent_params
        fields = self.make_headers([] if headers is None else headers.copy())
        response = self.client.request(url, method, body, fields or None, **options)
        if earlier is not None:
            response.history = (*earlier.history, earlier, *response.history)
        return response

    def _join(self, *path: str | None) -> URL:
        """Return the URL of a path; raise InvalidUrl for one that would leak credentials."""
        url, base = join_uri(self._url, *path), self._url
        if url.origin != base.origin:
            raise InvalidUrl(
                f"{redact_url(str(url))} has another origin than {redact_url(str(base))}; use the "
                "client of the Resource for other origins"
            )
        if url.username is None and base.username is not None:
            return URL(*url.origin, url.target, url.fragment, base.username, base.password)
        return url

    # Closing

    def close(self) -> None:
        """Close the client, unless it was given to this Resource."""
        if self._owns_client:
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {redact_url(self.uri)} by {self.client!r}>"


def _payload_to_resend(body: Payload | None, refused: HttpResponse) -> Payload | None:
    """Return the payload, or its spooled copy, to send it again; raise if that is impossible."""
    if not can_send(body):
        body = refused.request.payload or body
    release_for_resend(refused, body, "with other credentials")
    return body


def check_call_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, if a call takes them; raise now, and not at the first call."""
    for name in sorted(options.keys() & {"headers", "params"}):
        raise TypeError(
            f"{name}= is not an option of a Resource with a client: give it to the Client, or "
            f"override make_{name}"
        )
    apply_options(Settings(), options)
    return options


def merge_params(params: ParamsDict, params_dict: ParamsDict | None) -> ParamsDict:
    """Return the parameters of a call; raise TypeError for the name of an argument or option.

    Such a keyword is probably a mistake: as a query parameter it would have no effect.
    """
    for name in params:
        if name in _PAYLOAD_NAMES:
            hint = "request() sends a payload with any method"
        elif name == "params":
            hint = "parameters are keywords"
        elif name in _CALL_OPTIONS:
            hint = f"clone({name}=...) returns the same resource with that option"
        else:
            continue
        raise TypeError(
            f"{name}= is not a parameter: use params_dict for a parameter of this name; {hint}"
        )
    if not (params_dict is None or isinstance(params_dict, Mapping)):
        raise TypeError(
            f"params_dict must be a mapping of names to values; got {params_dict!r:.60}"
        )
    return {**params, **params_dict} if params_dict else params


def choose_payload(payload: object, body: object, data: object) -> object:
    """Return the payload that is given under one of three names; raise TypeError for two."""
    values = {"payload": payload, "body": body, "data": data}
    found = [name for name, value in values.items() if value is not None]
    if len(found) > 1:
        raise TypeError(f"{' and '.join(found)} are both given; a request has one payload")
    return values[found[0]] if found else None


def error_from(response: HttpResponse) -> ResourceError:
    """Return the error of a response of 400 or more; its message is the text of the body.

    Reads at most 64 KiB of the body, or what arrives within a second, through the spool: the
    response can still be read from its beginning. The timeouts of the call apply to a silent
    body. If the body ends early, the message is the received part, and the failure is the cause.
    """
    data, cause = _read_start(response)
    error = make_status_error(response, _decode(data, response))
    error.__cause__ = cause
    return error


def _read_start(response: HttpResponse) -> tuple[bytes, Error | None]:
    data, end = bytearray(), monotonic() + _MAX_ERROR_SECONDS
    try:
        body = response.tee()
        while chunk := body.read1(_MAX_ERROR_TEXT - len(data)):
            data += chunk
            if monotonic() >= end:
                break
    except Error as exc:
        return bytes(data), exc
    return bytes(data), None


def _decode(data: bytes, response: HttpResponse) -> str:
    if _is_encoded(response):
        return ""
    charset = response.charset
    try:
        return data.decode(charset if is_charset(charset) else "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def _is_encoded(response: HttpResponse) -> bool:
    """Whether the body still has a content coding, and so is not text."""
    codings = response.headers.get_all("content-encoding")
    if not codings:
        return False
    try:
        return parse_codings(codings) is None or not response.request.read_options.decompress
    except DecodingError:
        return True
