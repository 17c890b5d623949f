"""Payloads, faults, phases and options: each call ends right, or with a documented error.

``make test`` runs 2,000 combinations and ``make faults`` 20,000. A failure prints the command that
runs its combination alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.combination import SEED, Name, choose
from faults.lab import Lab, Watchdog
from support.certs import Certs

COUNT = int(os.environ.get("RESTKIT_FAULTS") or 2_000)
CHOSEN_SEED = int(os.environ.get("RESTKIT_FAULTS_SEED") or SEED)
CASE = os.environ.get("RESTKIT_FAULTS_CASE") or None
GROUPS = 40
MAX_FAILURES = 5

pytestmark = [
    pytest.mark.posix("the proxies use poll"),
    pytest.mark.leaves_behind("each combination is checked by itself, after its Client was closed"),
    # SSLContext.wrap_socket() drops the socket of a proxy that its client has just reset.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]


def run_all(names: list[Name], certs: Certs, folder: Path) -> list[str]:
    failures: list[str] = []
    with Watchdog() as watchdog, Lab(certs, folder) as lab:
        for name in names:
            watchdog.watch(str(name))
            case = choose(name, folder)
            wrong = lab.run(case)
            if wrong:
                reasons = "\n  ".join(wrong)
                failures.append(f"{case}\n  {reasons}\n  to repeat it: make faults CASE={name}")
            for path in folder.iterdir():
                path.unlink()
            if len(failures) == MAX_FAILURES:
                break
    return failures


@pytest.mark.skipif(CASE is not None, reason="one combination was chosen")
@pytest.mark.parametrize("group", range(GROUPS))
def test_each_call_ends_right_or_with_a_documented_error(group, certs, tmp_path):
    names = [Name(CHOSEN_SEED, number) for number in range(group, COUNT, GROUPS)]
    failures = run_all(names, certs, tmp_path)
    assert not failures, "\n\n".join(failures)


@pytest.mark.skipif(CASE is None, reason="make faults CASE=SEED:NUMBER runs one combination")
def test_one_chosen_combination(certs, tmp_path):
    seed, _, number = str(CASE).partition(":")
    failures = run_all([Name(int(seed), int(number))], certs, tmp_path)
    assert not failures, "\n\n".join(failures)
