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
from restkit.headers import Headers
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.payload import Payload
from restkit.timeouts import Timeout

__all__ = [
    "AlreadyRead",
    "BadStatusLine",
    "BodyTooLarge",
    "Client",
    "ClientDisconnected",
    "ConnectError",
    "ConnectTimeout",
    "DecodingError",
    "Error",
    "Headers",
    "HttpResponse",
    "IdleTimeout",
    "IntegrityError",
    "InvalidHeader",
    "InvalidUrl",
    "ParserError",
    "Payload",
    "PayloadError",
    "PayloadLengthError",
    "PayloadNotReplayable",
    "ProxyError",
    "RedirectLimit",
    "Request",
    "RequestError",
    "RequestFailed",
    "RequestTimeout",
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
    "patch",
    "post",
    "put",
    "request",
]
