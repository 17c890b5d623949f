"""The documentation matches the code: its options, its modules, and its examples."""

from __future__ import annotations

import inspect
import re
import textwrap
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import restkit
from restkit import Client
from restkit.client.options import ClientOptions, CommonOptions, RequestOptions
from restkit.server import App
from restkit.server.response import json, raw, text
from restkit.testing import LocalServer

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]

# The table of options

_CELL = r"\n     - .*?"
ROW = re.compile(rf"^   \* - ``(\w+)``{_CELL}{_CELL}\n     - (.*?)$", re.DOTALL | re.MULTILINE)

DOCUMENTED = dict(ROW.findall((ROOT / "docs" / "options.rst").read_text()))
COMMON = set(CommonOptions.__annotations__)
CALL_ONLY = (set(RequestOptions.__annotations__) - COMMON - {"params"}) | {"payload"}
CLIENT_ONLY = set(ClientOptions.__annotations__) - COMMON


def test_every_option_is_in_the_table():
    assert set(DOCUMENTED) | {"body", "data"} == COMMON | CALL_ONLY | CLIENT_ONLY


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_table_says_where_to_give_an_option(name):
    expected = "call" if name in CALL_ONLY else "Client" if name in CLIENT_ONLY else "Client, call"
    if name in ("headers", "params"):
        expected = "Client, call"
    assert DOCUMENTED[name] == expected


def test_client_only_options_are_the_named_arguments_of_client():
    names = {
        name
        for name, parameter in inspect.signature(Client).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert names == CLIENT_ONLY


# The modules of the architecture page


def test_architecture_lists_every_module():
    page = (ROOT / "docs" / "architecture.rst").read_text()
    package = ROOT / "restkit"
    documented = set(re.findall(r"^``([\w/]+\.py)``  ", page, re.MULTILINE))
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert documented == found


def test_architecture_names_existing_files_only():
    page = (ROOT / "docs" / "architecture.rst").read_text()
    page = page[: page.index("Differences from the plan")]
    names = re.findall(r"(?<![\w./`])((?:[\w]+/)+[\w]+\.py)", page)
    missing = [
        name for name in names if not any((ROOT / base / name).exists() for base in ("restkit", ""))
    ]
    assert names
    assert missing == []


# The examples

_BLOCK = re.compile(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)")


def code_blocks(page):
    return [textwrap.dedent(found) for found in _BLOCK.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_are_valid_python(page):
    for block in code_blocks(page):
        compile(block, page.name, "exec")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory of an example, with the files that the pages name."""
    (tmp_path / "photos").mkdir()
    for name in ("photos/me.jpg", "photo.jpg", "server.log", "today.txt"):
        (tmp_path / name).write_bytes(b"the bytes of " + name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server():
    """A server that responds to every request of the examples."""
    app = App("examples", max_body=None)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("me.jpg", b"a picture")

    @app.get("/<path:path>")
    def get(request, path):
        if path == "photos.zip":
            return raw(archive.getvalue())
        if path.endswith("missing"):
            return text("missing", 404)
        return text("a backup\n" * 100_000) if path in ("backup", "big") else json({"a": 1})

    @app.route("/<path:path>", methods=["PUT", "POST"])
    def take(request, path):
        return text(f"{len(request.body)} bytes")

    with LocalServer(app) as server:
        yield server


def run_blocks(blocks, server):
    namespace = {"__name__": "documentation"}
    for block in blocks:
        exec(
            compile(block.replace("http://localhost:8000", server.url), "a page", "exec"), namespace
        )
    return namespace


def contents_of(server, path):
    return [request.content for request in server.received if request.target == path]


def test_examples_of_the_readme_run(folder, server, capsys):
    blocks = [block for block in code_blocks(ROOT / "README.rst") if "app.run" not in block]
    namespace = run_blocks(blocks, server)
    backup = b"a backup\n" * 100_000
    assert contents_of(server, "/copy") == [backup]
    assert (folder / "backup.tar").read_bytes() == backup
    assert (folder / "copy.tar").read_bytes() == backup
    assert namespace["names"] == ["me.jpg"]
    assert zipfile.is_zipfile("photos.zip")
    assert contents_of(server, "/rows")[0] == b"".join(b"%d\n" % n for n in range(1000))
    (form,) = [request for request in server.received if request.target == "/form"]
    assert int(form.headers["Content-Length"]) == len(form.body) == len(form.content)
    compressed, *_ = [request for request in server.received if request.target == "/logs"]
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert contents_of(server, "/db/notes") == [b'{"a":1}']
    assert capsys.readouterr().out.splitlines()[-1] == "404"


def test_examples_of_the_quickstart_run(folder, server, capsys):
    logger = restkit.log.get_logger()
    level, handlers = logger.level, logger.handlers[:]
    try:
        run_blocks(code_blocks(ROOT / "docs" / "quickstart.rst"), server)
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    assert (folder / "big.txt").read_bytes() == b"a backup\n" * 100_000
    assert "404" in capsys.readouterr().out
    (request,) = [each for each in server.received if each.headers.get("X-Request-Id")]
    assert request.headers["X-Request-Id"] == "42"
