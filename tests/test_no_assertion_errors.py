"""No AssertionError of restkit reaches a user.

An ``assert`` in restkit only tells mypy what cannot be otherwise. Each one is listed here with the
reason why no argument and no server can make it fail. Everything else raises an error of its own.
"""

from __future__ import annotations

import ast
import socket
import ssl
from collections import Counter
from pathlib import Path

import pytest

import restkit
from restkit.network.tls_in_tls import TLSInTLS
from restkit.server import serve
from restkit.server.uploads import Upload

PACKAGE = Path(__file__).parents[1] / "restkit"

_SIZED = "choose_framing returns SIZED for a known length only"
_LISTENING = "called for events of the listener only, which come with both"
_ALL_OPTIONAL = "every part of the expression is optional"

CANNOT_FAIL = {
    "client/serialize.py": {"payload is not None": "None without declared fields returned above"},
    "connections/connection.py": {
        "body_reader is not None": "Exchange.run returns a head only with a reader",
        "exchange is not None": "LiveBody calls it once, after the exchange, and under a lock",
    },
    "connections/pool.py": {"self._max_connections is not None": "called with a limit only"},
    "message/header_values.py": {"match": "the expressions match the empty text"},
    "network/dial.py": {
        "sock is not None": "connect() returned",
        "progress.handshake is not None": "only a handshake raises these errors",
    },
    "network/race.py": {
        "self._last_error is not None": "each address that failed has set it",
        "AF_UNIX is not None": "a Client with uds= is refused without it",
    },
    "server/engine/accept_loop.py": {
        "self._listener is not None": _LISTENING,
        "self._make_connection is not None": _LISTENING,
    },
    "server/engine/wsgi_response.py": {"self._length is not None": _SIZED},
    "server/receiver.py": {"request.stream is not None": "the route has stream=True"},
    "server/response.py": {"payload is not None": "None is no source of a payload"},
    "url/target.py": {"match": _ALL_OPTIONAL},
    "url/url.py": {"match": _ALL_OPTIONAL},
    "zip/member.py": {"self.known_summary is not None": "the callers check it"},
}


def asserts_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_bytes())
    return [ast.unparse(node.test) for node in ast.walk(tree) if isinstance(node, ast.Assert)]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_assert_only_narrows_a_type_that_cannot_be_otherwise(path):
    allowed = CANNOT_FAIL.get(path.relative_to(PACKAGE).as_posix(), {})
    assert set(asserts_in(path)) <= set(allowed)
    narrowing = {test for test in allowed if test == "match" or test.endswith(" is not None")}
    assert narrowing == set(allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_raises_assertion_error(path):
    names = Counter(
        node.id for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Name)
    )
    assert names["AssertionError"] == 0


def test_flags_of_a_socket_in_tls_within_tls_raise_value_error():
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    with ours, theirs:
        secure = TLSInTLS(context, ours, "host")
        for use in (
            lambda: secure.send(b"x", socket.MSG_PEEK),
            lambda: secure.recv(1, socket.MSG_PEEK),
            lambda: secure.recv_into(bytearray(1), 1, socket.MSG_PEEK),
        ):
            with pytest.raises(ValueError, match="flags of a socket cannot be used with TLS"):
                use()


def test_upload_that_is_finished_twice_raises_runtime_error(tmp_path):
    with Upload(str(tmp_path), "a.txt") as upload:
        upload.write(b"text")
        upload.finish()
        with pytest.raises(
            RuntimeError, match=r"the upload of 'a\.txt' is closed, or was finished"
        ):
            upload.finish()
    assert (tmp_path / "a.txt").read_bytes() == b"text"


def test_wsgi_application_that_breaks_the_rules_gets_runtime_errors():
    raised = []

    def call_twice(environ, start_response):
        start_response("200 OK", [])
        try:
            start_response("200 OK", [])
        except RuntimeError as exc:
            raised.append(exc)
        return [b"ok"]

    with serve(call_twice) as server:
        assert restkit.get(f"http://127.0.0.1:{server.port}/").body == b"ok"
    assert [type(each) for each in raised] == [RuntimeError]
    assert str(raised[0]) == "start_response was called a second time without exc_info"
    with serve(lambda environ, start_response: [b"no head"]) as server:
        assert restkit.get(f"http://127.0.0.1:{server.port}/").status == 500
