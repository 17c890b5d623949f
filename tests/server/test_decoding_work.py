"""A request body that decodes to almost nothing ends with a 400, however it is read."""

from __future__ import annotations

import gzip

import pytest

from restkit.server import App, Request
from restkit.server.receiver import receive
from restkit.server.response import text
from restkit.testing import AppClient
from support.memory import MIB

BOMB = gzip.compress(gzip.compress(gzip.compress(b"", mtime=0) * 400_000))
FIELDS = {"Content-Encoding": "gzip, gzip, gzip"}
WASTE = "the coded bytes decode to almost nothing"

app = App("bombs")


@app.post("/body")
def read_body(request: Request):
    return text(str(len(request.text)))


@app.post("/json")
def read_json(request: Request):
    return text(repr(request.json))


@app.post("/iter_decoded", stream=True)
def decode_stream(request: Request):
    return text(str(sum(map(len, request.stream.iter_decoded()))))


@app.post("/iter_text", stream=True)
def decode_text(request: Request):
    return text("".join(request.stream.iter_text()))


@pytest.mark.parametrize("path", ["/body", "/json", "/iter_decoded", "/iter_text"])
def test_request_body_that_decodes_to_almost_nothing_is_400(path):
    with AppClient(app) as client:
        got = client.post(path, BOMB, headers=FIELDS)
        assert got.status == 400
        assert WASTE in got.text


def test_form_that_decodes_to_almost_nothing_is_400():
    def read(request: Request):
        return text(repr(request.form))

    forms = App("forms")
    forms.add_route(read, "/", methods=["POST"])
    with AppClient(forms) as client:
        fields = {**FIELDS, "Content-Type": "application/x-www-form-urlencoded"}
        got = client.post("/", BOMB, headers=fields)
        assert got.status == 400
        assert WASTE in got.text


def test_upload_that_decodes_to_almost_nothing_is_400(tmp_path):
    with AppClient(receive(tmp_path)) as client:
        got = client.put("/name", BOMB, headers=FIELDS)
        assert got.status == 400
        assert WASTE in got.text
    assert list(tmp_path.iterdir()) == []


def test_coded_upload_with_a_length_beyond_the_limit_is_413(tmp_path):
    with AppClient(receive(tmp_path, max_size=1000)) as client:
        got = client.put("/name", bytes(MIB), headers={"Content-Encoding": "gzip"})
        assert got.status == 413
        assert "larger than the limit of 1000 bytes" in got.text
