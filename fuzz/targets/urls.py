"""URLs: restkit compared with urllib3 and urllib.parse, and references joined to a base."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

import urllib3
from urllib3.util import parse_url as parse_url_of_urllib3

from fuzz.target import Mismatch, Target, compare
from restkit.errors import InvalidUrl
from restkit.url.url import parse_url
from support.differences.urls import DIFFERENCES

_PORTS = {"http": 80, "https": 443}


class Outcome(NamedTuple):
    """The result of one parser: the parts of a URL that decide where a request goes, or an error.

    A parser that does not normalize the target leaves it None.
    """

    fault: str = ""
    scheme: str = ""
    host: str = ""
    port: int = 0
    target: str | None = None


def parse_by_restkit(text: str) -> Outcome:
    try:
        url = parse_url(text)
    except InvalidUrl as exc:
        return Outcome(str(exc))
    again = parse_url(str(url))
    if again != url.without_userinfo():
        raise Mismatch("a URL changes when it is parsed again", f"{url!r}: {again!r}")
    return Outcome("", *url.origin, url.target)


def parse_by_urllib3(text: str) -> Outcome:
    try:
        url = parse_url_of_urllib3(text)
    except urllib3.exceptions.LocationParseError as exc:
        return Outcome(str(exc))
    if url.scheme not in _PORTS or not url.host:
        return Outcome("no URL of http")
    host = url.host.removeprefix("[").removesuffix("]")
    return Outcome("", url.scheme, host, url.port or _PORTS[url.scheme], url.request_uri)


def parse_by_urllib(text: str) -> Outcome:
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError as exc:
        return Outcome(str(exc))
    if url.scheme not in _PORTS or not url.hostname:
        return Outcome("no URL of http")
    return Outcome("", url.scheme, url.hostname, port or _PORTS[url.scheme])


def join_by_restkit(base: str, reference: str) -> Outcome:
    try:
        url = parse_url(base).join(reference)
    except InvalidUrl as exc:
        return Outcome(str(exc))
    return Outcome("", *url.origin, url.target)


def join_by_urllib(base: str, reference: str) -> Outcome:
    try:
        joined = urllib.parse.urljoin(base.strip(" "), reference.strip(" "))
    except ValueError as exc:
        return Outcome(str(exc))
    return parse_by_restkit(joined)


def check(data: bytes) -> None:
    """Parse a URL, or join its first line and a reference behind it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    base, newline, reference = text.partition("\n")
    ours = parse_by_restkit(base)
    if not newline:
        compare(DIFFERENCES, data, "urllib3", ours, parse_by_urllib3(base))
        theirs = parse_by_urllib(base)
        compare(DIFFERENCES, data, "urllib", ours._replace(target=None), theirs)
    elif not ours.fault:
        joined = join_by_restkit(base, reference)
        compare(DIFFERENCES, data, "urljoin", joined, join_by_urllib(base, reference))


TARGET = Target(
    check,
    seeds=[
        text.encode()
        for text in (
            "http://host/a/b?c#d",
            "HTTPS://User:pw@Host:8443/%7e/../x?y=z&%zz",
            "http://[::1]:80/",
            "http://[fe80::1%25eth0]/",
            "http://127.0.0.1",
            "http://m\u00fcnchen.example/\u00fc",
            "http://a_b.example.:080/?",
            "http://host\\@other/",
            "http://host#@other/",
            "http://host?@other/",
            "http://a/b/c?d#e\n../f",
            "http://a/b/c?d#e\n?g",
            "http://a/b/c?d#e\n#h",
            "http://a/b/c?d\n//other/x",
            "http://a/b/c?d\nhttp:x",
            "http://a/b/c?d\nhttps://other",
            "http://a/b/c?d\n/./../x/",
        )
    ],
    words=[
        *(b"http://", b"https://", b"//", b"/../", b"/./", b"%2e", b"%2F", b"[::1]", b"@", b":80"),
        *(b"\\", b"#", b"?", b"%25", b"\xc3\xbc", b"\xe3\x80\x82", b"\n", b"xn--", b"127.1"),
    ],
    max_length=200,
)
