"""Calls as users write them: mypy --strict and pyright must accept this file, and its errors.

A line with ``type: ignore`` must be an error, for both checkers: an ignore that is not needed is
reported. Nothing here is run.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import io
import os
import ssl
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import urllib3
from typing_extensions import Unpack, assert_type

import restkit
from restkit import (
    URL,
    BasicAuth,
    Client,
    ClientOptions,
    Cookies,
    Headers,
    HttpResponse,
    Link,
    RequestOptions,
    Resource,
    Timeout,
)

URL_TEXT = "http://host/path"


def check_params() -> None:
    """Parameters as literals, and as variables whose type the checker has inferred."""
    restkit.get(URL_TEXT, params={"a": 1, "b": ["x", 2], "c": None, "d": True})
    restkit.get(URL_TEXT, params={"a": 1.5, "b": b"x", "c": ("x", None), "d": lambda: "x"})
    restkit.get(URL_TEXT, params={"a": "1"})
    restkit.get(URL_TEXT, params=[("a", 1), ("b", ["x", 2]), ("c", None), ("a", True)])
    restkit.get(URL_TEXT, params="a=1&b=2")
    restkit.get(URL_TEXT, params=None)
    text: dict[str, str] = {"a": "1"}
    numbers = {"a": 1, "b": 2}
    mixed = {"a": 1, "b": "x", "c": None, "d": True}
    nested = {"a": 1, "b": ["x", 2], "c": None, "d": True}
    pairs = [("a", 1), ("b", 2)]
    restkit.get(URL_TEXT, params=text)
    restkit.get(URL_TEXT, params=numbers)
    restkit.get(URL_TEXT, params=mixed)
    restkit.get(URL_TEXT, params=nested)
    restkit.get(URL_TEXT, params=pairs)
    Client(params={"a": 1, "b": ["x", 2], "c": None, "d": True})


def check_headers(client: Client) -> None:
    client.get(URL_TEXT, headers={"A": "1", "B": 2, "C": None, "D": b"x"})
    client.get(URL_TEXT, headers={b"A": b"1", b"B": None})
    client.get(URL_TEXT, headers=[("A", "1"), ("B", 2), (b"C", None)])
    client.get(URL_TEXT, headers=Headers({"A": "1"}))
    text: dict[str, str] = {"A": "1"}
    optional = {"A": "1", "B": None}
    raw = {b"A": b"1"}
    mixed: dict[str | bytes, str] = {}
    client.get(URL_TEXT, headers={b"A": "1", "B": b"2"})
    client.get(URL_TEXT, headers={b"A": "1", "B": 2, "C": None})
    client.get(URL_TEXT, headers=mixed)
    client.get(URL_TEXT, headers=text.items())
    client.get(URL_TEXT, headers=zip(["A"], ["1"], strict=True))
    client.get(URL_TEXT, headers=(("A", name) for name in ["1"]))
    client.get(URL_TEXT, headers={1: "1"})  # type: ignore[dict-item]  # must be an error
    client.get(URL_TEXT, headers={"A": []})  # type: ignore[dict-item]  # must be an error
    client.get(URL_TEXT, headers=text)
    client.get(URL_TEXT, headers=optional)
    client.post(URL_TEXT, b"payload", raw)
    Headers({b"A": b"1", "B": "2"}).add(b"B", "2")


def check_cookies(client: Client) -> None:
    assert_type(client.cookies, Cookies)
    client.cookies["a"] = "1"
    del client.cookies["a"]
    client.cookies.save("cookies.txt")
    assert_type(client.cookies["a"], str)


def check_payloads(client: Client) -> None:
    client.post(URL_TEXT, b"bytes")
    client.post(URL_TEXT, "text")
    client.post(URL_TEXT, {"a": 1, "b": ["x"]})
    client.post(URL_TEXT, Path("file"))
    client.post(URL_TEXT, payload=io.BytesIO())
    client.put(URL_TEXT, (line for line in ["a"]), {"X": "1"})
    client.patch(URL_TEXT, json={"a": [1, None]})
    client.post(URL_TEXT, data={"a": 1})
    client.delete(URL_TEXT, payload=b"x")
    client.get(URL_TEXT, payload=None, headers=None)
    client.request(URL_TEXT, "PURGE", b"x", {"X": "1"}, timeout=5)


def check_misplaced_arguments(client: Client) -> None:
    restkit.get(URL_TEXT, {"a": 1})  # type: ignore[arg-type]  # must be an error
    restkit.delete(URL_TEXT, b"x")  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, {"a": 1})  # type: ignore[arg-type]  # must be an error
    client.head(URL_TEXT, None)  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, header={"X": "1"})  # type: ignore[call-arg]  # must be an error


def check_options(client: Client) -> None:
    client.get(URL_TEXT, timeout=5)
    client.get(URL_TEXT, timeout=(1, None))
    client.get(URL_TEXT, timeout=Timeout(total=5))
    client.get(URL_TEXT, timeout=urllib3.Timeout(5))
    client.get(URL_TEXT, auth=("user", "pass"))
    client.get(URL_TEXT, auth="netrc")
    client.get(URL_TEXT, auth=BasicAuth("user", "pass"))
    client.get(URL_TEXT, replay="spool", compress="gzip", min_tls="1.2")
    client.get(URL_TEXT, replay=None, compress=None, min_tls=ssl.TLSVersion.TLSv1_3)
    client.get(URL_TEXT, retries=3)
    client.get(URL_TEXT, retries=urllib3.Retry(3))
    client.get(URL_TEXT, verify="system", check_address=lambda address: address.is_global)
    client.get(URL_TEXT, verify=Path("ca.pem"), progress=lambda done, total: None)
    client.get(URL_TEXT, auth="netcr")  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, replay="disk")  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, compress="br")  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, min_tls="1.1")  # type: ignore[arg-type]  # must be an error
    client.get(URL_TEXT, decompress="no")  # type: ignore[arg-type]  # must be an error
    Client(cookies=CookieJar(), uds=os.fspath("/run/socket"), pool_size=3, resolve={"host": "::1"})
    Client(poolsize=3)  # type: ignore[call-arg]  # must be an error


def fetch(path: str, **options: Unpack[RequestOptions]) -> HttpResponse:
    """Wrap a function: every keyword of a call."""
    return restkit.get(f"http://host/{path}", **options)


def send(client: Client, method: str, **options: Unpack[RequestOptions]) -> HttpResponse:
    """Wrap ``request`` of a Client."""
    options["timeout"] = 5
    options.setdefault("headers", {"X": "1"})
    return client.request(URL_TEXT, method, **options)


def make_client(**options: Unpack[ClientOptions]) -> Client:
    """Wrap a Client."""
    return Client(**options)


def check_wrappers(client: Client) -> None:
    assert_type(fetch("path", params={"a": 1}, headers={"X": "1"}, timeout=5), HttpResponse)
    send(client, "POST", payload=b"x", compress="gzip", json=None)
    make_client(base_url="http://host", headers={"X": "1"}, timeout=5, cookies=False)
    fetch("path", timeuot=5)  # type: ignore[call-arg]  # must be an error
    make_client(payload=b"x")  # type: ignore[call-arg]  # must be an error
    given: RequestOptions = {"timeout": 5, "auth": "netrc", "params": {"a": None}}
    fetch("path", **given)


def check_urls(client: Client, response: HttpResponse) -> None:
    assert_type(response.links, dict[str, Link])
    assert_type(response.links["next"]["url"], str)
    client.get(response.links["next"])
    client.get(response.links["next"]["url"])
    restkit.request(response.links["next"], "HEAD")
    assert_type(restkit.parse_url(response.links["next"]), URL)
    client.get(restkit.parse_url(URL_TEXT))
    client.get(5)  # type: ignore[arg-type]  # must be an error


def check_resource() -> None:
    with Resource("http://host/", timeout=5) as resource:
        assert_type(resource, Resource)
        assert_type(resource("path"), Resource)
        assert_type(resource.get("path", q=1, page=["x", 2], none=None), HttpResponse)
        resource.post("path", json={"a": 1}, headers={b"A": b"1"})
        resource.get("path", None, {"a": 1, "b": ["x", 2], "c": None, "d": True})
        resource.clone(timeout=5, compress="zstd")


def check_context_managers() -> Iterator[HttpResponse]:
    with Client() as client, client.get(URL_TEXT) as response:
        assert_type(client, Client)
        assert_type(response, HttpResponse)
        yield response.raise_for_status()
