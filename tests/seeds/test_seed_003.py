"""Run the snippets of "Stream you content", the document that restkit started from, unchanged.

Only host and path are replaced when a snippet runs.
"""

from __future__ import annotations

import os
import random
import tempfile

import pytest

import restkit.client
from restkit import HttpResponse
from support import ScriptedServer, body_of, chunked_response, field, fields_of, response

A_FILE = """
from restkit import request

with open("/some/file", "r") as f:
  request("/some/url", 'POST', payload=f)
"""

AN_ITERATOR = """
from restkit import request

myiterator = ['line 1', 'line 2']
request("/some/url", 'POST', payload=myiterator)
"""

A_LENGTH = """
request("/some/url", 'POST', payload=myiterator,
    headers={'content-Length': 12})
"""

ITERATION = """
import os
from restkit import request
import tempfile

r = request("http://e-engura.com/images/logo.gif")
fd, fname = tempfile.mkstemp(suffix='.gif')
with os.fdopen(fd, "wb") as f:
    for block in r.body_file:
        f.write(block)
"""

READING = """
with os.fdopen(fd, "wb") as f:
    while True:
        data = r.body_file.read(1024)
        if not data:
            break
        f.write(data)
"""

# Stands for a picture: arbitrary bytes, with line breaks that have no meaning.
LOGO = b"GIF89a" + random.Random(3).randbytes(300_000) + b"\n\r\n\0;"


def run(snippet, url, file="", names=None):
    """Run the snippet, in a new namespace or the given one, and return the namespace."""
    code = snippet.replace('"/some/url"', repr(url)).replace('"/some/file"', repr(file))
    code = code.replace('"http://e-engura.com/images/logo.gif"', repr(url))
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(code, "<seed>", "exec"), names)
    return names


@pytest.mark.parametrize(
    "content", ["one\ntwo", "", "gr\xfcn \u20ac\r\nand more\n" * 10_000], ids=len
)
def test_file_is_sent_with_its_size(content, tmp_path):
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8", newline="")
    with ScriptedServer.serving(response(b"")) as server:
        run(A_FILE, server.url("/some/url"), str(path))
    size = path.stat().st_size
    assert server.request.startswith(b"POST /some/url HTTP/1.1\r\n")
    assert field(server.request, "content-length") == str(size)
    assert field(server.request, "transfer-encoding") is None
    assert body_of(server.request) == path.read_bytes()


def test_R03_iterator_is_sent_in_chunks():
    with ScriptedServer.serving(response(b"")) as server:
        run(AN_ITERATOR, server.url("/some/url"))
    assert field(server.request, "transfer-encoding") == "chunked"
    assert field(server.request, "content-length") is None
    assert body_of(server.request) == b"6\r\nline 1\r\n6\r\nline 2\r\n0\r\n\r\n"


def test_R04_iterator_with_a_length_is_sent_without_chunks():
    with ScriptedServer.serving(response(b"")) as server:
        names = run(AN_ITERATOR, server.url("/some/url"))
        run(A_LENGTH, server.url("/some/url"), names=names)
    request = server.requests[1]
    lengths = [pair for pair in fields_of(request) if pair[0] == "content-length"]
    assert lengths == [("content-length", "12")]
    assert b"\r\ncontent-Length: 12\r\n" in request
    assert field(request, "transfer-encoding") is None
    assert body_of(request) == b"line 1line 2"


def test_request_returns_a_restkit_client_response():
    assert restkit.client.HttpResponse is HttpResponse
    with ScriptedServer.serving(response(b"")) as server:
        assert type(restkit.request(server.url())) is restkit.client.HttpResponse


ANSWERS = pytest.mark.parametrize(
    ("message", "body"),
    [
        (response(LOGO, "Content-Type: image/gif"), LOGO),
        (chunked_response(LOGO[:100_000], LOGO[100_000:]), LOGO),
        (b"HTTP/1.0 200 OK\r\n\r\n" + LOGO, LOGO),
        (response(LOGO * 5), LOGO * 5),
    ],
    ids=["length", "chunks", "to the end", "more than 1 Mo"],
)


@ANSWERS
def test_R09_body_file_is_iterated_into_a_file(message, body):
    with ScriptedServer.serving(message) as server:
        names = run(ITERATION, server.url("/images/logo.gif"))
    assert saved(names) == names["r"].body == body
    names["r"].close()


@ANSWERS
def test_R09_R12_body_file_is_read_at_any_time(message, body):
    with ScriptedServer.serving(message) as server:
        names = {"os": os, "r": restkit.request(server.url("/images/logo.gif"))}
    for _ in range(2):
        names["fd"], names["fname"] = tempfile.mkstemp(suffix=".gif")
        run(READING, "", names=names)
        assert saved(names) == names["r"].body == body
        names["r"].body_file.seek(0)
    names["r"].close()


def saved(names):
    with open(names["fname"], "rb") as file:
        content = file.read()
    os.unlink(names["fname"])
    return content
