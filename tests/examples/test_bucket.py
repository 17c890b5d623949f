"""Tests of examples/bucket.py, sigv4.py and ranges.py, with a bucket on the server of moto.

moto checks every signature with botocore, after the calls of ``INITIAL_NO_AUTH_ACTION_COUNT``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from restkit import (
    Client,
    InvalidUrl,
    RequestFailed,
    ResourceError,
    ResourceNotFound,
    Unauthorized,
    UnexpectedEOF,
)
from restkit.url.query import encode_query
from support import ScriptedServer, field, payload_of, response
from support.memory import MIB, peak_memory

EXAMPLES = str(Path(__file__).parents[2] / "examples")
needs_moto = pytest.mark.peer(name="moto")
PART = 1024  # the smallest part that this moto accepts


class Account(NamedTuple):
    origin: str
    key_id: str
    secret: str


@pytest.fixture(scope="module", autouse=True)
def _examples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield
    for name in ("bucket", "ranges", "sigv4"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def account(tmp_path_factory) -> Iterator[Account]:
    """The server of moto as a process, and a user with all rights for S3."""
    log = tmp_path_factory.mktemp("moto") / "log"
    environment = {"INITIAL_NO_AUTH_ACTION_COUNT": "3", "S3_UPLOAD_PART_MIN_SIZE": str(PART)}
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
    try:
        origin = wait_for_origin(log, server)
        yield Account(origin, *create_key(origin))
    finally:
        server.terminate()
        server.wait(30)


def wait_for_origin(log: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        assert server.poll() is None, log.read_text()
        threading.Event().wait(0.05)
    raise AssertionError(f"the log of moto names no port: {log.read_text()}")


def create_key(origin: str) -> tuple[str, str]:
    """Create a user, a policy that allows S3, and a key: the calls that moto does not check."""
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    )
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, x",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    with Client() as client:
        for action in (
            {"Action": "CreateUser"},
            {"Action": "PutUserPolicy", "PolicyName": "all", "PolicyDocument": policy},
            {"Action": "CreateAccessKey"},
        ):
            form = encode_query({**action, "UserName": "me", "Version": "2010-05-08"})
            body = client.post(origin, form, headers).raise_for_status().body
    key = ElementTree.fromstring(body)
    return key.findtext(".//{*}AccessKeyId"), key.findtext(".//{*}SecretAccessKey")


@pytest.fixture
def bucket(account, request):
    from bucket import Bucket

    name = "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    uri = f"{account.origin}/{name}"
    with Bucket(uri, account.key_id, account.secret, timeout=30) as bucket:
        bucket.put()
        yield bucket


def connect(server: ScriptedServer, **options):
    from bucket import Bucket

    return Bucket(server.url("/bucket"), "id", "secret", **options)


# The signature: the examples of the S3 API reference

EXAMPLE_SIGNATURES = [
    (
        "test.txt",
        {"Range": "bytes=0-9"},
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "?lifecycle",
        {},
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "?max-keys=2&prefix=J",
        {},
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("path", "headers", "signature"), EXAMPLE_SIGNATURES)
def test_signatures_match_the_reference(path, headers, signature):
    from sigv4 import SigV4

    auth = SigV4(
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        now=lambda: datetime(2013, 5, 24, tzinfo=timezone.utc),
    )
    names = ";".join(["host", *map(str.lower, headers), "x-amz-content-sha256", "x-amz-date"])
    with ScriptedServer.serving(response()) as server, Client() as client:
        host = {"Host": "examplebucket.s3.amazonaws.com"}
        client.get(f"{server.origin}/{path}", headers={**host, **headers}, auth=auth)
    assert field(server.request, "x-amz-date") == "20130524T000000Z"
    assert field(server.request, "authorization") == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


def test_payload_in_memory_is_signed_by_its_hash_and_a_stream_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    with ScriptedServer.serving(response(b"", 'ETag: "e"')) as server, connect(server) as bucket:
        bucket.write("a", b"bytes")
        bucket.write("a", bytearray(b"buffer"))
        bucket.write("a", iter([b"one", b"two"]))
        bucket.write("a", tmp_path / "file")
        assert bucket.write("a", None) == '"e"'
    hashes = [field(request, "x-amz-content-sha256") for request in server.requests]
    assert hashes == [
        hashlib.sha256(b"bytes").hexdigest(),
        hashlib.sha256(b"buffer").hexdigest(),
        "UNSIGNED-PAYLOAD",
        "UNSIGNED-PAYLOAD",
        hashlib.sha256().hexdigest(),
    ]
    assert [payload_of(request) for request in server.requests] == [
        *(b"bytes", b"buffer", b"onetwo", b"from a file", b"")
    ]


def test_repr_does_not_show_the_secret():
    from sigv4 import SigV4

    assert repr(SigV4("id", "a secret")) == ("SigV4(key_id='id', region='us-east-1', service='s3')")


@needs_moto
def test_wrong_secret_is_refused(account, bucket):
    from bucket import Bucket

    with Bucket(bucket.uri, account.key_id, "wrong") as other:
        with pytest.raises(Unauthorized, match=r"403 \w+: SignatureDoesNotMatch: The"):
            other.write("a", b"x")


# One object


@needs_moto
@pytest.mark.parametrize(
    "key", ["a", "a/b c/é", "/leading", "a//b", "dir/", "plus+and&more=?#%41", "~-._'()*!@:$,;"]
)
def test_object_is_written_read_described_and_deleted(key, bucket):
    etag = bucket.write(key, b"hello", "text/x-test")
    with bucket.read(key) as got:
        assert (got.body, got["content-type"], got["etag"]) == (b"hello", "text/x-test", etag)
    assert bucket.stat(key)[:3] == (key, 5, etag)
    assert [entry[:3] for entry in bucket.entries()] == [(key, 5, etag)]
    bucket.erase(key)
    bucket.erase(key)
    with pytest.raises(ResourceNotFound, match=r"404 NOT FOUND: NoSuchKey: The specified"):
        bucket.read(key)
    with pytest.raises(ResourceNotFound, match=r"404 NOT FOUND$"):
        bucket.stat(key)


@needs_moto
def test_key_that_no_url_can_contain_is_refused(bucket):
    with pytest.raises(ValueError, match="at least one character"):
        bucket.erase("")
    with pytest.raises(InvalidUrl, match="would lead out of the base URL"):
        bucket.erase("a/../b")
    assert bucket.uri


@needs_moto
def test_object_is_written_from_a_file_and_saved_to_a_file(bucket, tmp_path):
    data = os.urandom(300_000)
    (tmp_path / "in").write_bytes(data)
    with open(tmp_path / "in", "rb") as file:
        file.seek(100)
        bucket.write("a", file)
    with bucket.read("a") as got:
        got.save(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data[100:]


@needs_moto
def test_entries_of_all_pages_are_listed(bucket):
    names = [f"k/{n:02d} +" for n in range(7)]
    for name in names:
        bucket.write(name, b"x")
    bucket.write("other", b"x")
    assert [entry.key for entry in bucket.entries("k/", page=3)] == names
    assert [entry.key for entry in bucket.entries(page=100)] == [*names, "other"]
    assert [*bucket.entries("none")] == []


# Uploads in parts


def make_data(size):
    return bytes(n % 251 for n in range(size))


@needs_moto
@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 10 * PART + 7])
@pytest.mark.parametrize("make", ["bytes", "generator", "file"])
def test_source_of_any_type_and_length_arrives_complete(make, size, bucket, tmp_path):
    data = make_data(size)
    (tmp_path / "in").write_bytes(data)
    sources = {
        "bytes": data,
        "generator": (data[at : at + 333] for at in range(0, size, 333)),
        "file": tmp_path / "in",
    }
    etag = bucket.upload("a", sources[make], PART, "text/x-test")
    with bucket.read("a") as got:
        assert (got.body, got["etag"]) == (data, etag)
        assert got["content-type"] == "text/x-test"
    in_parts = "-" in etag
    assert in_parts == (size >= PART)


@needs_moto
def test_failed_upload_leaves_no_parts(bucket):
    def failing():
        yield make_data(2 * PART)
        raise KeyError("the source's own")

    with pytest.raises(KeyError, match="the source's own"):
        bucket.upload("a", failing(), PART)
    left = ElementTree.fromstring(bucket.get(None, uploads=None).body)
    assert left.findall("{*}Upload") == []
    with pytest.raises(ResourceNotFound):
        bucket.stat("a")


STARTED = response(b"<R><UploadId>u 1</UploadId></R>")
SENT = response(b"", 'ETag: "e"')
INTERNAL = b"<Error><Code>InternalError</Code><Message>Try again.</Message></Error>"


def test_source_is_read_for_a_part_after_the_last_part_was_sent():
    arrived = []

    def source():
        for _ in range(4):
            arrived.append(len(server.requests))
            yield make_data(PART)

    done = response(b"<R><ETag>whole</ETag></R>")
    with ScriptedServer.serving(STARTED, SENT, SENT, SENT, SENT, done) as server:
        with connect(server) as bucket:
            assert bucket.upload("a b", source(), PART) == "whole"
    # The second part is read before the first is sent: a shorter payload is sent in one request.
    assert arrived == [0, 2, 3, 4]
    lines = [request.split(b" HTTP/")[0].decode() for request in server.requests]
    parts = [f"PUT /bucket/a%20b?partNumber={n}&uploadId=u%201" for n in (1, 2, 3, 4)]
    last = "POST /bucket/a%20b?uploadId=u%201"
    assert lines == ["POST /bucket/a%20b?uploads=", *parts, last]
    assert all(field(request, "content-length") == str(PART) for request in server.requests[1:5])
    document = payload_of(server.requests[-1])
    assert document.startswith(b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>")


def test_refused_part_ends_the_upload():
    error = response(INTERNAL, status="500 Internal Server Error")
    with ScriptedServer.serving(STARTED, SENT, error, response(b"", status="204 No")) as server:
        with (
            connect(server) as bucket,
            pytest.raises(RequestFailed, match="InternalError: Try") as e,
        ):
            bucket.upload("a", make_data(5 * PART), PART)
    assert e.value.status_int == 500
    assert server.requests[-1].startswith(b"DELETE /bucket/a?uploadId=u%201 HTTP/1.1\r\n")
    assert len(server.requests) == 4


def test_error_in_a_response_of_status_200_is_raised():
    with ScriptedServer.serving(STARTED, SENT, response(INTERNAL)) as server:
        with (
            connect(server) as bucket,
            pytest.raises(ResourceError, match="InternalError: Try again"),
        ):
            bucket.upload("a", make_data(PART), PART)


def test_upload_of_any_length_needs_the_memory_of_one_part():
    with ScriptedServer(drop_data) as server:
        measured = peak_memory(
            """
            from bucket import Bucket
            bucket = Bucket(url, 'id', 'secret')
            bucket.upload('warm', iter([b'x' * (3 << 20)]), 1 << 20)
            """,
            "result = bucket.upload('a', (b'x' * 65536 for _ in range(2048)), 4 << 20)",
            url=server.url("/bucket"),
        )
    assert measured.result == "whole"
    assert measured.growth < 16 * MIB


def drop_data(peer):
    """Run a bucket that drops all data, so that it needs no memory in this process."""
    while True:
        head = peer.read_head()
        peer.drop(int(field(head, "content-length") or 0))
        if b"uploads=" in head:
            peer.send(STARTED)
        else:
            peer.send(SENT if head.startswith(b"PUT") else response(b"<R><ETag>whole</ETag></R>"))


# Downloads by ranges


@needs_moto
@pytest.mark.parametrize("size", [0, 1, PART, 10 * PART + 7])
def test_object_is_downloaded_by_ranges(size, bucket, tmp_path):
    data = make_data(size)
    bucket.write("a b", data)
    entry = bucket.download("a b", tmp_path / "out", size=PART, workers=3)
    assert (entry.key, entry.size) == ("a b", size)
    assert (tmp_path / "out").read_bytes() == data
    assert os.listdir(tmp_path) == ["out"]


@needs_moto
def test_ranges_count_encoded_bytes(bucket, tmp_path):
    data = gzip.compress(os.urandom(5 * PART))
    bucket.put("/a", data, {"Content-Encoding": "gzip"})
    bucket.download("a", tmp_path / "out", size=PART)
    assert (tmp_path / "out").read_bytes() == data


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: %b\r\nLast-Modified: now\r\n\r\n"


class OneObject:
    """A bucket of one object that breaks off after ``good`` ranges."""

    def __init__(self, data, etag=b'"1"', good=99):
        self.data, self.etag, self.good = data, etag, good
        self.lock = threading.Lock()

    def __call__(self, peer):
        while request := peer.next_request():
            if request.startswith(b"HEAD"):
                peer.send(HEAD % (len(self.data), self.etag))
                continue
            first, last = map(int, field(request, "range").removeprefix("bytes=").split("-"))
            part = self.data[first : last + 1]
            with self.lock:
                self.good -= 1
                complete = self.good >= 0
            message = response(part, status="206 Partial Content")
            peer.send(message if complete else message[:-10])
            if not complete:
                return


def range_starts(server):
    ranges = [field(request, "range") for request in server.requests]
    return sorted(int(each[6:].split("-")[0]) for each in ranges if each)


def test_broken_download_continues_with_the_missing_ranges(tmp_path):
    data, target = os.urandom(8 * PART), tmp_path / "out"
    with ScriptedServer(OneObject(data, good=3)) as server, connect(server, max_tries=1) as bucket:
        with pytest.raises(UnexpectedEOF):
            bucket.download("a", target, size=PART, workers=1)
        # One more may have started by then.
        assert range_starts(server)[:4] == [0, PART, 2 * PART, 3 * PART]
    assert sorted(os.listdir(tmp_path)) == ["out.part", "out.part.ranges"]
    with ScriptedServer(OneObject(data)) as server, connect(server) as bucket:
        bucket.download("a", target, size=PART, workers=2)
        assert range_starts(server) == [n * PART for n in (3, 4, 5, 6, 7)]
        fields = [field(request, "if-match") for request in server.requests[1:]]
        assert set(fields) == {'"1"'}
    assert target.read_bytes() == data
    assert os.listdir(tmp_path) == ["out"]


def test_download_of_a_changed_object_starts_again(tmp_path):
    with ScriptedServer(OneObject(b"a" * 4 * PART, good=2)) as server:
        with connect(server, max_tries=1) as bucket, pytest.raises(UnexpectedEOF):
            bucket.download("a", tmp_path / "out", size=PART, workers=1)
    with ScriptedServer(OneObject(b"b" * 3 * PART, b'"2"')) as server, connect(server) as bucket:
        bucket.download("a", tmp_path / "out", size=PART)
        assert range_starts(server) == [0, PART, 2 * PART]
    assert (tmp_path / "out").read_bytes() == b"b" * 3 * PART


def test_server_without_ranges_is_an_error(tmp_path):
    responses = [HEAD % (5, b'"1"'), response(b"hello")]

    def script(peer):
        for each in responses:
            peer.read_request()
            peer.send(each)

    with ScriptedServer(script) as server, connect(server) as bucket:
        with pytest.raises(
            RequestFailed, match="200 OK: the server did not send the range bytes=0-4"
        ):
            bucket.download("a", tmp_path / "out")


# The file of ranges


def open_ranged(path, size=10, version="v", step=4):
    from ranges import RangedFile

    return RangedFile(path, size, version, step)


def test_ranges_are_written_in_any_order_and_any_chunks(tmp_path):
    with open_ranged(tmp_path / "f") as file:
        assert file.missing() == [(0, 4), (4, 8), (8, 10)]
        file.write(8, 10, [b"i", b"j"])
        file.write(0, 4, [b"", b"abcd"])
        assert file.missing() == [(4, 8)]
        assert repr(file) == f"<RangedFile {tmp_path / 'f'}, 1 ranges missing>"
    file.close()
    assert repr(file).endswith("closed>")
    with open_ranged(tmp_path / "f") as file:
        assert file.missing() == [(4, 8)]
        file.write(4, 8, [b"efgh"])
        file.finish()
    assert (tmp_path / "f").read_bytes() == b"abcdefghij"


@pytest.mark.parametrize(
    ("chunks", "message"), [([b"abc"], "received 3"), ([b"abcde"], "received more")]
)
def test_range_of_a_wrong_length_is_refused(chunks, message, tmp_path):
    with open_ranged(tmp_path / "f") as file:
        file.write(4, 8, [b"efgh"])
        with pytest.raises(ValueError, match=message):
            file.write(0, 4, chunks)
        assert file.missing() == [(0, 4), (8, 10)]
    assert (tmp_path / "f.part").read_bytes()[4:8] == b"efgh"


@pytest.mark.parametrize("record", ["", "other\n0\n", None])
def test_record_of_another_version_is_ignored(record, tmp_path):
    if record is not None:
        (tmp_path / "f.part.ranges").write_text(record)
    (tmp_path / "f.part").write_bytes(b"?" * 10)
    with open_ranged(tmp_path / "f") as file:
        assert len(file.missing()) == 3


def test_unfinished_line_of_the_record_is_ignored(tmp_path):
    with open_ranged(tmp_path / "f", size=100, step=8) as file:
        file.write(8, 16, [b"12345678"])
    with open(tmp_path / "f.part.ranges", "a") as record:
        record.write("16")
    with open_ranged(tmp_path / "f", size=100, step=8) as file:
        assert [start for start, _ in file.missing()][:3] == [0, 16, 24]
    os.unlink(tmp_path / "f.part")
    with open_ranged(tmp_path / "f", size=100, step=8) as file:
        assert len(file.missing()) == 13
