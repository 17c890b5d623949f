"""Issue 14, section 1: the connections that restkit opens, beside requests, httpx and urllib3.

The server counts the connections that it accepts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from support import ScriptedServer, head_of, response
from support.peer import Peer

PEERS = ["restkit", "requests", "httpx", "urllib3"]

# Each session has get(url), which returns an object with a body that is read as far as the library
# does by itself, and body_of(response). Programs, because descriptors are counted for a process.
SESSIONS = {
    "restkit": """
        from restkit import Client
        session = Client(timeout=45)
        get, body_of = session.get, lambda got: got.body
    """,
    "requests": """
        import requests
        session = requests.Session()
        session.trust_env = False
        get, body_of = session.get, lambda got: got.content
    """,
    "httpx": """
        import httpx
        session = httpx.Client(trust_env=False, timeout=45)
        get, body_of = session.get, lambda got: got.content
    """,
    "urllib3": """
        import urllib3
        session = urllib3.PoolManager()
        get, body_of = lambda url: session.request('GET', url), lambda got: got.data
    """,
}


def run(name: str, url: str, work: str) -> object:
    """Run ``work`` with the session of a library in a process of its own; return its result."""
    program = textwrap.dedent(SESSIONS[name]) + f"url = {url!r}\n" + textwrap.dedent(work)
    program += "\nimport json; print(json.dumps(result))"
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def serving(size: int) -> ScriptedServer:
    """Respond to every request with a body of this size, sent after its head."""
    message = response(b"x" * size)
    head = head_of(message)

    def script(peer: Peer) -> None:
        peer.without_delay()
        while peer.next_request():
            peer.send(head, message[len(head) :])

    return ScriptedServer(script)


@pytest.fixture(params=PEERS)
def library(request):
    """Yield the name of a library; those beside restkit are skipped where they are missing."""
    if request.param != "restkit":
        pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("size", [10, 65_536])
def test_small_body_is_readable_after_its_with_block_40_of_40(library, size):
    work = """
        result = []
        for _ in range(40):
            got = get(url)
            if hasattr(got, '__enter__') and not getattr(got, 'closed', False):
                with got:
                    pass
            result.append(len(body_of(got)))
    """
    with serving(size) as server:
        assert run(library, server.url(), work) == [size] * 40
        assert server.connections == 1


def test_300_kb_that_were_not_read_raise_the_same_error_40_of_40():
    work = """
        from restkit import AlreadyRead
        result = []
        for _ in range(40):
            with get(url) as got:
                pass
            try:
                body_of(got)
            except AlreadyRead as error:
                result.append(error.message)
    """
    with serving(300_000) as server:
        messages = run("restkit", server.url(), work)
    assert len(messages) == 40
    assert len(set(messages)) == 1
    assert "before close() and inside the with block" in messages[0]


@pytest.mark.parametrize("keep", [False, True], ids=["dropped", "kept"])
def test_50_unread_small_responses_open_one_connection(library, keep):
    work = f"""
        kept = []
        for _ in range(50):
            got = get(url)
            if {keep}:
                kept.append(got)
        result = None
    """
    with serving(20_000) as server:
        run(library, server.url(), work)
        assert server.connections == 1


def test_600_kept_responses_need_no_more_than_256_descriptors(library):
    work = """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        kept = [get(url) for _ in range(600)]
        result = sum(len(body_of(got)) for got in kept)
    """
    with serving(20_000) as server:
        assert run(library, server.url(), work) == 600 * 20_000
        assert server.connections == 1
