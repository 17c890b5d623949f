"""Proxies, certificates and sockets of a Client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from restkit.client.options import Settings
from restkit.errors import InvalidUrl, RequestError
from restkit.io.sockets import AF_UNIX
from restkit.network.env_proxies import EnvironmentProxies
from restkit.network.options import Connect, Network, SocketOption, read_ca_paths
from restkit.url.url import URL, parse_url


def apply_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with the proxies and trusted certificates of the environment."""
    proxies = EnvironmentProxies(environ)
    has_own_sockets = settings.network.uds is not None or settings.network.connect is not None
    if proxies and not has_own_sockets:
        settings = settings.replace(proxy=proxies)
    ca_paths = read_ca_paths(environ)
    if ca_paths is not None:
        settings = settings.replace(tls=settings.tls._replace(verify=ca_paths))
    return settings


def parse_base_url(base_url: str | URL | None) -> URL | None:
    """Return the URL that relative URLs are joined to; raise InvalidUrl for a malformed one."""
    try:
        return None if base_url is None else parse_url(base_url)
    except InvalidUrl as exc:
        raise InvalidUrl(f"base_url: {exc.message}") from exc


def make_network(
    uds: str | os.PathLike[str] | None,
    source_address: tuple[str, int] | None,
    socket_options: Iterable[SocketOption],
    connect: Connect | None,
) -> Network:
    """Return the options for opening sockets; raise RequestError if they conflict."""
    if connect is not None:
        _check_connect(connect, uds, source_address)
    if uds is not None and source_address is not None:
        raise RequestError("uds and source_address are both given; a Unix socket has no address")
    if uds is not None and not isinstance(uds, (str, os.PathLike)):
        raise RequestError(f"uds must be the path of a Unix socket; got {uds!r:.60}")
    if uds is not None and AF_UNIX is None:
        raise RequestError(f"uds={uds!r:.60} cannot be used: this system has no Unix sockets")
    return Network(
        _check_source_address(source_address),
        _check_socket_options(socket_options),
        None if uds is None else os.fsdecode(uds),
        connect=connect,
    )


def _check_connect(connect: object, uds: object, source_address: object) -> None:
    if not callable(connect):
        raise RequestError(f"connect must be a function of host and port; got {connect!r:.60}")
    other = "uds" if uds is not None else "source_address" if source_address is not None else None
    if other:
        raise RequestError(f"connect and {other} are both given; connect opens sockets itself")


def _check_source_address(value: object) -> tuple[str, int] | None:
    if value is None:
        return None
    if isinstance(value, (tuple, list)) and len(value) == 2:
        host, port = value
        is_host = isinstance(host, str) and host.isascii() and host.isprintable()
        if is_host and isinstance(port, int) and 0 <= port <= 65535:
            return host, port
    raise RequestError(
        f"source_address must be (address, port), with port 0 for any; got {value!r:.60}"
    )


def _check_socket_options(value: object) -> tuple[SocketOption, ...]:
    if not isinstance(value, Iterable):
        raise RequestError(
            f"socket_options must be a list of (level, option, value); got {value!r:.60}"
        )
    return tuple(_check_socket_option(option) for option in value)


def _check_socket_option(option: object) -> SocketOption:
    if isinstance(option, (tuple, list)) and len(option) == 3:
        level, name, value = option
        if _is_c_int(level) and _is_c_int(name) and (_is_c_int(value) or type(value) is bytes):
            return level, name, value
    raise RequestError(f"each of socket_options must be (level, option, value); got {option!r:.60}")


def _is_c_int(value: object) -> bool:
    """Whether setsockopt(2) accepts the value as an int."""
    return isinstance(value, int) and -(2**31) <= value < 2**31


def parse_resolve(resolve: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return ``resolve=`` with normalized keys, ``host`` or ``host:port``.

    Raises RequestError for an invalid host or address.
    """
    if resolve is None:
        return None
    if not isinstance(resolve, Mapping):
        raise RequestError(f"resolve must be a mapping of hosts to addresses; got {resolve!r:.60}")
    return {_parse_host(host): _parse_address(host, address) for host, address in resolve.items()}


def _parse_host(host: object) -> str:
    try:
        url = parse_url(f"http://{host}/")
    except InvalidUrl as exc:
        raise RequestError(f"resolve has an invalid host {host!r}: {exc.message}") from exc
    if url != URL(*url.origin):
        raise RequestError(f"the keys of resolve must be host or host:port; got {host!r}")
    has_port = str(host).rpartition("]")[2].rpartition(":")[1]
    return f"{url.host}:{url.port}" if has_port else url.host


def _parse_address(host: object, address: object) -> str:
    if not isinstance(address, str) or not address:
        raise RequestError(f"the address of {host!r} in resolve must be a str; got {address!r:.60}")
    return address.strip("[]")
