"""``run()`` in a process of its own: signals, and what they leave to requests in progress."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from support.caller import Caller, get
from support.peer import HANG_BOUND


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_at_a_signal(number):
    program = """
        import logging, sys
        from restkit.server.serving import run
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        run(lambda environ, start_response: [start_response("200 OK", []) or b""][1:], port=0)
        print("ended")
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", lines],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stderr.readline()
        assert line.startswith("serving at http://127.0.0.1:")
        with Caller(int(line.rsplit(":", 1)[1])) as caller:
            assert caller.is_open()
            process.send_signal(number)
            out, err = process.communicate(timeout=HANG_BOUND)
    assert (out, err, process.returncode) == ("ended\n", "", 0)


STOPPED = """
import sys, threading
from restkit.server import serving

serving._PATIENCE = 0.2

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        print("begun", flush=True)
        threading.Event().wait()
    if path == "/late":
        print("begun", flush=True)
        threading.Event().wait(0.8)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"whole"]

serving._logger.addHandler(serving.logging.StreamHandler(sys.stdout))
serving._logger.setLevel("INFO")
serving.run(app, port=0, grace=float(sys.argv[1]))
print("ended")
"""


@contextmanager
def stopped_during(path: str, grace: float) -> Iterator[tuple[subprocess.Popen[str], Caller]]:
    """Send SIGTERM to a server whose handler of ``path`` has begun."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(grace)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            with Caller(port) as caller:
                caller.send(get(path))
                assert process.stdout.readline() == "begun\n"
                process.terminate()
                yield process, caller
        finally:
            process.kill()


def test_request_in_progress_at_SIGTERM_is_finished_and_sent():
    with stopped_during("/late", grace=HANG_BOUND) as (process, caller):
        assert caller.read_answer().endswith(b"whole")
        assert caller.read_to_end() == b""
        assert process.stdout.read() == "ended\n"
        assert process.wait(HANG_BOUND) == 0


def test_handler_that_hangs_does_not_keep_the_process_after_SIGTERM():
    with stopped_during("/hang", grace=0.1) as (process, caller):
        assert caller.read_to_end() == b""
        said = process.stdout.read()
        assert said.startswith("stopped anyway: these requests neither read, write nor return: ")
        assert said.endswith("ended\n")
        assert process.wait(HANG_BOUND) == 0


def test_second_signal_ends_the_process_at_once():
    with stopped_during("/hang", grace=3600) as (process, _):
        while process.poll() is None:  # the first one may not have been handled yet
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        assert process.wait(HANG_BOUND) == -signal.SIGTERM
