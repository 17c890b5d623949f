"""Types for annotations that are slow to import, or exist for type checkers only.

Few programs need them at run time. There, a stand-in replaces each of them, so that
``typing.get_type_hints`` works.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from http.cookiejar import CookieJar
    from ipaddress import IPv4Address, IPv6Address
    from logging import Handler as LogHandler

    from _typeshed import OptExcInfo, WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Self, Unpack
    from urllib3 import Retry as Urllib3Retry
    from urllib3 import Timeout as Urllib3Timeout
else:
    CookieJar = IPv4Address = IPv6Address = LogHandler = Urllib3Retry = Urllib3Timeout = Any
    OptExcInfo = WriteableBuffer = Any
    StartResponse = Callable[..., Any]
    WSGIEnvironment = dict[str, Any]
    WSGIApplication = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
    if sys.version_info >= (3, 11):
        from typing import Self, Unpack
    else:
        Self = Any

        class Unpack:
            """Stands for ``typing.Unpack``, which Python 3.10 does not have."""

            def __class_getitem__(cls, item: object) -> object:
                return Any


__all__ = [
    "CookieJar",
    "IPv4Address",
    "IPv6Address",
    "LogHandler",
    "OptExcInfo",
    "Self",
    "StartResponse",
    "Unpack",
    "Urllib3Retry",
    "Urllib3Timeout",
    "WSGIApplication",
    "WSGIEnvironment",
    "WriteableBuffer",
]
