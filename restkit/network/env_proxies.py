"""Choose a proxy by HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

Which proxy the environment names for a URL, and for which hosts it names none.

There is no standard for it: what curl, wget, Python and Go agree on is done here. HTTP_PROXY is
for http:// URLs, HTTPS_PROXY for https:// ones, ALL_PROXY for those without one of their own; what
is empty is not set; the name in lower case wins. In a CGI program HTTP_PROXY is what the client
has sent as its header ``Proxy`` (httpoxy, CVE-2016-5385), and so is not looked at where there is
REQUEST_METHOD. Hosts of this machine are no exception, as for curl and requests, and unlike Go:
``NO_PROXY=localhost,127.0.0.0/8,::1`` makes them one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from restkit.errors import RequestError
from restkit.network.proxy import Proxy, as_proxy
from restkit.url.host import split_host_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from restkit.url.url import URL


_VARIABLES = {"http": ("http_proxy", "all_proxy"), "https": ("https_proxy", "all_proxy")}
# A client may be asked for any number of origins; to decide again is cheap.
_MOST_DECIDED = 1000


class EnvironmentProxies:
    """The proxies of an environment, read once; called with a URL it gives its Proxy, or None.

    NO_PROXY is a list, with commas or spaces between, of hosts that are gone to directly: a name
    means itself and all names under it, with or without a dot or ``*.`` before it; an address,
    and a network as 10.0.0.0/8 or fd00::/8, mean hosts that are written as addresses; a port
    behind any but a network means that port only; ``*`` is every host. What can be none of these
    is passed over. A proxy that cannot be understood is a RequestError when it would be used.

    >>> proxies = EnvironmentProxies({'ALL_PROXY': 'localhost:3128', 'NO_PROXY': '.example.org'})
    >>> bool(proxies), proxies
    (True, <EnvironmentProxies: ALL_PROXY, NO_PROXY>)
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._named = [name for name in map(_finder(environ), _NAMES) if name is not None]
        self._proxies = {scheme: _first_of(names, environ) for scheme, names in _VARIABLES.items()}
        no_proxy = _finder(environ)("no_proxy")
        entries = environ[no_proxy].replace(",", " ").split() if no_proxy else []
        self._exceptions = [each for each in map(_exception, entries) if each is not None]
        self._decided: dict[tuple[str, str, int], Proxy | None] = {}

    def __call__(self, url: URL) -> Proxy | None:
        """The proxy for this URL; raises RequestError, naming the variable that is wrong."""
        origin = url.origin
        if origin in self._decided:
            return self._decided[origin]
        proxy = None if self._goes_directly(url.host, url.port) else self._proxies[url.scheme]
        if isinstance(proxy, RequestError):
            raise RequestError(proxy.message) from proxy
        if len(self._decided) >= _MOST_DECIDED:
            self._decided.clear()
        self._decided[origin] = proxy
        return proxy

    def _goes_directly(self, host: str, port: int) -> bool:
        return any(each.is_for(host, port) for each in self._exceptions)

    def __bool__(self) -> bool:
        return any(proxy is not None for proxy in self._proxies.values())

    def __repr__(self) -> str:
        return f"<EnvironmentProxies: {', '.join(self._named) or 'none'}>"


_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def _finder(environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """Tells by a name in lower case which variable holds it, None where it is empty or not set."""

    def find(name: str) -> str | None:
        variable = name if name in environ else name.upper()
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            return None
        return variable if environ.get(variable, "").strip() else None

    return find


def _first_of(names: tuple[str, ...], environ: Mapping[str, str]) -> Proxy | RequestError | None:
    """The proxy, or what is wrong with it: there may be nobody who wants to use it."""
    variable = next(filter(None, map(_finder(environ), names)), None)
    if variable is None:
        return None
    try:
        return as_proxy(environ[variable].strip())
    except RequestError as exc:
        return RequestError(f"{variable} in the environment: {exc.message}")


class _Exception(NamedTuple):
    """Hosts to go to directly: all, a name and those under it, or a network of addresses."""

    name: str | None = None
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def is_for(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            ip = _ip(host)
            return ip is not None and ip in self.network
        if self.name is None:
            return True
        host = host.rstrip(".")
        return host == self.name or host.endswith(f".{self.name}")


def _exception(text: str) -> _Exception | None:
    if text == "*":
        return _Exception()
    network = _network(text)
    if network is not None:
        return _Exception(network=network)
    try:
        host, port = split_host_port(text.removeprefix("*").removeprefix("."))
    except ValueError:
        return None
    network = _network(host.strip("[]"))
    if network is not None:
        return _Exception(network=network, port=port)
    return _Exception(host.rstrip("."), port=port)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """A network, or an address as a network of one; an IPv4 one is itself, as in ``_ip``."""
    if not text[-1:].isdigit() and ":" not in text:
        return None  # most are names
    from ipaddress import IPv4Network, ip_network

    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen >= 96:
        within = network.network_address.ipv4_mapped
        if within is not None:
            return IPv4Network((within, network.prefixlen - 96))
    return network


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a URL's host is; an IPv4 one is itself, however it was written."""
    if not host[-1:].isdigit() and ":" not in host:
        return None
    from ipaddress import ip_address

    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (ip.version == 6 and ip.ipv4_mapped) or ip
