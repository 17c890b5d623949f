"""`files(folder)`, over real sockets: files, folders, and nothing else."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restkit.server import App, files, serve, static_files
from support import body_of, field, portable
from support.raw_client import send_and_read
from support.wsgi_calls import call_app

any_name = pytest.mark.skipif(portable.IS_ON, reason="Windows does not allow these names")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "public"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "a b.txt").write_bytes(b"0123456789")
    (folder / "grüße.html").write_bytes(b"<p>")
    (folder / "sub" / "index.html").write_bytes(b"<p>index")
    (folder / ".hidden").write_bytes(b"classified")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"classified")
    (tmp_path / "secret.txt").write_bytes(b"classified")
    return folder


def fetch(app, target, method="GET", *headers):
    """Return the whole response of a server to a target, which is sent as it is."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    with serve(app) as server:
        return send_and_read((server.host, server.port), ["\r\n".join(lines).encode()])


def status_of(response):
    return int(response[9:12])


def test_file_has_type_length_validators_and_the_given_headers(folder):
    app = files(folder, headers={"Cache-Control": "max-age=60"})
    response = fetch(app, "/a%20b.txt")
    assert (status_of(response), body_of(response)) == (200, b"0123456789")
    assert field(response, "Content-Type") == "text/plain"
    assert field(response, "Content-Length") == "10"
    assert field(response, "Cache-Control") == "max-age=60"
    etag = field(response, "ETag")
    assert field(response, "Last-Modified")
    assert status_of(fetch(app, "/a%20b.txt", "GET", f"If-None-Match: {etag}")) == 304
    part = fetch(app, "/a%20b.txt", "GET", "Range: bytes=2-4", f"If-Range: {etag}")
    assert (status_of(part), body_of(part)) == (206, b"234")
    assert field(part, "Content-Range") == "bytes 2-4/10"
    head = fetch(app, "/a%20b.txt", "HEAD")
    assert (status_of(head), body_of(head)) == (200, b"")
    assert field(head, "Content-Length") == "10"


def test_percent_encoded_name_is_found(folder):
    assert body_of(fetch(files(folder), "/gr%C3%BC%c3%9fe.html")) == b"<p>"
    assert body_of(fetch(files(folder), "/%73ub/%69ndex.html")) == b"<p>index"


def test_other_method_is_405(folder):
    response = fetch(files(folder), "/a%20b.txt", "DELETE")
    assert (status_of(response), field(response, "Allow")) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub%2findex.html",
        "/..%5csecret.txt",
        "/sub%5cindex.html",
        "/./a%20b.txt",
        "/sub/./index.html",
        "/sub/../a%20b.txt",
        "//a%20b.txt",
        "/sub//index.html",
        "//sub",
        "/a%20b.txt/",
        "/a%20b.txt/x",
        "/a%20b.txt%00",
        "/%00",
        "/missing",
        "/missing/",
        "/sub/deep/",
        "/",
        "/.hidden",
        "/.git/config",
        "/.git/",
        "/%2egit/config",
        "/" + "x" * 300,
        "/" + "x/" * 3000,
    ],
    ids=lambda target: target[:30],
)
def test_everything_else_is_404(folder, target):
    response = fetch(files(folder), target)
    assert status_of(response) == 404
    assert b"classified" not in response
    assert os.fsencode(str(folder)) not in response


TRICKY = [
    *(
        "..",
        ".",
        "",
        "%2e%2e",
        "..%2f",
        "%2f..",
        "..%5c",
        "%5c..%5c",
        "..;",
        "..%00",
        "%00",
        "%252e%252e",
    ),
    *("sub", "deep", "up", "link.txt", "secret.txt", "public", ".git", "config", "a%20b.txt"),
    *("%2f", "%5c", "c:", "%ff", "%ed%a0%80", "%e2%80%ae", "~", "proc", "etc", "passwd"),
]


