"""The lock that keeps forks out of the steps of a TLS handshake."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from restkit.network.fork_lock import openssl_step
from support.peer import HANG_BOUND


def fork_and_wait() -> int:
    child = os.fork()
    if child == 0:
        try:
            with openssl_step():
                os._exit(7)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_fork_waits_for_the_step_of_another_thread():
    events = []
    inside, forking = threading.Event(), threading.Event()

    def step() -> None:
        with openssl_step():
            inside.set()
            forking.wait(HANG_BOUND)
            events.append("end of the step")

    # Of the hooks before a fork, the last one registered runs first.
    os.register_at_fork(before=forking.set)
    thread = threading.Thread(target=step)
    thread.start()
    assert inside.wait(HANG_BOUND)
    assert fork_and_wait() == 7
    events.append("fork")
    thread.join(HANG_BOUND)
    assert events == ["end of the step", "fork"]


def test_thread_that_forks_does_not_wait_for_its_own_step():
    # With the wait, the process would stay for five seconds in the fork, and notice nothing.
    program = """
import os, time
from restkit.network import fork_lock
fork_lock.MAX_WAIT = 3600
with fork_lock.openssl_step():
    with fork_lock.openssl_step():
        child = os.fork()
    if child == 0:
        with fork_lock.openssl_step():
            os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=HANG_BOUND,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)


def test_steps_of_several_threads_run_at_the_same_time():
    both = threading.Barrier(2)

    def step() -> None:
        with openssl_step():
            both.wait(HANG_BOUND)

    threads = [threading.Thread(target=step) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_BOUND)
    assert not both.broken
