"""The locks of restkit: docs/architecture.rst, "Locks and interrupts"."""

from __future__ import annotations

import ast
import gc
import sys
from pathlib import Path

import pytest

import restkit
from restkit.body.body import Body
from restkit.body.files import BodyFile, BodyStream
from restkit.connections.connection import Connection, _Use
from restkit.connections.pool import ConnectionPool
from restkit.connections.reply import LiveBody
from restkit.io.spool import Spool
from restkit.network.transport import NestedTransport, SecureTransport, Transport

ROOT = Path(restkit.__file__).parent
NOT_REENTRANT = {
    "connections/wait_queue.py: Lock()",  # Waiter: only its own thread waits, and any may release
    "payload/spooled.py: Lock()",  # acquired without blocking
    "connections/connection.py: Condition(lock)",  # asks whether an RLock is held
    "testing/local_server.py: threading.Event()",  # waited for by handlers only
}
KINDS = {"Lock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"}


def locks_made_in(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.split(".")[-1] in KINDS:
                found.add(f"{path.relative_to(ROOT).as_posix()}: {ast.unparse(node)}")
    return found


def test_each_lock_of_the_client_that_is_waited_for_is_reentrant():
    paths = [path for path in ROOT.rglob("*.py") if ROOT / "server" not in path.parents]
    found = set().union(*(locks_made_in(path) for path in paths))
    assert found - NOT_REENTRANT == set()


CLASSES_WITH_FINALIZERS = {
    "connections/connection.py: _Use",
    "connections/pool.py: ConnectionPool",
    "connections/reply.py: LiveBody",
    "io/spool.py: Spool",
    "network/transport.py: Transport",
}


def test_every_class_with_a_finalizer_is_tested_below():
    found = set()
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "weakref.finalize" not in text
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(each, ast.FunctionDef) and each.name == "__del__" for each in node.body
            ):
                found.add(f"{path.relative_to(ROOT).as_posix()}: {node.name}")
    assert found == CLASSES_WITH_FINALIZERS


@pytest.mark.parametrize(
    "kind",
    [
        _Use,
        Body,
        BodyFile,
        BodyStream,
        Connection,
        ConnectionPool,
        LiveBody,
        NestedTransport,
        SecureTransport,
        Spool,
        Transport,
    ],
)
def test_object_whose_constructor_was_interrupted_is_dropped_silently(kind, monkeypatch):
    noise = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    unfinished = kind.__new__(kind)
    del unfinished
    gc.collect()
    assert noise == []
