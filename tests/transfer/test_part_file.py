"""The files of an unfinished download: kills, foreign files, and errors of the disk."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from restkit import Client, IntegrityError, ResourceNotFound, UnexpectedEOF, download
from restkit.io.files import try_to_lock, unlock
from support import portable
from support.downloads import BROKEN, DATA, HALF, NOT_FOUND, REST, WHOLE, leave_half, names_in
from support.scripted import ScriptedServer

AT_END = b"HTTP/1.1 416 Range\r\nContent-Range: bytes */200000\r\nContent-Length: 0\r\n\r\n"


def test_file_that_has_two_names_after_a_kill_is_not_changed(sender, tmp_path):
    # The process ended between the link and the removal of the other name.
    (tmp_path / "a").write_bytes(b"complete")
    os.link(tmp_path / "a", tmp_path / ".a.part")
    with ScriptedServer.serving(BROKEN, NOT_FOUND, REST, close=True) as server:
        leave_half(server, sender, tmp_path / "a", "/a")
        assert (tmp_path / "a").read_bytes() == b"complete"
        with pytest.raises(ResourceNotFound):
            download(server.url("/a"), tmp_path / "a", client=sender)
        download(server.url("/a"), tmp_path / "a", client=sender)
    assert (tmp_path / "a").read_bytes() == DATA
    assert names_in(tmp_path) == ["a"]


def test_digest_is_checked_after_a_kill_before_the_check(sender, tmp_path):
    digest = b"Repr-Digest: sha-256=:" + b"A" * 43 + b"=:\r\nContent-Length"
    broken = BROKEN.replace(b"Content-Length", digest)
    with ScriptedServer.serving(broken, AT_END, close=True) as server:
        leave_half(server, sender, tmp_path / "a", "/a")
        (tmp_path / ".a.part").write_bytes(DATA)
        record = json.loads((tmp_path / ".a.part.json").read_text())
        (tmp_path / ".a.part.json").write_text(json.dumps({**record, "held": 200_000}))
        with pytest.raises(IntegrityError, match="does not match its digest field"):
            download(server.url("/a"), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


def test_digest_is_checked_after_a_body_without_its_end(sender, tmp_path):
    head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nRepr-Digest: sha-256=:' + b"A" * 43 + b"=:\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n" + DATA + b"\r\n"
    with (
        ScriptedServer.serving(chunked, AT_END, close=True) as server,
        pytest.raises(IntegrityError, match="does not match its digest field"),
    ):
        download(server.url(), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


def test_digest_that_the_client_ignores_is_neither_checked_nor_reported(tmp_path):
    digest = b"Repr-Digest: sha-256=:" + base64.b64encode(bytes(32)) + b":\r\nContent-Length"
    with (
        ScriptedServer.serving(WHOLE.replace(b"Content-Length", digest), close=True) as server,
        Client(content_digest=False) as client,
    ):
        assert download(server.url(), tmp_path / "a", client=client).digest is None


def test_error_for_another_url_keeps_what_is_on_disk(sender, tmp_path):
    with ScriptedServer.serving(BROKEN, NOT_FOUND, REST, close=True) as server:
        leave_half(server, sender, tmp_path / "a", "/a")
        with pytest.raises(ResourceNotFound):
            download(server.url("/typo"), tmp_path / "a", client=sender)
        assert download(server.url("/a"), tmp_path / "a", client=sender).resumed_from == HALF
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "../b"), ("condition", "x\r\nX: y"), ("condition", ""), ("condition", '"other"')],
    ids=["name", "line", "empty", "other"],
)
def test_forged_record_starts_over(sender, tmp_path, key, value):
    folder = tmp_path / "folder"
    folder.mkdir()
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, folder, "/a")
        (record,) = folder.glob(".*.json")
        record.write_text(json.dumps({**json.loads(record.read_text()), key: value}))
        assert download(server.url("/a"), folder, client=sender).resumed_from == 0
    assert names_in(folder) == ["a"]
    assert names_in(tmp_path) == ["folder"]


def test_link_in_place_of_a_new_record_is_not_followed(sender, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")

    def link(_done: int, _total: int | None) -> None:
        (tmp_path / ".a.part.json.new").symlink_to("precious")

    with ScriptedServer.serving(BROKEN, REST, close=True) as server:
        with pytest.raises(UnexpectedEOF):
            download(server.url("/a"), tmp_path / "a", client=sender, max_tries=1, progress=link)
        download(server.url("/a"), tmp_path / "a", client=sender)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert names_in(tmp_path) == ["a", "precious"]


def test_pipe_in_place_of_the_record_starts_over(sender, tmp_path):
    if portable.IS_ON or not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names")
    with ScriptedServer.serving(BROKEN, WHOLE, close=True) as server:
        leave_half(server, sender, tmp_path / "a", "/a")
        (tmp_path / ".a.part.json").unlink()
        os.mkfifo(tmp_path / ".a.part.json")
        assert download(server.url("/a"), tmp_path / "a", client=sender).resumed_from == 0
    assert names_in(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt" or portable.IS_ON, reason="files have no mode")
def test_record_and_part_of_a_private_file_are_private(sender, tmp_path):
    (tmp_path / "a").touch(0o600)
    old = os.umask(0o022)
    try:
        with ScriptedServer.serving(BROKEN, close=True) as server:
            leave_half(server, sender, tmp_path / "a", "/a")
            leave_half(server, sender, tmp_path / "b", "/a")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    del modes["a"]
    assert modes == {
        ".a.part": 0o600,
        ".a.part.json": 0o600,
        ".b.part": 0o644,
        ".b.part.json": 0o600,
    }


def test_bytes_that_the_disk_has_lost_are_not_recorded(sender, tmp_path, monkeypatch):
    synced = []

    def fail_once(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 1:
            raise OSError(5, "Input/output error")

    with ScriptedServer.serving(WHOLE, close=True) as server:
        monkeypatch.setattr(os, "fsync", fail_once)
        with pytest.raises(OSError, match="Input/output error"):
            download(server.url(), tmp_path / "a", client=sender)
    assert names_in(tmp_path) == []


def test_lock_ends_also_for_a_duplicate_of_the_descriptor(tmp_path):
    # A forked child has such a duplicate, and may live longer than the download.
    pytest.importorskip("fcntl")
    if portable.IS_ON:
        pytest.skip("nothing is locked")
    with (tmp_path / "a").open("wb") as first, (tmp_path / "a").open("rb") as second:
        assert try_to_lock(first.fileno())
        duplicate = os.dup(first.fileno())
        assert not try_to_lock(second.fileno())
        unlock(first.fileno())
        assert try_to_lock(second.fileno())
        os.close(duplicate)


@pytest.mark.parametrize("path", ["", "missing/a", "a" * 300], ids=["empty", "missing", "long"])
def test_path_that_cannot_be_written_is_an_error_before_the_request(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with ScriptedServer.serving(WHOLE) as server:
        with pytest.raises(OSError, match=r"a path|folder|too long"):
            download(server.url(), path)
        assert server.requests == []


def test_downloads_of_one_path_on_many_threads_leave_one_whole_file(tmp_path):
    pytest.importorskip("fcntl")
    if portable.IS_ON:
        pytest.skip("nothing is locked")
    outcomes: list[str] = []

    def run(url: str) -> None:
        try:
            download(url, tmp_path / "a")
            outcomes.append("done")
        except Exception as exc:  # noqa: BLE001  # checked below
            outcomes.append(type(exc).__name__)

    with ScriptedServer.serving(WHOLE, close=True) as server:
        for _ in range(4):
            threads = [threading.Thread(target=run, args=(server.url(),)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert (tmp_path / "a").read_bytes() == DATA
    assert names_in(tmp_path) == ["a"]
    assert set(outcomes) <= {"done", "RequestError"}
    assert "done" in outcomes


KILLED = """
import os, sys
from restkit import download
from restkit.io import files
from restkit.transfer import part_file

