"""The receiver: what becomes a file, what is refused, and that nothing else is ever left."""

from __future__ import annotations

import gzip
import hashlib
import os
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
from restkit.coding import accept_encoding
from restkit.server import receive, serve
from restkit.server.embedded import Server
from restkit.streaming.compressors import compressing
from support import LAST_CHUNK, body_of, chunks, field, head_of
from support.engines import ENGINES, Served
from support.memory import MIB, peak_memory
from support.peer import HANG_BOUND
from support.receivers import Receiving, receiving_on
from support.waiting import until

WORDS = b"some words, and some more of them\n" * 200
NOISE = os.urandom(300_000)
GZIPPED = gzip.compress(WORDS)
DONE = b"OK\n"


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """Where a receiver of the test's own is to put its files; not there so far."""
    return tmp_path / "some" / "received_files"


@pytest.fixture(scope="module", params=ENGINES)
def receiving(request, tmp_path_factory) -> Iterator[Receiving]:
    with receiving_on(request.param, tmp_path_factory.mktemp("receiver")) as receiving:
        yield receiving


@pytest.fixture
def server(receiving: Receiving) -> Served:
    return receiving.server


@pytest.fixture
def folder(receiving: Receiving) -> Iterator[Path]:
    """Where the files of ``server`` go."""
    yield receiving.folder
    receiving.clear()


