"""A blocking HTTP client toolkit in which streams are first-class.

``request(url, method, payload=anything)`` sends anything; ``response.body_file`` is the body as a
file. See ``restkit.request``, ``restkit.Client`` and ``restkit.HttpResponse``.
"""

from typing import TYPE_CHECKING

from restkit._version import __version__
from restkit.auth.auth import Auth, BasicAuth, BearerAuth, NetrcAuth
from restkit.auth.digest import DigestAuth
from restkit.auth.oauth1 import OAuth1
from restkit.client.client import Client
from restkit.client.filters import Filter
from restkit.client.functions import (
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
from restkit.client.options import ClientOptions, RequestOptions
from restkit.client.retry_option import Retry
from restkit.cookies.cookies import Cookies
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
    InvalidURL,
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
    StatusError,
    TLSError,
    TotalTimeout,
    TransportError,
    Unauthorized,
    UnexpectedEOF,
)
from restkit.forms.form_data import FormData
from restkit.headers import Headers
from restkit.log import set_logging
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.network.proxy import Proxy
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.progress import Progress
from restkit.resource import Resource
from restkit.timeouts import Timeout
from restkit.url.url import URL, Link, parse_url

if TYPE_CHECKING:
    from restkit.transfer.download import Download, download

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
    "ClientOptions",
    "ConnectError",
    "ConnectTimeout",
    "Cookies",
    "DecodingError",
    "DigestAuth",
    "Download",
    "Error",
    "Filter",
    "FormData",
    "Headers",
    "HttpResponse",
    "IdleTimeout",
    "IntegrityError",
    "InvalidHeader",
    "InvalidURL",
    "InvalidUrl",
    "Link",
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
    "RequestOptions",
    "RequestTimeout",
    "Resource",
    "ResourceError",
    "ResourceGone",
    "ResourceNotFound",
    "ResponseError",
    "Retry",
    "StatusError",
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
    "download",
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


def __getattr__(name: str) -> object:
    """Import the functions of transfers at their first use, to keep `import restkit` quick."""
    if name not in ("Download", "download"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from restkit.transfer import download

    value = globals()[name] = getattr(download, name)
    return value
