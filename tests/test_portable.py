"""restkit without what POSIX has: it is imported and used in a process that hides those names."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.portable import HIDDEN, MISSING

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "restkit"

PROGRAM = """
import pathlib, sys, tempfile
import support.portable
import restkit, restkit.client, restkit.server, restkit.streaming, restkit.testing
from restkit.io import files, sockets
from restkit.server.response import text

assert sockets.poll is sockets.PortablePoll
assert sockets.AF_UNIX is None
with restkit.testing.LocalServer() as server, tempfile.TemporaryDirectory() as folder:
    server.app.get('/')(lambda request: text('x' * 3_000_000))
    path = pathlib.Path(folder, 'file')
    path.write_bytes(b'old')
    response = restkit.get(server.url)
    with path.open('rb'):
        try:
            response.save(path)
        except PermissionError:
            print('refused', path.read_bytes(), [each.name for each in path.parent.iterdir()])
    print(restkit.get(server.url).save(path), path.stat().st_size)
try:
    restkit.Client(uds='/tmp/x')
except restkit.RequestError as error:
    print(error)
try:
    restkit.server.serve(restkit.server.App(), uds='/tmp/x')
except OSError as error:
    print(error.strerror)
restkit.client.functions._close_shared()
"""


def test_restkit_works_without_poll_pread_fork_and_unix_sockets():
    path = os.pathsep.join([str(TESTS), *(entry or os.getcwd() for entry in sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path, "RESTKIT_PORTABLE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "refused b'old' ['file']",
        "3000000 3000000",
        "uds='/tmp/x' cannot be used: this system has no Unix sockets",
        "cannot listen on /tmp/x: this system has no Unix sockets",
    ]


def names_in(path: Path) -> set[str]:
    """Return the hidden names that a file reads from a module, or imports."""
    found = set()
    hidden = {f"{module}.{name}" for module, names in HIDDEN.items() for name in names.split()}
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & (hidden | set(MISSING))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_file_names_nothing_that_windows_lacks(path):
    allowed = {
        "io/processes.py": {"resource"},
        "io/files.py": {"fcntl"},
        "io/sockets.py": {"fcntl", "termios"},
    }.get(path.relative_to(PACKAGE).as_posix(), set())
    assert names_in(path) == allowed
