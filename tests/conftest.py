"""Fixtures, and what is asked of every test: that it leaves nothing behind."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import settings

from support import (
    Peer,
    ScriptedServer,
    head_of,
    portable,  # the first import: it hides names before restkit is imported
    response,
)
from support.certs import Certs
from support.memory import descriptors
from support.nginx import Nginx, find_nginx
from support.peer import HANG_BOUND
from support.proxies import Microsocks, Squid, Tinyproxy, needs

if TYPE_CHECKING:
    from restkit import Client

# No deadline: how long an example takes says something about the machine, not about the code. In CI
# always the same examples: a red build must mean a changed build.
settings.register_profile("restkit", deadline=None, derandomize="CI" in os.environ, max_examples=50)
settings.load_profile("restkit")

FAILED = pytest.StashKey[bool]()
SETTLING_TIME = HANG_BOUND  # seconds within which what a test has ended must be gone
TIME_BEFORE_COLLECTING = 0.05  # seconds within which most of it is gone by itself


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test. In CI it fails, because everything that tests need must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """A CA, and certificates of every kind."""
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, certs: Certs) -> Iterator[Nginx]:
    """One nginx for each test process. It may be missing on a laptop, never in CI."""
    if find_nginx() is None:
        skip_or_fail("nginx is not installed")
    with Nginx(tmp_path_factory.mktemp("nginx"), certs) as server:
        yield server


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, certs: Certs) -> SSLContext | None:
    """The server's context, once for a connection in the clear and once under TLS."""
    return certs.server if request.param == "https" else None


@pytest.fixture
def client(certs: Certs) -> Iterator[Client]:
    """A Client that trusts the tests' CA, and waits for whatever a loaded machine may need."""
    from restkit import Client, Timeout

    patient = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
    with Client(timeout=patient, verify=certs.ca_file) as client:
        yield client


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Answers every request with a short text."""

    def script(peer: Peer) -> None:
        while request := peer.next_request():
            answer = response(b"answer")
            peer.send(head_of(answer) if request.startswith(b"HEAD") else answer)

    with ScriptedServer(script) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings() -> Iterator[None]:
    """No proxy, no certificates and no netrc of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name in {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
                patch.delenv(name)
        patch.setenv("NETRC", os.devnull)
        yield


@pytest.fixture(scope="session")
def tinyproxy() -> Iterator[Tinyproxy]:
    """One tinyproxy for each test process, as with nginx; so the other proxies."""
    needs("tinyproxy")
    with Tinyproxy() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def squid(certs: Certs) -> Iterator[Squid]:
    """A squid that wants credentials, in the clear and under TLS."""
    needs("squid")
    with Squid(certs) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def microsocks() -> Iterator[Microsocks]:
    """A microsocks that wants credentials."""
    needs("microsocks")
    with Microsocks(auth=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def open_microsocks() -> Iterator[Microsocks]:
    """A microsocks that wants none."""
    needs("microsocks")
    with Microsocks() as proxy:
        yield proxy


@pytest.fixture(scope="session", autouse=True)
def _own_temp_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for temporary files in which nobody else writes."""
    folder = tmp_path_factory.mktemp("tempfiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(
    request: pytest.FixtureRequest, _own_temp_folder: Path
) -> Iterator[None]:
    """Threads, descriptors and temporary files are as before when a test is over.

    `@pytest.mark.leaves_behind('why')` excuses a test.
    """
    marked = request.node.get_closest_marker("leaves_behind")
    threads, files, folder = _threads(), descriptors(), _names(_own_temp_folder)
    yield
    # The traceback of a failed test holds its frames, and these what they have open.
    if marked is None and FAILED not in request.node.stash:
        _gone("threads", lambda: _new_threads(threads, _threads()))
        _gone("descriptors", lambda: _new(files, descriptors()))
        _gone("temporary files", lambda: _names(_own_temp_folder) - folder)


@pytest.fixture(autouse=True)
def _own_shared_client(_leaves_nothing_behind: None) -> Iterator[None]:
    """`restkit.request` and friends keep connections at rest: each test begins without any."""
    yield
    functions = sys.modules.get("restkit.client.functions")
    if functions is not None and functions._Shared.client is not None:
        functions._Shared.client.close()
        functions._Shared.client = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose peer is not installed. In CI it fails."""
    for marker in item.iter_markers("peer"):
        name = marker.kwargs["name"]
        if find_spec(name) is None:
            skip_or_fail(f"{name} is not installed: make test-{name}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of what POSIX has, while that is hidden."""
    if portable.IS_ON:
        deselected = [item for item in items if item.get_closest_marker("posix") is not None]
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection: they are many, and they stay."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which test failed, for its fixtures."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def _gone(what: str, left: Callable[[], object]) -> None:
    began, collected = time.monotonic(), False
    while found := left():
        waited = time.monotonic() - began
        if waited > SETTLING_TIME:
            pytest.fail(f"the test left {what} behind: {found}")
        if waited > TIME_BEFORE_COLLECTING and not collected:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                # Closes what is part of a cycle; takes longer than most of what is left.
                gc.collect()
            collected = True
        time.sleep(0.001)


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def _new_threads(
    before: set[threading.Thread], now: set[threading.Thread]
) -> set[threading.Thread]:
    # A server starts its workers when it needs them: they may be new where the server is not.
    workers = {f"{thread.name}, worker" for thread in before}
    return {thread for thread in now - before if thread.name not in workers}


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def _new(before: dict[int, str], now: dict[int, str]) -> dict[int, str]:
    # Only sockets, pipes and files: epoll, random sources and the like are opened once for good.
    return {
        number: target
        for number, target in now.items()
        if before.get(number) != target and not target.startswith(("anon_inode:", "/dev/"))
    }
