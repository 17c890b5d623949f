"""Downloads from servers that break off, change the file, or send other ranges than requested."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import re
from pathlib import Path

import pytest

from restkit import Client, Download, ResponseError, download
from support.scripted import ScriptedServer

DATA = random.Random(17).randbytes(200_000)
OTHER = random.Random(18).randbytes(200_000)
HALF = 100_000
OLD = "Sat, 03 Jan 2026 10:00:00 GMT"
NOW = "Sat, 03 Jan 2026 10:01:00 GMT"
TAG = {"ETag": '"v1"'}
NEW_TAG = {"ETag": '"v2"'}


def response(status: str, fields: dict[str, str], body: bytes, length: int | None = None) -> bytes:
    # Without Connection: close, the next request may meet the end of a connection that is kept.
    fields = {"Content-Length": str(len(body) if length is None else length), **fields}
    fields["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def whole(data: bytes = DATA, **fields: str) -> bytes:
    return response("200 OK", fields or TAG, data)


def broken(data: bytes = DATA, fields: dict[str, str] = TAG) -> bytes:
    """Return a response that ends after half of its body."""
    return response("200 OK", fields, data[:HALF], len(data))


def partial(value: str, body: bytes, fields: dict[str, str] = TAG) -> bytes:
    return response("206 Partial Content", {"Content-Range": value, **fields}, body)


REST = partial(f"bytes {HALF}-199999/200000", DATA[HALF:])


def field(request: bytes, name: str) -> str | None:
    match = re.search(rf"\r\n{name}: ([^\r]*)".encode(), request, re.IGNORECASE)
    return match[1].decode() if match else None


def run(
    sender: Client, folder: Path, *responses: bytes, expected: bytes = DATA
) -> tuple[Download, list[tuple[str | None, str | None]]]:
    """Download; check the bytes, and that only the file is left; return Range and If-Range too."""
    with ScriptedServer.serving(*responses, close=True) as server:
        result = download(server.url("/a.bin"), folder / "a.bin", client=sender)
    assert (folder / "a.bin").read_bytes() == expected
    assert [path.name for path in folder.iterdir()] == ["a.bin"]
    assert result.size == len(expected)
    assert result.path == str((folder / "a.bin").resolve())
    return result, [(field(each, "range"), field(each, "if-range")) for each in server.requests]


NO_RANGE = (None, None)
FROM_HALF = (f"bytes={HALF}-", '"v1"')


def test_whole_file_is_one_request_without_coding(sender, tmp_path):
    with ScriptedServer.serving(whole(), close=True) as server:
        result = download(server.url("/a.bin"), tmp_path / "a.bin", client=sender)
    assert field(server.request, "accept-encoding") == "identity"
    assert field(server.request, "range") is None
    assert (result.status, result.etag, result.tries, result.restarts) == (200, '"v1"', 1, ())


def test_break_continues_where_the_data_ends(sender, tmp_path):
    result, ranges = run(sender, tmp_path, broken(), REST)
    assert ranges == [NO_RANGE, FROM_HALF]
    assert (result.status, result.tries, result.resumed_from, result.restarts) == (206, 2, 0, ())


def test_ignored_range_starts_over(sender, tmp_path, caplog):
    result, ranges = run(sender, tmp_path, broken(), whole())
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "discards 100000 bytes and starts over: the server ignored the range" in caplog.text
    assert ranges == [NO_RANGE, FROM_HALF]
    assert result.restarts == ("the server ignored the range",)


def test_range_that_begins_earlier_is_skipped(sender, tmp_path):
    early = partial("bytes 50000-199999/200000", DATA[50_000:])
    result, _ = run(sender, tmp_path, broken(), early)
    assert result.restarts == ()


def test_range_that_begins_later_starts_over(sender, tmp_path):
    late = partial("bytes 150000-199999/200000", DATA[150_000:])
    result, ranges = run(sender, tmp_path, broken(), late, whole())
    assert ranges == [NO_RANGE, FROM_HALF, NO_RANGE]
    assert "does not contain byte 100000" in result.restarts[0]


def test_shorter_range_is_followed_by_another_request(sender, tmp_path):
    short = partial("bytes 100000-149999/200000", DATA[HALF:150_000])
    rest = partial("bytes 150000-199999/200000", DATA[150_000:])
    result, ranges = run(sender, tmp_path, broken(), short, rest)
    assert ranges == [NO_RANGE, FROM_HALF, ("bytes=150000-", '"v1"')]
    assert result.restarts == ()


@pytest.mark.parametrize("body", [DATA[HALF:] + b"x" * 10, DATA[HALF:-10]])
def test_length_that_contradicts_the_range_starts_over(sender, tmp_path, body):
    wrong = partial("bytes 100000-199999/200000", body)
    result, _ = run(sender, tmp_path, broken(), wrong, whole())
    assert "Content-Length" in result.restarts[0]


def test_chunked_body_beyond_its_range_starts_over(sender, tmp_path):
    body = DATA[HALF:] + b"x" * 10
    head = "HTTP/1.1 206 P\r\nContent-Range: bytes 100000-199999/200000\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body
    result, _ = run(sender, tmp_path, broken(), chunked + b"\r\n0\r\n\r\n", whole())
    assert result.restarts == ("the body has not the length of its range",)


def test_chunked_body_shorter_than_its_range_starts_over(sender, tmp_path):
    head = b'HTTP/1.1 206 P\r\nContent-Range: bytes 100000-199999/200000\r\nETag: "v1"\r\n'
    short = head + b"Transfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n0\r\n\r\n"
    result, _ = run(sender, tmp_path, broken(), short, whole())
    assert result.restarts == ("the body has not the length of its range",)


def test_range_that_ends_by_a_close_is_followed_by_another_request(sender, tmp_path):
    head = b'HTTP/1.0 206 P\r\nContent-Range: bytes 100000-199999/200000\r\nETag: "v1"\r\n\r\n'
    rest = partial("bytes 150000-199999/200000", DATA[150_000:])
    result, _ = run(sender, tmp_path, broken(), head + DATA[HALF:150_000], rest)
    assert result.restarts == ()


def test_number_of_restarts_is_bounded(sender, tmp_path):
    versions = [broken(fields={"ETag": f'"v{number}"'}) for number in range(9)]
    with ScriptedServer.serving(*versions, close=True) as server:
        with pytest.raises(ResponseError, match="ended after"):
            download(server.url(), tmp_path / "a", client=sender, max_tries=3)
        assert len(server.requests) == 4


def test_progress_after_a_restart_resets_the_count_of_attempts(sender, tmp_path):
    other = response("200 OK", NEW_TAG, OTHER[:40_000], len(OTHER))
    rest = [
        response(
            "206 P",
            {"Content-Range": f"bytes {start}-199999/200000", **NEW_TAG},
            OTHER[start : start + 20_000],
            200_000 - start,
        )
        for start in range(40_000, 200_000, 20_000)
    ]
    with ScriptedServer.serving(broken(), other, *rest, close=True) as server:
        result = download(server.url(), tmp_path / "a", client=sender, max_tries=2)
    assert (tmp_path / "a").read_bytes() == OTHER
    assert result.restarts == ("the validator has changed",)


def test_shorter_whole_of_the_same_version_is_an_error_for_a_file_object(sender):
    file = io.BytesIO()
    head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n'
    short = head + b"4\r\nxxxx\r\n0\r\n\r\n"
    with (
        ScriptedServer.serving(chunked_without_end(DATA), short, close=True) as server,
        pytest.raises(ResponseError, match="the body ended before byte 200000"),
    ):
        download(server.url(), file, client=sender)
    assert file.getvalue() == DATA


def test_other_total_starts_over(sender, tmp_path):
    other = partial("bytes 100000-199999/200001", DATA[HALF:])
    result, _ = run(sender, tmp_path, broken(), other, whole())
    assert result.restarts == ("the size was 200000 bytes and is 200001",)


def test_changed_entity_tag_in_a_range_starts_over(sender, tmp_path):
    changed = partial("bytes 100000-199999/200000", OTHER[HALF:], NEW_TAG)
    result, _ = run(sender, tmp_path, broken(), changed, whole(OTHER, **NEW_TAG), expected=OTHER)
    assert result.restarts == ("the validator has changed",)
    assert result.etag == '"v2"'


def test_changed_file_is_received_whole(sender, tmp_path):
    result, _ = run(sender, tmp_path, broken(), whole(OTHER, **NEW_TAG), expected=OTHER)
    assert result.restarts == ("the validator has changed",)


@pytest.mark.parametrize(
    "fields", [{"ETag": 'W/"v1"'}, {"Last-Modified": OLD, "Date": OLD}, {"Date": NOW}]
)
def test_no_range_is_requested_without_a_strong_validator(sender, tmp_path, fields):
    result, ranges = run(sender, tmp_path, broken(fields=fields), whole(**fields))
    assert ranges == [NO_RANGE, NO_RANGE]
    assert result.restarts == ("there is no strong validator",)


def test_date_is_used_if_it_is_strong(sender, tmp_path):
    fields = {"Last-Modified": OLD, "Date": NOW}
    rest = partial("bytes 100000-199999/200000", DATA[HALF:], fields)
    _, ranges = run(sender, tmp_path, broken(fields=fields), rest)
    assert ranges == [NO_RANGE, (f"bytes={HALF}-", OLD)]


def chunked_without_end(data: bytes) -> bytes:
    head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n'
    return head + f"{len(data):x}\r\n".encode() + data + b"\r\n"


def not_satisfiable(size: int, fields: dict[str, str] = TAG) -> bytes:
    return response("416 Range", {"Content-Range": f"bytes */{size}", **fields}, b"<html>")


def test_416_with_the_size_on_disk_ends_the_download(sender, tmp_path):
    result, _ = run(sender, tmp_path, chunked_without_end(DATA), not_satisfiable(200_000))
    assert (result.status, result.restarts) == (416, ())


def test_416_with_another_size_starts_over(sender, tmp_path):
    result, _ = run(sender, tmp_path, chunked_without_end(DATA), not_satisfiable(9), whole())
    assert result.restarts == ("416 for a size of 9 bytes, but 200000 are on disk",)


def test_416_with_another_validator_starts_over(sender, tmp_path):
    result, _ = run(
        sender, tmp_path, chunked_without_end(DATA), not_satisfiable(200_000, NEW_TAG), whole()
    )
    assert result.restarts == ("416 with another validator",)


def test_416_while_the_file_is_incomplete_starts_over(sender, tmp_path):
    result, _ = run(sender, tmp_path, broken(), not_satisfiable(HALF), whole())
    assert result.restarts == ("416, but 100000 of 200000 bytes are on disk",)


def test_gzip_on_a_range_starts_over(sender, tmp_path):
    coded = gzip.compress(DATA)[HALF : 2 * HALF]
    fields = {**TAG, "Content-Encoding": "gzip"}
    wrong = partial("bytes 100000-199999/200000", coded, fields)
    result, _ = run(sender, tmp_path, broken(), wrong, whole())
    assert "Content-Encoding 'gzip'" in result.restarts[0]


def test_gzip_on_the_whole_is_decoded_and_not_continued(sender, tmp_path):
    coded = response("200 OK", {**TAG, "Content-Encoding": "gzip"}, gzip.compress(DATA))
    _, ranges = run(sender, tmp_path, coded[:-50], coded)
    assert ranges == [NO_RANGE, NO_RANGE]


def test_html_with_status_206_is_never_written(sender, tmp_path):
    page = b"<html>please log in</html>"
    html = partial(f"bytes 0-{len(page) - 1}/{len(page)}", page, {})
    result, _ = run(sender, tmp_path, broken(), html, whole())
    assert len(result.restarts) == 1


def test_multipart_ranges_start_over(sender, tmp_path):
    fields = {"Content-Type": "multipart/byteranges; boundary=x"}
    wrong = response("206 Partial Content", fields, b"--x--")
    result, _ = run(sender, tmp_path, broken(), wrong, whole())
    assert result.restarts == ("206 with 0 Content-Range fields",)


def test_206_without_a_range_in_the_request_is_an_error(sender, tmp_path):
    with (
        ScriptedServer.serving(REST, close=True) as server,
        pytest.raises(ResponseError, match="206 without a Range in the request"),
    ):
        download(server.url(), tmp_path / "a", client=sender)
    assert not list(tmp_path.iterdir())


def test_continued_download_asks_the_original_url_for_a_new_signature(sender, tmp_path):
    def redirect(signature: int) -> bytes:
        return response("302 Found", {"Location": f"/signed?{signature}"}, b"")

    _, ranges = run(sender, tmp_path, redirect(1), broken(), redirect(2), REST)
    assert ranges == [NO_RANGE, NO_RANGE, FROM_HALF, FROM_HALF]


def test_busy_server_is_tried_again(sender, tmp_path):
    busy = response("503 Busy", {"Retry-After": "0"}, b"busy")
    result, ranges = run(sender, tmp_path, busy, broken(), busy, REST)
    assert ranges == [NO_RANGE, NO_RANGE, FROM_HALF, FROM_HALF]
    assert result.tries == 4


def test_attempts_without_progress_are_bounded(sender, tmp_path):
    busy = response("503 Busy", {"Retry-After": "0"}, b"busy")
    with ScriptedServer.serving(busy, close=True) as server:
        with pytest.raises(Exception, match="503 Busy"):
            download(server.url(), tmp_path / "a", client=sender, max_tries=3)
        assert len(server.requests) == 3
    assert not list(tmp_path.iterdir())


def test_progress_resets_the_count_of_attempts(sender, tmp_path):
    steps = [
        partial(f"bytes {start}-199999/200000", DATA[start : start + 10_000])
        for start in range(HALF, 190_000, 10_000)
    ]
    cut = [
        each.replace(b"Content-Length: 10000", f"Content-Length: {200_000 - start}".encode())
        for start, each in zip(range(HALF, 190_000, 10_000), steps, strict=True)
    ]
    last = partial("bytes 190000-199999/200000", DATA[190_000:])
    with ScriptedServer.serving(broken(), *cut, last, close=True) as server:
        result = download(server.url(), tmp_path / "a", client=sender, max_tries=2)
    assert (tmp_path / "a").read_bytes() == DATA
    assert result.tries == len(cut) + 2


def test_same_wrong_range_for_ever_ends_in_an_error(sender, tmp_path):
    late = partial("bytes 150000-199999/200000", DATA[150_000:])
    with (
        ScriptedServer.serving(
            broken(), late, broken(), late, broken(), late, close=True
        ) as server,
        pytest.raises(ResponseError),
    ):
        download(server.url(), tmp_path / "a", client=sender, max_tries=3)
    assert not (tmp_path / "a").exists()


def test_digest_of_the_whole_is_checked_over_several_responses(sender, tmp_path):
    from base64 import b64encode

    value = f"sha-256=:{b64encode(hashlib.sha256(DATA).digest()).decode()}:"
    fields = {**TAG, "Repr-Digest": value}
    result, _ = run(sender, tmp_path, broken(fields=fields), REST)
    assert result.digest == f"sha-256={hashlib.sha256(DATA).hexdigest()}"
