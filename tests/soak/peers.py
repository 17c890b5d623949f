"""The server and the fault proxies of a soak run, in a process of their own.

So the samples of the main process are those of the client.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random
from types import TracebackType

from restkit.server.serving import serve
from soak.watch import read_memory
from soak.work import Ports, make_app
from support.certs import Certs
from support.fault_proxy import Action, Fault, FaultProxy
from support.nginx import Nginx
from support.waiting import HANG_BOUND

SEED = 15
_ACTIONS: tuple[Action, ...] = ("cut", "reset", "half-close", "trickle", "delay", "delay", "stall")


class Faults:
    """Chooses the faults of each connection of a proxy, by a seed."""

    def __init__(self, name: str) -> None:
        self.counts: Counter[str] = Counter()
        self._name = name

    def __call__(self, number: int) -> Iterable[Fault]:
        rng = Random(f"{SEED}:{self._name}:{number}")
        if rng.random() < 0.4:
            return []
        action = rng.choice(_ACTIONS)
        self.counts[action] += 1
        at = rng.choice((0, 1, 150, rng.randrange(100_000), rng.randrange(2_000_000)))
        return [Fault(action, rng.choice(("request", "response")), at)]


class Peers:
    """The process, as a context manager. ``faults`` counts the faults after its end."""

    def __init__(self, nginx: Nginx | None, certs: Certs) -> None:
        self._pipe, theirs = get_context("fork").Pipe()
        self._process = get_context("fork").Process(
            target=_serve, args=(theirs, nginx and nginx.port, certs.server), daemon=True
        )
        self.faults: Counter[str] = Counter()

    def __enter__(self) -> Peers:
        self._process.start()
        assert self._pipe.poll(HANG_BOUND)
        self.ports = Ports(*self._pipe.recv())
        return self

    def memory(self) -> int:
        """Return the resident memory of the process."""
        return read_memory(self._process.pid)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipe.send(None)
        if self._pipe.poll(HANG_BOUND):
            self.faults = self._pipe.recv()
        self._process.join(HANG_BOUND)
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


def _serve(pipe: Connection, nginx_port: int | None, context: ssl.SSLContext) -> None:
    """Serve until the main process sends something or ends; then send the counts of faults."""
    counts: list[Faults] = []

    def open_proxy(name: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        counts.append(Faults(name))
        proxy = FaultProxy(("127.0.0.1", port), ssl_context=tls, keep=False, choose=counts[-1])
        return stack.enter_context(proxy).port

    with ExitStack() as stack:
        server = stack.enter_context(serve(make_app(), threads=32))
        ports = [open_proxy("own", server.port), None, None]
        if nginx_port is not None:
            ports[1:] = [
                open_proxy("nginx", nginx_port),
                open_proxy("nginx TLS", nginx_port, context),
            ]
        pipe.send(ports)
        pipe.poll(None)
        pipe.send(sum((each.counts for each in counts), Counter()))
