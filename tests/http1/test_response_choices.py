"""The table of choices in docs/reference.rst: each cell is what the program does with the response.

``python tests/http1/test_response_choices.py`` prints the measured cells. The cells of curl are
only checked where the same version of curl is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h11
import httptools
import pytest
import requests

import restkit
from support.response_parsers import Listener
from support.scripted import ScriptedServer

DOCS = Path(__file__).parents[2] / "docs" / "reference.rst"
CURL = "7.88.1"

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n"
SIZED = FIVE + b"\r\nhello"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
LONG = b"A: " + b"b" * 20_000 + b"\r\n"

# The body of each response is b"hello".
CASES = {
    "no fault (for comparison)": OK + SIZED,
    "bare LF after each line of the head": (OK + SIZED).replace(b"\r\n", b"\n"),
    "bare LF after one line of the head": OK + b"A: b\n" + SIZED,
    "bare LF in the head of a 100": b"HTTP/1.1 100 Continue\n\n" + OK + SIZED,
    "bare CR in a value": OK + b"A: b\rc\r\n" + SIZED,
    "bare LF after a chunk size": OK + CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n",
    "bare LF after the data of a chunk": OK + CHUNKED + b"\r\n5\r\nhello\n0\r\n\r\n",
    "bare LF in the trailers": OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nA: b\n\r\n",
    "NUL in a value": OK + b"A: b\0c\r\n" + SIZED,
    "a field on two lines (folded)": OK + b"A: b\r\n c\r\n" + SIZED,
    "a space before the colon": OK + b"A : b\r\n" + SIZED,
    "a field without a colon": OK + b"A\r\n" + SIZED,
    "``Transfer-Encoding`` beside ``Content-Length``": OK + FIVE + CHUNKED + b"\r\n" + HELLO,
    "``Transfer-Encoding: chunked`` twice": OK + CHUNKED + CHUNKED + b"\r\n" + HELLO,
    "``Transfer-Encoding: chunked, chunked``": (
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + HELLO
    ),
    "``Transfer-Encoding: gzip, chunked``": (
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + HELLO
    ),
    "chunks in a response of HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKED + b"\r\n" + HELLO
    ),
    "blanks after a chunk size": OK + CHUNKED + b"\r\n5  \r\nhello\r\n0\r\n\r\n",
    "``Content-Length: 5`` twice": OK + FIVE + SIZED,
    "``Content-Length: 5, 5``": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "``Content-Length: 5`` and ``05``": OK + b"Content-Length: 05\r\n" + SIZED,
    "``Content-Length: 5`` and ``6``": OK + b"Content-Length: 6\r\n" + SIZED,
    "``Content-Length: +5``": OK + b"Content-Length: +5\r\n\r\nhello",
    "``HTTP/1.7 200 OK``": b"HTTP/1.7 200 OK\r\n" + SIZED,
    "``HTTP/2 200``": b"HTTP/2 200\r\n" + SIZED,
    "``HTTP/2.0 200 OK``": b"HTTP/2.0 200 OK\r\n" + SIZED,
    "``HTTP/0.9 200 OK``": b"HTTP/0.9 200 OK\r\n" + SIZED,
    "a head of 40 KB": OK + LONG * 2 + SIZED,
    "a head of 240 KB": OK + LONG * 12 + SIZED,
    "a head of 300 KB": OK + LONG * 15 + SIZED,
    "900 fields": OK + b"A: b\r\n" * 899 + SIZED,
    "1,100 fields": OK + b"A: b\r\n" * 1099 + SIZED,
}


def describe(body: bytes, *, closes: bool) -> str:
    if body != b"hello":
        return "other body"
    return "read, closes" if closes else "read"


def get_twice(data: bytes, get: Callable[[str], bytes]) -> str:
    """Get the response twice, and return whether the second one used the same connection."""
    with ScriptedServer.serving(data, close=False) as server:
        bodies = {get(server.url()), get(server.url())}
        return describe(bodies.pop() if len(bodies) == 1 else b"", closes=server.connections > 1)


def ask_restkit(data: bytes) -> str:
    with restkit.Client(trust_env=False, retries=0, timeout=20) as client:
        try:
            return get_twice(data, lambda url: client.get(url).body)
        except restkit.Error:
            return "error"


def ask_requests(data: bytes) -> str:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return get_twice(data, lambda url: session.get(url, timeout=5).content)
        except requests.RequestException:
            return "error"


def ask_curl(data: bytes) -> str:
    with ScriptedServer.serving(data, close=False) as server:
        command = ["curl", "-q", "-s", "-m", "20", "--noproxy", "*", server.url(), server.url()]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if done.returncode:
            return "error"
        half = done.stdout[: len(done.stdout) // 2]
        return describe(half if half * 2 == done.stdout else b"", closes=server.connections > 1)


def ask_h11(data: bytes) -> str:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    body, at = b"", 0
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(data[at : at + 4096])  # b"" is the end of the connection
                at += 4096
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return describe(body, closes=connection.their_state is not h11.DONE)
    except h11.RemoteProtocolError:
        return "error"


class KeepAliveListener(Listener):
    """A listener that also asks, at the end of a message, whether the connection stays open."""

    def on_message_complete(self) -> None:
        self.closes = not self.parser.should_keep_alive()
        super().on_message_complete()


def ask_llhttp(data: bytes) -> str:
    listener = KeepAliveListener()
    try:
        listener.parser.feed_data(data)
    except httptools.HttpParserError:
        return "error"
    return describe(listener.body, closes=listener.closes) if listener.done else "error"


PROGRAMS = {
    "restkit": ask_restkit,
    "h11": ask_h11,
    "llhttp": ask_llhttp,
    "curl": ask_curl,
    "requests": ask_requests,
}


def read_table() -> dict[str, dict[str, str]]:
    """Return the cells of the table by response and program."""
    after_label = DOCS.read_text(encoding="utf-8").partition(".. _response-choices:")[2]
    table = re.split(r"\n\n(?=\S)", after_label.partition(".. list-table::")[2])[0]
    rows = []
    for row in re.split(r"\n   \* - ", table)[1:]:
        cells = re.split(r"\n     - ", row)
        rows.append([re.sub(r"\s+", " ", cell).strip() for cell in cells])
    names = [name.split(" ")[0] for name in rows[0]]
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows[1:]}


TABLE = read_table()


def has_curl() -> bool:
    if not shutil.which("curl"):
        return False
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    return version.stdout.startswith(f"curl {CURL} ")


def test_table_has_each_response_and_a_reason() -> None:
    assert list(TABLE) == list(CASES)
    for cells in TABLE.values():
        assert list(cells) == [*PROGRAMS, "why"]
        assert cells["why"]


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "curl"])
@pytest.mark.parametrize("case", CASES)
def test_table_of_choices_says_what_each_program_does(case: str, program: str) -> None:
    assert PROGRAMS[program](CASES[case]) == TABLE[case][program]


@pytest.mark.skipif(not has_curl(), reason=f"curl {CURL} is not installed")
@pytest.mark.parametrize("case", CASES)
def test_table_of_choices_says_what_curl_does(case: str) -> None:
    assert ask_curl(CASES[case]) == TABLE[case]["curl"]


if __name__ == "__main__":
    for name, data in CASES.items():
        print(f"   * - {name}")
        for ask in PROGRAMS.values():
            print(f"     - {ask(data)}")
        print(f"     - {TABLE.get(name, {}).get('why', '')}")
