"""Every option of a call: its type, its default and its check.

A new option is one line in ``CommonOptions`` (its type for callers) and one in ``Settings`` (its
default and its check).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, cast

from restkit.annotations import CookieJar, Urllib3Retry, Urllib3Timeout
from restkit.auth.auth import Auth, as_auth
from restkit.client.filters import Filter, as_filters
from restkit.client.option_checks import (
    check_bool,
    check_count,
    check_path,
    check_positive,
    check_seconds,
    check_size,
)
from restkit.client.option_hints import unknown_option
from restkit.client.retries import RetryCounter, RetryPolicy, default_policy
from restkit.client.retry_option import Retry, as_retries
from restkit.cookies.cookies import Cookies
from restkit.errors import RequestError
from restkit.headers import HasItems, HeaderName, HeaderValue, Pairs
from restkit.io.spool import DEFAULT_MEMORY_SIZE
from restkit.message.request import ReadOptions, Request
from restkit.message.response import HttpResponse
from restkit.network.options import (
    AddressCheck,
    Connect,
    Network,
    SocketOption,
    TLSOptions,
    as_tls_version,
    check_tls_options,
)
from restkit.network.proxy import Proxy, as_proxy
from restkit.network.route import Route
from restkit.network.tls import warn_if_unverified
from restkit.payload.spooled import SpoolMode
from restkit.progress import Progress, ProgressCallback, as_progress
from restkit.timeouts import Timeout, as_timeout
from restkit.url.query import Params
from restkit.url.url import URL

GivenHeaders: TypeAlias = (
    HasItems[tuple[HeaderName, HeaderValue | None]] | Pairs[tuple[HeaderName, HeaderValue | None]]
)

DEFAULT_EAGER_BODY = 64 * 1024
_Value = TypeVar("_Value")


class CommonOptions(TypedDict, total=False):
    """The options of a call that a Client also takes, as defaults for its calls."""

    timeout: float | tuple[float | None, float | None] | Timeout | Urllib3Timeout | None
    decompress: bool
    spool_size: int
    spool_dir: str | os.PathLike[str] | None
    max_body: int | None
    eager_body: int
    verify: bool | str | os.PathLike[str]
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    ssl_context: ssl.SSLContext | None
    fingerprint: str | None
    min_tls: Literal["1.2", "1.3"] | ssl.TLSVersion | None
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
    retries: Retry | Urllib3Retry | int | None
    replay: Literal["spool"] | None
    spool: bool
    compress: Literal["gzip", "deflate", "zstd"] | None
    content_digest: bool | None
    auth: Auth | tuple[str, str] | Callable[..., object] | Literal["netrc"] | None
    proxy: Proxy | str | None
    check_address: AddressCheck | None
    filters: object
    progress: Progress | ProgressCallback | None
    response_class: type[HttpResponse] | None


class CallOptions(CommonOptions, total=False):
    """The options of a call: the common ones, and those that a Client does not take."""

    params: Params | None
    json: Any
    body: Any
    data: Any


class RequestOptions(CallOptions, total=False):
    """All keywords of a call except url and method: for ``Unpack`` in a function of your own."""

    payload: object
    headers: GivenHeaders | None


class ClientOptions(CommonOptions, total=False):
    """The options of a Client: the common ones, and those that a call does not take."""

    pool_size: int
    max_idle_connections: int | None
    max_idle: float
    max_connections: int | None
    headers: GivenHeaders | None
    params: Params | None
    base_url: str | URL | None
    cookies: Cookies | CookieJar | Mapping[str, str] | bool | None
    trust_env: bool
    uds: str | os.PathLike[str] | None
    source_address: tuple[str, int] | None
    socket_options: Iterable[SocketOption]
    connect: Connect | None
    resolve: Mapping[str, str] | None


# Checks: each takes the name and the value of an option, and returns the value for Settings


def _optional(check: Callable[[str, object], _Value]) -> Callable[[str, object], _Value | None]:
    return lambda name, value: None if value is None else check(name, value)


def _check_coding(name: str, value: object) -> str:
    from restkit.content_encoding.compressors import CODINGS  # slow to import

    if value not in CODINGS or not isinstance(value, str):
        raise RequestError(
            f"{name} must be one of {', '.join(CODINGS)}, or None; got {value!r:.60}"
        )
    return value


def _check_names(name: str, value: object) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    found = list(names) if isinstance(names, Iterable) else [names]
    if not all(isinstance(each, str) for each in found):
        raise RequestError(f"{name} must be names of headers; got {value!r:.60}")
    return frozenset(str(each).lower() for each in found)


def _check_response_class(name: str, value: object) -> type[HttpResponse] | None:
    if value is None or (isinstance(value, type) and issubclass(value, HttpResponse)):
        return value
    raise RequestError(f"{name} must be HttpResponse or a subclass of it; got {value!r:.60}")


def _check_address_check(name: str, value: object) -> AddressCheck | None:
    if value is not None and not callable(value):
        raise RequestError(
            f"{name} must be a function of an IP address, or None; got {value!r:.60}"
        )
    return value


def _check_proxy(_: str, value: object) -> Callable[[URL], Proxy | None] | None:
    proxy = as_proxy(value)
    return None if proxy is None else lambda _: proxy


class _Option(NamedTuple):
    default: Any
    check: Callable[[str, object], Any]


def _option(default: _Value, check: Callable[[str, object], _Value]) -> _Value:
    """Declare an option of Settings; ``_declare_options`` moves its check to ``_CHECKS``."""
    return cast("_Value", _Option(default, check))


class Settings:
    """The checked options of one call. Immutable: ``replace`` returns a copy.

    The class attributes are the defaults; an instance holds only the values that differ.
    """

    timeout: Timeout = _option(Timeout(), lambda _, value: as_timeout(value))

    decompress: bool = _option(True, check_bool)
    spool_size: int = _option(DEFAULT_MEMORY_SIZE, check_size)
    spool_dir: str | None = _option(None, check_path)
    max_body: int | None = _option(None, _optional(check_size))

    eager_body: int = _option(DEFAULT_EAGER_BODY, check_size)

    proxy: Callable[[URL], Proxy | None] | None = _option(None, _check_proxy)

    expect_continue: bool | None = _option(None, _optional(check_bool))
    compress: str | None = _option(None, _optional(_check_coding))
    content_digest: bool | None = _option(None, _optional(check_bool))
    progress: Progress | None = _option(None, lambda _, value: as_progress(value))

    follow_redirect: bool = _option(True, check_bool)
    max_follow_redirect: int = _option(10, check_count)
    force_follow_redirect: bool = _option(False, check_bool)
    follow_downgrade: bool = _option(True, check_bool)
    keep_headers: frozenset[str] = _option(frozenset(), _check_names)

    max_tries: int = _option(3, check_positive)
    wait_tries: float = _option(0.3, check_seconds)
    max_wait: float = _option(60.0, check_seconds)
    retry_unsafe: bool = _option(False, check_bool)
    retries: RetryPolicy | None = _option(None, lambda _, value: as_retries(value))

    auth: Auth | None = _option(None, lambda _, value: as_auth(value))
    response_class: type[HttpResponse] | None = _option(None, _check_response_class)

    # Computed from several options, or set by a Client; see apply_options().
    tls: TLSOptions = TLSOptions()
    network: Network = Network()
    resolve: Mapping[str, str] | None = None
    spool_mode: SpoolMode = SpoolMode.OFF
    filters: tuple[Filter, ...] = ()
    read_options: ReadOptions = ReadOptions()

    def __init__(self, **changes: Any) -> None:
        self.__dict__.update(changes)
        if not _READ_FIELDS.isdisjoint(changes):
            self.read_options = ReadOptions(
                self.decompress,
                self.spool_size,
                self.spool_dir,
                self.max_body,
                self.content_digest is not False,
                None if self.progress is None else self.progress.received,
            )

    def replace(self, **changes: Any) -> Settings:
        """Return these settings with some of them changed."""
        return Settings(**{**self.__dict__, **changes}) if changes else self

    def route_to(self, request: Request) -> Route:
        """Return the route of a request; raise RequestError for one that is forbidden."""
        scheme, host, port = request.url.origin
        if self.proxy is None and self.resolve is None:
            return Route(scheme, host, port, self.tls, None, self.network)
        proxy = None
        # The URL of a CONNECT request names the proxy itself.
        if self.proxy is not None and request.method != "CONNECT":
            proxy = self.proxy(request.url)
        if proxy is not None and proxy.looks_up and self.network.address_check is not None:
            raise RequestError(
                f"check_address= has no effect here, because {proxy} resolves the names of hosts. "
                "Use Proxy(..., check_address=) to check the proxy's own address, or proxy=None",
                request=request,
            )
        address = None
        if self.resolve is not None:
            address = self.resolve.get(f"{host}:{port}") or self.resolve.get(host)
        return Route(scheme, host, port, self.tls, proxy, self.network, address)

    def count_retries(self) -> RetryCounter:
        """Return the counter of one call, with the rules of all retry options."""
        policy = self.retries or default_policy(self.max_tries)
        if self.retry_unsafe:
            policy = policy._replace(methods=None)
        return RetryCounter(policy, self.wait_tries, self.max_wait)


_READ_FIELDS = frozenset(
    ("decompress", "spool_size", "spool_dir", "max_body", "content_digest", "progress")
)


def _declare_options() -> dict[str, Callable[[str, object], Any]]:
    """Replace each option of Settings by its default; return the checks by name."""
    checks = {}
    for name, option in list(vars(Settings).items()):
        if isinstance(option, _Option):
            checks[name] = option.check
            setattr(Settings, name, option.default)
    return checks


def _fspath(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_fspath(item) for item in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


_CHECKS = _declare_options()
_TLS_OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "verify": ("verify", _fspath),
    "cert": ("cert", _fspath),
    "ssl_context": ("context", _fspath),
    "fingerprint": ("fingerprint", _fspath),
    "min_tls": ("min_version", as_tls_version),
}
_REPLACED_BY_CONTEXT = frozenset(("verify", "cert", "min_version"))
_SPOOL_OPTIONS = frozenset(("replay", "spool"))
_ALL_OPTIONS = sorted([*_CHECKS, *_TLS_OPTIONS, *_SPOOL_OPTIONS, "check_address", "filters"])


def apply_options(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Return the settings with the given options; raise TypeError or RequestError for bad ones."""
    changes: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for name, value in given.items():
        if name in _CHECKS:
            changes[name] = _CHECKS[name](name, value)
        elif name in _TLS_OPTIONS:
            field, convert = _TLS_OPTIONS[name]
            tls[field] = convert(value)
        elif name == "check_address":
            check = _check_address_check(name, value)
            changes["network"] = settings.network._replace(address_check=check)
        elif name == "filters":
            changes[name] = settings.filters + as_filters(value)
        elif name not in _SPOOL_OPTIONS:
            names = {*RequestOptions.__optional_keys__, *ClientOptions.__optional_keys__}
            raise TypeError(unknown_option(name, _ALL_OPTIONS, names))
    if tls:
        options = check_tls_options(_drop_conflicting(settings.tls, tls)._replace(**tls))
        changes["tls"] = options
        if not tls.keys().isdisjoint(("verify", "fingerprint")):
            warn_if_unverified(options)
    if not _SPOOL_OPTIONS.isdisjoint(given):
        changes["spool_mode"] = _spool_mode(settings.spool_mode, given)
    return settings.replace(**changes)


def _drop_conflicting(options: TLSOptions, given: dict[str, Any]) -> TLSOptions:
    """Reset the earlier options that ``given`` replaces: a context, or what a context contains."""
    if given.get("context") is not None:
        return options._replace(verify=True, cert=None, min_version=None)
    return options if _REPLACED_BY_CONTEXT.isdisjoint(given) else options._replace(context=None)


def _spool_mode(current: SpoolMode, given: Mapping[str, Any]) -> SpoolMode:
    """Combine ``spool`` and ``replay``; an option that is not given keeps its value."""
    spool = check_bool("spool", given.get("spool", current is SpoolMode.BEFORE_SENDING))
    replay = given.get("replay", "spool" if current is SpoolMode.WHILE_SENDING else None)
    if replay not in (None, "spool"):
        raise RequestError(f"replay must be 'spool' or None; got {replay!r:.60}")
    if spool:
        return SpoolMode.BEFORE_SENDING
    return SpoolMode.WHILE_SENDING if replay else SpoolMode.OFF
