"""URLs: parse, check, join and encode them."""

from restkit.url.query import Params, ParamValue
from restkit.url.url import URL, GivenURL, Link, join_uri, parse_url

__all__ = ["URL", "GivenURL", "Link", "ParamValue", "Params", "join_uri", "parse_url"]
