"""save(directory): the name of the file, and that nothing else is written to."""

from __future__ import annotations

import errno
import os

import pytest

from restkit import Client, UnexpectedEOF
from support import ScriptedServer, response
from support.waiting import until

ATTACHMENT = 'Content-Disposition: attachment; filename="report.csv"'


def save_one(directory, *fields, path="/some/name.txt", body=b"body"):
    """Save the response to one request in a directory; return its number of bytes and name."""
    with ScriptedServer.serving(response(body, *fields)) as server, Client() as client:
        with client.get(server.url(path)) as got:
            return got.save(directory), got.filename


@pytest.mark.parametrize("convert", [str, lambda path: path, lambda path: f"{path}/"])
def test_save_directory_names_the_file_by_content_disposition(tmp_path, convert):
    count, name = save_one(convert(tmp_path), ATTACHMENT)
    assert (count, name) == (4, "report.csv")
    assert (tmp_path / name).read_bytes() == b"body"
    assert os.listdir(tmp_path) == [name]


def test_save_directory_names_the_file_by_the_url(tmp_path):
    assert save_one(tmp_path, path="/some/name.txt?x=/y")[1] == "name.txt"
    assert (tmp_path / "name.txt").read_bytes() == b"body"


def test_save_directory_never_writes_outside_of_it(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    for name in ("../out.txt", "/tmp/out.txt", "..\\\\out.txt"):
        save_one(inside, f'Content-Disposition: attachment; filename="{name}"')
        (inside / "out.txt").unlink()
    assert os.listdir(tmp_path) == ["inside"]
    assert os.listdir(inside) == []


def test_save_directory_does_not_overwrite_a_file_and_reads_nothing(tmp_path):
    (tmp_path / "report.csv").write_bytes(b"older")
    body = b"x" * 3_000_000
    with ScriptedServer.serving(response(body, ATTACHMENT)) as server, Client() as client:
        with client.get(server.url()) as got:
            with pytest.raises(FileExistsError) as caught:
                got.save(tmp_path)
            assert caught.value.errno == errno.EEXIST
            assert caught.value.filename == str(tmp_path / "report.csv")
            assert "save(path) with the path of the file replaces it" in str(caught.value)
            assert (tmp_path / "report.csv").read_bytes() == b"older"
            assert got.save(tmp_path / got.filename) == len(body)
    assert (tmp_path / "report.csv").read_bytes() == body


@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_save_directory_does_not_follow_a_planted_link(tmp_path, target):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "victim").write_bytes(b"older")
    (folder / "report.csv").symlink_to(tmp_path / target)
    with pytest.raises(FileExistsError):
        save_one(folder, ATTACHMENT)
    assert (tmp_path / "victim").read_bytes() == b"older"
    assert sorted(os.listdir(tmp_path)) == ["folder", "victim"]
    assert os.listdir(folder) == ["report.csv"]


@pytest.mark.parametrize("has_links", [True, False])
def test_file_made_while_the_body_arrives_is_kept(tmp_path, has_links, monkeypatch):
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    start, end = b"x" * 300_000, b"y" * 1000
    head = response(start + end, ATTACHMENT)[: -len(end)]

    def script(peer):
        peer.next_request()
        peer.send(head)
        until(lambda: os.listdir(tmp_path), "the temporary file")
        (tmp_path / "report.csv").symlink_to("elsewhere")
        peer.send(end)

    with ScriptedServer(script) as server, Client() as client:
        with client.get(server.url()) as got, pytest.raises(FileExistsError) as caught:
            got.save(tmp_path)
    assert caught.value.filename == str(tmp_path / "report.csv")
    assert os.listdir(tmp_path) == ["report.csv"]
    assert os.readlink(tmp_path / "report.csv") == "elsewhere"


def no_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_save_directory_works_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    assert save_one(tmp_path, ATTACHMENT) == (4, "report.csv")
    assert (tmp_path / "report.csv").read_bytes() == b"body"
    assert os.listdir(tmp_path) == ["report.csv"]


def test_body_that_breaks_off_leaves_nothing_in_the_directory(tmp_path):
    def script(peer):
        peer.next_request()
        peer.send(response(b"x" * 200_000, ATTACHMENT)[:-1])

    with ScriptedServer(script) as server, Client() as client:
        with client.get(server.url()) as got, pytest.raises(UnexpectedEOF):
            got.save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_longest_name_can_be_saved(tmp_path):
    field = f"Content-Disposition: attachment; filename*=UTF-8''{'%C5%B1' * 500}.csv"
    _, name = save_one(tmp_path, field)
    assert os.listdir(tmp_path) == [name]


def test_link_to_a_directory_is_a_directory(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    save_one(tmp_path / "link", ATTACHMENT)
    assert os.listdir(tmp_path / "real") == ["report.csv"]
