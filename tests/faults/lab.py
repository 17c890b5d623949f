"""Run combinations: the client, the proxies and the server, and the checks after each of them."""

from __future__ import annotations

import gc
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

from restkit import Client, HttpResponse, Timeout
from support import ScriptedServer
from support.certs import Certs
from support.fault_proxy import FaultProxy
from support.memory import descriptors

from .combination import Combination
from .oracle import Outcome, check_outcome
from .payloads import SourceFailed
from .server import NEXT, Behavior

HANG = 20.0  # seconds that a combination may take; most take some milliseconds
_STALL = 0.04  # seconds until a call gives up that the network stalls


class Interrupted(BaseException):
    """Raised by a signal handler, as KeyboardInterrupt is."""


def _read_file(response: HttpResponse) -> Iterator[bytes]:
    while data := response.body_file.read(4_000):
        yield data


def _read_stream(response: HttpResponse) -> Iterator[bytes]:
    with response.body_stream() as stream:
        while data := stream.read1(4_000):
            yield data


def _read_chunks(response: HttpResponse) -> Iterator[bytes]:
    chunks = response.body_chunks
    return (bytes(chunk) for chunk in ((response.body,) if chunks is None else chunks))


_READINGS: dict[str, Callable[[HttpResponse], Iterable[bytes]]] = {
    "body": lambda response: [response.body],
    "file": _read_file,
    "stream": _read_stream,
    "chunks": _read_chunks,
    "blocks": lambda response: response.iter_blocks(1_000),
}


