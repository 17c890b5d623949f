"""A signal handler or a callback that reads the response that its own thread is reading."""

from __future__ import annotations

import io
import signal
import threading

import pytest

from restkit import AlreadyRead, Client, Progress
from support import ScriptedServer, response
from support.peer import HANG_BOUND, Peer

FIRST, REST = b"first" * 40_000, b"rest" * 40_000

READS = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(),
    "tee": lambda got: got.tee().read(),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream),
    "save": lambda got: got.save(io.BytesIO()),
    "skip_body": lambda got: got.skip_body(),
}
INSIDE = "this thread is reading the body already"


def signal_in_the_middle(peer: Peer) -> None:
    peer.read_request()
    peer.send(response(FIRST + REST)[: -len(REST)])
    peer.until_taken()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    until_handled.wait(HANG_BOUND)
    peer.send(REST)


until_handled = threading.Event()


@pytest.fixture
def errors():
    until_handled.clear()
    return []


@pytest.mark.parametrize("inner", READS)
@pytest.mark.parametrize("outer", ["body", "body_file", "body_stream"])
def test_read_in_a_signal_handler_raises_and_the_first_read_gets_all_bytes(outer, inner, errors):
    def handle(*_):
        try:
            READS[inner](got)
        except Exception as exc:  # noqa: BLE001  # checked below
            errors.append(exc)
        finally:
            until_handled.set()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with ScriptedServer(signal_in_the_middle) as server, Client(timeout=HANG_BOUND) as client:
            got = client.get(server.url())
            assert READS[outer](got) == FIRST + REST
    finally:
        signal.signal(signal.SIGUSR1, before)
    [error] = errors
    assert isinstance(error, AlreadyRead)
    assert "RuntimeError" not in repr(error)
    assert error.request is got.request or INSIDE in str(error)


def test_callback_that_reads_its_own_response_gets_an_error_and_the_first_read_all_bytes(errors):
    def read_again(count, _):
        if count and not errors:
            with pytest.raises(AlreadyRead, match=INSIDE) as caught:
                assert not got.body
            errors.append(caught.value)

    with ScriptedServer.serving(response(FIRST + REST)) as server, Client() as client:
        got = client.get(server.url(), progress=Progress(received=read_again))
        assert got.body == FIRST + REST
    assert errors


def test_detach_of_a_body_file_raises_and_the_response_stays_readable():
    with ScriptedServer.serving(response(b"ok")) as server, Client() as client:
        got = client.get(server.url())
        file = got.body_file
        with pytest.raises(io.UnsupportedOperation, match=r"tee\(\) of the response returns"):
            file.detach()
        assert "BodyFile" in repr(file)
        assert got.body_file is file
        assert file.read() == b"ok"
        with pytest.raises(io.UnsupportedOperation):
            got.body_stream().detach()
        assert io.TextIOWrapper(got.tee()).detach().read() == b"ok"
