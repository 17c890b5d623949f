"""Uploads to the receiver with curl, HTTPie, requests and restkit."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import restkit
from restkit.streaming import gzip_stream
from support.engines import ENGINES
from support.receivers import RunningReceiver, run_receiver

WORDS = b"".join(b"line %d of some words\n" % number for number in range(20_000))
NOISE = os.urandom(2_000_000)

SOURCES = {"words": WORDS, "noise": NOISE, "empty": b""}


@pytest.fixture(scope="module", params=ENGINES)
def receiver(request, tmp_path_factory) -> Iterator[RunningReceiver]:
    with run_receiver(request.param, tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


@pytest.fixture
def url(receiver: RunningReceiver) -> str:
    return receiver.server.url


@pytest.fixture
def folder(receiver: RunningReceiver) -> Iterator[Path]:
    """The folder of the receiver, emptied after each test."""
    yield receiver.folder
    receiver.clear()


@pytest.fixture(params=SOURCES)
def source(request, tmp_path: Path) -> Path:
    path = tmp_path / "source" / "README.md"
    path.parent.mkdir()
    path.write_bytes(SOURCES[request.param])
    return path


def run(*command: object, stdin: Path | None = None, cwd: Path | None = None) -> bytes:
    """Run a program, check that it succeeds, and return its output."""
    with open(stdin or os.devnull, "rb") as given:
        done = subprocess.run(
            list(map(str, command)),
            stdin=given,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=cwd,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def split(data: bytes, size: int = 7000) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def describe_only_file(folder: Path) -> tuple[str, str]:
    """Return name and hash, so that a failure does not print megabytes."""
    (path,) = folder.iterdir()
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def describe_source(source: Path, name: str = "README.md") -> tuple[str, str]:
    return name, hashlib.sha256(source.read_bytes()).hexdigest()


# curl

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed"
)
# curl waits 300 s for 100 Continue and 60 s in all: without that response it fails.
PATIENT = ("--expect100-timeout", "300", "--max-time", "60", "-sS", "-w", " %{http_code}")


@needs_curl
def test_curl_sends_a_file(url, folder, source):
    assert run("curl", *PATIENT, "-T", source, f"{url}/") == b"OK\n 201"
    assert describe_only_file(folder) == describe_source(source)


@needs_curl
def test_curl_posts_a_file(url, folder, source):
    octets = "Content-Type: application/octet-stream"
    data = f"@{source}"
    output = run("curl", *PATIENT, "--data-binary", data, "-H", octets, f"{url}/a/b")
    assert output == b"OK\n 201"
    assert describe_only_file(folder) == describe_source(source, "b")


@needs_curl
def test_Z04_curl_sends_gzip_in_chunks_without_waiting(url, folder, source):
    compressed = source.with_name("compressed")
    compressed.write_bytes(run("gzip", "-c", source))
    headers = ("-H", "Content-Encoding: gzip", "-H", "X-Filename: f")
    output = run("curl", *PATIENT, "-T", "-", *headers, f"{url}/x", stdin=compressed)
    assert output == b"OK\n 201"
    assert describe_only_file(folder) == describe_source(source, "f")


@needs_curl
def test_curl_with_expect_is_rejected_without_sending(url, folder, source):
    headers = ("-H", "Expect: 100-continue", "-H", "X-Filename: ..")
    report = (*PATIENT, "-w", " %{http_code} %{size_upload}")
    output = run("curl", *report, "-T", source, *headers, f"{url}/x")
    assert output.startswith(b"Error: '..' does not name a file")
    assert output.endswith(b" 400 0")
    assert list(folder.iterdir()) == []


@needs_curl
def test_curl_sends_several_files_on_one_connection(url, folder, source):
    to = [("-T", str(source), f"{url}/{name}") for name in ("a", "b", "c")]
    report = ("-sS", "--max-time", "60", "-w", " %{num_connects}\n")
    output = run("curl", *report, *to[0], *to[1], *to[2])
    assert output == b"OK\n 1\nOK\n 0\nOK\n 0\n"
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert hashes == {hashlib.sha256(source.read_bytes()).hexdigest()}
    assert sorted(os.listdir(folder)) == ["a", "b", "c"]


# HTTPie


@pytest.fixture
def http(tmp_path: Path) -> Callable[..., bytes]:
    pytest.importorskip("httpie")

    def run_http(*args: object, stdin: Path) -> bytes:
        command = [sys.executable, "-m", "httpie", "--print=hb", "--check-status", *args]
        return run(*command, stdin=stdin, cwd=tmp_path)

    return run_http


@pytest.mark.parametrize(
    ("options", "source"),
    [((), "noise"), ((), "empty"), (("--chunked",), "noise"), (("-xx",), "words")],
    ids=["plain", "plain and empty", "chunked", "-xx"],
    indirect=["source"],
)
def test_Z06_Z07_httpie_sends_a_file(url, folder, source, http, options):
    octets = "Content-Type: application/octet-stream"
    output = http(*options, "PUT", f"{url}/hello", "x-filename: README.md", octets, stdin=source)
    assert output.startswith(b"HTTP/1.1 201 Created")
    assert output.rstrip().endswith(b"OK")
    assert describe_only_file(folder) == describe_source(source)


def test_Z07_httpie_compresses_a_file(url, folder, http, tmp_path):
    # HTTPie 3.2.4 sends nothing of a file that does not shrink: -x has already read it.
    source = tmp_path / "README.md"
    source.write_bytes(b"line after line\n" * 10_000)
    octets = "Content-Type: application/octet-stream"
    http("-x", "PUT", f"{url}/hello", "x-filename: README.md", octets, stdin=source)
    assert describe_only_file(folder) == describe_source(source)


# requests


def requests_bodies(data: bytes) -> dict[str, tuple[object, dict[str, str]]]:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    members = map(gzip.compress, split(data, 65536))
    return {
        "bytes": (data, {}),
        "generator": (split(data), {}),
        "gzip": (gzip.compress(data), {"Content-Encoding": "gzip"}),
        "members": (members, {"Content-Encoding": "gzip"}),
        "raw deflate": (
            deflater.compress(data) + deflater.flush(),
            {"Content-Encoding": "deflate"},
        ),
    }


@pytest.mark.parametrize("kind", requests_bodies(b""))
def test_requests_sends_a_file(url, folder, source, kind):
    requests = pytest.importorskip("requests")
    body, headers = requests_bodies(source.read_bytes())[kind]
    with requests.Session() as session:
        response = session.put(
            f"{url}/", data=body, headers={"X-Filename": "caf\xe9.txt", **headers}, timeout=60
        )
    assert (response.status_code, response.text) == (201, "OK\n")
    assert describe_only_file(folder) == describe_source(source, "café.txt")


def test_requests_gets_400_for_a_mislabelled_file(url, folder):
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        response = session.put(
            f"{url}/x", data=WORDS, headers={"Content-Encoding": "gzip"}, timeout=60
        )
    assert response.status_code == 400
    assert "gzip" in response.text
    assert list(folder.iterdir()) == []


# restkit


@pytest.mark.parametrize("coding", [None, "gzip", "deflate", "zstd"])
@pytest.mark.parametrize("options", [{}, {"spool": True}, {"content_digest": True}], ids=str)
def test_restkit_sends_a_file(url, folder, source, coding, options):
    headers = {"X-Filename": "README.md"}
    response = restkit.put(f"{url}/", source, headers, compress=coding, **options)
    assert (response.status, response.text) == (201, "OK\n")
    assert response.headers["X-SHA-256"] == describe_source(source)[1]
    assert describe_only_file(folder) == describe_source(source)


def test_restkit_sends_a_gzip_file_that_stays_compressed(url, folder, source):
    response = restkit.post(f"{url}/README.md.gz", gzip_stream(source))
    assert response.status == 201
    (path,) = folder.iterdir()
    assert gzip.decompress(path.read_bytes()) == source.read_bytes()


def test_restkit_sends_many_files_on_one_connection(url, folder):
    with restkit.Client() as client:
        for number in range(50):
            response = client.put(f"{url}/{number}", split(WORDS))
            assert response.status == 201
    assert {path.read_bytes() == WORDS for path in folder.iterdir()} == {True}
    assert len(os.listdir(folder)) == 50
