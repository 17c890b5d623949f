"""What may be asked of a request beside itself: the options, and the settings they make."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from restkit.errors import RequestError
from restkit.spool import MEMORY
from restkit.timeouts import Timeout, as_timeout
from restkit.wire.tls import TLSOptions, checked

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import urllib3

    from restkit.url import Params


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
    expect_continue: bool


class RequestOptions(CommonOptions, total=False):
    """What only one call takes, beside the common options."""

    params: Params | None
    json: Any
    body: Any
    data: Any


class Settings(NamedTuple):
    """The common options, checked and filled in; a change makes new ones."""

    timeout: Timeout = Timeout()
    decompress: bool = True
    spool_size: int = MEMORY
    spool_dir: str | None = None
    max_body: int | None = None
    tls: TLSOptions = TLSOptions()
    expect_continue: bool = False

    def updated(self, given: dict[str, Any]) -> Settings:
        """These, with options in place of some; raises TypeError or RequestError."""
        changes: dict[str, Any] = {}
        tls: dict[str, Any] = {}
        for name, value in given.items():
            if name in _TLS_NAMES:
                tls[_TLS_NAMES[name]] = _a_path_or_as_it_is(value)
            elif name in _CHECKS:
                changes[name] = _CHECKS[name](name, value)
            else:
                raise TypeError(_unknown(name))
        if tls:
            changes["tls"] = checked(self.tls._replace(**tls))
        return self._replace(**changes)


def _a_path_or_as_it_is(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_a_path_or_as_it_is(part) for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _a_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name}={value!r}: True or False is wanted")
    return value


def _a_size(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestError(f"{name}={value!r}: a number of bytes, 0 or more, is wanted")
    return value


def _a_limit(name: str, value: object) -> int | None:
    return None if value is None else _a_size(name, value)


def _a_directory(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise RequestError(f"{name}={value!r}: the path of a directory is wanted")
    return os.fsdecode(value)


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "timeout": lambda _, value: as_timeout(value),
    "decompress": _a_bool,
    "spool_size": _a_size,
    "spool_dir": _a_directory,
    "max_body": _a_limit,
    "expect_continue": _a_bool,
}
_TLS_NAMES = {"verify": "verify", "cert": "cert", "ssl_context": "context"}

_NO_REDIRECTS = "this version follows no redirect: it is returned, and r.location says where to"
_NO_PROXIES = "this version uses no proxies"

# What other libraries call what restkit has, or does by itself.
_OTHERS_NAMES = {
    "files": "payload= takes a file as it is; forms with files in them come with FormData",
    "content": "restkit calls it payload",
    "stream": "a response always streams: read body_file, body_stream() or payload_stream",
    "preload_content": "a response always streams: read body_file, body_stream() or body",
    "verify_ssl": "restkit calls it verify",
    "ssl_verify": "restkit calls it verify",
    "ca_certs": "restkit calls it verify, with the path of the file",
    "ssl": "restkit calls it ssl_context",
    "follow_redirect": _NO_REDIRECTS,
    "max_follow_redirect": _NO_REDIRECTS,
    "allow_redirects": f"restkit will call it follow_redirect, and {_NO_REDIRECTS}",
    "follow_redirects": f"restkit will call it follow_redirect, and {_NO_REDIRECTS}",
    "redirect": f"restkit will call it follow_redirect, and {_NO_REDIRECTS}",
    "auth": "this version has none: give an Authorization header",
    "cookies": "this version keeps none: give a Cookie header",
    "proxy": _NO_PROXIES,
    "proxies": _NO_PROXIES,
    "retries": "this version has no such option; see 'Errors' in the guide for what it tries again",
    "headers": "it belongs to a call, and not to a Client, in this version",
    "decode_content": "restkit calls it decompress",
    "fields": "restkit calls it params in the URL, payload in the body",
    "query": "restkit calls it params",
    "chunked": "restkit chunks what has no length; the header Transfer-Encoding: chunked forces it",
    "read_timeout": "restkit calls it timeout=Timeout(idle=...)",
    "connect_timeout": "restkit calls it timeout=Timeout(connect=...)",
    "maxsize": "restkit calls it pool_size, at a Client",
    "pool_maxsize": "restkit calls it pool_size, at a Client",
    "pool_connections": "restkit calls it pool_size, at a Client",
    "pool_size": "it belongs to a Client, and not to one call",
    "max_idle": "it belongs to a Client, and not to one call",
    "params": "it belongs to a call, and not to a Client",
    "json": "it belongs to a call, and not to a Client",
    "body": "it belongs to a call, and not to a Client",
    "data": "it belongs to a call, and not to a Client",
    "payload": "it belongs to a call, and not to a Client",
}


def _unknown(name: str) -> str:
    hint = _OTHERS_NAMES.get(name)
    if hint is None:
        known = ", ".join(sorted([*_CHECKS, *_TLS_NAMES]))
        hint = f"the options are {known}, and for one call params, json, body and data"
    return f"{name}= is no option here: {hint}"