def connected(server: Served | Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), HANG_BOUND)


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def request_of(body: bytes, *fields: str, target: str = "/hello", method: str = "PUT") -> bytes:
    """A request with these fields, and its Content-Length unless it goes in chunks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    if "Transfer-Encoding: chunked" not in fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answer_to(server: Served | Server, request: bytes) -> bytes:
    """The one answer on a connection of its own, which the server closes behind it."""
    with connected(server) as sock:
        sock.sendall(request)
        return read_to_end(sock)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def until_empty(folder: Path) -> None:
    until(lambda: not any(folder.iterdir()), "an empty folder")


def sha_256(data: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def compressed(coding: str, data: bytes) -> bytes:
    if coding == "br":
        import brotli

        return brotli.compress(data)
    compressor = compressing(coding, None)()
    return compressor.compress(data) + compressor.finish()


# What becomes a file


def test_Z06_a_plain_body_is_stored_as_it_is(server, folder):
    octets = "Content-Type: application/octet-stream"
    answer = answer_to(server, request_of(WORDS, "x-filename: README.md", octets))
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert body_of(answer) == DONE
    assert field(answer, "content-type") == "text/plain"
    assert field(answer, "x-sha-256") == hashlib.sha256(WORDS).hexdigest()
    assert in_folder(folder) == {"README.md": WORDS}


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_Z06_no_bytes_are_an_empty_file(server, folder, coding):
    # Of an empty file, a client that compresses block by block makes no member at all.
    fields = [f"Content-Encoding: {coding}"] if coding else []
    assert status_of(answer_to(server, request_of(b"", *fields))) == 201
    chunked = request_of(LAST_CHUNK, "Transfer-Encoding: chunked", *fields, target="/other")
    assert status_of(answer_to(server, chunked)) == 201
    assert in_folder(folder) == {"hello": b"", "other": b""}


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("target", ["/x.txt", "/a/b/x.txt", "//x.txt", "/x.txt?y=1", "/a%2Fx.txt"])
def test_without_a_header_the_path_names_the_file(server, folder, target, method):
    assert status_of(answer_to(server, request_of(WORDS, target=target, method=method))) == 201
    assert in_folder(folder) == {"x.txt": WORDS}


@pytest.mark.parametrize("target", ["/", "/a/", "/a/b/c", "//", "/a//b"])
def test_any_path_will_do_where_a_header_names_the_file(server, folder, target):
    request = request_of(WORDS, "X-Filename: x.txt", target=target)
    assert status_of(answer_to(server, request)) == 201
    assert in_folder(folder) == {"x.txt": WORDS}


def test_an_older_file_is_replaced(server, folder):
    (folder / "hello").write_bytes(b"older")
    assert status_of(answer_to(server, request_of(b"new"))) == 201
    assert in_folder(folder) == {"hello": b"new"}


def test_Z04_gzip_of_several_members_in_chunks_is_decoded(server, folder):
    members = [gzip.compress(WORDS[at : at + 256]) for at in range(0, len(WORDS), 256)]
    body = chunks(*members) + LAST_CHUNK
    fields = ["X-Filename: f", "Content-Encoding: gzip", "Transfer-Encoding: chunked"]
    assert body_of(answer_to(server, request_of(body, *fields))) == DONE
    assert in_folder(folder) == {"f": WORDS}


def test_Z04_a_client_that_waits_to_be_asked_is_asked(server, folder):
    fields = ["Content-Encoding: gzip", "Transfer-Encoding: chunked", "Expect: 100-continue"]
    head = request_of(b"", *fields)
    with connected(server) as sock:
        sock.sendall(head)
        assert sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(chunks(GZIPPED) + LAST_CHUNK)
        assert body_of(read_to_end(sock)) == DONE
    assert in_folder(folder) == {"hello": WORDS}


@pytest.mark.parametrize("window_bits", [15, -15], ids=["zlib", "raw"])
def test_Z07_deflate_is_decoded_in_both_formats(server, folder, window_bits):
    deflater = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    body = deflater.compress(WORDS) + deflater.flush()
    assert status_of(answer_to(server, request_of(body, "Content-Encoding: deflate"))) == 201
    assert in_folder(folder) == {"hello": WORDS}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_every_coding_is_decoded_as_it_arrives(server, folder, coding):
    body = compressed(coding, NOISE)
    with connected(server) as sock:
        fields = [f"Content-Encoding: {coding}", f"Content-Length: {len(body)}"]
        sock.sendall(request_of(b"", *fields).replace(b"Content-Length: 0\r\n", b""))
        sock.sendall(body[:-1000])
        (part,) = until(lambda: [path for path in folder.iterdir() if path.stat().st_size])
        assert NOISE.startswith(part.read_bytes())
        sock.sendall(body[-1000:])
        assert body_of(read_to_end(sock)) == DONE
    assert in_folder(folder) == {"hello": NOISE}


def test_several_codings_come_off_in_their_order(server, folder):
    body = compressed("deflate", GZIPPED)
    answer = answer_to(server, request_of(body, "Content-Encoding: identity, GZIP, deflate"))
    assert status_of(answer) == 201
    assert in_folder(folder) == {"hello": WORDS}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.binary(max_size=5000)), st.integers(1, 2000))
def test_whatever_is_sent_however_it_is_cut_is_what_is_kept(server, folder, members, size):
    body = b"".join(map(gzip.compress, members))
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    fields = ["Content-Encoding: gzip", "Transfer-Encoding: chunked"]
    answer = answer_to(server, request_of(chunks(*cut) + LAST_CHUNK, *fields))
    assert status_of(answer) == 201
    assert in_folder(folder) == {"hello": b"".join(members)}


# What is refused


def refused(server: Served | Server, folder: Path, request: bytes, status: int, why: str) -> bytes:
    """The answer to a request that is refused for this reason, and leaves nothing."""
    answer = answer_to(server, request)
    assert status_of(answer) == status, answer
    assert why in body_of(answer).decode()
    assert in_folder(folder) == {}
    assert status_of(answer_to(server, request_of(WORDS, target="/next"))) == 201
    assert in_folder(folder) == {"next": WORDS}
    return answer


def test_Z08_no_length_and_no_chunks_is_411(server, folder):
    request = request_of(b"").replace(b"Content-Length: 0\r\n", b"")
    refused(server, folder, request, 411, "a Content-Length, or chunks, must say where")


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
def test_Z11_what_is_not_the_gzip_it_says_is_400(server, folder, body, chunked):
    fields = ["Content-Encoding: gzip"]
    if chunked:
        fields.append("Transfer-Encoding: chunked")
        body = chunks(body) + LAST_CHUNK
    refused(server, folder, request_of(body, *fields), 400, "gzip")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/x", "x"), ("/abs/x", "x"), ("a\\..\\x", "x"), ("UTF-8''b%C5%B1n", "bűn")],
)
def test_Z12_a_name_that_leads_elsewhere_is_kept_in_the_folder(server, folder, name, kept):
    around = os.listdir(folder.parent)
    assert status_of(answer_to(server, request_of(WORDS, f"X-Filename: {name}"))) == 201
    assert in_folder(folder) == {kept: WORDS}
    assert os.listdir(folder.parent) == around


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "'' does not name a file"),
        ("..", "'..' does not name a file"),
        ("a/", "'a/' does not name a file"),
        (".profile", "would be a hidden file"),
        (".x.0123abcd.part", "would be a hidden file"),
        ("UTF-8''a%00b", "control character"),
        ("x" * 256, "more than 255 bytes"),
    ],
)
def test_Z12_a_name_that_is_none_is_400(server, folder, name, why):
    refused(server, folder, request_of(WORDS, f"X-Filename: {name}"), 400, why)


@pytest.mark.parametrize("target", ["/", "/folder/", "/..", "/a/..", "/%2e%2e", "/a%00b", "/%ff"])
def test_Z12_a_path_that_names_no_file_is_400(server, folder, target):
    why = "not UTF-8" if target == "/%ff" else "file"
    refused(server, folder, request_of(WORDS, target=target), 400, why)


def test_Z12_a_name_with_nul_in_it_is_400(server, folder):
    assert status_of(answer_to(server, request_of(WORDS, "X-Filename: x\0y"))) == 400
    assert in_folder(folder) == {}


def test_a_folder_of_that_name_is_409(server, folder):
    (folder / "hello").mkdir()
    answer = answer_to(server, request_of(WORDS))
    assert status_of(answer) == 409
    assert b"the file cannot be kept: Is a directory" in body_of(answer)
    assert os.listdir(folder) == ["hello"]


def test_Z17_a_coding_that_is_not_known_is_415_and_what_is_known_is_said(server, folder):
    request = request_of(WORDS, "Content-Encoding: zzz")
    answer = refused(server, folder, request, 415, "zzz")
    assert field(answer, "accept-encoding") == accept_encoding()


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
def test_a_condition_that_does_not_hold_is_412(server, folder, condition, holds_of, there):
    before = {"hello": b"older"} if there else {}
    for name, data in before.items():
        (folder / name).write_bytes(data)
    answer = answer_to(server, request_of(WORDS, condition))
    assert status_of(answer) == (201 if there in holds_of else 412)
    assert in_folder(folder) == ({"hello": WORDS} if there in holds_of else before)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH"])
def test_other_methods_are_405(server, folder, method):
    answer = answer_to(server, request_of(b"", method=method))
    assert status_of(answer) == 405
    assert {"PUT", "POST"} <= set(field(answer, "allow").split(", "))
    assert in_folder(folder) == {}


def test_a_part_of_a_file_is_400(server, folder):
    request = request_of(WORDS, "Content-Range: bytes 0-99/1000")
    refused(server, folder, request, 400, "Content-Range")


def test_chunks_that_are_none_are_400(server, folder):
    request = request_of(b"5\r\nhello\r\nzz\r\n", "Transfer-Encoding: chunked")
    refused(server, folder, request, 400, "chunk")


def test_a_length_over_the_limit_is_413_before_the_body_is_asked_for(own_folder):
    with serve(receive(own_folder, max_size=10_000)) as server:
        request = request_of(b"x" * 10_001, "Expect: 100-continue")
        refused(
            server, own_folder, head_of(request), 413, "more than the 10000 bytes that are taken"
        )


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_what_turns_out_larger_than_the_limit_is_413(own_folder, coding):
    body = gzip.compress(b"x" * 101) if coding else b"x" * 101
    fields = ["Transfer-Encoding: chunked", *([f"Content-Encoding: {coding}"] if coding else [])]
    with serve(receive(own_folder, max_size=100)) as server:
        answer = answer_to(server, request_of(chunks(body) + LAST_CHUNK, *fields))
        assert status_of(answer) == 413
        assert b"more than the 100 bytes that are taken" in body_of(answer)
        assert in_folder(own_folder) == {}
        answer = answer_to(server, request_of(b"x" * 100))
        assert status_of(answer) == 201
    assert in_folder(own_folder) == {"hello": b"x" * 100}


def test_a_full_disk_is_507(own_folder):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with serve(receive(own_folder)) as server, connected(server) as sock:
            sock.sendall(head_of(request_of(WORDS)))
            (part,) = until(lambda: list(own_folder.iterdir()))
            for number in os.listdir("/dev/fd"):
                if os.path.realpath(f"/dev/fd/{number}") == str(part):
                    os.dup2(full, int(number), inheritable=False)
            sock.sendall(WORDS)
            answer = read_to_end(sock)
    finally:
        os.close(full)
    assert answer.startswith(b"HTTP/1.1 507 Insufficient Storage\r\n")
    assert b"the file cannot be kept: No space left on device" in body_of(answer)
    assert in_folder(own_folder) == {}


# Digests


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_body_is_held_to_its_digest(server, folder, name):
    right = f"{name}: {sha_256(GZIPPED)}"
    wrong = f"{name}: {sha_256(WORDS)}"
    request = request_of(GZIPPED, "Content-Encoding: gzip", right, target="/right")
    assert status_of(answer_to(server, request)) == 201
    assert in_folder(folder) == {"right": WORDS}
    (folder / "right").unlink()
    request = request_of(GZIPPED, "Content-Encoding: gzip", wrong)
    refused(server, folder, request, 400, f"not the one that its {name} is of")


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_body_is_held_to_the_digest_behind_it(server, folder, name):
    fields = ("Transfer-Encoding: chunked", "Content-Encoding: gzip", f"Trailer: x, {name}")

    def sent(digest: str, *head: str) -> bytes:
        end = f"0\r\n{name}: {digest}\r\n\r\n".encode()
        return request_of(chunks(GZIPPED) + end, *head)

    assert status_of(answer_to(server, sent(sha_256(GZIPPED), *fields))) == 201
    assert in_folder(folder) == {"hello": WORDS}
    (folder / "hello").unlink()
    refused(server, folder, sent(sha_256(WORDS), *fields), 400, f"not the one that its {name} is")
    # What was not announced was not hashed on its way.
    assert status_of(answer_to(server, sent(sha_256(WORDS), *fields[:2]))) == 201


def test_what_restkit_sends_compressed_with_its_digest_is_checked(server, folder, tmp_path):
    (tmp_path / "file").write_bytes(NOISE)
    url = f"{server.url}/it"
    sent = restkit.put(url, tmp_path / "file", compress="gzip", content_digest=True)
    assert sent.status == 201
    assert in_folder(folder) == {"it": NOISE}


def test_a_digest_that_cannot_be_checked_is_ignored(server, folder):
    fields = ["Content-Digest: md5=:AAAA:", "Repr-Digest: sha-256=no"]
    assert status_of(answer_to(server, request_of(WORDS, *fields))) == 201
    assert in_folder(folder) == {"hello": WORDS}


# Whoever goes away, and who comes at the same time


@pytest.mark.parametrize(
    "begun",
    [
        request_of(b"x" * 1000)[:-990],
        request_of(chunks(b"x" * 10), "Transfer-Encoding: chunked"),
        request_of(chunks(GZIPPED), "Transfer-Encoding: chunked", "Content-Encoding: gzip"),
    ],
    ids=["length", "chunks", "gzip"],
)
def test_Z09_a_client_that_goes_away_leaves_nothing(server, folder, begun):
    with connected(server) as sock:
        sock.sendall(begun)
        until(lambda: [path for path in folder.iterdir() if path.stat().st_size])
        assert all(path.name.endswith(".part") for path in folder.iterdir())
    until_empty(folder)


def test_Z09_a_server_that_is_closed_leaves_nothing(own_folder):
    with serve(receive(own_folder)) as server, connected(server) as sock:
        sock.sendall(request_of(b"x" * 1000)[:-990])
        until(lambda: list(own_folder.iterdir()))
        server.close()
        assert in_folder(own_folder) == {}


def test_uploads_to_one_name_at_once_do_not_mix(server, folder):
    bodies = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    with_all = threading.Barrier(len(bodies))
    answers = []

    def send(body: bytes) -> None:
        with connected(server) as sock:
            request = request_of(body)
            sock.sendall(request[:-1])
            with_all.wait(HANG_BOUND)
            sock.sendall(request[-1:])
            answers.append(status_of(read_to_end(sock)))

    threads = [threading.Thread(target=send, args=[body]) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * len(bodies)
    assert in_folder(folder) in [{"hello": body} for body in bodies]


def test_what_a_killed_process_left_goes_when_the_next_begins(own_folder):
    own_folder.mkdir(parents=True)
    for name, age in {".x.0123abcd.part": 1, ".y.0123abcd.part": None, "z.part": 1}.items():
        (own_folder / name).write_bytes(b"left")
        if age is not None:
            os.utime(own_folder / name, (age, age))
    receive(own_folder)
    assert sorted(os.listdir(own_folder)) == [".y.0123abcd.part", "z.part"]


def test_fsync_changes_nothing_that_can_be_seen(own_folder):
    with serve(receive(own_folder, fsync=True)) as server:
        assert status_of(answer_to(server, request_of(WORDS))) == 201
    assert in_folder(own_folder) == {"hello": WORDS}


def test_Z16_a_bomb_is_413_and_memory_stays_flat(tmp_path):
    setup = """
        import gzip, os, socket
        from restkit.server import receive, serve

        server = serve(receive(own_folder, max_size=50_000_000))
        bomb = gzip.compress(bytes(10_000_000)) * 1000
        fields = "Host: x\\r\\nConnection: close\\r\\nContent-Encoding: gzip\\r\\n"

        def answer_to(body):
            with socket.create_connection((server.host, server.port), 30) as sock:
                head = f"PUT /x HTTP/1.1\\r\\n{fields}Content-Length: {len(body)}\\r\\n\\r\\n"
                sock.sendall(head.encode())
                sock.sendall(body)
                return b"".join(iter(lambda: sock.recv(65536), b""))

        assert b" 201 " in answer_to(gzip.compress(bytes(10_000_000)))
    """
    work = """
        answer = answer_to(bomb)
        result = [len(bomb), answer.decode(), os.listdir(own_folder)]
        server.close()
    """
    growth, (size, answer, left) = peak_memory(setup, work, own_folder=str(tmp_path))
    assert size > 9_000_000
    assert answer.startswith("HTTP/1.1 413 ")
    assert "more than the 50000000 bytes that are taken" in answer
    assert left == ["x"]
    assert growth < 8 * MIB
