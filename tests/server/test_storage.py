"""A full disk while a body, or a file of a form, is stored: 507, and nothing is left."""

from __future__ import annotations

import errno
import gzip
import os
import tempfile

import pytest

from restkit.server import App, receive, serve
from restkit.server.exceptions import InsufficientStorage
from restkit.server.response import text
from restkit.server.storage import convert_storage_errors
from support import body_of
from support.memory import MIB
from support.raw_client import send_and_read

resource = pytest.importorskip("resource")


@pytest.fixture
def spool_folder(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "spools"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def small_files():
    """No file of this process may be larger than 2 MiB: a longer write is EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def app():
    app = App("storing")

    @app.post("/body")
    def body(request):
        return text(len(request.body))

    @app.post("/decoded")
    def decoded(request):
        return text(len(request.text))

    @app.post("/decoded_twice")
    def decoded_twice(request):
        with pytest.raises(InsufficientStorage):
            _ = request.text
        return text(len(request.text))

    @app.post("/form", stream=True)
    def form(request):
        return text(len(request.files))

    @app.post("/own")
    def own(request):
        with tempfile.TemporaryFile() as file:
            file.write(bytes(3 * MIB))
        return text("never")

    return app


def post(server, target, body, *headers):
    lines = [f"POST {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
    return send_and_read((server.host, server.port), [head, body])


def make_form(size):
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    return head + bytes(size) + b"\r\n" + head + b"small\r\n--b--\r\n"


def find_open_files(folder):
    """Return the files of a folder that this process has open, with a name or without."""
    paths = [os.path.realpath(f"/dev/fd/{number}") for number in os.listdir("/dev/fd")]
    return [path for path in paths if path.startswith(f"{folder}/")]


FORM = "Content-Type: multipart/form-data; boundary=b"
REQUESTS = {
    "body": ("/body", bytes(3 * MIB)),
    "decoded body": ("/decoded", gzip.compress(bytes(3 * MIB)), "Content-Encoding: gzip"),
    "decoded body, asked for twice": (
        "/decoded_twice",
        gzip.compress(bytes(3 * MIB)),
        "Content-Encoding: gzip",
    ),
    "form": ("/form", make_form(3 * MIB), FORM),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_full_disk_is_507_and_leaves_nothing(name, app, spool_folder, small_files, caplog):
    with serve(app) as server:
        response = post(server, *REQUESTS[name])
        assert response.startswith(b"HTTP/1.1 507 Insufficient Storage\r\n")
        assert body_of(response) == b"Error: the server has no space for the body"
        assert "a body cannot be stored: [Errno 27] File too large" in caplog.text
        assert "Traceback" not in caplog.text
        assert find_open_files(spool_folder) == os.listdir(spool_folder) == []
        assert body_of(post(server, "/body", bytes(MIB))) == b"1048576"
        assert body_of(post(server, "/form", make_form(MIB), FORM)) == b"1"


def test_full_disk_in_receive_is_507_and_leaves_nothing(tmp_path, small_files):
    folder = tmp_path / "received"
    with serve(receive(folder)) as server:
        for body, *headers in (
            (bytes(3 * MIB),),
            (gzip.compress(bytes(3 * MIB)), "Content-Encoding: gzip"),
        ):
            response = post(server, "/name", body, *headers)
            assert response.startswith(b"HTTP/1.1 507 Insufficient Storage\r\n")
            assert body_of(response) == b"Error: the file cannot be stored: File too large"
            assert os.listdir(folder) == []
        assert post(server, "/name", b"short").startswith(b"HTTP/1.1 201 ")


def test_no_folder_for_temporary_files_is_507(app, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with serve(app) as server:
        assert post(server, "/body", bytes(3 * MIB)).startswith(b"HTTP/1.1 507 ")
        assert body_of(post(server, "/body", bytes(MIB))) == b"1048576"


def test_full_disk_for_a_file_of_the_handler_is_a_500(app, spool_folder, small_files, caplog):
    with serve(app) as server:
        assert post(server, "/own", b"").startswith(b"HTTP/1.1 500 ")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_errors_of_a_full_disk_are_converted(number):
    with (
        pytest.raises(InsufficientStorage, match="the server has no space"),
        convert_storage_errors(),
    ):
        raise OSError(number, os.strerror(number))


def test_other_errors_are_not_converted():
    with pytest.raises(PermissionError), convert_storage_errors():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
