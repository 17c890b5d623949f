"""Responses with a file, over real sockets: whole, in part, and unmodified."""

from __future__ import annotations

import os
import re
from email.utils import formatdate

import pytest

from restkit import Client
from restkit.server import App, serve
from restkit.server.file_response import file
from support.wsgi_calls import call_app

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some file.bin"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(10**18, 784111777 * 10**9 + 5))
    return path


@pytest.fixture
def client(path):
    app = App("files")

    @app.get("/file")
    def whole(request):
        return file(path)

    @app.get("/named")
    def named(request):
        return file(path, filename=request.args.get("name"), content_type="text/csv")

    @app.get("/with_status")
    def with_status(request):
        return file(path, status=404, headers={"Cache-Control": "no-store"})

    @app.get("/missing")
    def missing(request):
        return file(path.with_name("missing"))

    @app.get("/folder")
    def folder(request):
        return file(path.parent)

    with serve(app) as server, Client(base_url=server.url, max_tries=1) as client:
        yield client


ETAG = f'"{784111777 * 10**9 + 5:x}-{len(CONTENT):x}"'
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_file_has_length_type_and_validators(client):
    for method in ("GET", "HEAD"):
        r = client.request("file", method)
        assert r.status == 200
        assert r.body == (CONTENT if method == "GET" else b"")
        assert r["Content-Length"] == str(len(CONTENT))
        assert r["Content-Type"] == "application/octet-stream"
        assert r["ETag"] == ETAG
        assert r["Last-Modified"] == DATE
        assert r["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-70000", 100, 70001),
        ("bytes=511000-", 511000, 512000),
        ("bytes=-5", 511995, 512000),
        ("bytes=300000-9999999", 300000, 512000),
    ],
)
def test_range_sends_exactly_the_requested_bytes(client, value, start, end):
    for headers in ({}, {"If-Range": ETAG}):
        r = client.get("file", headers={"Range": value, **headers})
        assert r.status == 206
        assert r["Content-Range"] == f"bytes {start}-{end - 1}/512000"
        assert r["Content-Length"] == str(end - start)
        assert r.body == CONTENT[start:end]
        assert r["ETag"] == ETAG
    assert client.get("file").body == CONTENT  # on the same connection


def test_if_range_of_another_file_sends_the_whole_file(client):
    r = client.get("file", headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (r.status, r.body) == (200, CONTENT)


def test_if_range_with_a_date_never_joins_two_versions_of_one_second(client):
    r = client.get("file", headers={"Range": "bytes=5-", "If-Range": DATE})
    assert (r.status, r.body) == (200, CONTENT)


def test_range_after_the_end_is_416_with_the_size(client):
    r = client.get("file", headers={"Range": "bytes=512000-"})
    assert (r.status, r["Content-Range"], r.body) == (416, "bytes */512000", b"")


@pytest.mark.parametrize(
    "headers",
    [{"If-None-Match": ETAG}, {"If-None-Match": f"W/{ETAG}"}, {"If-Modified-Since": DATE}],
)
def test_unmodified_file_is_304(client, headers):
    for method in ("GET", "HEAD"):
        r = client.request("file", method, headers=headers)
        assert (r.status, r.body, r["ETag"]) == (304, b"", ETAG)
        assert "Content-Length" not in r.headers
    assert client.get("file").body == CONTENT


def test_failed_precondition_is_412(client):
    r = client.get("file", headers={"If-Match": '"other"'})
    assert (r.status, r.body) == (412, b"")


def test_changed_file_has_another_etag(client, path):
    first = client.get("file")["ETag"]
    path.write_bytes(b"x" * len(CONTENT))
    r = client.get("file", headers={"If-None-Match": first})
    assert (r.status, r.body) == (200, b"x" * len(CONTENT))


def test_content_disposition_for_old_and_new_clients(client):
    r = client.get("named", params={"name": "plain.csv"})
    assert r["Content-Disposition"] == 'attachment; filename="plain.csv"'
    assert r["Content-Type"] == "text/csv"
    r = client.get("named", params={"name": 'b\u0171n "x"\r\n.csv'})
    assert r["Content-Disposition"] == (
        "attachment; filename=\"b?n _x___.csv\"; filename*=UTF-8''b%C5%B1n%20%22x%22%0D%0A.csv"
    )


def test_content_disposition_replaces_undecodable_bytes(path):
    value = file(path, filename=os.fsdecode(b"a\xff.txt")).headers["Content-Disposition"]
    assert value == "attachment; filename=\"a?.txt\"; filename*=UTF-8''a%3F.txt"


def test_other_status_ignores_conditions_and_ranges(client):
    r = client.get("with_status", headers={"If-None-Match": ETAG, "Range": "bytes=0-0"})
    assert (r.status, r.body, r["Cache-Control"]) == (404, CONTENT, "no-store")


def test_empty_file_has_no_range(client, path):
    path.write_bytes(b"")
    r = client.get("file")
    assert (r.status, r.body, r["Content-Length"]) == (200, b"", "0")
    assert client.get("file", headers={"Range": "bytes=0-"}).status == 416


def test_missing_file_and_folder_are_500(client):
    assert client.get("missing").status == 500
    assert client.get("folder").status == 500


def test_file_is_sent_without_wsgi_file_wrapper(path):
    calls = []

    def started(status, headers, exc_info=None):
        calls.append((status, dict(headers)))
        return calls.append

    environ = {"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=5-300004"}
    body = file(path)(environ, started)
    assert b"".join(body) == CONTENT[5:300005]
    body.close()
    status, headers = calls[0]
    assert status == "206 Partial Content"
    assert headers["Content-Range"] == "bytes 5-300004/512000"


def test_last_modified_is_an_http_date(client, path):
    os.utime(path, (0, 1))
    assert client.get("file")["Last-Modified"] == formatdate(1, usegmt=True)
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', client.get("file")["ETag"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with a name")
def test_pipe_in_place_of_the_file_is_refused_without_waiting(path):
    response = file(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(IsADirectoryError, match="not a regular file"):
        call_app(response)
