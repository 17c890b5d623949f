"""Downloads: the state on disk, targets, digests, options, kills, and real servers."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import http.server
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from restkit import (
    Client,
    IntegrityError,
    RequestError,
    ResourceNotFound,
    ResponseError,
    Timeout,
    TotalTimeout,
    UnexpectedEOF,
    download,
)
from support import portable
from support.downloads import BROKEN, DATA, HALF, NOT_FOUND, REST, WHOLE, leave_half, names_in
from support.scripted import ScriptedServer

HASH = hashlib.sha256(DATA).hexdigest()
WEAK = BROKEN.replace(b'"v1"', b'W/"v1"')


# The state between two calls


def test_later_call_continues_where_the_earlier_one_ended(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        assert names_in(tmp_path) == [".a.part", ".a.part.json"]
        result = download(server.url("/a?b=1"), tmp_path / "a", client=sender)
    assert (tmp_path / "a").read_bytes() == DATA
    assert (result.resumed_from, result.tries, result.restarts) == (HALF, 1, ())
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 1}', "[" * 100_000, '{"format": 1, "url": 5}', "\0"]
)
def test_damaged_record_starts_over(sender, tmp_path, text):
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        (tmp_path / ".a.part.json").write_text(text)
        result = download(server.url("/a?b=1"), tmp_path / "a", client=sender)
        assert b"Range" not in server.requests[1]
    assert (tmp_path / "a").read_bytes() == DATA
    assert result.resumed_from == 0
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("key", "value"), [("held", -1), ("held", True), ("etag", 1), ("total", "")]
)
def test_record_with_a_wrong_value_starts_over(sender, tmp_path, key, value):
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        record = json.loads((tmp_path / ".a.part.json").read_text())
        (tmp_path / ".a.part.json").write_text(json.dumps({**record, key: value}))
        assert download(server.url("/a?b=1"), tmp_path / "a", client=sender).resumed_from == 0
    assert (tmp_path / "a").read_bytes() == DATA


def test_record_of_more_bytes_than_the_file_has_starts_over(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        os.truncate(tmp_path / ".a.part", HALF - 1)
        assert download(server.url("/a?b=1"), tmp_path / "a", client=sender).resumed_from == 0
    assert (tmp_path / "a").read_bytes() == DATA


def test_bytes_beyond_the_record_are_requested_again(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        with (tmp_path / ".a.part").open("ab") as file:
            file.write(b"not on the record")
        assert download(server.url("/a?b=1"), tmp_path / "a", client=sender).resumed_from == HALF
    assert (tmp_path / "a").read_bytes() == DATA


def test_record_of_another_url_starts_over(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        assert download(server.url("/a?b=2"), tmp_path / "a", client=sender).resumed_from == 0
        assert b"Range" not in server.requests[1]
    assert (tmp_path / "a").read_bytes() == DATA


def test_record_has_no_user_info(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, close=True) as server:
        url = server.url("/a").replace("//", "//joe:secret@")
        with pytest.raises(UnexpectedEOF):
            download(url, tmp_path / "a", client=sender, max_tries=1)
        record = json.loads((tmp_path / ".a.part.json").read_text())
        assert record["url"] == server.url("/a")
    assert "secret" not in json.dumps(record)


def test_nothing_is_left_without_a_strong_validator(sender, tmp_path):
    with ScriptedServer.serving(WEAK, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
    assert names_in(tmp_path) == []


def test_resume_false_leaves_nothing_and_continues_nothing(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        with pytest.raises(UnexpectedEOF):
            download(server.url(), tmp_path / "a", client=sender, max_tries=1, resume=False)
        assert names_in(tmp_path) == []
        assert b"Range" not in server.requests[1]


def test_ctrl_c_leaves_a_state_that_continues(sender, tmp_path):
    def interrupt(done: int, _: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        with pytest.raises(KeyboardInterrupt):
            download(server.url(), tmp_path / "a", client=sender, progress=interrupt)
        assert names_in(tmp_path) == [".a.part", ".a.part.json"]
        assert download(server.url(), tmp_path / "a", client=sender).resumed_from == HALF
    assert (tmp_path / "a").read_bytes() == DATA


def test_second_download_of_one_path_at_the_same_time_is_an_error(sender, tmp_path):
    pytest.importorskip("fcntl")
    if portable.IS_ON:
        pytest.skip("nothing is locked")
    errors = []

    def begin_another(done: int, _: int | None) -> None:
        if not errors:
            with pytest.raises(RequestError, match="another download is writing") as caught:
                download(server.url(), tmp_path / "a", client=sender)
            errors.append(caught.value)

    with ScriptedServer.serving(WHOLE, close=True) as server:
        download(server.url(), tmp_path / "a", client=sender, progress=begin_another)
    assert (tmp_path / "a").read_bytes() == DATA
    assert len(errors) == 1


@pytest.mark.skipif(portable.IS_ON, reason="links are followed")
def test_link_in_place_of_the_part_file_is_not_followed(sender, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".a.part").symlink_to("precious")
    with ScriptedServer.serving(WHOLE, close=True) as server, pytest.raises(OSError, match="link"):
        download(server.url(), tmp_path / "a", client=sender)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_full_disk_keeps_what_is_recorded(sender, tmp_path):
    pytest.importorskip("resource")
    program = """