@given(st.lists(st.sampled_from(TRICKY), max_size=8), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_path_leaves_the_folder_or_redirects_elsewhere(folder, segments, has_raw_target):
    if not (folder / "up").is_symlink():
        (folder / "up").symlink_to("..")
        (folder / "link.txt").symlink_to("../secret.txt")
    target = "/" + "/".join(segments)
    more = {"RAW_URI": target} if has_raw_target else {}
    response = call_app(files(folder, listing=True), target=target, **more)
    assert response.status[:3] in ("200", "302", "400", "404")
    assert b"classified" not in response.body
    assert b"secret.txt</a>" not in response.body
    location = response.header("Location")
    assert (response.status[:3] == "302") == (location is not None)
    if location is not None:
        joined = urljoin(f"http://server{target}", location)
        assert joined.startswith("http://server/")
        assert joined.endswith("/")


def test_path_that_is_not_utf_8_is_400(folder):
    assert status_of(fetch(files(folder), "/%ff")) == 400


def test_hidden_files_are_served_on_request(folder):
    app = files(folder, hidden=True)
    assert body_of(fetch(app, "/.hidden")) == b"classified"
    assert body_of(fetch(app, "/.git/config")) == b"classified"
    assert status_of(fetch(app, "/../secret.txt")) == 404


@pytest.mark.parametrize("target", ["../secret.txt", "a b.txt"], ids=["outside", "inside"])
def test_symbolic_link_is_404_wherever_it_leads(folder, target):
    (folder / "link.txt").symlink_to(target)
    assert status_of(fetch(files(folder), "/link.txt")) == 404


def test_symbolic_link_to_a_folder_is_404(folder):
    (folder / "up").symlink_to("..")
    (folder / "sub2").symlink_to("sub")
    (folder / "sub" / "deep" / "index.html").symlink_to("../../../secret.txt")
    app = files(folder, listing=True)
    for target in ("/up/secret.txt", "/up", "/up/", "/sub2/index.html", "/sub2/"):
        assert status_of(fetch(app, target)) == 404
    assert b"classified" not in fetch(app, "/sub/deep/")


def test_folder_itself_may_be_a_link_that_changes(folder, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a b.txt").write_bytes(b"new")
    current = tmp_path / "current"
    current.symlink_to("public")
    app = files(current)
    assert body_of(fetch(app, "/a%20b.txt")) == b"0123456789"
    current.unlink()
    current.symlink_to("new")
    assert body_of(fetch(app, "/a%20b.txt")) == b"new"


def test_pipe_and_socket_are_404_without_waiting(folder, monkeypatch):
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket")
        app = files(folder, listing=True)
        assert status_of(fetch(app, "/pipe")) == 404
        assert status_of(fetch(app, "/socket")) == 404
        listed = body_of(fetch(app, "/"))
        assert b"pipe" not in listed
        assert b"socket" not in listed


def test_device_is_404():
    assert status_of(fetch(files("/dev"), "/zero")) == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_that_may_not_be_read_is_403(folder):
    (folder / "a b.txt").chmod(0)
    assert status_of(fetch(files(folder), "/a%20b.txt")) == 403


def test_file_that_vanishes_before_it_is_sent_is_404(folder):
    class Vanishing(App):
        def dispatch(self, request):
            response = super().dispatch(request)
            (folder / "a b.txt").unlink()
            os.mkfifo(folder / "a b.txt")
            return response

    app = files(folder)
    app.__class__ = Vanishing
    assert call_app(app, target="/a%20b.txt").status == "404 Not Found"


# Folders


@any_name
@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "./sub/"),
        ("/sub?a=%2F&b", "./sub/?a=%2F&b"),
        ("/a%3Ab", "./a%3Ab/"),
        ("/%20x%3F", "./%20x%3F/"),
    ],
)
def test_folder_without_a_slash_is_redirected_below_the_same_folder(folder, target, location):
    (folder / "a:b").mkdir()
    (folder / " x?").mkdir()
    response = fetch(files(folder), target)
    assert (status_of(response), field(response, "Location")) == (302, location)


@pytest.mark.parametrize("target", ["//sub", "//sub/..", "/%2Fsub", "/%5Csub", "//sub/%2e%2e"])
def test_no_redirect_leads_to_another_host(folder, target):
    response = fetch(files(folder), target)
    assert status_of(response) == 404
    assert b"Location" not in response


