"""What docs/server.rst and the README show of the server runs as it stands there.

Letter for letter, but for what a reader would change too: hosts, and the call that serves for ever.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import textwrap
import zipfile
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path

import pytest

import restkit
from restkit import Client, FormData
from restkit.server import App, serve
from restkit.server.response import json, stream, text
from restkit.streaming import gunzip_stream

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)")
BLOCKS = [
    textwrap.dedent(found)
    for page in ("docs/server.rst", "README.rst")
    for found in _BLOCK.findall((ROOT / page).read_text())
]


def block(words):
    """The one snippet with these words in it."""
    (found,) = [each for each in BLOCKS if words in each]
    return found


def run(words, replaced=(), names=()):
    """Run a snippet, and give what it has defined."""
    snippet = block(words)
    for old, new in dict(replaced).items():
        assert old in snippet
        snippet = snippet.replace(old, new)
    namespace = {"__name__": "documentation", "restkit": restkit, "text": text, "stream": stream}
    namespace |= dict(names)
    exec(compile(snippet, words, "exec"), namespace)
    return namespace


@pytest.fixture
def app():
    return App("documentation")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Whatever is entered here is closed with the test, which has a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def at(opened):
    """A client of an app."""
    return lambda app: opened.enter_context(Client(base_url=opened.enter_context(serve(app)).url))


def test_the_quick_start(at, capsys):
    defined = run("App('quick')")
    client = at(defined["app"])
    assert client.get("hello/Zoë").text == "Hello, Zoë!"
    assert client.post("louder", iter(["lou", b"der \xc3", b"\xa9"])).text == "LOUDER É"
    run("with serve(app) as server:\n    print", names={"app": defined["app"]})
    assert capsys.readouterr().out == "Hello, Zoë!\n"


def test_the_program_is_the_one_that_runs_on_both_engines():
    """test_seed_002.py has the cases; here it is only in another hand."""
    ours = (ROOT / "tests/support/apps/seed_002.py").read_text()
    shown = block("Necktie('request_stream')")
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(ours))


def test_a_function_writes_the_answer(at):
    client = at(run("sample_streaming_fn")["app"])
    response = client.get("/")
    assert (response.text, response.headers["Content-Type"]) == ("foo,bar", "text/csv")


def test_rows_of_a_database(at, app):
    client = at(app)
    with closing(sqlite3.connect("documents.db")) as database:
        database.execute("CREATE TABLE documents (name)")
        database.executemany("INSERT INTO documents VALUES (?)", [("love.txt",), ("sister.txt",)])
        database.commit()
    run("stream_from_db", names={"app": app})
    assert client.get("names").text == "love.txtsister.txt"


def test_what_a_client_could_send_is_an_answer(opened, at, app):
    client = at(app)
    behind = App("behind")
    behind.get("/a/b")(lambda request: text("from behind"))
    target = opened.enter_context(serve(behind)).url
    run("from_path('photos')", {"http://localhost:8001": target}, {"app": app})
    Path("photos").mkdir()
    Path("photos/me.jpg").write_bytes(b"a picture")
    with zipfile.ZipFile(BytesIO(client.get("photos.zip").body)) as archive:
        assert archive.read("me.jpg") == b"a picture"
    assert client.get("elsewhere/a/b").text == "from behind"
    packed = client.put("pack", iter([b"one ", b"and two"])).body
    assert b"".join(map(bytes, gunzip_stream(packed))) == b"one and two"


def test_blueprints(at, app):
    run("Blueprint.group(numbers", names={"app": app})
    assert at(app).get("v1/numbers/21/double").text == "42"


def test_views(at, app):
    run("class Notes(HTTPMethodView)", names={"app": app})
    client = at(app)
    assert client.put("notes/a", "to be kept").status == 201
    assert client.get("notes/a").text == "to be kept"


def test_forms(at, app):
    run("request.files.get('photo')", names={"app": app})
    client = at(app)
    form = FormData.from_fields({"name": "Zoë"})
    form.add_field("photo", b"a picture", file_name="me.jpg")
    response = client.post("photos", form)
    assert (response.status, response.json()) == (201, {"of": "Zoë", "size": 9})
    assert Path("photo.jpg").read_bytes() == b"a picture"


def test_errors(at, app):
    run("raise NotFound(f'there is no document {number}')", names={"app": app})
    client = at(app)
    response = client.get("documents/11")
    assert (response.status, response.text) == (404, "Error: there is no document 11")
    assert client.get("documents/7").status == 451
    response = client.get("documents/5")
    assert (response.status, response.headers["Retry-After"]) == (503, "30")
    Path("documents").mkdir()
    Path("documents/5.txt").write_text("five")
    assert client.get("documents/5").text == "five"


def test_the_receiver(at):
    client = at(run("receive('received_files'", {"app.run(port=8000)": ""})["app"])
    assert client.put("love.txt", b"love").status == 201
    assert Path("received_files/love.txt").read_bytes() == b"love"


def test_the_proxy(opened, app, capsys):
    app.get("/db/notes")(lambda request: json(["a", "b"]))
    target = opened.enter_context(serve(app)).url
    run("HostProxy(", {"HostProxy('http://127.0.0.1:5984": f"HostProxy('{target}"})
    assert capsys.readouterr().out == "['a', 'b']\n"


def test_how_it_is_run(app):
    run("app.run(host='127.0.0.1', port=8000)  ", {"app.run": "dict"}, {"app": app, "serve": serve})


def test_the_readme(at):
    client = at(run("stream(request.stream)  ", {"app.run(port=8000)": ""})["app"])
    assert client.post("echo", iter([b"one", b"two"])).body == b"onetwo"
