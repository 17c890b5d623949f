"""The lock that keeps forks out of the steps of a TLS handshake."""

from __future__ import annotations

import os
import threading

from restkit.io.fork_lock import openssl_step
from support.peer import HANG_BOUND
from support.programs import run_program


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
    program = """
import os, time
from restkit.io import fork_lock
fork_lock.MAX_WAIT = 3600
with fork_lock.openssl_step():
    with fork_lock.openssl_step():
        child = os.fork()
    if child == 0:
        with fork_lock.openssl_step():
            os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_program(program, options=("-W", "ignore")) == "7\n"


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


def test_interrupt_between_any_two_lines_of_a_step_blocks_neither_steps_nor_forks():
    program = """
import os, sys, threading
from restkit.io import fork_lock
from contextlib import suppress

fork_lock.MAX_WAIT = 3600
lines = 0

def trace(frame, event, argument):
    global lines
    if "fork_lock" not in frame.f_code.co_filename:
        return None
    if event == "line":
        lines += 1
        if lines == stop:
            raise KeyboardInterrupt
    return trace

stop, reached = 0, True
while reached:
    stop, lines = stop + 1, 0
    with suppress(KeyboardInterrupt):
        sys.settrace(trace)
        with fork_lock.openssl_step():
            pass
    sys.settrace(None)
    reached = lines >= stop

    def use():
        with fork_lock.openssl_step():
            pass
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
print(stop > 5)
"""
    assert run_program(program, options=("-W", "ignore")) == "True\n"


def test_fork_hook_of_a_program_that_waits_for_the_thread_of_a_step_ends_after_the_bound():
    program = """
import os, threading
lock = threading.RLock()
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release)
from restkit.io import fork_lock

fork_lock.MAX_WAIT = 0.1
locked = threading.Event()

def use():
    with lock:
        locked.set()
        while not fork_lock._lock._forking:
            pass
        with fork_lock.openssl_step():
            pass

thread = threading.Thread(target=use)
thread.start()
locked.wait()
child = os.fork()
if child == 0:
    os._exit(7)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_program(program, options=("-W", "ignore")) == "7\n"
