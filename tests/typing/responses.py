"""Responses as users read them: the types of every view, for mypy --strict and pyright."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

from restkit import Headers, HttpResponse, Request, StatusError


def check_head(response: HttpResponse) -> None:
    assert_type(response.status, int)
    assert_type(response.reason, str)
    assert_type(response.ok, bool)
    assert_type(response.headers, Headers)
    assert_type(response.headers["name"], str)
    assert_type(response.headers.get("name"), str | None)
    assert_type(response["name"], str)
    assert_type(response[b"name"], str)
    assert_type(response.location, str | None)
    assert_type(response.request, Request)
    assert_type(response.cookies, dict[str, str])


def check_headers(headers: Headers) -> None:
    """Names as str and as bytes."""
    assert_type(headers[b"name"], str)
    assert_type(headers.get(b"name"), str | None)
    assert_type(headers.get(b"name", "default"), str)
    assert_type(headers.get("name", 5), str | int)
    assert_type(headers.get_all(b"name"), list[str])
    assert_type(headers.pop(b"name"), str)
    assert_type(headers.pop("name", None), str | None)
    assert_type(headers.setdefault(b"name", b"value"), str)
    del headers[b"name"]
    headers[5]  # type: ignore[index]  # must be an error


def check_body(response: HttpResponse) -> None:
    assert_type(response.body, bytes)
    assert_type(response.text, str)
    assert_type(response.json(), Any)
    assert_type(response.body_file.read(), bytes)
    assert_type(response.save("path"), int)
    assert_type(response.iter_blocks(5), Iterator[bytes])
    assert_type(response.iter_lines(), Iterator[bytes])
    assert_type(response.iter_lines(text=False), Iterator[bytes])
    assert_type(response.iter_lines(text=True), Iterator[str])
    as_text: bool = response.ok
    for line_of_either_type in response.iter_lines(text=as_text):
        assert_type(line_of_either_type, bytes | str)
    response.iter_lines(text="yes")  # type: ignore[call-overload]  # must be an error
    io.TextIOWrapper(response.body_file)
    for line in response.body_file:
        assert_type(line, bytes)


def check_names_of_requests_and_httpx(response: HttpResponse) -> None:
    assert_type(response.status_code, int)
    assert_type(response.content, bytes)
    assert_type(response.url, str)
    assert_type(response.encoding, str)
    assert_type(response.elapsed, timedelta)
    assert_type(response.is_redirect, bool)
    assert_type(response.iter_content(8192), Iterator[bytes])
    assert_type(response.iter_content(chunk_size=None), Iterator[bytes])
    assert_type(response.iter_bytes(), Iterator[bytes])
    response.encoding = "latin-1"
    response.encoding = None
    response.encoding = 5  # type: ignore[assignment]  # must be an error
    response.status_code = 5  # type: ignore[misc]  # must be an error


def check_errors(response: HttpResponse) -> None:
    try:
        response.raise_for_status()
    except StatusError as exc:
        assert_type(exc.status_int, int)
        assert_type(exc.message, str)
