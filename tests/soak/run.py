"""Run mixed work through faults for some seconds: ``make soak SOAK_SECONDS=600``.

Eight threads share one Client. The servers are our own and nginx; they and the proxies are other
processes. Every body is compared; errors are allowed only where a fault explains them. At the end,
memory, descriptors and threads must not have grown. The exit status is 1 for any failure.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random

from restkit import Client, Retry, Timeout, TransportError, UnexpectedEOF
from soak.peers import SEED, Peers
from soak.watch import Sample, check_flat, take_sample
from soak.work import DATA, FILE, TEXT, TEXT_FILE, Site
from support.certs import Certs
from support.memory import MIB
from support.nginx import Nginx, find_nginx

THREADS = 8


class Soak:
    """One run: its threads, and what they report."""

    def __init__(self, site: Site, peers: Peers, seconds: float) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.failures: list[str] = []
        self.samples: list[Sample] = []
        self._site = site
        self._peers = peers
        self._seconds = seconds
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self) -> None:
        """Run all threads, and take samples meanwhile."""
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"soak {number}")
            for number in range(THREADS)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        interval = min(1.0, self._seconds / 30)
        while (passed := time.monotonic() - began) < self._seconds and not self._stop.wait(
            interval
        ):
            self.samples.append(take_sample(passed, self._peers.memory()))
        self._stop.set()
        for thread in threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng = Random(f"{SEED}:{number}")
        works = self._site.works()
        while not self._stop.is_set():
            work = rng.choice(works)
            error = ""
            try:
                work(self._site, rng)
            except (TransportError, UnexpectedEOF) as exc:
                error = type(exc).__name__
            except BaseException:  # noqa: BLE001  # each other error is a failure of the run
                with self._lock:
                    self.failures.append(f"{work.__name__}: {traceback.format_exc()}")
                self._stop.set()
            with self._lock:
                self.calls[work.__name__] += 1
                if error:
                    self.errors[error] += 1


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="restkit-soak-")))
        tempfile.tempdir = str(folder)
        certs = Certs(folder)
        nginx = None
        if find_nginx() is not None:
            (folder / "nginx").mkdir()
            nginx = stack.enter_context(Nginx(folder / "nginx", certs))
            (nginx.files / FILE).write_bytes(DATA)
            (nginx.files / TEXT_FILE).write_bytes(TEXT)
        else:
            print("nginx is not installed: the soak runs without it", flush=True)
            if os.environ.get("CI"):
                return 1
        before = take_sample(0)
        failures = _run(folder, certs, nginx, seconds)
        gc.collect()
        after = take_sample(seconds)
        if (after.descriptors, after.threads) != (before.descriptors, before.threads):
            failures.append(f"before {before}; at the end {after}")
    for failure in failures:
        print(f"FAILED: {failure}")
    print("soak: failed" if failures else "soak: passed")
    return 1 if failures else 0


def _run(folder: Path, certs: Certs, nginx: Nginx | None, seconds: float) -> list[str]:
    with Peers(nginx, certs) as peers:
        client = Client(
            timeout=Timeout(connect=10, idle=1, total=60),
            verify=certs.ca_file,
            retries=Retry(4, methods=("GET", "PUT", "POST"), backoff=0.01),
            max_connections=2 * THREADS,
            spool_size=100_000,
            trust_env=False,
        )
        with client:
            soak = Soak(Site(client, folder, peers.ports, nginx), peers, seconds)
            soak.run()
    _report(soak, peers)
    return soak.failures + check_flat(soak.samples)


def _report(soak: Soak, peers: Peers) -> None:
    total = sum(soak.calls.values())
    faults = peers.faults
    print(f"{total} calls: {dict(sorted(soak.calls.items()))}")
    print(f"{sum(soak.errors.values())} calls ended with an error: {dict(soak.errors)}")
    print(f"{sum(faults.values())} connections with faults: {dict(sorted(faults.items()))}")
    samples = soak.samples
    for sample in samples[:: max(1, len(samples) // 12)]:
        print(sample)
    for name in ("memory", "peers_memory"):
        print(f"highest {name}: {max(getattr(each, name) for each in samples) / MIB:.1f} MiB")
    for name in ("descriptors", "threads"):
        print(f"highest number of {name}: {max(getattr(each, name) for each in samples)}")


if __name__ == "__main__":
    sys.exit(main())
