"""Forms in requests: dicts, lists of pairs, and the caller's own Content-Type."""

from __future__ import annotations

import io

import pytest

import restkit
from restkit import Client, RequestError
from restkit.forms.form_data import FormData
from support import ScriptedServer, body_of, field, response

OK = response(b"ok")
MOVED = response(b"", "Location: /there", status="307 Moved")
URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", ["payload", "body", "data"])
@pytest.mark.parametrize(
    "shape", [{"a": ["1", 2], "b": "ü", "c": None}, [("a", "1"), ("a", 2), ("b", "ü")]]
)
def test_R08_dict_or_list_of_pairs_is_sent_urlencoded(name, shape):
    with ScriptedServer.serving(OK) as server:
        restkit.request(server.url(), "POST", **{name: shape})
        assert field(server.request, "content-type") == URLENCODED
        assert body_of(server.request) == b"a=1&a=2&b=%C3%BC"


@pytest.mark.parametrize("shape", [{}, {"a": None}])
def test_R08_empty_form_sends_content_length_zero(shape, client):
    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), shape)
        assert field(server.request, "content-length") == "0"


def test_P07_dict_with_a_file_is_sent_as_multipart_and_again(client, tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"file")
    with ScriptedServer.serving(MOVED, OK) as server:
        client.post(server.url(), {"a": ["1", "2"], "none": None, "f": path})
        first, second = server.requests
        assert body_of(first) == body_of(second)
        assert field(first, "content-type") == field(second, "content-type")
        assert body_of(first).count(b'; name="a"\r\n') == 2
        assert (
            b'; name="f"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\nfile\r\n'
            in body_of(first)
        )
        assert b"none" not in body_of(first)


@pytest.mark.parametrize(
    "form", [{"f": io.BytesIO(b"x")}, {"a": "1"}, FormData.from_fields({"a": "1"})]
)
@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_C07_boundary_is_added_to_a_type_without_one(form, name, client):
    with ScriptedServer.serving(MOVED, OK) as server:
        client.post(server.url(), form, headers={name: "multipart/form-data"})
        first, second = server.requests
        media_type, boundary = field(first, "content-type").split("; boundary=")
        assert media_type == "multipart/form-data"
        assert body_of(first).startswith(f"--{boundary}\r\n".encode())
        assert body_of(first).endswith(f"\r\n--{boundary}--\r\n".encode())
        assert field(second, "content-type") == field(first, "content-type")
        assert body_of(second) == body_of(first)


def test_C07_default_type_of_a_client_does_not_keep_a_boundary():
    with ScriptedServer.serving(OK) as server:
        with Client(headers={"Content-Type": "multipart/form-data"}) as client:
            for _ in range(2):
                client.post(server.url(), {"a": "1"})
        one, other = (field(request, "content-type") for request in server.requests)
        assert one != other


def test_C07_type_that_does_not_fit_the_form_raises_before_any_connection(client):
    with ScriptedServer.serving(OK) as server:
        for given in ("multipart/form-data; boundary=x", URLENCODED):
            with pytest.raises(RequestError):
                client.post(server.url(), {"f": io.BytesIO(b"x")}, headers={"Content-Type": given})
        assert server.connections == 0


def test_callers_own_type_is_sent_unchanged(client):
    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), {"a": "1"}, headers={"Content-Type": f"{URLENCODED}; charset=x"})
        assert field(server.request, "content-type") == f"{URLENCODED}; charset=x"
        assert body_of(server.request) == b"a=1"


def test_list_that_is_no_form_is_sent_as_its_items(client):
    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), ["ab", "cd"])
        assert field(server.request, "transfer-encoding") == "chunked"


def test_filter_can_set_a_form(client):
    class Sets:
        def on_request(self, request):
            request.payload = {"a": "1"}

    with ScriptedServer.serving(OK) as server:
        client.post(server.url(), filters=[Sets()])
        assert body_of(server.request) == b"a=1"


def test_invalid_field_raises_before_any_connection(client):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(TypeError, match="the field 'a': a payload cannot be of type object"):
            client.post(server.url(), {"a": object()})
        assert server.connections == 0
