"""Proxies, certificates and sockets of a Client.

What a Client is given once of the world around it: how sockets open, and the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from restkit.errors import InvalidUrl, RequestError
from restkit.network.env_proxies import EnvironmentProxies
from restkit.network.options import Network, read_ca_paths
from restkit.url.url import URL, parse_url

if TYPE_CHECKING:
    from restkit.network.options import Connect, SocketOption
    from restkit.settings import Settings


def apply_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with the proxies and the trusted certificates that the environment names."""
    proxies = EnvironmentProxies(environ)
    opens_as_said = settings.network.uds is not None or settings.network.connect is not None
    if proxies and not opens_as_said:
        settings = settings._replace(proxy=proxies)
    trusted = read_ca_paths(environ)
    if trusted is not None:
        settings = settings._replace(tls=settings.tls._replace(verify=trusted))
    return settings


def base_of(base_url: str | URL | None) -> URL | None:
    """What relative URLs go behind; raises InvalidUrl."""
    try:
        return None if base_url is None else parse_url(base_url)
    except InvalidUrl as exc:
        raise InvalidUrl(f"base_url=: {exc.message}") from exc


def network_of(
    uds: str | os.PathLike[str] | None,
    source_address: tuple[str, int] | None,
    socket_options: Iterable[SocketOption],
    connect: Connect | None,
) -> Network:
    """How sockets are to be opened; raises RequestError for what cannot be meant."""
    if connect is not None:
        _check_connect(connect, uds, source_address)
    if uds is not None and source_address is not None:
        raise RequestError("uds= and source_address= are given, and a Unix socket has no address")
    if uds is not None and not isinstance(uds, (str, os.PathLike)):
        raise RequestError(f"uds={uds!r}: the path of a socket is wanted")
    return Network(
        _source(source_address),
        _options(socket_options),
        None if uds is None else os.fsdecode(uds),
        connect=connect,
    )


def _check_connect(connect: object, uds: object, source_address: object) -> None:
    if not callable(connect):
        raise RequestError(f"connect={connect!r}: a function of host and port is wanted")
    other = "uds" if uds is not None else "source_address" if source_address is not None else None
    if other:
        raise RequestError(f"connect= and {other}= are given, and connect= opens sockets itself")


def _source(given: object) -> tuple[str, int] | None:
    if given is None:
        return None
    if isinstance(given, (tuple, list)) and len(given) == 2:
        host, port = given
        if _is_host(host) and isinstance(port, int) and 0 <= port <= 65535:
            return host, port
    raise RequestError(f"source_address={given!r}: an address and a port (0 for any) are wanted")


def _options(given: object) -> tuple[SocketOption, ...]:
    if not isinstance(given, Iterable):
        raise RequestError(f"socket_options={given!r}: a list of (level, option, value) is wanted")
    return tuple(_checked(option) for option in given)


def _checked(option: object) -> SocketOption:
    if isinstance(option, (tuple, list)) and len(option) == 3:
        level, name, value = option
        if _is_c_int(level) and _is_c_int(name) and (_is_c_int(value) or type(value) is bytes):
            return level, name, value
    raise RequestError(f"socket_options= has {option!r}; (level, option, value) is wanted")


def _is_host(host: object) -> bool:
    return isinstance(host, str) and host.isascii() and host.isprintable()


def _is_c_int(value: object) -> bool:
    """Whether setsockopt(2) takes it."""
    return isinstance(value, int) and -(2**31) <= value < 2**31


def addresses_by_host(resolve: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """``resolve=`` by hosts as URLs have them; a host may have its port behind it."""
    if resolve is None:
        return None
    if not isinstance(resolve, Mapping):
        raise RequestError(f"resolve={resolve!r}: a mapping of hosts to addresses is wanted")
    return {_as_in_urls(host): _address(host, address) for host, address in resolve.items()}


def _as_in_urls(host: object) -> str:
    try:
        url = parse_url(f"http://{host}/")
    except InvalidUrl as exc:
        raise RequestError(f"resolve= has {host!r}, which is no host: {exc.message}") from exc
    if url != URL(*url.origin):
        raise RequestError(f"resolve= has {host!r}; a host, or a host with its port, is wanted")
    has_port = str(host).rpartition("]")[2].rpartition(":")[1]
    return f"{url.host}:{url.port}" if has_port else url.host


def _address(host: object, address: object) -> str:
    if not isinstance(address, str) or not address:
        raise RequestError(f"resolve= has {address!r} for {host!r}; an address is wanted")
    return address.strip("[]")
