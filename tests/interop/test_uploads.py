"""Uploads to the receiver with the clients that people have: curl, HTTPie, requests, restkit."""

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
from support.receivers import Receiving, receiving_on

WORDS = b"".join(b"line %d of some words\n" % number for number in range(20_000))
NOISE = os.urandom(2_000_000)

SOURCES = {"words": WORDS, "noise": NOISE, "empty": b""}


@pytest.fixture(scope="module", params=ENGINES)
def receiving(request, tmp_path_factory) -> Iterator[Receiving]:
    with receiving_on(request.param, tmp_path_factory.mktemp("receiver")) as receiving:
        yield receiving


@pytest.fixture
def url(receiving: Receiving) -> str:
    return receiving.server.url


@pytest.fixture
def folder(receiving: Receiving) -> Iterator[Path]:
    """Where the files go."""
    yield receiving.folder
    receiving.clear()


@pytest.fixture(params=SOURCES)
def source(request, tmp_path: Path) -> Path:
    path = tmp_path / "source" / "README.md"
    path.parent.mkdir()
    path.write_bytes(SOURCES[request.param])
    return path


def run(*command: object, stdin: Path | None = None, cwd: Path | None = None) -> bytes:
    """What a program prints, which must end well."""
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


def pieces_of(data: bytes, size: int = 7000) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def the_only_file(folder: Path) -> tuple[str, str]:
    """Name and hash, so that a failure does not print megabytes."""
    (path,) = folder.iterdir()
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def expected(source: Path, name: str = "README.md") -> tuple[str, str]:
    return name, hashlib.sha256(source.read_bytes()).hexdigest()


# curl

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed"
)
# Longer than curl waits for 100 Continue before it goes on without: whoever does not answer it
# lets this run out.
PATIENT = ("--expect100-timeout", "300", "--max-time", "60", "-sS", "-w", " %{http_code}")


@needs_curl
def test_curl_sends_a_file(url, folder, source):
    assert run("curl", *PATIENT, "-T", source, f"{url}/") == b"OK\n 201"
    assert the_only_file(folder) == expected(source)


@needs_curl
def test_curl_posts_a_file(url, folder, source):
    octets = "Content-Type: application/octet-stream"
    data = f"@{source}"
    came = run("curl", *PATIENT, "--data-binary", data, "-H", octets, f"{url}/a/b")
    assert came == b"OK\n 201"
    assert the_only_file(folder) == expected(source, "b")


@needs_curl
def test_Z04_curl_sends_what_gzip_gives_it_in_chunks_and_is_not_kept_waiting(url, folder, source):
    compressed = source.with_name("compressed")
    compressed.write_bytes(run("gzip", "-c", source))
    headers = ("-H", "Content-Encoding: gzip", "-H", "X-Filename: f")
    came = run("curl", *PATIENT, "-T", "-", *headers, f"{url}/x", stdin=compressed)
    assert came == b"OK\n 201"
    assert the_only_file(folder) == expected(source, "f")


@needs_curl
def test_curl_that_asks_first_gets_its_refusal_without_sending(url, folder, source):
    headers = ("-H", "Expect: 100-continue", "-H", "X-Filename: ..")
    report = (*PATIENT, "-w", " %{http_code} %{size_upload}")
    came = run("curl", *report, "-T", source, *headers, f"{url}/x")
    assert came.startswith(b"Error: '..' does not name a file")
    assert came.endswith(b" 400 0")
    assert list(folder.iterdir()) == []


@needs_curl
def test_curl_on_one_connection_sends_one_file_after_another(url, folder, source):
    to = [("-T", str(source), f"{url}/{name}") for name in ("a", "b", "c")]
    report = ("-sS", "--max-time", "60", "-w", " %{num_connects}\n")
    came = run("curl", *report, *to[0], *to[1], *to[2])
    assert came == b"OK\n 1\nOK\n 0\nOK\n 0\n"
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
def test_Z06_Z07_httpie_sends_a_file_as_the_document_does(url, folder, source, http, options):
    octets = "Content-Type: application/octet-stream"
    came = http(*options, "PUT", f"{url}/hello", "x-filename: README.md", octets, stdin=source)
    assert came.startswith(b"HTTP/1.1 201 Created")
    assert came.rstrip().endswith(b"OK")
    assert the_only_file(folder) == expected(source)


def test_Z07_httpie_compresses_a_file_that_gets_smaller(url, folder, http, tmp_path):
    # Of another one HTTPie 3.2.4 sends nothing: with -x it has read it, to see whether it does.
    source = tmp_path / "README.md"
    source.write_bytes(b"line after line\n" * 10_000)
    octets = "Content-Type: application/octet-stream"
    http("-x", "PUT", f"{url}/hello", "x-filename: README.md", octets, stdin=source)
    assert the_only_file(folder) == expected(source)


# requests


def requests_bodies(data: bytes) -> dict[str, tuple[object, dict[str, str]]]:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    members = map(gzip.compress, pieces_of(data, 65536))
    return {
        "bytes": (data, {}),
        "generator": (pieces_of(data), {}),
        "gzip": (gzip.compress(data), {"Content-Encoding": "gzip"}),
        "members": (members, {"Content-Encoding": "gzip"}),
        "raw deflate": (
            deflater.compress(data) + deflater.flush(),
            {"Content-Encoding": "deflate"},
        ),
    }


@pytest.mark.parametrize("kind", requests_bodies(b""))
def test_requests_sends_it(url, folder, source, kind):
    requests = pytest.importorskip("requests")
    body, headers = requests_bodies(source.read_bytes())[kind]
    with requests.Session() as session:
        response = session.put(
            f"{url}/", data=body, headers={"X-Filename": "caf\xe9.txt", **headers}, timeout=60
        )
    assert (response.status_code, response.text) == (201, "OK\n")
    assert the_only_file(folder) == expected(source, "café.txt")


def test_requests_sends_a_mislabelled_file_and_is_told(url, folder):
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
def test_restkit_sends_it(url, folder, source, coding, options):
    headers = {"X-Filename": "README.md"}
    response = restkit.put(f"{url}/", source, headers, compress=coding, **options)
    assert (response.status, response.text) == (201, "OK\n")
    assert response.headers["X-SHA-256"] == expected(source)[1]
    assert the_only_file(folder) == expected(source)


def test_restkit_sends_a_gzip_file_which_stays_one(url, folder, source):
    response = restkit.post(f"{url}/README.md.gz", gzip_stream(source))
    assert response.status == 201
    (path,) = folder.iterdir()
    assert gzip.decompress(path.read_bytes()) == source.read_bytes()


def test_restkit_sends_many_files_on_one_connection(url, folder):
    with restkit.Client() as client:
        for number in range(50):
            response = client.put(f"{url}/{number}", pieces_of(WORDS))
            assert response.status == 201
    assert {path.read_bytes() == WORDS for path in folder.iterdir()} == {True}
    assert len(os.listdir(folder)) == 50
