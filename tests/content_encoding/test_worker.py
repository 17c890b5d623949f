"""The background thread that compresses: when it runs, and how it ends."""

from __future__ import annotations

import gc
import gzip
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from restkit.content_encoding import payloads as payloads_module
from restkit.content_encoding import worker as worker_module
from restkit.content_encoding.payloads import compress_payload, gzip_stream
from restkit.content_encoding.worker import INLINE_SIZE, BackgroundWorker
from restkit.errors import DecodingError, TransportError
from support import ScriptedServer, response
from support.memory import MIB, peak_memory
from support.payloads import join_chunks, make_payload
from support.peer import HANG_BOUND, Peer

CODINGS = ("gzip", "deflate", "zstd")
NOISE = random.Random(8).randbytes(3 * MIB)
WORDS = b"".join(b"line %d, with %d words\n" % (n, n * 7919 % 1000) for n in range(50_000))


@pytest.fixture(autouse=True)
def _no_flush_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush no generator because the machine is slow, so that the output is always the same."""
    monkeypatch.setattr(payloads_module, "_FLUSH_INTERVAL", HANG_BOUND)


def worker_threads() -> list[threading.Thread]:
    """Return the threads that compress."""
    return [thread for thread in threading.enumerate() if thread.name == "restkit-worker"]


def watch_threads(seen: set[str], size: int, step: int = 64 * 1024) -> Iterator[bytes]:
    """Yield noise, and note whether a thread ran when the next chunk was requested."""
    for at in range(0, size, step):
        yield NOISE[at : at + step]
        seen.add("thread" if worker_threads() else "none")


@pytest.mark.parametrize(("size", "expected"), [(256 * 1024, {"none"}), (MIB, {"none", "thread"})])
def test_only_large_payloads_start_a_thread(size, expected):
    seen: set[str] = set()
    assert gzip.decompress(join_chunks(gzip_stream(watch_threads(seen, size)))) == NOISE[:size]
    assert seen == expected
    assert worker_threads() == []


@pytest.mark.parametrize("failure", [KeyError, KeyboardInterrupt, OSError, DecodingError])
def test_error_of_the_source_ends_the_thread_and_passes_through(client, failure):
    raised = failure("out of the source")

    def chunks() -> Iterator[bytes]:
        yield NOISE
        assert worker_threads()
        raise raised

    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(script) as server:
        with pytest.raises(failure) as caught:
            client.request(
                server.url(), "PUT", payload=compress_payload(make_payload(chunks()), "gzip")
            )
        assert caught.value is raised
        server.join()
    assert not server.wire[0].endswith(b"0\r\n\r\n")
    assert worker_threads() == []


def test_S06_early_error_response_ends_the_thread_and_is_returned(client):
    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield NOISE
        finally:
            closed.set()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(MIB)
        peer.send(response(b"too much", "Connection: close", status="413 Content Too Large"))
        peer.shutdown_write()
        peer.drop()

    with ScriptedServer(script) as server:
        payload = compress_payload(make_payload(chunks()), "gzip", 1)
        rejection = client.request(server.url(), "PUT", payload=payload)
        assert (rejection.status, rejection.body) == (413, b"too much")
    assert closed.is_set()
    assert worker_threads() == []


def test_reset_by_the_server_ends_the_thread(client):
    def script(peer: Peer) -> None:
        peer.read_exactly(MIB)
        peer.reset()

    with ScriptedServer(script) as server, pytest.raises(TransportError):
        payload = compress_payload(make_payload([NOISE] * 100), "gzip", 1)
        client.request(server.url(), "PUT", payload=payload)
    assert worker_threads() == []


@pytest.mark.parametrize("coding", CODINGS)
def test_closed_or_dropped_pass_ends_its_thread(coding):
    for end in ("close", "drop"):
        one_pass: Any = iter(compress_payload(make_payload([NOISE] * 4), coding))
        while not worker_threads():
            next(one_pass)
        if end == "close":
            one_pass.close()
        del one_pass
        assert worker_threads() == []


def test_pass_in_a_cycle_can_be_closed_by_its_own_thread():
    # The garbage collector runs on any thread: here it runs on the thread of the pass.
    closed = threading.Event()

    def job() -> bytes:
        return b"%d" % gc.collect() if dropped.wait(HANG_BOUND) else b""

    def one_pass() -> Iterator[bytes]:
        try:
            with BackgroundWorker() as worker:
                yield from worker.run(bytes, INLINE_SIZE)
                yield from worker.run(job, 1)
                yield b"pending"
        finally:
            closed.set()

    dropped = threading.Event()
    cycle: list[Any] = [one_pass()]
    cycle.append(cycle)
    assert list(islice(cycle[0], 2)) == [b"", b"pending"]
    gc.disable()
    try:
        del cycle
        [thread] = worker_threads()
        dropped.set()
        thread.join(HANG_BOUND)
    finally:
        gc.enable()
    assert closed.is_set()
    assert worker_threads() == []


def test_close_waits_for_the_thread_with_a_limit(monkeypatch):
    # As if the collector closed a pass whose caller holds a lock that the thread needs to end.
    monkeypatch.setattr(worker_module, "JOIN_TIMEOUT", 0.05)
    held = threading.Event()
    with BackgroundWorker() as worker:
        assert list(worker.run(bytes, INLINE_SIZE)) == [b""]
        assert list(worker.run(lambda: b"%d" % held.wait(HANG_BOUND), 1)) == []
    [thread] = worker_threads()
    held.set()
    thread.join(HANG_BOUND)
    assert worker_threads() == []


def test_several_passes_at_once_do_not_mix():
    payload = compress_payload(make_payload([NOISE, WORDS]), "gzip")
    passes = [iter(payload) for _ in range(4)]
    found = [bytearray() for _ in passes]
    unfinished = list(zip(passes, found, strict=True))
    while unfinished:
        unfinished = [
            (one_pass, data) for one_pass, data in unfinished if _read_one(one_pass, data)
        ]
    assert {gzip.decompress(data) == NOISE + WORDS for data in found} == {True}


def _read_one(one_pass: Iterator[Any], data: bytearray) -> bool:
    chunk = next(one_pass, None)
    data += chunk or b""
    return chunk is not None


def run_program(program: str, *options: str) -> str:
    """Return the output of a program that runs in its own process."""
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


BEGUN = """
    import os, threading
    from restkit import PayloadError
    from restkit.content_encoding.payloads import gzip_stream
    one_pass = iter(gzip_stream([os.urandom(1 << 20)] * 4))
    while threading.active_count() == 1:
        next(one_pass)