class Lab:
    """The server and the proxies, which all combinations of a process share."""

    def __init__(self, certs: Certs, folder: Path) -> None:
        self.folder = folder
        self._behavior = Behavior(certs.server)
        self._stack = ExitStack()
        self._server = ScriptedServer(self._behavior)
        self._stack.enter_context(self._server)
        address = ("127.0.0.1", self._server.port)
        self._plain = self._enter(FaultProxy(address))
        self._tls = self._enter(FaultProxy(address, ssl_context=certs.server))
        self._trust = ssl.create_default_context(cafile=str(certs.ca_file))

    def _enter(self, proxy: FaultProxy) -> FaultProxy:
        return self._stack.enter_context(proxy)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(
        self,
        case: Combination,
        around: Callable[[Client], AbstractContextManager[object]] | None = None,
        errors: tuple[type[BaseException], ...] = (),
    ) -> list[str]:
        """Run a combination; return everything that is wrong with its outcome.

        ``around`` makes a context for the call, with a fault of the process. It allows these
        ``errors`` too.
        """
        began = monotonic()
        threads, files = set(threading.enumerate()), descriptors()
        proxy = self._tls if case.route == "tls" else self._plain
        self._behavior.begin(case)
        client = self._make_client(case, proxy)
        wrong: list[str] = []
        try:
            self._prepare(case, client, proxy)
            with nullcontext() if around is None else around(client):
                outcome = self._call(case, client, proxy)
            if not client.closed:
                wrong += self._check_pool(case, client, proxy)
        finally:
            client.close()
            case.given.close()
        if not proxy.wait_until_idle(HANG):
            wrong.append("a connection stayed open after the Client was closed")
            proxy.stop()
            proxy.wait_until_idle(HANG)
        self._server.until(lambda: all(peer.finished for peer in self._server.peers))
        if not isinstance(outcome.error, errors):
            wrong += check_outcome(case, outcome)
        outcome.error = None
        wrong += self._check_leaks(threads, files)
        if monotonic() - began > HANG:
            wrong.append(f"took {monotonic() - began:.1f} s")
        proxy.forget()
        self._server.peers.clear()
        self._server.requests.clear()
        return wrong

    def _make_client(self, case: Combination, proxy: FaultProxy) -> Client:
        options: dict[str, Any] = {"ssl_context": self._trust, "wait_tries": 0.0}
        if case.route in ("forward", "tunnel"):
            options["proxy"] = proxy.url("")
        options["timeout"] = Timeout(connect=HANG, idle=HANG, total=2 * HANG)
        return Client(**{**options, **case.client_options})

    def _url(self, case: Combination, proxy: FaultProxy, path: str) -> str:
        if case.route == "forward":
            return f"http://127.0.0.1:{self._server.port}{path}"
        if case.route == "tunnel":
            return f"https://127.0.0.1:{self._server.port}{path}"
        return proxy.url(path)

    def _prepare(self, case: Combination, client: Client, proxy: FaultProxy) -> None:
        """Set the faults of the connections, the first of which may be used before the call."""
        if case.warm:
            client.get(self._url(case, proxy, "/next"), eager_body=200_000)
            connection = proxy.connections[-1]
            connection.arm(case.faults)
            proxy.plans += [case.faults] * (case.times - 1)
        else:
            proxy.plans += [case.faults] * case.times

    def _call(self, case: Combination, client: Client, proxy: FaultProxy) -> Outcome:
        options = {**case.options, **case.given.options}
        if case.stalls:
            options["timeout"] = Timeout(connect=_STALL, idle=_STALL, total=HANG)
        outcome = Outcome()
        collected = bytearray()
        try:
            response = client.request(
                self._url(case, proxy, "/case"),
                case.method,
                case.given.payload,
                headers=case.given.headers,
                **options,
            )
            outcome.status, outcome.tries = response.status, response.tries
            outcome.is_single = not response.history
            outcome.sent = response.sent
            with response:
                for chunk in self._read(case, response):
                    collected += chunk
            outcome.body = None if case.reading in ("skip", "close") else bytes(collected)
        except SourceFailed as error:
            outcome.error = error.with_traceback(None)
        except (Exception, Interrupted) as error:  # noqa: BLE001  # the checks name the wrong ones
            outcome.is_single = not getattr(error, "history", ())
            outcome.sent = getattr(error, "sent", None)
            outcome.error, outcome.begun = error.with_traceback(None), bytes(collected)
        attached = getattr(outcome.error, "response", None)
        if attached is not None:
            attached.close()  # it may hold a connection, by the documentation
        outcome.connections = list(proxy.connections)
        proxy.plans.clear()
        self._behavior.call_over.set()
        for connection in proxy.connections:
            connection.disarm()
        return outcome

    def _read(self, case: Combination, response: HttpResponse) -> Iterator[bytes]:
        if case.reading == "save":
            yield self._save(response)
        elif case.reading == "skip":
            response.skip_body()
        elif case.reading != "close":
            yield from _READINGS[case.reading](response)

    def _save(self, response: HttpResponse) -> bytes:
        path = self.folder / "saved.bin"
        before = set(self.folder.iterdir())
        try:
            size = response.save(path)
        except Exception:
            assert set(self.folder.iterdir()) == before, "save() left a file behind"
            raise
        data = path.read_bytes()
        path.unlink()
        assert size == len(data), "save() returned another size"
        assert set(self.folder.iterdir()) == before, "save() left another file behind"
        return data

    def _check_pool(self, case: Combination, client: Client, proxy: FaultProxy) -> Iterator[str]:
        """Send further requests: all slots are free, and no connection has bytes of the call."""
        if not case.tunnel[1]:
            return
        url = self._url(case, proxy, "/next")
        slots = case.client_options.get("max_connections", 1)
        responses: list[HttpResponse] = []
        try:
            responses += (client.get(url, eager_body=0, timeout=HANG / 4) for _ in range(slots))
            if {response.body for response in responses} != {NEXT}:
                yield "a further request on the same Client has a wrong body"
        except Exception as error:  # noqa: BLE001
            yield f"a further request on the same Client failed: {error!r}"
        finally:
            for response in responses:
                response.close()

    def _check_leaks(self, threads: set[threading.Thread], files: dict[int, str]) -> Iterator[str]:
        if descriptors() != files or set(threading.enumerate()) != threads:
            gc.collect()
        end = monotonic() + 5
        while True:
            left = {
                number: target
                for number, target in descriptors().items()
                if files.get(number) != target and not target.startswith("anon_inode:")
            }
            alive = set(threading.enumerate()) - threads
            if not left and not alive:
                return
            if monotonic() > end:
                break
            threading.Event().wait(0.002)
        yield f"left behind: {left or ''} {alive or ''}"


class Watchdog:
    """Prints the name of a combination that hangs, before pytest ends the process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._name: str | None = ""
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def watch(self, name: str) -> None:
        """Begin to watch another combination."""
        with self._changed:
            self._name = name
            self._changed.notify_all()

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._name = None
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while self._name is not None:
                if not self._changed.wait(5 * HANG):
                    name = self._name
                    print(f"hangs; to repeat it: make faults CASE={name}", file=sys.__stderr__)
