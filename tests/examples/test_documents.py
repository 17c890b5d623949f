"""Tests of examples/documents.py against a small store like CouchDB."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from restkit import (
    InvalidUrl,
    RequestFailed,
    ResourceError,
    ResourceNotFound,
    Unauthorized,
    UnexpectedEOF,
)
from support import LAST_CHUNK, ScriptedServer, body_of, chunks, field, payload_of, response
from support.memory import MIB, peak_memory

EXAMPLES = str(Path(__file__).parents[2] / "examples")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def documents():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("documents")
        del sys.modules["documents"]


class StoreError(Exception):
    """An error response of the store."""

    def __init__(self, status, error, reason):
        self.response = response(as_json({"error": error, "reason": reason}), status=status)


def as_json(value):
    return json.dumps(value).encode()


CONFLICT = ("409 Conflict", "conflict", "Document update conflict.")
MISSING = ("404 Object Not Found", "not_found", "missing")


class Store:
    """Databases of documents with revisions and attachments, behind a ScriptedServer."""

    def __init__(self):
        self.databases = {}
        self.lock = threading.Lock()

    def __call__(self, peer):
        while request := peer.next_request():
            try:
                with self.lock:
                    outcome = self.handle(request)
            except StoreError as error:
                outcome = error.response
            peer.send(outcome)

    def handle(self, request):
        method, target, _ = request.decode("latin-1").split(" ", 2)
        path, _, query = target.partition("?")
        parts = [unquote(part) for part in path[1:].split("/")]
        params, payload = dict(parse_qsl(query)), payload_of(request)
        if parts == ["_all_dbs"]:
            return response(as_json([*self.databases]))
        if len(parts) == 1:
            return self.handle_database(method, *parts)
        database, name, *rest = parts
        if database not in self.databases:
            raise StoreError("404 Object Not Found", "not_found", "Database does not exist.")
        docs = self.databases[database]
        if name == "_all_docs":
            return self.list_documents(docs, params)
        if name == "_changes":
            return self.list_changes(docs, int(params["since"]))
        if name == "_bulk_docs":
            return response(
                as_json([self.store_or_report(docs, d) for d in json.loads(payload)["docs"]])
            )
        if name == "_design":
            name, rest = f"{name}/{rest[0]}", rest[1:]
        if rest:
            return self.handle_attachment(method, docs, name, *rest, params, request)
        return response(as_json(self.handle_document(method, docs, name, params, payload)))

    def handle_document(self, method, docs, name, params, payload):
        if method == "GET":
            return self.find(docs, name)["doc"]
        if method == "DELETE":
            return self.store(docs, {"_id": name, "_rev": params["rev"]}, {})
        return self.store(docs, {**json.loads(payload), "_id": name})

    def handle_database(self, method, name):
        if method == "PUT" and name in self.databases:
            raise StoreError("412 Precondition Failed", "file_exists", "It exists already.")
        if method == "PUT":
            self.databases[name] = {}
        elif self.databases.pop(name, None) is None:
            raise StoreError(*MISSING)
        return response(b'{"ok":true}')

    def find(self, docs, name):
        if name not in docs or "_deleted" in docs[name]["doc"]:
            raise StoreError(*MISSING)
        return docs[name]

    def store(self, docs, doc, files=None):
        old = docs.get(doc["_id"], {"doc": {"_deleted": True}, "files": {}, "seq": 0})
        if "_deleted" not in old["doc"] and old["doc"]["_rev"] != doc.get("_rev"):
            raise StoreError(*CONFLICT)
        number = int(old["doc"].get("_rev", "0-").split("-")[0]) + 1
        doc["_rev"] = f"{number}-{hash(json.dumps(doc)) & 0xFFFF:x}"
        if files == {}:
            doc["_deleted"] = True
        seq = 1 + max((entry["seq"] for entry in docs.values()), default=0)
        docs[doc["_id"]] = {"doc": doc, "files": files or old["files"], "seq": seq}
        return {"ok": True, "id": doc["_id"], "rev": doc["_rev"]}

    def store_or_report(self, docs, doc):
        try:
            return self.store(docs, doc)
        except StoreError:
            return {"id": doc["_id"], "error": "conflict", "reason": "Document update conflict."}

    def handle_attachment(self, method, docs, name, file, params, request):
        entry = self.find(docs, name)
        if method == "GET":
            kind, data = entry["files"][file]
            return response(data, f"Content-Type: {kind}")
        files = {**entry["files"], file: (field(request, "content-type"), payload_of(request))}
        return response(as_json(self.store(docs, {**entry["doc"], "_rev": params["rev"]}, files)))

    def list_documents(self, docs, params):
        start = json.loads(params.get("startkey", '""'))
        rows = [
            {"id": name, "key": name, "value": {"rev": entry["doc"]["_rev"]}}
            | ({"doc": entry["doc"]} if params.get("include_docs") == "true" else {})
            for name, entry in sorted(docs.items())
            if name >= start and "_deleted" not in entry["doc"]
        ]
        lines = b",\r\n".join(map(as_json, rows))
        return response(b'{"total_rows":9,"offset":0,"rows":[\r\n' + lines + b"\r\n]}\n")

    def list_changes(self, docs, since):
        found = sorted((entry["seq"], name) for name, entry in docs.items() if entry["seq"] > since)
        lines = b",\n".join(as_json({"seq": seq, "id": name}) for seq, name in found)
        return response(b'{"results":[\n' + lines + b'\n],\n"last_seq":9,"pending":0}\n')


@pytest.fixture
def server():
    with ScriptedServer(Store()) as server:
        yield server


@pytest.fixture
def notes(documents, server):
    with documents.Server(server.url()) as couch:
        yield couch.create("notes")


def test_databases_are_created_listed_and_deleted(documents, server):
    with documents.Server(server.url()) as couch:
        assert couch.names() == []
        notes = couch.create("notes/2026 +")
        assert couch.names() == ["notes/2026 +"]
        assert notes.uri == server.url("/notes%2F2026%20%2B")
        with pytest.raises(documents.AlreadyExists, match="It exists already"):
            couch.create("notes/2026 +")
        couch.drop("notes/2026 +")
        assert couch.names() == []
        with pytest.raises(ResourceNotFound):
            couch.drop("notes/2026 +")
    assert server.connections == 1


def test_document_is_written_read_changed_and_deleted(notes):
    first = notes.write({"_id": "a/b c?d#é", "n": 1})
    assert notes.read("a/b c?d#é") == {"_id": "a/b c?d#é", "_rev": first, "n": 1}
    second = notes.write({"_id": "a/b c?d#é", "_rev": first, "n": 2})
    assert second.startswith("2-")
    notes.erase("a/b c?d#é", second)
    with pytest.raises(ResourceNotFound) as caught:
        notes.read("a/b c?d#é")
    assert caught.value.message == "missing"
    assert str(caught.value).endswith("404 Object Not Found: missing")


def test_path_of_a_design_document_keeps_its_slash(notes, server):
    notes.write({"_id": "_design/by date", "views": {}})
    assert notes.read("_design/by date")["views"] == {}
    assert server.requests[-1].startswith(b"GET /notes/_design/by%20date HTTP/1.1\r\n")


def test_conflict_raises_its_own_error(documents, notes):
    revision = notes.write({"_id": "a"})
    notes.write({"_id": "a", "_rev": revision})
    for call in (
        lambda: notes.write({"_id": "a", "_rev": revision}),
        lambda: notes.erase("a", revision),
    ):
        with pytest.raises(documents.Conflict, match="409 Conflict: Document update") as caught:
            call()
        assert isinstance(caught.value, ResourceError)
        assert (caught.value.message, caught.value.status_int) == ("Document update conflict.", 409)
        assert caught.value.response.json()["error"] == "conflict"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_name_that_changes_the_path_is_refused(name, notes, server):
    sent = len(server.requests)
    for call in (notes.read, lambda name: notes.erase(name, "1-x")):
        with pytest.raises(InvalidUrl if name else ValueError):
            call(name)
    assert len(server.requests) == sent


def test_attachments_are_streamed_in_both_directions(notes, server, tmp_path):
    data = bytes(range(256)) * 4096
    (tmp_path / "in.bin").write_bytes(data)
    revision = notes.write({"_id": "a"})
    with open(tmp_path / "in.bin", "rb") as file:
        revision = notes.attach("a", revision, "in/1.bin", file, "image/x-test")
    assert field(server.requests[-1], "content-length") == str(len(data))
    assert field(server.requests[-1], "content-type") == "image/x-test"
    notes.attach("a", revision, "rows", (b"%d\n" % n for n in range(3)), "text/plain")
    assert field(server.requests[-1], "transfer-encoding") == "chunked"
    with notes.attachment("a", "in/1.bin") as got:
        assert got["content-type"] == "image/x-test"
        assert got.save(tmp_path / "out.bin") == len(data)
    assert (tmp_path / "out.bin").read_bytes() == data
    with notes.attachment("a", "rows") as got:
        assert [*got.iter_lines()] == [b"0", b"1", b"2"]


def test_attachment_is_copied_to_another_document(notes, server):
    first = notes.attach("a", notes.write({"_id": "a"}), "x", b"y" * 3 * MIB, "text/x")
    second = notes.write({"_id": "b"})
    assert first.startswith("2-")
    with notes.attachment("a", "x") as got:
        notes.attach("b", second, "copy", got, "text/x")
    assert notes.attachment("b", "copy").body == b"y" * 3 * MIB


def test_bulk_request_sends_documents_one_by_one(notes, server):
    yielded = []

    def generate():
        for n in range(3):
            yielded.append(n)
            yield {"_id": f"d{n}", "n": n}

    results = notes.write_all(generate())
    assert [(each["id"], each["ok"]) for each in results] == [(f"d{n}", True) for n in range(3)]
    wire = server.requests[-1]
    assert field(wire, "transfer-encoding") == "chunked"
    first, *others = (b'{"_id": "d%d", "n": %d}' % (n, n) for n in range(3))
    expected = [b'{"docs":[', first, *(b",\n" + other for other in others), b"]}"]
    assert body_of(wire) == chunks(*expected) + LAST_CHUNK
    assert yielded == [0, 1, 2]


def test_bulk_request_returns_a_result_for_each_document(notes):
    notes.write({"_id": "b"})
    results = notes.write_all([{"_id": "a"}, {"_id": "b"}, {"_id": "c"}])
    assert [each.get("error") for each in results] == [None, "conflict", None]
    assert notes.write_all([]) == []


def test_rows_list_all_documents(notes):
    notes.write_all({"_id": name, "n": n} for n, name in enumerate("cab"))
    assert [row["id"] for row in notes.rows()] == ["a", "b", "c"]
    assert [row["doc"]["n"] for row in notes.rows(include_docs=True)] == [1, 2, 0]
    assert [row["id"] for row in notes.rows(startkey="b")] == ["b", "c"]
    assert [*notes.rows(startkey="z")] == []


def test_changes_continue_from_a_sequence_number(notes):
    notes.write_all([{"_id": "a"}, {"_id": "b"}])
    seen = [*notes.changes()]
    assert [change["id"] for change in seen] == ["a", "b"]
    notes.write({"_id": "c"})
    assert [change["id"] for change in notes.changes(since=seen[-1]["seq"])] == ["c"]


def test_rows_of_a_view_are_requested_by_its_name(documents):
    with ScriptedServer.serving(response(b'{"rows":[\r\n{"key":1,"value":2}\r\n]}\n')) as server:
        with documents.Database(server.url("/db")) as db:
            assert [*db.rows("by date/all", key="x", group=True)] == [{"key": 1, "value": 2}]
        start = b"GET /db/_design/by%20date/_view/all?key=%22x%22&group=true HTTP/1.1\r\n"
        assert server.request.startswith(start)


def test_change_is_yielded_when_it_arrives_and_the_feed_can_be_closed(documents):
    go = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(CHUNKED, chunks(b'{"seq":1,"id":"a"}\n', b"\n"))
        go.wait(10)
        peer.send(chunks(b'{"seq":2,', b'"id":"b"}\n'))
        peer.read_to_end()  # until the client closes the connection

    with ScriptedServer(script) as server, documents.Database(server.url("/db")) as db:
        feed = db.changes(feed="continuous")
        assert next(feed)["id"] == "a"
        go.set()
        assert next(feed)["id"] == "b"
        feed.close()
        server.until(lambda: server.peers[0].finished, "the end of the connection")
    assert b"heartbeat=30000&since=0&feed=continuous" in server.request


def test_feed_that_fails_or_breaks_off_raises_an_error(documents):
    ended = chunks(b'{"seq":1,"id":"a"}\n', b'{"last_seq":1}\n') + LAST_CHUNK
    failed = chunks(b'{"seq":1,"id":"a"}\n{"error":"x","reason":"a shard is down"}\n')
    broken = chunks(b'{"seq":1,"id":"a"}\n{"seq":2')
    with ScriptedServer.serving(CHUNKED + ended, CHUNKED + failed, CHUNKED + broken) as server:
        with documents.Database(server.url("/db")) as db:
            assert [change["seq"] for change in db.changes()] == [1]
            for error in (RequestFailed, UnexpectedEOF):
                feed = db.changes()
                assert next(feed)["seq"] == 1
                with pytest.raises(error):
                    next(feed)


def test_credentials_of_the_uri_are_sent_for_server_and_databases(documents):
    refused = response(b"<html>no</html>", status="401 Unauthorized")
    with ScriptedServer.serving(response(b"[]"), refused) as server:
        with documents.Server(f"http://me:secret@127.0.0.1:{server.port}") as couch:
            assert couch.names() == []
            with pytest.raises(Unauthorized, match="<html>no</html>"):
                couch.database("notes").read("a")
        sent = [field(request, "authorization") for request in server.requests]
        assert sent == ["Basic bWU6c2VjcmV0"] * 2


def test_any_number_of_rows_needs_little_memory(documents):
    row = as_json({"id": "x" * 100, "key": "y" * 100, "value": None}) + b",\r\n"
    rows = chunks(row * 300)

    def script(peer):
        peer.read_request()
        peer.send(CHUNKED, chunks(b'{"rows":[\r\n'))
        for _ in itertools.repeat(None, 800):
            peer.send(rows)
        peer.send(chunks(b"]}\n"), LAST_CHUNK)

    with ScriptedServer(script) as server:
        measured = peak_memory(
            "from documents import Database\ndb = Database(url)",
            "result = sum(1 for row in db.rows())",
            url=server.url("/db"),
        )
    assert measured.result == 240_000
    assert measured.growth < 8 * MIB
