"""A blocking REST client toolkit in which streams are the first-class thing.

``request(url, method, payload=anything)`` sends; ``response.body_file`` is what came, as a
file. See ``restkit.request``, ``restkit.Client`` and ``restkit.HttpResponse``.
"""

from restkit._version import __version__
from restkit.api import (
    default_client,
    delete,
    get,
    head,
    options,
    patch,
    post,
    put,
    request,
)
from restkit.client import Client
from restkit.door import as_payload
from restkit.errors import (
    AlreadyRead,
    BadStatusLine,
    BodyTooLarge,
    ClientDisconnected,
    ConnectError,
    ConnectTimeout,
    DecodingError,
    Error,
    IdleTimeout,
    IntegrityError,
    InvalidHeader,
    InvalidUrl,
    ParserError,
    PayloadError,
    PayloadLengthError,
    PayloadNotReplayable,
    ProxyError,
    RedirectLimit,
    RequestError,
    RequestFailed,
    RequestTimeout,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    ResponseError,
    TLSError,
    TotalTimeout,
    TransportError,
    Unauthorized,
    UnexpectedEOF,
)
from restkit.forms import FormData
from restkit.headers import Headers
from restkit.log import set_logging
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.payload import Payload
from restkit.policy.auth import Auth, BasicAuth, BearerAuth, NetrcAuth
from restkit.policy.cookies import Cookies
from restkit.policy.digest import DigestAuth
from restkit.policy.filters import Filter
from restkit.policy.oauth1 import OAuth1
from restkit.progress import Progress
from restkit.resource import Resource
from restkit.timeouts import Timeout
from restkit.url import URL, parse_url
from restkit.wire.proxy import Proxy

__all__ = [
    "URL",
    "AlreadyRead",
    "Auth",
    "BadStatusLine",
    "BasicAuth",
    "BearerAuth",
    "BodyTooLarge",
    "Client",
    "ClientDisconnected",
    "ConnectError",
    "ConnectTimeout",
    "Cookies",
    "DecodingError",
    "DigestAuth",
    "Error",
    "Filter",
    "FormData",
    "Headers",
    "HttpResponse",
    "IdleTimeout",
    "IntegrityError",
    "InvalidHeader",
    "InvalidUrl",
    "NetrcAuth",
    "OAuth1",
    "ParserError",
    "Payload",
    "PayloadError",
    "PayloadLengthError",
    "PayloadNotReplayable",
    "Progress",
    "Proxy",
    "ProxyError",
    "RedirectLimit",
    "Request",
    "RequestError",
    "RequestFailed",
    "RequestTimeout",
    "Resource",
    "ResourceError",
    "ResourceGone",
    "ResourceNotFound",
    "ResponseError",
    "TLSError",
    "Timeout",
    "TotalTimeout",
    "TransportError",
    "Unauthorized",
    "UnexpectedEOF",
    "__version__",
    "as_payload",
    "default_client",
    "delete",
    "get",
    "head",
    "options",
    "parse_url",
    "patch",
    "post",
    "put",
    "request",
    "set_logging",
]
