"""An empty body is checked against the digest in its head, however it is read."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from restkit import HttpResponse, IntegrityError
from support import ScriptedServer, chunked_response, response

OF_ABC = "Content-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
OF_NOTHING = "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"

READS: dict[str, Callable[[HttpResponse], object]] = {
    "body": lambda got: got.body,
    "text": lambda got: got.text,
    "body_file": lambda got: got.body_file.read(),
    "tee": lambda got: got.tee().read(),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream or ()),
    "iter_lines": lambda got: list(got.iter_lines()),
    "iter_blocks": lambda got: list(got.iter_blocks()),
    "save": lambda got: got.save(os.devnull),
    "payload": lambda got: b"".join(got.__payload__()),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_wrong_digest_of_an_empty_body_raises(framing, read, client):
    make = {
        "sized": lambda: response(b"", OF_ABC),
        "chunked": lambda: chunked_response(fields=[OF_ABC]),
    }
    with ScriptedServer.serving(make[framing]()) as server:
        got = client.get(server.url())
        for _ in range(2):
            with pytest.raises(IntegrityError, match="does not match its Content-Digest"):
                READS[read](got)


@pytest.mark.parametrize("field", [OF_NOTHING, "X-Field: value"])
def test_right_digest_of_an_empty_body_is_no_error(field, client):
    with ScriptedServer.serving(response(b"", field)) as server:
        got = client.get(server.url())
        assert got.payload_stream is None
        assert got.body == b""


def test_digest_of_an_empty_body_is_not_checked_if_the_caller_says_so(client):
    with ScriptedServer.serving(response(b"", OF_ABC)) as server:
        got = client.get(server.url(), content_digest=False)
        assert got.payload_stream is None
        assert got.body == b""


def test_digest_in_a_response_to_head_is_not_of_an_empty_body(client):
    message = f"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{OF_ABC}\r\n\r\n".encode()
    with ScriptedServer.serving(message, close=False) as server:
        got = client.head(server.url())
        assert got.payload_stream is None
        assert got.body == b""
