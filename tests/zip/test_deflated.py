"""Archives whose files are deflated: by which package, on which thread, and what leaves when."""

from __future__ import annotations

import os
import threading

import pytest

from restkit.streaming import ZipStream, ZipStreamFile
from support.archives import Sized, contents, in_pieces, joined
from support.memory import MIB
from support.packages import with_only

STORED = {"compression_method": 0}
NOISE = os.urandom(3 * MIB)
TEXT = b"so much to say, and all of it twice\n" * 60_000


@pytest.mark.parametrize("package", ["zlib", "isal", "zlib_ng"])
def test_however_a_source_cuts_its_pieces_each_pass_gives_the_same_bytes(package):
    data = TEXT + NOISE[:700_000] + TEXT[:9999]
    sizes = iter([999, 100_003, 262_144, MIB])
    with with_only(package):
        archive = ZipStream([ZipStreamFile("a", lambda: in_pieces(data, next(sizes)))])
        passes = {joined(archive) for _ in range(4)}

    assert len(passes) == 1
    assert contents(passes.pop()) == {"a": data}


@pytest.mark.parametrize("package", ["zlib", "isal", "zlib_ng"])
def test_every_package_makes_archives_that_are_read_back(package):
    data = {"text": TEXT, "noise": NOISE, "small": TEXT[:2000], "one": b"1", "none": b""}
    with with_only(package):
        sized = [ZipStreamFile(f"{name}/sized", Sized(data[name])) for name in data]
        others = [ZipStreamFile(f"{name}/other", in_pieces(data[name])) for name in data]
        stored = [ZipStreamFile(f"{name}/stored", data[name], **STORED) for name in data]
        found = contents(joined(ZipStream([*sized, *others, *stored])))

    assert found == {
        f"{name}/{kind}": data[name] for kind in ("sized", "other", "stored") for name in data
    }


def test_a_source_is_asked_on_the_thread_that_sends_while_another_compresses():
    asked, beside = set(), set()

    def watched():
        for piece in in_pieces(NOISE * 3):
            asked.add(threading.current_thread())
            beside.update(threading.enumerate())
            yield piece

    joined(ZipStream([ZipStreamFile("a", watched)]))

    assert asked == {threading.current_thread()}
    assert "restkit-overlap" in {thread.name for thread in beside}
    assert "restkit-overlap" not in {thread.name for thread in threading.enumerate()}


def test_a_pass_that_is_given_up_leaves_no_thread():
    pieces = iter(ZipStream([ZipStreamFile("a", lambda: in_pieces(NOISE * 3))]))
    given = sum(len(next(pieces)) for _ in range(6))
    pieces.close()

    assert given > MIB // 4
    assert "restkit-overlap" not in {thread.name for thread in threading.enumerate()}


def test_most_of_what_came_has_left_when_its_source_pauses():
    left, seen = 0, []

    def pausing():
        yield from in_pieces(NOISE[:MIB])
        seen.append(left)

    for piece in ZipStream([ZipStreamFile("a", pausing)]):
        left += len(piece)

    assert seen[0] > MIB // 2