def test_folder_is_served_by_its_index(folder):
    response = fetch(files(folder), "/sub/")
    assert (status_of(response), body_of(response)) == (200, b"<p>index")
    assert field(response, "Content-Type") == "text/html"
    assert body_of(fetch(files(folder, index="a b.txt"), "/")) == b"0123456789"
    assert status_of(fetch(files(folder, index=None), "/sub/")) == 404


@any_name
def test_listing_is_escaped_html_of_what_is_served(folder):
    (folder / "sub" / "index.html").unlink()
    for name in ('<script>&"', "javascript:x", "100%?#", "%2e%2e", ".dot"):
        (folder / "sub" / name).write_bytes(b"")
    (folder / "sub" / "link").symlink_to("deep")
    response = fetch(files(folder, listing=True), "/sub/")
    assert field(response, "Content-Type") == "text/html; charset=utf-8"
    assert b"<h1>/sub/</h1>" in body_of(response)
    assert re.findall(rb"<li>(.*)</li>", body_of(response)) == [
        b'<a href="./../">../</a>',
        b'<a href="./%252e%252e">%2e%2e</a>',
        b'<a href="./100%25%3F%23">100%?#</a>',
        b'<a href="./%3Cscript%3E%26%22">&lt;script&gt;&amp;&quot;</a>',
        b'<a href="./deep/">deep/</a>',
        b'<a href="./javascript%3Ax">javascript:x</a>',
    ]


@any_name
def test_listing_escapes_the_name_of_the_folder(folder):
    (folder / "<b>").mkdir()
    body = body_of(fetch(files(folder, listing=True), "/%3Cb%3E/"))
    assert b"<title>/&lt;b&gt;/</title>" in body
    assert b"<b>" not in body


def test_each_listed_file_can_be_fetched(folder):
    app = files(folder, listing=True)
    links = re.findall(rb'href="\./([^"]*)"', body_of(fetch(app, "/")))
    assert links == [b"a%20b.txt", b"gr%C3%BC%C3%9Fe.html", b"sub/"]
    for link in links:
        assert status_of(fetch(app, f"/{link.decode()}")) == 200


def test_name_that_is_not_utf_8_is_not_listed(folder):
    try:
        (folder / os.fsdecode(b"bad\xff")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    assert b"bad" not in body_of(fetch(files(folder, listing=True), "/"))


def test_listing_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(static_files, "MAX_LISTED", 2)
    items = re.findall(rb"<li>(.*)</li>", body_of(fetch(files(folder, listing=True), "/")))
    assert len(items) == 3
    assert items[-1] == b"and more: only 2 are listed"


# Mounted


def test_files_below_a_mount_point(folder):
    app = App("site")
    app.mount("/static", files(folder, listing=True))
    assert body_of(fetch(app, "/static/a%20b.txt")) == b"0123456789"
    assert field(fetch(app, "/static"), "Location") == "./static/"
    assert field(fetch(app, "/static/sub"), "Location") == "./sub/"
    assert b'href="./sub/"' in fetch(app, "/static/")
    assert b'"./../"' not in fetch(app, "/static/")
    assert status_of(fetch(app, "/static/../secret.txt")) == 404
    assert status_of(fetch(app, "/static%2Fa%20b.txt")) == 404


# Arguments


def test_missing_folder_raises_OSError_at_the_call(tmp_path):
    with pytest.raises(FileNotFoundError):
        files(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        files(tmp_path / "file")


@pytest.mark.parametrize("index", ["", "..", "a/b", "a\\b", "a\0"])
def test_index_that_is_no_file_name_raises_ValueError(folder, index):
    with pytest.raises(ValueError, match="index must be the name of a file in each folder"):
        files(folder, index=index)


@pytest.mark.skipif(not portable.IS_ON, reason="other systems allow these names")
def test_names_that_windows_reads_differently_are_404(folder):
    for target in ("/NUL", "/C:x", "/a%20b.txt.", "/a%20b.txt::$DATA"):
        assert status_of(fetch(files(folder), target)) == 404
