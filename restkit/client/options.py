"""Every option of a call: its type, its default, its check.

The door of the options: what callers may write, checked and made into settings.

What to say of an option that restkit does not have, or not there: what restkit calls it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from restkit.auth.auth import as_auth
from restkit.client.filters import as_filters
from restkit.client.retries import as_retries
from restkit.errors import RequestError
from restkit.message.response import HttpResponse
from restkit.network.options import as_tls_version, check_tls_options
from restkit.network.proxy import as_proxy
from restkit.network.route import Route
from restkit.payload.spooled import SpoolMode
from restkit.progress import as_progress
from restkit.timeouts import as_timeout

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from http.cookiejar import CookieJar

    import urllib3

    from restkit.auth.auth import Auth
    from restkit.client.build import GivenHeaders
    from restkit.cookies.cookies import Cookies
    from restkit.message.request import Request
    from restkit.network.options import AddressCheck, Connect, SocketOption, TLSOptions
    from restkit.network.proxy import Proxy
    from restkit.progress import Progress, Told
    from restkit.settings import Settings
    from restkit.timeouts import Timeout
    from restkit.url.query import Params
    from restkit.url.url import URL


_LONGEST = 1e9


class CommonOptions(TypedDict, total=False):
    """What a Client takes once for all its calls, and what each call may say otherwise."""

    timeout: float | tuple[float | None, float | None] | Timeout | urllib3.Timeout | None
    decompress: bool
    spool_size: int
    spool_dir: str | os.PathLike[str] | None
    max_body: int | None
    verify: bool | str | os.PathLike[str]
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    ssl_context: ssl.SSLContext | None
    fingerprint: str | None
    min_tls: str | ssl.TLSVersion | None
    expect_continue: bool | None
    follow_redirect: bool
    max_follow_redirect: int
    force_follow_redirect: bool
    follow_downgrade: bool
    keep_headers: Iterable[str]
    max_tries: int
    wait_tries: float
    max_wait: float
    retry_unsafe: bool
    retries: urllib3.Retry | int | None
    replay: str | None
    spool: bool
    compress: str | None
    content_digest: bool | None
    auth: Auth | tuple[str, str] | Callable[..., object] | str | None
    proxy: Proxy | str | None
    check_address: AddressCheck | None
    filters: object
    progress: Progress | Told | None
    response_class: type[HttpResponse] | None


class RequestOptions(CommonOptions, total=False):
    """What only one call takes, beside the common options."""

    params: Params | None
    json: Any
    body: Any
    data: Any


class ClientOptions(CommonOptions, total=False):
    """What only a Client takes, beside the common options."""

    pool_size: int
    max_idle: float
    max_connections: int | None
    headers: GivenHeaders | None
    params: Params | None
    base_url: str | URL | None
    cookies: Cookies | CookieJar | bool | None
    trust_env: bool
    uds: str | os.PathLike[str] | None
    source_address: tuple[str, int] | None
    socket_options: Iterable[SocketOption]
    connect: Connect | None
    resolve: Mapping[str, str] | None


def apply_options(settings: Settings, given: dict[str, Any]) -> Settings:
    """The settings, with options in place of some; raises TypeError or RequestError."""
    changes: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for name, value in given.items():
        if name in _CHECKS:
            changes[name] = _CHECKS[name](name, value)
        elif name in _TLS:
            field, convert = _TLS[name]
            tls[field] = convert(value)
        elif name == "check_address":
            check = _check_callable(name, value)
            changes["network"] = settings.network._replace(address_check=check)
        elif name == "filters":
            changes[name] = settings.filters + as_filters(value)
        elif name not in _OF_KEEPING:
            raise TypeError(unknown_option(name, _ALL))
    if tls:
        changes["tls"] = check_tls_options(_drop_conflicting(settings.tls, tls)._replace(**tls))
    if given.keys() & _OF_KEEPING:
        changes["keeping"] = _keeping(settings.keeping, given)
    return settings._replace(**changes)


def _drop_conflicting(options: TLSOptions, given: dict[str, Any]) -> TLSOptions:
    """What was said before, but for what cannot stand beside what is said now."""
    if given.get("context") is not None:
        return options._replace(verify=True, cert=None, min_version=None)
    return options._replace(context=None) if given.keys() & _BESIDE_NO_CONTEXT else options


_BESIDE_NO_CONTEXT = frozenset(("verify", "cert", "min_version"))


def _keeping(before: SpoolMode, given: dict[str, Any]) -> SpoolMode:
    """Either option as it is given, or as it was: ``spool`` keeps more than ``replay``."""
    spool = check_bool("spool", given.get("spool", before is SpoolMode.BEFORE))
    replay = given.get("replay", "spool" if before is SpoolMode.AS_IT_GOES else None)
    if replay not in (None, "spool"):
        raise RequestError(f"replay={replay!r}: 'spool' or None is wanted")
    if spool:
        return SpoolMode.BEFORE
    return SpoolMode.AS_IT_GOES if replay else SpoolMode.NOTHING


# Converters: the name of an option and what was given for it, to what the settings hold


def check_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name}={value!r}: True or False is wanted")
    return value


def check_count(name: str, value: object, *, least: int = 0, of: str = "number") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RequestError(f"{name}={value!r}: a {of}, {least} or more, is wanted")
    return value


def seconds(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _LONGEST:
        return value
    raise RequestError(
        f"{name}={value!r:.40}: a number of seconds, 0 or more (at most {_LONGEST:g}), is wanted"
    )


def check_path(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise RequestError(f"{name}={value!r}: a path is wanted")
    return os.fsdecode(value)


def _check_size(name: str, value: object) -> int:
    return check_count(name, value, of="number of bytes")


def _at_least_one(name: str, value: object) -> int:
    return check_count(name, value, least=1)


def _check_response_class(name: str, value: object) -> type[HttpResponse] | None:
    if value is None or (isinstance(value, type) and issubclass(value, HttpResponse)):
        return value
    raise RequestError(f"{name}={value!r}: HttpResponse, or a class made from it, is wanted")


def _check_coding(name: str, value: object) -> str:
    from restkit.content_encoding.compressors import CODINGS  # not at the top: see intake.py

    if value not in CODINGS or not isinstance(value, str):
        raise RequestError(f"{name}={value!r}: one of {', '.join(CODINGS)}, or None, is wanted")
    return value


def _optional(convert: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda name, value: None if value is None else convert(name, value)


def _names(name: str, value: object) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Iterable):
        raise RequestError(f"{name}={value!r}: the names of headers are wanted")
    found = list(names)
    if not all(isinstance(each, str) for each in found):
        raise RequestError(f"{name}={value!r}: the names of headers are wanted")
    return frozenset(each.lower() for each in found)


def _check_callable(name: str, value: object) -> AddressCheck | None:
    if value is not None and not callable(value):
        raise RequestError(f"{name}={value!r}: a function of an IP address is wanted")
    return value


def _check_proxy(_: str, value: object) -> Callable[[URL], Proxy | None] | None:
    proxy = as_proxy(value)
    return None if proxy is None else lambda _: proxy


def _check_path_if_given(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_check_path_if_given(part) for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "timeout": lambda _, value: as_timeout(value),
    "decompress": check_bool,
    "spool_size": _check_size,
    "spool_dir": check_path,
    "max_body": _optional(_check_size),
    "expect_continue": _optional(check_bool),
    "compress": _optional(_check_coding),
    "content_digest": _optional(check_bool),
    "follow_redirect": check_bool,
    "max_follow_redirect": check_count,
    "force_follow_redirect": check_bool,
    "follow_downgrade": check_bool,
    "keep_headers": _names,
    "max_tries": _at_least_one,
    "wait_tries": seconds,
    "max_wait": seconds,
    "retry_unsafe": check_bool,
    "retries": lambda _, value: as_retries(value),
    "auth": lambda _, value: as_auth(value),
    "proxy": _check_proxy,
    "progress": lambda _, value: as_progress(value),
    "response_class": _check_response_class,
}
_TLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "verify": ("verify", _check_path_if_given),
    "cert": ("cert", _check_path_if_given),
    "ssl_context": ("context", _check_path_if_given),
    "fingerprint": ("fingerprint", _check_path_if_given),
    "min_tls": ("min_version", as_tls_version),
}
_OF_KEEPING = frozenset(("replay", "spool"))
_ALL = sorted([*_CHECKS, *_TLS, *_OF_KEEPING, "check_address", "filters"])


_OF_A_CLIENT = "it belongs to a Client, and not to one call"
_OF_A_CALL = "it belongs to a call, and not to a Client"
_ALWAYS_STREAMS = "a response always streams: read body_file, body_stream() or payload_stream"

# What other libraries call what restkit has, or does by itself; and restkit's own in wrong places.
_HINTS = {
    "files": "payload= takes a file as it is, and a dict or a FormData with files in it",
    "content": "restkit calls it payload",
    "stream": _ALWAYS_STREAMS,
    "preload_content": _ALWAYS_STREAMS,
    "verify_ssl": "restkit calls it verify",
    "ssl_verify": "restkit calls it verify",
    "ca_certs": "restkit calls it verify, with the path of the file",
    "ssl": "restkit calls it ssl_context",
    "assert_fingerprint": "restkit calls it fingerprint",
    "ssl_minimum_version": "restkit calls it min_tls",
    "allow_redirects": "restkit calls it follow_redirect",
    "follow_redirects": "restkit calls it follow_redirect",
    "redirect": "restkit calls it follow_redirect",
    "max_redirects": "restkit calls it max_follow_redirect",
    "proxies": "restkit calls it proxy: one URL, or the environment's by itself",
    "proxy_url": "restkit calls it proxy",
    "use_proxy": "restkit uses the environment's proxies by itself; trust_env=False at a Client",
    "max_retries": "restkit calls it max_tries, or retries= with urllib3's Retry",
    "retry": "restkit calls it max_tries, or retries= with urllib3's Retry",
    "event_hooks": "restkit calls them filters",
    "hooks": "restkit calls them filters",
    "decode_content": "restkit calls it decompress",
    "fields": "restkit calls it params in the URL, payload in the body",
    "query": "restkit calls it params",
    "chunked": "restkit chunks what has no length; the header Transfer-Encoding: chunked forces it",
    "read_timeout": "restkit calls it timeout=Timeout(idle=...)",
    "connect_timeout": "restkit calls it timeout=Timeout(connect=...)",
    "maxsize": "restkit calls it pool_size, at a Client",
    "pool_maxsize": "restkit calls it pool_size, at a Client",
    "pool_connections": "restkit calls it pool_size, at a Client",
    "limits": "restkit calls them pool_size and max_connections, at a Client",
    "unix_socket": "restkit calls it uds, at a Client",
    "local_address": "restkit calls it source_address, at a Client",
    "http2": "restkit speaks HTTP/1.1",
    "pool_size": _OF_A_CLIENT,
    "max_idle": _OF_A_CLIENT,
    "max_connections": _OF_A_CLIENT,
    "base_url": _OF_A_CLIENT,
    "cookies": f"{_OF_A_CLIENT}: its jar is client.cookies, and a call can give a Cookie header",
    "trust_env": _OF_A_CLIENT,
    "uds": _OF_A_CLIENT,
    "source_address": _OF_A_CLIENT,
    "socket_options": _OF_A_CLIENT,
    "connect": _OF_A_CLIENT,
    "resolve": _OF_A_CLIENT,
    "json": _OF_A_CALL,
    "body": _OF_A_CALL,
    "data": _OF_A_CALL,
    "payload": _OF_A_CALL,
    "method": _OF_A_CALL,
    "url": f"{_OF_A_CALL}; a Client's is base_url",
}


def unknown_option(name: str, known: Iterable[str]) -> str:
    """What to say of an option that is none: what restkit calls it, or else which there are."""
    hint = _HINTS.get(name)
    if hint is None:
        hint = f"the options are {', '.join(known)}, and for one call params, json, body and data"
    return f"{name}= is no option here: {hint}"


def route_of(request: Request) -> Route:
    """Where the connection of this request leads; raises RequestError where that is forbidden."""
    scheme, host, port = request.url.origin
    settings = request.settings
    if settings.proxy is None and settings.resolve is None:
        return Route(scheme, host, port, settings.tls, None, settings.network)
    proxy = _proxy_for(request)
    if proxy is not None and proxy.looks_up and settings.network.address_check is not None:
        raise RequestError(
            f"check_address= cannot be kept: {proxy} finds the addresses of hosts itself. "
            "Proxy(..., check_address=) checks those of the proxy, proxy=None goes without it",
            request=request,
        )
    return Route(
        scheme, host, port, settings.tls, proxy, settings.network, _address(request, host, port)
    )


def _proxy_for(request: Request) -> Proxy | None:
    choose = request.settings.proxy
    # A CONNECT of the caller's own is asked of the proxy that its URL names.
    return None if choose is None or request.method == "CONNECT" else choose(request.url)


def _address(request: Request, host: str, port: int) -> str | None:
    resolve = request.settings.resolve
    if resolve is None:
        return None
    return resolve.get(f"{host}:{port}") or resolve.get(host)
