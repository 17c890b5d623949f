"""Choose a proxy by HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

There is no standard; this follows what curl, wget, Python and Go agree on. HTTP_PROXY is for
http:// URLs, HTTPS_PROXY for https:// URLs, and ALL_PROXY for both if they have none of their
own. An empty value counts as not set; the name in lower case wins. In a CGI program HTTP_PROXY
holds the client's header ``Proxy`` (httpoxy, CVE-2016-5385), so it is ignored if REQUEST_METHOD is
set. Hosts of this machine are no exception, as in curl and requests, and unlike Go:
``NO_PROXY=localhost,127.0.0.0/8,::1`` excludes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from restkit.errors import RequestError
from restkit.network.proxy import Proxy, as_proxy
from restkit.url.host import split_host_port
from restkit.url.url import URL

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network  # loaded when used


_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_BY_SCHEME = {"http": ("http_proxy", "all_proxy"), "https": ("https_proxy", "all_proxy")}
# A client may send requests to any number of origins; deciding again is cheap.
_MAX_CACHED = 1000


class EnvironmentProxies:
    """The proxies of an environment, read once. A call with a URL returns its Proxy, or None.

    NO_PROXY lists hosts to connect to directly, separated by commas or spaces. A name stands for
    itself and all names below it, with or without a dot or ``*.`` in front. An address, and a
    network such as 10.0.0.0/8 or fd00::/8, stand for hosts that are written as addresses. A port
    after anything but a network restricts the entry to that port. ``*`` is every host. An entry
    that is none of these is skipped. An invalid proxy is a RequestError when it would be used.

    >>> proxies = EnvironmentProxies({'ALL_PROXY': 'localhost:3128', 'NO_PROXY': '.example.org'})
    >>> bool(proxies), proxies
    (True, <EnvironmentProxies: ALL_PROXY, NO_PROXY>)
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        variables = [_find_variable(environ, name) for name in _NAMES]
        self._variables = [variable for variable in variables if variable is not None]
        self._proxies = {
            scheme: _find_proxy(names, environ) for scheme, names in _BY_SCHEME.items()
        }
        no_proxy = variables[-1]
        entries = environ[no_proxy].replace(",", " ").split() if no_proxy else []
        self._exceptions = [each for each in map(_parse_exception, entries) if each is not None]
        self._cache: dict[tuple[str, str, int], Proxy | None] = {}

    def __call__(self, url: URL) -> Proxy | None:
        """Return the proxy for this URL; raise RequestError that names an invalid variable."""
        origin = url.origin
        if origin in self._cache:
            return self._cache[origin]
        proxy = None if self._is_excepted(url.host, url.port) else self._proxies[url.scheme]
        if isinstance(proxy, RequestError):
            raise RequestError(proxy.message) from proxy
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[origin] = proxy
        return proxy

    def _is_excepted(self, host: str, port: int) -> bool:
        return any(each.matches(host, port) for each in self._exceptions)

    def __bool__(self) -> bool:
        return any(proxy is not None for proxy in self._proxies.values())

    def __repr__(self) -> str:
        return f"<EnvironmentProxies: {', '.join(self._variables) or 'none'}>"


def _find_variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return the variable for a name in lower case, or None if it is empty or not set."""
    variable = name if name in environ else name.upper()
    if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        return None
    return variable if environ.get(variable, "").strip() else None


def _find_proxy(names: tuple[str, ...], environ: Mapping[str, str]) -> Proxy | RequestError | None:
    """Return the proxy, or the error in it: it is raised only if somebody uses the proxy."""
    variable = next(filter(None, (_find_variable(environ, name) for name in names)), None)
    if variable is None:
        return None
    try:
        return as_proxy(environ[variable].strip())
    except RequestError as exc:
        return RequestError(f"{variable} in the environment: {exc.message}")


class _Exception(NamedTuple):
    """Hosts to connect to directly: all, a name and those below it, or a network of addresses."""

    name: str | None = None
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            ip = _parse_ip(host)
            return ip is not None and ip in self.network
        if self.name is None:
            return True
        host = host.rstrip(".")
        return host == self.name or host.endswith(f".{self.name}")


def _parse_exception(text: str) -> _Exception | None:
    if text == "*":
        return _Exception()
    network = _parse_network(text)
    if network is not None:
        return _Exception(network=network)
    try:
        host, port = split_host_port(text.removeprefix("*").removeprefix("."))
    except ValueError:
        return None
    network = _parse_network(host.strip("[]"))
    if network is not None:
        return _Exception(network=network, port=port)
    return _Exception(host.rstrip("."), port=port)


def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    """Return a network, or an address as a network of one; IPv4 in IPv6 becomes IPv4."""
    if not text[-1:].isdigit() and ":" not in text:
        return None  # most entries are names
    from ipaddress import IPv4Network, ip_network

    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _parse_ip(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a URL's host, or None for a name; IPv4 in IPv6 becomes IPv4."""
    if not host[-1:].isdigit() and ":" not in host:
        return None
    from ipaddress import ip_address

    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (ip.version == 6 and ip.ipv4_mapped) or ip
