"""Faults of the process in the middle of a call: a full disk, signals, forks, no descriptors."""

from __future__ import annotations

import json
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from faults.combination import SEED, Combination, Name, choose
from faults.lab import Interrupted, Lab, Watchdog
from restkit import AlreadyRead, RequestError, TransportError
from support import ScriptedServer, payload_of, response
from support.answers import no_file_over
from support.fault_proxy import Fault
from support.peer import Peer
from support.programs import run_program

COUNT = 60

pytestmark = [
    pytest.mark.posix("signals, forks and limits of the process"),
    pytest.mark.leaves_behind("each combination is checked by itself, after its Client was closed"),
]


def quiet_cases(group: str, folder: Path) -> Iterator[Combination]:
    """Yield combinations whose network has no fault."""
    for number in range(COUNT):
        case = choose(Name(SEED, Random(f"{group}:{number}").randrange(10**6)), folder)
        case.faults.clear()
        yield case
        for path in folder.iterdir():
            path.unlink()


def failures_of(lab: Lab, case: Combination, watchdog: Watchdog, **options: object) -> list[str]:
    watchdog.watch(f"{case.name}, with a fault of the process")
    wrong = lab.run(case, **options)
    return [f"{case}\n  " + "\n  ".join(wrong)] if wrong else []


def test_full_disk_is_an_oserror_or_changes_nothing(certs, tmp_path):
    failures = []
    with Watchdog() as watchdog, Lab(certs, tmp_path) as lab:
        for case in quiet_cases("disk", tmp_path):
            size = Random(str(case.name)).choice((0, 1, 1_000, 50_000))
            case.options["spool_size"] = 0
            around = lambda client, size=size: no_file_over(size)  # noqa: E731
            failures += failures_of(lab, case, watchdog, around=around, errors=(OSError,))
    assert not failures, "\n\n".join(failures)


# Signals


@contextmanager
def handling(handler: Callable[[], object]) -> Iterator[None]:
    """Handle SIGUSR1 during a call; a signal that comes later has no effect."""
    active = True

    def handle(*_: object) -> None:
        if active:
            handler()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield
    finally:
        active = False
        signal.signal(signal.SIGUSR1, before)


def with_signal(case: Combination) -> Combination:
    """Send a signal to the main thread after some bytes of a direction."""
    rng = Random(str(case.name))
    total = len(case.answer.wire)
    place = rng.choice((0, 1, 20, total // 2, max(0, total - 1)))
    fault = Fault("call", "response", place, _send_signal)
    if rng.random() < 0.3:
        fault = Fault("call", "request", rng.choice((0, 1, 160, 3_000)), _send_signal)
    case.faults.append(fault)
    return case


def _send_signal() -> None:
    thread = threading.main_thread().ident
    assert thread is not None
    signal.pthread_kill(thread, signal.SIGUSR1)


def _interrupt() -> None:
    raise Interrupted


def _fork() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if not child:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


HANDLERS = {
    "returns": (lambda client: bool, ()),
    "raises": (lambda client: _interrupt, (Interrupted,)),
    "closes the Client": (
        lambda client: client.close,
        (TransportError, RequestError, AlreadyRead),
    ),
    "forks": (lambda client: _fork, ()),
}


# An exception of a handler may come between the creation of a socket and its first owner. The
# socket is then closed when it is dropped, with this warning.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    "name",
    [
        # Each run interrupts other lines.
        pytest.param(name, marks=[pytest.mark.slow] if name == "raises" else [])
        for name in HANDLERS
    ],
)
def test_signal_in_the_middle_of_a_call(name, certs, tmp_path):
    make_handler, errors = HANDLERS[name]
    failures = []
    with Watchdog() as watchdog, Lab(certs, tmp_path) as lab:
        for case in quiet_cases(name, tmp_path):
            around = lambda client: handling(make_handler(client))  # noqa: E731
            case = with_signal(case)
            if name == "raises":
                # In memory: tempfile.TemporaryFile loses its descriptor if a handler raises in it.
                case.options["spool_size"] = 64 * 1024 * 1024
            failures += failures_of(lab, case, watchdog, around=around, errors=errors)
    assert not failures, "\n\n".join(failures)


# Descriptors

_PROGRAM = """
import json, os, pathlib, resource, sys, tempfile
from restkit import Client, Error
from support.memory import open_descriptors

url, folder = sys.argv[1:]
path = pathlib.Path(folder, "payload")
path.write_bytes(b"payload" * 30_000)
tempfile.gettempdir()  # it needs a descriptor to find out
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)


def works(client):
    yield lambda: client.get(url, spool_size=0).body
    yield lambda: client.get(url).body_file.read()
    yield lambda: client.post(url, path).body
    yield lambda: client.post(url, iter([b"payload"] * 30_000), spool=True, spool_size=0).body
    yield lambda: client.get(url).save(os.path.join(folder, "saved"))


outcomes = []
with Client(timeout=20, max_connections=1, wait_tries=0) as client:
    expected = client.get(url).body
    client.post(url, b"").skip_body()
    for number in range(5):
        for warm in (True, False):
            for free in range(4):
                work = list(works(client))[number]
                if warm:
                    client.get(url).skip_body()
                before = open_descriptors()
                lowest = os.dup(0)
                os.close(lowest)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
                try:
                    got = work()
                    outcome = "right" if got in (expected, len(expected)) else "WRONG"
                except (Error, OSError) as error:
                    outcome = type(error).__name__
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                error = got = None
                if client.get(url).body != expected:
                    outcome = "WRONG afterwards"
                if open_descriptors() > before + 1:
                    outcome = f"LEAK {before} {open_descriptors()}"
                outcomes.append(outcome)
print(json.dumps(outcomes))
"""


def test_process_without_descriptors_gets_errors_and_recovers(tmp_path):
    body = Random("descriptors").randbytes(200_000)

    def script(peer: Peer) -> None:
        while request := peer.next_request():
            assert payload_of(request) in (b"", b"payload" * 30_000)
            peer.send(response(body))

    with ScriptedServer(script) as server:
        outcomes = json.loads(run_program(_PROGRAM, server.url(), str(tmp_path)))
    assert len(outcomes) == 40
    assert set(outcomes) <= {"right", "ConnectError", "OSError"}
    assert {"right", "OSError"} <= set(outcomes)
