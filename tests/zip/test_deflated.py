"""Archives with deflated files: packages, threads, and when output is sent."""

from __future__ import annotations

import os
import threading

import pytest

from restkit.streaming import ZipStream, ZipStreamFile
from support.memory import MIB
from support.packages import with_only
from support.payloads import SizedPayload, join_chunks, read_archive, split

STORED = {"compression_method": 0}
NOISE = os.urandom(3 * MIB)
TEXT = b"so much to say, and all of it twice\n" * 60_000


@pytest.mark.parametrize("package", ["zlib", "isal", "zlib_ng"])
def test_archive_does_not_depend_on_the_chunks_of_the_source(package):
    data = TEXT + NOISE[:700_000] + TEXT[:9999]
    sizes = iter([999, 100_003, 262_144, MIB])
    with with_only(package):
        archive = ZipStream([ZipStreamFile("a", lambda: split(data, next(sizes)))])
        passes = {join_chunks(archive) for _ in range(4)}

    assert len(passes) == 1
    assert read_archive(passes.pop()) == {"a": data}


@pytest.mark.parametrize("package", ["zlib", "isal", "zlib_ng"])
def test_zipfile_reads_the_archives_of_every_package(package):
    data = {"text": TEXT, "noise": NOISE, "small": TEXT[:2000], "one": b"1", "none": b""}
    with with_only(package):
        sized = [ZipStreamFile(f"{name}/sized", SizedPayload(data[name])) for name in data]
        others = [ZipStreamFile(f"{name}/other", split(data[name])) for name in data]
        stored = [ZipStreamFile(f"{name}/stored", data[name], **STORED) for name in data]
        found = read_archive(join_chunks(ZipStream([*sized, *others, *stored])))

    assert found == {
        f"{name}/{kind}": data[name] for kind in ("sized", "other", "stored") for name in data
    }


def test_source_is_read_on_the_sending_thread_while_another_compresses():
    readers, running = set(), set()

    def watched():
        for chunk in split(NOISE * 3):
            readers.add(threading.current_thread())
            running.update(threading.enumerate())
            yield chunk

    join_chunks(ZipStream([ZipStreamFile("a", watched)]))

    assert readers == {threading.current_thread()}
    assert "restkit-worker" in {thread.name for thread in running}
    assert "restkit-worker" not in {thread.name for thread in threading.enumerate()}


def test_closed_pass_leaves_no_thread():
    chunks = iter(ZipStream([ZipStreamFile("a", lambda: split(NOISE * 3))]))
    size = sum(len(next(chunks)) for _ in range(6))
    chunks.close()

    assert size > MIB // 4
    assert "restkit-worker" not in {thread.name for thread in threading.enumerate()}


def test_most_bytes_are_sent_when_their_source_pauses():
    sent, at_pause = 0, []

    def pausing():
        yield from split(NOISE[:MIB])
        at_pause.append(sent)

    for chunk in ZipStream([ZipStreamFile("a", pausing)]):
        sent += len(chunk)

    assert at_pause[0] > MIB // 2