import resource, sys, restkit
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    restkit.download(sys.argv[1], sys.argv[2])
except OSError as error:
    print(type(error).__name__, error.errno)
"""
    data = DATA * 10
    whole = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 2000000\r\n\r\n' + data
    # A range that begins earlier: the number of bytes on disk depends on how they arrive.
    ranged = whole.replace(b"200 OK", b"206 P\r\nContent-Range: bytes 0-1999999/2000000")
    with ScriptedServer.serving(whole, ranged, close=True) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url(), str(tmp_path / "a")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == f"OSError {errno.EFBIG}\n"
        assert names_in(tmp_path) == [".a.part", ".a.part.json"]
        held = json.loads((tmp_path / ".a.part.json").read_text())["held"]
        assert (tmp_path / ".a.part").read_bytes()[:held] == data[:held]
        result = download(server.url(), tmp_path / "a", client=sender)
    assert result.resumed_from == held > 700_000
    assert (tmp_path / "a").read_bytes() == data


def test_empty_file(sender, tmp_path):
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer.serving(empty) as server:
        assert download(server.url(), tmp_path / "a", client=sender).size == 0
    assert (tmp_path / "a").read_bytes() == b""
    assert names_in(tmp_path) == ["a"]


# Digests


def test_expected_digest_is_checked(sender, tmp_path):
    with ScriptedServer.serving(WHOLE, close=True) as server:
        result = download(server.url(), tmp_path / "a", client=sender, digest=f"sha-256={HASH}")
    assert result.digest == f"sha-256={HASH}"


@pytest.mark.parametrize("responses", [(WHOLE,), (BROKEN, REST)], ids=["one", "two"])
def test_wrong_digest_leaves_nothing(sender, tmp_path, responses):
    (tmp_path / "a").write_bytes(b"older")
    with (
        ScriptedServer.serving(*responses, close=True) as server,
        pytest.raises(IntegrityError, match=r"does not match the option digest="),
    ):
        download(server.url(), tmp_path / "a", client=sender, digest="sha-256=" + "00" * 32)
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"older"


def test_wrong_digest_of_the_server_over_two_responses_leaves_nothing(sender, tmp_path):
    wrong = b"Repr-Digest: sha-256=:" + b"A" * 43 + b"=:\r\nContent-Length"
    with (
        ScriptedServer.serving(
            BROKEN.replace(b"Content-Length", wrong), REST, close=True
        ) as server,
        pytest.raises(IntegrityError, match="does not match its digest field"),
    ):
        download(server.url(), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


def test_wrong_digest_of_a_range_leaves_nothing(sender, tmp_path):
    wrong = b"Content-Digest: sha-256=:" + b"A" * 43 + b"=:\r\nContent-Length"
    with (
        ScriptedServer.serving(
            BROKEN, REST.replace(b"Content-Length", wrong), close=True
        ) as server,
        pytest.raises(IntegrityError, match="Content-Digest"),
    ):
        download(server.url(), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("digest", ["", "sha-256", "md5=00", "sha-256=00", "sha-256=:AAAA:", 5])
def test_malformed_digest_is_an_error_before_the_request(tmp_path, digest):
    with pytest.raises(RequestError, match="digest must be"):
        download("http://127.0.0.1:1/", tmp_path / "a", digest=digest)


# Targets


@pytest.mark.skipif(portable.IS_ON, reason="files have no mode")
def test_existing_file_is_replaced_and_keeps_its_mode(sender, tmp_path):
    (tmp_path / "a").write_bytes(b"older")
    (tmp_path / "a").chmod(0o640)
    with ScriptedServer.serving(WHOLE, close=True) as server:
        download(server.url(), tmp_path / "a", client=sender, durable=True)
    assert (tmp_path / "a").read_bytes() == DATA
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_overwrite_false_raises_before_the_request(sender, tmp_path):
    (tmp_path / "a").write_bytes(b"older")
    with ScriptedServer.serving(WHOLE) as server:
        with pytest.raises(FileExistsError):
            download(server.url(), tmp_path / "a", client=sender, overwrite=False)
        assert server.requests == []


def test_overwrite_false_keeps_a_file_that_appears_meanwhile(sender, tmp_path):
    def appear(done: int, _: int | None) -> None:
        (tmp_path / "a").write_bytes(b"of another program")

    with ScriptedServer.serving(WHOLE, close=True) as server, pytest.raises(FileExistsError):
        download(server.url(), tmp_path / "a", client=sender, overwrite=False, progress=appear)
    assert (tmp_path / "a").read_bytes() == b"of another program"


def test_file_in_a_folder_gets_a_safe_name(sender, tmp_path):
    named = b'Content-Disposition: attachment; filename="../../.b.txt"\r\nContent-Length'
    responses = [each.replace(b"Content-Length", named) for each in (BROKEN, REST)]
    with ScriptedServer.serving(*responses, close=True) as server:
        leave_half(server, sender, tmp_path)
        result = download(server.url("/a?b=1"), tmp_path, client=sender)
    assert result.resumed_from == HALF
    assert names_in(tmp_path) == ["b.txt"]
    assert (tmp_path / "b.txt").read_bytes() == DATA


def test_existing_file_in_a_folder_is_kept(sender, tmp_path):
    (tmp_path / "a").write_bytes(b"older")
    with ScriptedServer.serving(WHOLE, close=True) as server, pytest.raises(FileExistsError):
        download(server.url("/a"), tmp_path, client=sender)
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"older"


def test_file_object_continues_within_one_call(sender):
    file = io.BytesIO()
    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        result = download(server.url(), file, client=sender, digest=f"sha-256={HASH}")
    assert file.getvalue() == DATA
    assert (result.path, result.size) == (None, 200_000)


def test_file_object_skips_what_it_has_of_the_same_version(sender):
    file = io.BytesIO()
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        download(server.url(), file, client=sender)
    assert file.getvalue() == DATA


def test_file_object_never_gets_two_versions(sender):
    file = io.BytesIO()
    changed = WHOLE.replace(b'"v1"', b'"v2"')
    with (
        ScriptedServer.serving(BROKEN, changed, close=True) as server,
        pytest.raises(ResponseError, match="cannot start over: 100000 bytes were written"),
    ):
        download(server.url(), file, client=sender)
    assert file.getvalue() == DATA[:HALF]


def test_hyphen_is_standard_output(tmp_path):
    program = "import sys, restkit; restkit.download(sys.argv[1], '-')"
    with ScriptedServer.serving(WHOLE, close=True) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=60,
            check=True,
            cwd=tmp_path,
        )
    assert done.stdout == DATA
    assert names_in(tmp_path) == []


# Errors and options


def test_error_status_leaves_nothing(sender, tmp_path):
    with ScriptedServer.serving(NOT_FOUND) as server, pytest.raises(ResourceNotFound):
        download(server.url(), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


def test_error_status_keeps_what_is_on_disk(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, NOT_FOUND, close=True) as server:
        leave_half(server, sender, tmp_path / "a")
        with pytest.raises(ResourceNotFound):
            download(server.url("/a?b=1"), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == [".a.part", ".a.part.json"]


def test_total_timeout_bounds_the_waits_between_attempts(sender, tmp_path):
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 500\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer.serving(busy) as server, pytest.raises(TotalTimeout, match="100 s"):
        download(server.url(), tmp_path / "a", client=sender, timeout=Timeout(total=100))


def test_stall_is_tried_again(sender, tmp_path):
    def stall(peer):
        peer.read_request()
        peer.send(BROKEN)
        peer.read_to_end()

    def send_rest(peer):
        peer.read_request()
        peer.send(REST)

    with ScriptedServer(stall, send_rest) as server:
        result = download(server.url(), tmp_path / "a", client=sender, timeout=Timeout(10, 0.2))
    assert (tmp_path / "a").read_bytes() == DATA
    assert result.tries == 2


@pytest.mark.parametrize("name", ["Range", "if-range", "Accept-Encoding"])
def test_header_that_a_download_sets_itself_is_an_error(tmp_path, name):
    with pytest.raises(RequestError, match="a download sets the header"):
        download("http://127.0.0.1:1/", tmp_path / "a", headers={name: "x"})


def test_unknown_option_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="no option 'payload'"):
        download("http://127.0.0.1:1/", tmp_path / "a", payload=b"")


def test_client_options_apply(sender, tmp_path):
    with (
        ScriptedServer.serving(WHOLE, close=True) as server,
        Client(base_url=server.url("/x/"), params={"p": 1}, headers={"X-Y": "z"}) as client,
    ):
        download("a", tmp_path / "a", client=client, params={"q": 2})
    assert server.request.startswith(b"GET /x/a?p=1&q=2 HTTP/1.1\r\n")
    assert b"X-Y: z\r\n" in server.request


def test_progress_counts_the_bytes_of_the_file(sender, tmp_path):
    calls = []
    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        download(
            server.url(),
            tmp_path / "a",
            client=sender,
            progress=lambda done, total: calls.append((done, total)),
        )
    assert calls[0] == (0, 200_000)
    assert calls[-1] == (200_000, 200_000)
    assert (HALF, 200_000) in calls
    assert calls == sorted(calls)


def test_import_restkit_does_not_import_transfers():
    program = "import sys, restkit; print([n for n in sys.modules if 'transfer.' in n])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


# Real servers


def test_nginx_continues_with_its_entity_tag(nginx, sender, tmp_path):
    expected = nginx.make_file("download.bin", 3_000_000)

    def interrupt(done: int, _: int | None) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    url = nginx.url("/file/download.bin")
    with pytest.raises(KeyboardInterrupt):
        download(url, tmp_path / "a", client=sender, progress=interrupt)
    result = download(url, tmp_path / "a", client=sender, digest=f"sha-256={expected}")
    assert result.resumed_from > 1_000_000
    assert (result.status, result.restarts) == (206, ())
    # A file that changed is received whole, and not joined.
    with pytest.raises(KeyboardInterrupt):
        download(url, tmp_path / "a", client=sender, progress=interrupt)
    (nginx.files / "download.bin").write_bytes(DATA * 10)
    result = download(url, tmp_path / "a", client=sender)
    assert result.restarts == ("the validator has changed",)
    assert (tmp_path / "a").read_bytes() == DATA * 10


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        pass


def test_http_server_without_ranges_starts_over(sender, tmp_path):
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / "a"
    source.write_bytes(DATA * 10)
    os.utime(source, (1e9, 1e9))

    def interrupt(done: int, _: int | None) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    handler = functools.partial(QuietHandler, directory=str(tmp_path / "source"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/a"
            with pytest.raises(KeyboardInterrupt):
                download(url, tmp_path / "a", client=sender, progress=interrupt)
            result = download(url, tmp_path / "a", client=sender)
        finally:
            server.shutdown()
            thread.join()
    assert result.resumed_from > 1_000_000
    assert result.restarts == ("the server ignored the range",)
    assert (tmp_path / "a").read_bytes() == DATA * 10


# Kills

PROGRAM = """
import sys, restkit
from restkit.transfer import part_file
part_file.SYNC_BYTES = int(sys.argv[3])
restkit.download(sys.argv[1], sys.argv[2], timeout=30)
"""


def kill_until_complete(url: str, path: Path, sync_bytes: int, kills: int, seed: int) -> int:
    """Run downloads that are killed after random bytes, and one that is not; return the kills."""
    chance = random.Random(seed)
    part = path.parent / f".{path.name}.part"
    done = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, str(path), str(sync_bytes)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            if done < kills:
                end = size_of(part) + chance.randrange(1, 2 * sync_bytes)
                while process.poll() is None and size_of(part) < end:
                    time.sleep(0.002)
                process.send_signal(signal.SIGKILL)
                done += 1
            status = process.wait(60)
        finally:
            process.kill()
            process.wait()
        if status == 0:
            return done
        with contextlib.suppress(FileNotFoundError):
            record = path.parent / f".{path.name}.part.json"
            held = json.loads(record.read_text())["held"] if record.exists() else 0
            assert size_of(part) - held <= sync_bytes + 256 * 1024


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    ("size", "sync_bytes", "kills"),
    [(20_000_000, 1_000_000, 4), pytest.param(128 * 2**20, 2**21, 30, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_killed_downloads_continue_and_leave_only_the_file(
    nginx, tmp_path, size, sync_bytes, kills
):
    expected = nginx.make_file("kills.bin", size)
    path = tmp_path / "a"
    before = len(nginx.log())
    assert kill_until_complete(nginx.url("/file/kills.bin"), path, sync_bytes, kills, seed=1) > 0
    with path.open("rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == expected
    assert names_in(tmp_path) == ["a"]
    assert len(nginx.log()) > before
