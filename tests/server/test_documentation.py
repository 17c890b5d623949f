"""The snippets of docs/server.rst, and of the server in the README, run.

Only hosts, paths and the call that serves forever are replaced.
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


def find_snippet(words):
    """Return the only snippet with these words."""
    (found,) = [each for each in BLOCKS if words in each]
    return found


def run_snippet(words, replaced=(), names=()):
    """Run a snippet and return its namespace."""
    snippet = find_snippet(words)
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
def stack(tmp_path, monkeypatch):
    """An exit stack for a test that runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(stack):
    """A function that returns a client of an app."""
    return lambda app: stack.enter_context(Client(base_url=stack.enter_context(serve(app)).url))


def test_quick_start(connect, capsys):
    defined = run_snippet("App('quick')")
    client = connect(defined["app"])
    assert client.get("hello/Zoë").text == "Hello, Zoë!"
    assert client.post("louder", iter(["lou", b"der \xc3", b"\xa9"])).text == "LOUDER É"
    run_snippet("with serve(app) as server:\n    print", names={"app": defined["app"]})
    assert capsys.readouterr().out == "Hello, Zoë!\n"


def test_streaming_program_is_the_seed_program():
    """Compare it with the program that test_seed_002.py runs on both engines."""
    ours = (ROOT / "tests/support/apps/seed_002.py").read_text()
    shown = find_snippet("Necktie('request_stream')")
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(ours))


def test_function_that_writes_the_response(connect):
    client = connect(run_snippet("sample_streaming_fn")["app"])
    response = client.get("/")
    assert (response.text, response.headers["Content-Type"]) == ("foo,bar", "text/csv")


def test_database_rows(connect, app):
    client = connect(app)
    with closing(sqlite3.connect("documents.db")) as database:
        database.execute("CREATE TABLE documents (name)")
        database.executemany("INSERT INTO documents VALUES (?)", [("love.txt",), ("sister.txt",)])
        database.commit()
    run_snippet("stream_from_db", names={"app": app})
    assert client.get("names").text == "love.txtsister.txt"


def test_payloads_as_responses(stack, connect, app):
    client = connect(app)
    behind = App("behind")
    behind.get("/forecast")(lambda request: text(request.query_string))
    target = stack.enter_context(serve(behind)).url
    run_snippet("from_path('photos')", {"http://localhost:8001": target}, {"app": app})
    Path("photos").mkdir()
    Path("photos/me.jpg").write_bytes(b"a picture")
    with zipfile.ZipFile(BytesIO(client.get("photos.zip").body)) as archive:
        assert archive.read("me.jpg") == b"a picture"
    for city in ("a%26admin=1", "a%23b", "%2E%2E%2Fsecret%3Fx"):  # no client adds a parameter
        assert (
            client.get(f"forecast/{city}").text
            == f"city={city.replace('=', '%3D').replace('%2E', '.')}"
        )
    packed = client.put("pack", iter([b"one ", b"and two"])).body
    assert b"".join(map(bytes, gunzip_stream(packed))) == b"one and two"


def test_mounts(stack, connect, app):
    behind = App("behind")
    behind.get("/a/b")(lambda request: text("from behind"))
    target = stack.enter_context(serve(behind)).url
    Path("public").mkdir()
    Path("public/a.txt").write_text("text")
    defined = run_snippet("app.mount('/static'", {"http://localhost:8001": target}, {"app": app})
    stack.callback(defined["elsewhere"].close)
    client = connect(app)
    assert client.get("static/a.txt").text == "text"
    assert client.get("elsewhere/a/b").text == "from behind"
    alone = run_snippet("app = files('public')", {"app.run(port=8000)": ""})["app"]
    assert connect(alone).get("a.txt").text == "text"


def test_blueprints(connect, app):
    run_snippet("Blueprint.group(numbers", names={"app": app})
    assert connect(app).get("v1/numbers/21/double").text == "42"


def test_views(connect, app):
    run_snippet("class Notes(HTTPMethodView)", names={"app": app})
    client = connect(app)
    assert client.put("notes/a", "to be kept").status == 201
    assert client.get("notes/a").text == "to be kept"


def test_forms(connect, app):
    run_snippet("request.files.get('photo')", names={"app": app})
    client = connect(app)
    form = FormData.from_fields({"name": "Zoë"})
    form.add_field("photo", b"a picture", file_name="me.jpg")
    response = client.post("photos", form)
    assert (response.status, response.json()) == (201, {"of": "Zoë", "size": 9})
    assert Path("photo.jpg").read_bytes() == b"a picture"


def test_errors(connect, app):
    run_snippet("raise NotFound(f'there is no document {number}')", names={"app": app})
    client = connect(app)
    response = client.get("documents/11")
    assert (response.status, response.text) == (404, "Error: there is no document 11")
    assert client.get("documents/7").status == 451
    response = client.get("documents/5")
    assert (response.status, response.headers["Retry-After"]) == (503, "30")
    Path("documents").mkdir()
    Path("documents/5.txt").write_text("five")
    assert client.get("documents/5").text == "five"


def test_receiver(connect):
    client = connect(run_snippet("receive('received_files'", {"app.run(port=8000)": ""})["app"])
    assert client.put("love.txt", b"love").status == 201
    assert Path("received_files/love.txt").read_bytes() == b"love"


def test_proxy(stack, app, capsys):
    app.get("/db/notes")(lambda request: json(["a", "b"]))
    target = stack.enter_context(serve(app)).url
    run_snippet("with HostProxy(", {"HostProxy('http://127.0.0.1:5984": f"HostProxy('{target}"})
    assert capsys.readouterr().out == "['a', 'b']\n"


def test_run_and_serve(stack, app):
    replaced = {"app.run": "dict", "/run/app.sock": "app.sock"}
    names = {"app": app, "serve": serve}
    defined = run_snippet("app.run(host='127.0.0.1', port=8000)  ", replaced, names)
    assert "closed" in repr(defined["server"])
    assert not Path("app.sock").exists()


def test_readme(connect):
    client = connect(run_snippet("stream(request.stream)  ", {"app.run(port=8000)": ""})["app"])
    assert client.post("echo", iter([b"one", b"two"])).body == b"onetwo"