"""


def test_unfinished_pass_does_not_keep_the_program_running():
    assert run_program(BEGUN + "    print('the end')") == "the end\n"


CHILD = """
    if not os.fork():
        try:
            {work}
        except PayloadError as error:
            os.write(1, str(error).partition(',')[0].encode())
        os._exit(0)
    assert os.wait()[1] == 0
    assert sum(map(len, one_pass)) > 1 << 20
"""


@pytest.mark.parametrize(
    ("work", "message"),
    [("one_pass.close()", ""), ("list(one_pass)", "this pass began before a fork")],
)
def test_pass_belongs_to_the_parent_after_a_fork(work, message):
    assert run_program(BEGUN + CHILD.format(work=work), "-W", "ignore") == message


def test_interrupted_wait_ends_the_thread():
    program = """
    import random, signal, threading
    from restkit.content_encoding.payloads import gzip_stream

    def interrupted(*_):
        raise KeyboardInterrupt

    def chunks(moment):
        # They keep the compressor busy for seconds, so the signal finds its caller waiting.
        for n in range(1000):
            if n == 2:
                assert threading.active_count() == 2
                signal.setitimer(signal.ITIMER_REAL, moment)
            yield noise

    signal.signal(signal.SIGALRM, interrupted)
    noise = random.Random(1).randbytes(1 << 20)
    for moment in (0.001, 0.01, 0.02, 0.03, 0.04):
        try:
            for _ in gzip_stream(chunks(moment), 9):
                pass
        except KeyboardInterrupt:
            print(threading.active_count())
    """
    assert run_program(program) == "1\n" * 5


def test_compression_works_if_no_thread_can_start(monkeypatch):
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert gzip.decompress(join_chunks(gzip_stream([NOISE, WORDS]))) == NOISE + WORDS


def test_memory_stays_flat():
    setup = """
        import random
        from restkit.content_encoding.payloads import compress_payload
        from restkit.payload.convert import as_payload
        def virtual(count):
            block = random.Random(1).randbytes(1 << 20)
            for _ in range(count):
                yield block
        def through(count, coding):
            return sum(map(len, compress_payload(as_payload(virtual(count)), coding, 1)))
        for coding in ("gzip", "deflate", "zstd"):
            through(4, coding)
    """
    work = "result = [through(200, coding) for coding in ('gzip', 'deflate', 'zstd')]"
    measured = peak_memory(setup, work)
    assert min(measured.result) > 199 * MIB
    assert measured.growth < 8 * MIB