part_file.SYNC_BYTES = 50_000
steps = int(sys.argv[3])


def ends(function):
    def call(*arguments, **options):
        global steps
        steps -= 1
        if not steps:
            os._exit(9)
        return function(*arguments, **options)

    return call


for name in ("fsync", "replace", "link", "unlink", "ftruncate", "open"):
    setattr(os, name, ends(getattr(os, name)))
files.pwrite = ends(files.pwrite)
download(sys.argv[1], sys.argv[2], timeout=30)
"""


def run_killed(url: str, path: Path, steps: int) -> int:
    return subprocess.run(
        [sys.executable, "-c", KILLED, url, str(path), str(steps)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.slow
def test_end_of_the_process_before_any_step_leaves_the_older_or_the_whole_file(tmp_path):
    def serve(peer):
        while request := peer.next_request():
            match = re.search(rb"\r\nrange: bytes=([0-9]+)-", request, re.IGNORECASE)
            start = int(match[1]) if match else 0
            head = b"HTTP/1.1 200 OK"
            if start == len(DATA):
                peer.send(AT_END)
                continue
            if start:
                head = b"HTTP/1.1 206 P\r\nContent-Range: bytes %d-199999/200000" % start
            head += b'\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % (len(DATA) - start)
            peer.send(head + DATA[start:])

    path = tmp_path / "a"
    steps, status = 0, 9
    with ScriptedServer(serve) as server:
        while status == 9:
            steps += 1
            path.write_bytes(b"older")
            status = run_killed(server.url(), path, steps)
            assert path.read_bytes() in (b"older", DATA)
            assert run_killed(server.url(), path, 0) == 0
            assert path.read_bytes() == DATA
            assert names_in(tmp_path) == ["a"]
    assert status == 0
    assert steps > 10
