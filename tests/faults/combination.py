"""One combination of the matrix, chosen by a seed and a number, and nothing else."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from restkit import Retry
from support.fault_proxy import Action, Fault

from . import answers, payloads
from .answers import Answer
from .payloads import Given

SEED = 15
ROUTES = ("plain",) * 6 + ("tls",) * 2 + ("forward", "tunnel")
PHASES = ("head", "part", "all", "all")
READINGS = ("body", "file", "stream", "chunks", "blocks", "save", "skip", "close")
ALWAYS = 99
_CONNECTED = b"HTTP/1.1 200 Connected\r\n\r\n"
# Responses of a proxy to CONNECT, and whether the tunnel is right.
TUNNELS: tuple[tuple[bytes, bool], ...] = (
    *[(_CONNECTED, True)] * 10,
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
    (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 201 Yes\r\n\r\n", True),
    (_CONNECTED + b"bytes that are behind it", False),
    (_CONNECTED + _CONNECTED, False),
    (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nwho", False),
    (b"HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\nno", False),
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.1 502 Bad\r\n\r\n", False),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 40, False),
    (b"HTTP/1.1 200 OK\r\nName: " + b"x" * 300_000 + b"\r\n\r\n", False),
    (b"SSH-2.0-OpenSSH\r\n", False),
    (b"\x15\x03\x01\x00\x02\x02\x28" * 4, False),
    (b"HTTP/1.1 200 Conn", False),
    (b"", False),
)
_SMALL_BUFFER = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)]
_ENDS: tuple[Action, ...] = ("cut", "cut", "reset", "half-close")
_TLS_ENDS: tuple[Action, ...] = ("no farewell", "garbage")


class Name(NamedTuple):
    """The seed and the number that choose a combination."""

    seed: int
    number: int

    def __str__(self) -> str:
        return f"{self.seed}:{self.number}"


@dataclass
class Combination:
    """A request, the server's behavior, the faults of the network, and the options.

    The server responds to the first ``times`` requests with ``answer``, and then with a right one.
    It does so in a ``phase``: after the head of the request, a part of its payload, or all of it.
    After an early response it reads on, or stops reading. The faults apply to the first ``times``
    connections. ``warm``: the connection was used before.
    """

    name: Name
    answer_name: str
    answer: Answer
    phase: str
    reads_on: bool
    times: int
    faults: list[Fault]
    payload_kind: str
    given: Given
    method: str
    route: str
    warm: bool
    reading: str
    tunnel: tuple[bytes, bool] = TUNNELS[0]
    options: dict[str, Any] = field(default_factory=dict)
    client_options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        faults = ", ".join(map(str, self.faults)) or "no fault"
        return (
            f"{self.method} with {self.payload_kind} ({len(self.given.expected or b'')} bytes), "
            f"{self.route}, {'warm' if self.warm else 'new connection'}; server: "
            f"{self.answer_name} {self.answer.status} ({len(self.answer.wire)} bytes) after "
            f"{self.phase}, {'reads on' if self.reads_on else 'stops reading'}, "
            f"{self.times} times; tunnel: {self.tunnel[0][:40]!r}; network: {faults}; "
            f"reading: {self.reading}; "
            f"options: {self.options | self.client_options}"
        )

    @property
    def stalls(self) -> bool:
        """Whether the call may wait for bytes that never come."""
        return not self.reads_on or any(fault.action == "stall" for fault in self.faults)


def choose(name: Name, folder: Path) -> Combination:
    """Return the combination of a name. Its files are made in the folder."""
    rng = Random(str(name))
    makers = list(answers.MAKERS)
    # Each fault of the server and each payload has its turn; the rest is random.
    answer_name = makers[name.number % len(makers)]
    if rng.random() < 0.3:
        answer_name = rng.choice([make.__name__ for make in answers.RIGHT])
    size = rng.choice(("empty", "small", "small", "medium", "large"))
    answer = answers.MAKERS[answer_name](rng.randbytes(answers.SIZES[size]), rng)
    kinds = list(payloads.KINDS)
    kind = kinds[name.number // len(makers) % len(kinds)] if rng.random() < 0.8 else "none"
    given = payloads.make(kind, rng.choice(("small", "medium", "large")), rng, folder)
    route = rng.choice(ROUTES)
    phase = rng.choice(PHASES)
    faults = _faults(answer, given, route, rng)
    if answer_name in answers.ARRIVE_AT_ONCE:
        faults = [fault for fault in faults if fault.direction == "request"]
    early = phase != "all" and kind not in ("none", "empty")
    method = rng.choice(("GET", "GET", "DELETE") if kind == "none" else ("POST", "PUT"))
    result = Combination(
        name,
        answer_name,
        answer,
        phase if early else "all",
        not early or answer.status >= 300 or answer.body is None or rng.random() < 0.8,
        rng.choice((1, 1, 2, ALWAYS)),
        faults,
        kind,
        given,
        method,
        route,
        rng.random() < 0.3,
        rng.choice(READINGS),
    )
    if route == "tunnel":
        result.tunnel = rng.choice(TUNNELS)
        result.warm = result.warm and result.tunnel[1]
    if answer_name == "wrong_repr_digest" and method == "GET":
        answer.body = None
    result.options = _options(answer, rng)
    result.client_options = _client_options(rng)
    return result


def _faults(answer: Answer, given: Given, route: str, rng: Random) -> list[Fault]:
    if rng.random() < (0.6 if answer.body is None else 0.3):
        return []
    ends = _ENDS + (_TLS_ENDS * 2 if route in ("tls", "tunnel") else ())
    chosen = rng.random()
    if chosen < 0.12:
        action: Action = "stall"
    elif chosen < 0.3:
        action = rng.choice(("trickle", "delay"))
    else:
        action = rng.choice(ends)
    if rng.random() < 0.6:
        total = len(answer.wire)
        head = max(answer.wire.find(b"\r\n\r\n") + 4, 1)
        places = (0, 1, 9, head - 2, head, head + 1, rng.randrange(total + 1), total - 1, total)
        return [Fault(action, "response", max(0, min(rng.choice(places), total)))]
    payload = len(given.expected or b"") + 150
    places = (0, 1, 40, 120, 160, 300, rng.randrange(payload), payload, payload + 40)
    return [Fault(action, "request", rng.choice(places))]


def _options(answer: Answer, rng: Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if rng.random() < 0.1:
        options["decompress"] = False
    if rng.random() < 0.25:
        options["eager_body"] = 0
    if rng.random() < 0.3:
        options["spool_size"] = rng.choice((0, 1_000))
    if rng.random() < 0.1:
        size = len(answer.body or b"")
        options["max_body"] = rng.choice((size, max(0, size - 1), 10))
    if rng.random() < 0.1:
        options["expect_continue"] = True
    if rng.random() < 0.3:
        options["retries"] = rng.choice((0, 2, Retry(2, methods=("GET", "POST", "PUT"))))
    if rng.random() < 0.1:
        options["progress"] = lambda done, total: None
    return options


def _client_options(rng: Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["max_connections"] = rng.choice((1, 2))
    if rng.random() < 0.5:
        options["socket_options"] = _SMALL_BUFFER
    return options
