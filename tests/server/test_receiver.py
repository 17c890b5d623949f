"""The receiver: stored files, rejected requests, and no files left over."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import socket
import threading
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import restkit
from restkit.content_encoding.compressors import get_compressor_factory
from restkit.content_encoding.decoding import accept_encoding
from restkit.server import receive, serve
from restkit.server.serving import Server
from support import LAST_CHUNK, body_of, chunks, field, head_of
from support.engines import ENGINES, RunningServer
from support.memory import MIB, peak_memory
from support.peer import HANG_BOUND
from support.receivers import RunningReceiver, run_receiver
from support.waiting import until

WORDS = b"some words, and some more of them\n" * 200
NOISE = os.urandom(300_000)
GZIPPED = gzip.compress(WORDS)
DONE = b"OK\n"


@pytest.fixture
def new_folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet, for a receiver of this test."""
    return tmp_path / "some" / "received_files"


@pytest.fixture(scope="module", params=ENGINES)
def receiver(request, tmp_path_factory) -> Iterator[RunningReceiver]:
    with run_receiver(request.param, tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


@pytest.fixture
def server(receiver: RunningReceiver) -> RunningServer:
    return receiver.server


@pytest.fixture
def folder(receiver: RunningReceiver) -> Iterator[Path]:
    """The folder of ``server``, emptied after each test."""
    yield receiver.folder
    receiver.clear()


def connect(server: RunningServer | Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), HANG_BOUND)


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def make_request(body: bytes, *fields: str, target: str = "/hello", method: str = "PUT") -> bytes:
    """Return a request with these fields, and a Content-Length unless it is chunked."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    if "Transfer-Encoding: chunked" not in fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def exchange(server: RunningServer | Server, request: bytes) -> bytes:
    """Send a request on a new connection and read until the server closes it."""
    with connect(server) as sock:
        sock.sendall(request)
        return read_to_end(sock)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_until_empty(folder: Path) -> None:
    until(lambda: not any(folder.iterdir()), "an empty folder")


def sha_256(data: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def compress(coding: str, data: bytes) -> bytes:
    if coding == "br":
        import brotli

        return brotli.compress(data)
    compressor = get_compressor_factory(coding, None)()
    return compressor.compress(data) + compressor.finish()


# Stored files


def test_Z06_plain_body_is_stored_unchanged(server, folder):
    octets = "Content-Type: application/octet-stream"
    response = exchange(server, make_request(WORDS, "x-filename: README.md", octets))
    assert response.startswith(b"HTTP/1.1 201 Created\r\n")
    assert body_of(response) == DONE
    assert field(response, "content-type") == "text/plain"
    assert field(response, "x-sha-256") == hashlib.sha256(WORDS).hexdigest()
    assert read_folder(folder) == {"README.md": WORDS}


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_Z06_empty_body_is_an_empty_file(server, folder, coding):
    # A client that compresses block by block makes no member of an empty file.
    fields = [f"Content-Encoding: {coding}"] if coding else []
    assert status_of(exchange(server, make_request(b"", *fields))) == 201
    chunked = make_request(LAST_CHUNK, "Transfer-Encoding: chunked", *fields, target="/other")
    assert status_of(exchange(server, chunked)) == 201
    assert read_folder(folder) == {"hello": b"", "other": b""}


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("target", ["/x.txt", "/a/b/x.txt", "//x.txt", "/x.txt?y=1", "/a%2Fx.txt"])
def test_path_names_the_file(server, folder, target, method):
    assert status_of(exchange(server, make_request(WORDS, target=target, method=method))) == 201
    assert read_folder(folder) == {"x.txt": WORDS}


@pytest.mark.parametrize("target", ["/", "/a/", "/a/b/c", "//", "/a//b"])
def test_header_names_the_file_on_any_path(server, folder, target):
    request = make_request(WORDS, "X-Filename: x.txt", target=target)
    assert status_of(exchange(server, request)) == 201
    assert read_folder(folder) == {"x.txt": WORDS}


def test_older_file_is_replaced(server, folder):
    (folder / "hello").write_bytes(b"older")
    assert status_of(exchange(server, make_request(b"new"))) == 201
    assert read_folder(folder) == {"hello": b"new"}


def test_Z04_chunked_gzip_of_several_members_is_decoded(server, folder):
    members = [gzip.compress(WORDS[at : at + 256]) for at in range(0, len(WORDS), 256)]
    body = chunks(*members) + LAST_CHUNK
    fields = ["X-Filename: f", "Content-Encoding: gzip", "Transfer-Encoding: chunked"]
    assert body_of(exchange(server, make_request(body, *fields))) == DONE
    assert read_folder(folder) == {"f": WORDS}


def test_Z04_100_continue_is_sent_to_a_waiting_client(server, folder):
    fields = ["Content-Encoding: gzip", "Transfer-Encoding: chunked", "Expect: 100-continue"]
    head = make_request(b"", *fields)
    with connect(server) as sock:
        sock.sendall(head)
        assert sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(chunks(GZIPPED) + LAST_CHUNK)
        assert body_of(read_to_end(sock)) == DONE
    assert read_folder(folder) == {"hello": WORDS}


@pytest.mark.parametrize("window_bits", [15, -15], ids=["zlib", "raw"])
def test_Z07_deflate_is_decoded_in_both_formats(server, folder, window_bits):
    deflater = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    body = deflater.compress(WORDS) + deflater.flush()
    assert status_of(exchange(server, make_request(body, "Content-Encoding: deflate"))) == 201
    assert read_folder(folder) == {"hello": WORDS}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_every_coding_is_decoded_while_it_arrives(server, folder, coding):
    body = compress(coding, NOISE)
    with connect(server) as sock:
        fields = [f"Content-Encoding: {coding}", f"Content-Length: {len(body)}"]
        sock.sendall(make_request(b"", *fields).replace(b"Content-Length: 0\r\n", b""))
        sock.sendall(body[:-1000])
        (part,) = until(lambda: [path for path in folder.iterdir() if path.stat().st_size])
        assert NOISE.startswith(part.read_bytes())
        sock.sendall(body[-1000:])
        assert body_of(read_to_end(sock)) == DONE
    assert read_folder(folder) == {"hello": NOISE}


def test_several_codings_are_decoded_in_order(server, folder):
    body = compress("deflate", GZIPPED)
    response = exchange(server, make_request(body, "Content-Encoding: identity, GZIP, deflate"))
    assert status_of(response) == 201
    assert read_folder(folder) == {"hello": WORDS}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.binary(max_size=5000)), st.integers(1, 2000))
def test_any_chunks_of_gzip_are_stored_decoded(server, folder, members, size):
    body = b"".join(map(gzip.compress, members))
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    fields = ["Content-Encoding: gzip", "Transfer-Encoding: chunked"]
    response = exchange(server, make_request(chunks(*cut) + LAST_CHUNK, *fields))
    assert status_of(response) == 201
    assert read_folder(folder) == {"hello": b"".join(members)}


# Rejected requests


def check_rejected(
    server: RunningServer | Server, folder: Path, request: bytes, status: int, why: str
) -> bytes:
    """Check that a request is rejected and leaves no file; return its response."""
    response = exchange(server, request)
    assert status_of(response) == status, response
    assert why in body_of(response).decode()
    assert read_folder(folder) == {}
    assert status_of(exchange(server, make_request(WORDS, target="/next"))) == 201
    assert read_folder(folder) == {"next": WORDS}
    return response


def test_Z08_no_length_and_no_chunks_is_411(server, folder):
    request = make_request(b"").replace(b"Content-Length: 0\r\n", b"")
    check_rejected(server, folder, request, 411, "send a Content-Length, or chunks")


BROKEN = {
    "truncated": GZIPPED[:-10],
    "without its trailer": GZIPPED[:-8],
    "no gzip at all": WORDS,
    "a wrong sum": GZIPPED[:-8] + b"\1\2\3\4" + GZIPPED[-4:],
    "garbage in the middle": GZIPPED[:20] + b"\xff" * 20 + GZIPPED[40:],
    "garbage behind it": GZIPPED + b"garbage",
    "a second member cut short": GZIPPED + GZIPPED[:15],
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_Z11_malformed_gzip_is_400(server, folder, body, chunked):
    fields = ["Content-Encoding: gzip"]
    if chunked:
        fields.append("Transfer-Encoding: chunked")
        body = chunks(body) + LAST_CHUNK
    check_rejected(server, folder, make_request(body, *fields), 400, "gzip")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/x", "x"), ("/abs/x", "x"), ("a\\..\\x", "x"), ("UTF-8''b%C5%B1n", "bűn")],
)
def test_Z12_folders_in_a_name_are_removed(server, folder, name, kept):
    around = os.listdir(folder.parent)
    assert status_of(exchange(server, make_request(WORDS, f"X-Filename: {name}"))) == 201
    assert read_folder(folder) == {kept: WORDS}
    assert os.listdir(folder.parent) == around


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "'' does not name a file"),
        ("..", "'..' does not name a file"),
        ("a/", "'a/' does not name a file"),
        (".profile", "is the name of a hidden file"),
        (".x.0123abcd.part", "is the name of a hidden file"),
        ("UTF-8''a%00b", "control character"),
        ("UTF-8''%E2%80%8B", "an invisible character: '\\u200b'"),
        ("UTF-8''%E2%80%AEfdp.exe", "an invisible character: '\\u202efdp.exe'"),
        ("UTF-8''a%EF%BB%BF", "an invisible character: 'a\\ufeff'"),
        ("UTF-8''a%E2%80%A8b", "an invisible character"),
        ("UTF-8''%20a", "begins or ends with a space: ' a'"),
        ("UTF-8''a.txt%C2%A0", "begins or ends with a space: 'a.txt\\xa0'"),
        ("-rf", "'-rf' begins with a hyphen"),
        ("x" * 256, "longer than 255 bytes"),
    ],
)
def test_Z12_unusable_name_is_400(server, folder, name, why):
    check_rejected(server, folder, make_request(WORDS, f"X-Filename: {name}"), 400, why)


@pytest.mark.parametrize("target", ["/%E2%80%8B", "/%E2%80%AEfdp.exe", "/%EF%BB%BF", "/a%D8%9Cb"])
def test_path_with_invisible_characters_in_its_name_is_400(server, folder, target):
    why = "the file name has an invisible character"
    check_rejected(server, folder, make_request(WORDS, target=target), 400, why)


def test_joiner_of_a_persian_name_is_accepted(server, folder):
    target = "/%D9%85%DB%8C%E2%80%8C%D8%AE.pdf"
    assert status_of(exchange(server, make_request(WORDS, target=target))) == 201
    assert read_folder(folder) == {"\u0645\u06cc\u200c\u062e.pdf": WORDS}


@pytest.mark.parametrize("target", ["/", "/folder/", "/..", "/a/..", "/%2e%2e", "/a%00b", "/%ff"])
def test_Z12_path_without_a_file_name_is_400(server, folder, target):
    why = "not UTF-8" if target == "/%ff" else "file"
    check_rejected(server, folder, make_request(WORDS, target=target), 400, why)


def test_Z12_name_with_nul_is_400(server, folder):
    assert status_of(exchange(server, make_request(WORDS, "X-Filename: x\0y"))) == 400
    assert read_folder(folder) == {}


def test_folder_of_that_name_is_409(server, folder):
    (folder / "hello").mkdir()
    response = exchange(server, make_request(WORDS))
    assert status_of(response) == 409
    assert b"the file cannot be stored: Is a directory" in body_of(response)
    assert os.listdir(folder) == ["hello"]


def test_Z17_unknown_coding_is_415_with_accept_encoding(server, folder):
    request = make_request(WORDS, "Content-Encoding: zzz")
    response = check_rejected(server, folder, request, 415, "zzz")
    assert field(response, "accept-encoding") == accept_encoding()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("condition", "holds_of"),
    [
        ("If-None-Match: *", [False]),
        ('If-None-Match: "x"', [False, True]),
        ("If-Match: *", [True]),
        ('If-Match: "x"', []),
    ],
)
def test_failed_condition_is_412(server, folder, condition, holds_of, there):
    before = {"hello": b"older"} if there else {}
    for name, data in before.items():
        (folder / name).write_bytes(data)
    response = exchange(server, make_request(WORDS, condition))
    assert status_of(response) == (201 if there in holds_of else 412)
    assert read_folder(folder) == ({"hello": WORDS} if there in holds_of else before)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH"])
def test_other_methods_are_405(server, folder, method):
    response = exchange(server, make_request(b"", method=method))
    assert status_of(response) == 405
    assert {"PUT", "POST"} <= set(field(response, "allow").split(", "))
    assert read_folder(folder) == {}


def test_content_range_is_400(server, folder):
    request = make_request(WORDS, "Content-Range: bytes 0-99/1000")
    check_rejected(server, folder, request, 400, "Content-Range")


def test_malformed_chunks_are_400(server, folder):
    request = make_request(b"5\r\nhello\r\nzz\r\n", "Transfer-Encoding: chunked")
    check_rejected(server, folder, request, 400, "chunk")


def test_length_over_the_limit_is_413_before_100_continue(new_folder):
    with serve(receive(new_folder, max_size=10_000)) as server:
        request = make_request(b"x" * 10_001, "Expect: 100-continue")
        check_rejected(
            server, new_folder, head_of(request), 413, "larger than the limit of 10000 bytes"
        )


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_body_over_the_limit_is_413(new_folder, coding):
    body = gzip.compress(b"x" * 101) if coding else b"x" * 101
    fields = ["Transfer-Encoding: chunked", *([f"Content-Encoding: {coding}"] if coding else [])]
    with serve(receive(new_folder, max_size=100)) as server:
        response = exchange(server, make_request(chunks(body) + LAST_CHUNK, *fields))
        assert status_of(response) == 413
        assert b"larger than the limit of 100 bytes" in body_of(response)
        assert read_folder(new_folder) == {}
        response = exchange(server, make_request(b"x" * 100))
        assert status_of(response) == 201
    assert read_folder(new_folder) == {"hello": b"x" * 100}


def test_default_limit_of_a_file_is_10_GiB(server, folder):
    request = make_request(b"").replace(b"Content-Length: 0", b"Content-Length: 10737418241")
    response = exchange(server, request)
    assert status_of(response) == 413
    assert body_of(response).endswith(b"larger than the limit of 10737418240 bytes")
    assert read_folder(folder) == {}


@pytest.mark.parametrize("layers", [1, 3])
def test_gzip_that_expands_more_than_200_times_is_413(server, folder, layers):
    body = bytes(20_000_000)
    for _ in range(layers):
        body = gzip.compress(body, 9)
    codings = ", ".join(["gzip"] * layers)
    response = exchange(server, make_request(body, f"Content-Encoding: {codings}"))
    assert status_of(response) == 413
    assert re.fullmatch(
        rb"Error: the decoded file has 1[67]\d{6} bytes after \d+ received bytes; at most 200 "
        rb"times as many are allowed after the first 16777216",
        body_of(response),
    )
    assert read_folder(folder) == {}


def test_first_16_MiB_may_expand_as_far_as_they_can(server, folder):
    body = gzip.compress(bytes(16 * MIB))
    assert status_of(exchange(server, make_request(body, "Content-Encoding: gzip"))) == 201
    assert read_folder(folder) == {"hello": bytes(16 * MIB)}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_size": -1}, "max_size must be a number of bytes, or None; got -1"),
        ({"max_size": "1G"}, "max_size must be a number of bytes, or None; got '1G'"),
        ({"max_ratio": 0}, "max_ratio must be a number of at least 1, or None; got 0"),
        ({"max_ratio": "200"}, "max_ratio must be a number of at least 1, or None; got '200'"),
    ],
)
def test_invalid_limit_raises_ValueError(new_folder, limits, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        receive(new_folder, **limits)
    assert not new_folder.exists()


def test_max_ratio_none_removes_the_limit(new_folder):
    body = gzip.compress(bytes(20_000_000))
    with serve(receive(new_folder, max_ratio=None)) as server:
        assert status_of(exchange(server, make_request(body, "Content-Encoding: gzip"))) == 201
    assert read_folder(new_folder) == {"hello": bytes(20_000_000)}


def test_full_disk_is_507(new_folder):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with serve(receive(new_folder)) as server, connect(server) as sock:
            sock.sendall(head_of(make_request(WORDS)))
            (part,) = until(lambda: list(new_folder.iterdir()))
            for number in os.listdir("/dev/fd"):
                if os.path.realpath(f"/dev/fd/{number}") == str(part):
                    os.dup2(full, int(number), inheritable=False)
            sock.sendall(WORDS)
            response = read_to_end(sock)
    finally:
        os.close(full)
    assert response.startswith(b"HTTP/1.1 507 Insufficient Storage\r\n")
    assert b"the file cannot be stored: No space left on device" in body_of(response)
    assert read_folder(new_folder) == {}


# Digests


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_wrong_digest_in_the_head_is_400(server, folder, name):
    right = f"{name}: {sha_256(GZIPPED)}"
    wrong = f"{name}: {sha_256(WORDS)}"
    request = make_request(GZIPPED, "Content-Encoding: gzip", right, target="/right")
    assert status_of(exchange(server, request)) == 201
    assert read_folder(folder) == {"right": WORDS}
    (folder / "right").unlink()
    request = make_request(GZIPPED, "Content-Encoding: gzip", wrong)
    check_rejected(server, folder, request, 400, f"does not match its {name}")


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_wrong_digest_in_the_trailers_is_400(server, folder, name):
    fields = ("Transfer-Encoding: chunked", "Content-Encoding: gzip", f"Trailer: x, {name}")

    def sent(digest: str, *head: str) -> bytes:
        end = f"0\r\n{name}: {digest}\r\n\r\n".encode()
        return make_request(chunks(GZIPPED) + end, *head)

    assert status_of(exchange(server, sent(sha_256(GZIPPED), *fields))) == 201
    assert read_folder(folder) == {"hello": WORDS}
    (folder / "hello").unlink()
    check_rejected(server, folder, sent(sha_256(WORDS), *fields), 400, f"does not match its {name}")
    # An unannounced trailer is ignored: the body was not hashed.
    assert status_of(exchange(server, sent(sha_256(WORDS), *fields[:2]))) == 201


def test_compressed_upload_of_restkit_with_digest_is_accepted(server, folder, tmp_path):
    (tmp_path / "file").write_bytes(NOISE)
    url = f"{server.url}/it"
    sent = restkit.put(url, tmp_path / "file", compress="gzip", content_digest=True)
    assert sent.status == 201
    assert read_folder(folder) == {"it": NOISE}


def test_unknown_or_malformed_digest_is_ignored(server, folder):
    fields = ["Content-Digest: md5=:AAAA:", "Repr-Digest: sha-256=no"]
    assert status_of(exchange(server, make_request(WORDS, *fields))) == 201
    assert read_folder(folder) == {"hello": WORDS}


# Disconnected and concurrent clients


@pytest.mark.parametrize(
    "begun",
    [
        make_request(b"x" * 1000)[:-990],
        make_request(chunks(b"x" * 10), "Transfer-Encoding: chunked"),
        make_request(chunks(GZIPPED), "Transfer-Encoding: chunked", "Content-Encoding: gzip"),
    ],
    ids=["length", "chunks", "gzip"],
)
def test_Z09_disconnected_client_leaves_nothing(server, folder, begun):
    with connect(server) as sock:
        sock.sendall(begun)
        until(lambda: [path for path in folder.iterdir() if path.stat().st_size])
        assert all(path.name.endswith(".part") for path in folder.iterdir())
    wait_until_empty(folder)


def test_Z09_closed_server_leaves_nothing(new_folder):
    with serve(receive(new_folder)) as server, connect(server) as sock:
        sock.sendall(make_request(b"x" * 1000)[:-990])
        until(lambda: list(new_folder.iterdir()))
        server.close()
        assert read_folder(new_folder) == {}


def test_concurrent_uploads_to_one_name_do_not_mix(server, folder):
    bodies = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    with_all = threading.Barrier(len(bodies))
    statuses = []

    def send(body: bytes) -> None:
        with connect(server) as sock:
            request = make_request(body)
            sock.sendall(request[:-1])
            with_all.wait(HANG_BOUND)
            sock.sendall(request[-1:])
            statuses.append(status_of(read_to_end(sock)))

    threads = [threading.Thread(target=send, args=[body]) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * len(bodies)
    assert read_folder(folder) in [{"hello": body} for body in bodies]


def test_abandoned_parts_are_removed_at_start(new_folder):
    new_folder.mkdir(parents=True)
    for name, age in {".x.0123abcd.part": 1, ".y.0123abcd.part": None, "z.part": 1}.items():
        (new_folder / name).write_bytes(b"left")
        if age is not None:
            os.utime(new_folder / name, (age, age))
    receive(new_folder)
    assert sorted(os.listdir(new_folder)) == [".y.0123abcd.part", "z.part"]


def test_fsync_stores_the_file(new_folder):
    with serve(receive(new_folder, fsync=True)) as server:
        assert status_of(exchange(server, make_request(WORDS))) == 201
    assert read_folder(new_folder) == {"hello": WORDS}


def test_Z16_decompression_bomb_is_413_and_memory_stays_flat(tmp_path):
    setup = """
        import gzip, os, socket
        from restkit.server import receive, serve

        server = serve(receive(new_folder, max_size=50_000_000, max_ratio=None))
        bomb = gzip.compress(bytes(10_000_000)) * 1000
        fields = "Host: x\\r\\nConnection: close\\r\\nContent-Encoding: gzip\\r\\n"

        def exchange(body):
            with socket.create_connection((server.host, server.port), 30) as sock:
                head = f"PUT /x HTTP/1.1\\r\\n{fields}Content-Length: {len(body)}\\r\\n\\r\\n"
                sock.sendall(head.encode())
                sock.sendall(body)
                return b"".join(iter(lambda: sock.recv(65536), b""))

        assert b" 201 " in exchange(gzip.compress(bytes(10_000_000)))
    """
    work = """
        response = exchange(bomb)
        result = [len(bomb), response.decode(), os.listdir(new_folder)]
        server.close()
    """
    growth, (size, response, left) = peak_memory(setup, work, new_folder=str(tmp_path))
    assert size > 9_000_000
    assert response.startswith("HTTP/1.1 413 ")
    assert "larger than the limit of 50000000 bytes" in response
    assert left == ["x"]
    assert growth < 8 * MIB
