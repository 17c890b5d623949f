"""The door of the options: what callers may write, checked and made into settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from restkit.errors import RequestError
from restkit.hints import unknown_option
from restkit.message.response import HttpResponse
from restkit.policy.auth import as_auth
from restkit.policy.filters import as_filters
from restkit.policy.retries import as_retries
from restkit.progress import as_progress
from restkit.replaying import Keeping
from restkit.timeouts import as_timeout
from restkit.wire.proxy import as_proxy
from restkit.wire.tls import as_tls_version, checked

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from http.cookiejar import CookieJar

    import urllib3

    from restkit.policy.auth import Auth
    from restkit.policy.cookies import Cookies
    from restkit.preparing import GivenHeaders
    from restkit.progress import Progress, Told
    from restkit.settings import Settings
    from restkit.timeouts import Timeout
    from restkit.url import URL, Params
    from restkit.wire.proxy import Proxy
    from restkit.wire.route import AddressCheck, Connect, SocketOption
    from restkit.wire.tls import TLSOptions


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


def with_options(settings: Settings, given: dict[str, Any]) -> Settings:
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
            check = _a_check(name, value)
            changes["network"] = settings.network._replace(address_check=check)
        elif name == "filters":
            changes[name] = settings.filters + as_filters(value)
        elif name not in _OF_KEEPING:
            raise TypeError(unknown_option(name, _ALL))
    if tls:
        changes["tls"] = checked(_giving_way(settings.tls, tls)._replace(**tls))
    if given.keys() & _OF_KEEPING:
        changes["keeping"] = _keeping(settings.keeping, given)
    return settings._replace(**changes)


def _giving_way(options: TLSOptions, given: dict[str, Any]) -> TLSOptions:
    """What was said before, but for what cannot stand beside what is said now."""
    if given.get("context") is not None:
        return options._replace(verify=True, cert=None, min_version=None)
    return options._replace(context=None) if given.keys() & _BESIDE_NO_CONTEXT else options


_BESIDE_NO_CONTEXT = frozenset(("verify", "cert", "min_version"))


def _keeping(before: Keeping, given: dict[str, Any]) -> Keeping:
    """Either option as it is given, or as it was: ``spool`` keeps more than ``replay``."""
    spool = a_bool("spool", given.get("spool", before is Keeping.BEFORE))
    replay = given.get("replay", "spool" if before is Keeping.AS_IT_GOES else None)
    if replay not in (None, "spool"):
        raise RequestError(f"replay={replay!r}: 'spool' or None is wanted")
    if spool:
        return Keeping.BEFORE
    return Keeping.AS_IT_GOES if replay else Keeping.NOTHING


# Converters: the name of an option and what was given for it, to what the settings hold


def a_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name}={value!r}: True or False is wanted")
    return value


def a_count(name: str, value: object, *, least: int = 0, of: str = "number") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RequestError(f"{name}={value!r}: a {of}, {least} or more, is wanted")
    return value


def seconds(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _LONGEST:
        return value
    raise RequestError(
        f"{name}={value!r:.40}: a number of seconds, 0 or more (at most {_LONGEST:g}), is wanted"
    )


def a_path(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise RequestError(f"{name}={value!r}: a path is wanted")
    return os.fsdecode(value)


def _a_size(name: str, value: object) -> int:
    return a_count(name, value, of="number of bytes")


def _at_least_one(name: str, value: object) -> int:
    return a_count(name, value, least=1)


def _a_response_class(name: str, value: object) -> type[HttpResponse] | None:
    if value is None or (isinstance(value, type) and issubclass(value, HttpResponse)):
        return value
    raise RequestError(f"{name}={value!r}: HttpResponse, or a class made from it, is wanted")


def _a_coding(name: str, value: object) -> str:
    from restkit.streaming.compressors import CODINGS  # not at the top: see intake.py

    if value not in CODINGS or not isinstance(value, str):
        raise RequestError(f"{name}={value!r}: one of {', '.join(CODINGS)}, or None, is wanted")
    return value


def _perhaps(convert: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda name, value: None if value is None else convert(name, value)


def _names(name: str, value: object) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Iterable):
        raise RequestError(f"{name}={value!r}: the names of headers are wanted")
    found = list(names)
    if not all(isinstance(each, str) for each in found):
        raise RequestError(f"{name}={value!r}: the names of headers are wanted")
    return frozenset(each.lower() for each in found)


def _a_check(name: str, value: object) -> AddressCheck | None:
    if value is not None and not callable(value):
        raise RequestError(f"{name}={value!r}: a function of an IP address is wanted")
    return value


def _a_proxy(_: str, value: object) -> Callable[[URL], Proxy | None] | None:
    proxy = as_proxy(value)
    return None if proxy is None else lambda _: proxy


def _a_path_or_as_it_is(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_a_path_or_as_it_is(part) for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "timeout": lambda _, value: as_timeout(value),
    "decompress": a_bool,
    "spool_size": _a_size,
    "spool_dir": a_path,
    "max_body": _perhaps(_a_size),
    "expect_continue": _perhaps(a_bool),
    "compress": _perhaps(_a_coding),
    "content_digest": _perhaps(a_bool),
    "follow_redirect": a_bool,
    "max_follow_redirect": a_count,
    "force_follow_redirect": a_bool,
    "follow_downgrade": a_bool,
    "keep_headers": _names,
    "max_tries": _at_least_one,
    "wait_tries": seconds,
    "max_wait": seconds,
    "retry_unsafe": a_bool,
    "retries": lambda _, value: as_retries(value),
    "auth": lambda _, value: as_auth(value),
    "proxy": _a_proxy,
    "progress": lambda _, value: as_progress(value),
    "response_class": _a_response_class,
}
_TLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "verify": ("verify", _a_path_or_as_it_is),
    "cert": ("cert", _a_path_or_as_it_is),
    "ssl_context": ("context", _a_path_or_as_it_is),
    "fingerprint": ("fingerprint", _a_path_or_as_it_is),
    "min_tls": ("min_version", as_tls_version),
}
_OF_KEEPING = frozenset(("replay", "spool"))
_ALL = sorted([*_CHECKS, *_TLS, *_OF_KEEPING, "check_address", "filters"])
