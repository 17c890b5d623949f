"""A client of a document store like CouchDB, a subclass of ``restkit.Resource``.

    with Database("http://me:secret@127.0.0.1:5984/notes") as notes:
        revision = notes.write({"_id": "today", "text": "..."})
        with open("photo.jpg", "rb") as photo:
            notes.attach("today", revision, "photo.jpg", photo, "image/jpeg")
        for row in notes.rows(include_docs=True):        # one by one, any number
            print(row["id"], row["doc"])
        for change in notes.changes(feed="continuous"):  # until the server ends the feed
            print(change["seq"], change["id"])

The methods of ``Resource`` work too, for everything that has no method here:
``notes.post('_find', json={'selector': {...}})``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from restkit import HttpResponse, RequestFailed, Resource, ResourceError
from restkit.url import ParamValue

Document = dict[str, Any]


class Conflict(ResourceError):
    """Status 409: the document has another revision now. Read it, and decide again."""


class AlreadyExists(ResourceError):
    """Status 412: a database of that name exists."""


_ERRORS: dict[int, type[ResourceError]] = {409: Conflict, 412: AlreadyExists}
_UNENCODED_PREFIXES = ("_design/", "_local/")


class Couch(Resource):
    """The base of Server and Database: parameters and errors of CouchDB."""

    def make_params(self, params: dict[str, ParamValue]) -> dict[str, ParamValue]:
        """Encode the keys of an index as JSON."""
        keys = {"key", "keys", "startkey", "endkey"} & params.keys()
        return params | {name: json.dumps(params[name]) for name in keys}

    def make_error(self, response: HttpResponse) -> ResourceError:
        """Return an error with the reason of the store; a conflict has a class of its own."""
        error = super().make_error(response)
        try:
            message = json.loads(error.message)["reason"]
        except (ValueError, LookupError, TypeError):
            message = error.message  # of a proxy, or of a response to HEAD
        kind = _ERRORS.get(response.status, type(error))
        return kind(message, request=response.request, response=response)


class Server(Couch):
    """The store and its databases."""

    def names(self) -> list[str]:
        """Return the names of all databases."""
        return list(self.get("_all_dbs").json())

    def database(self, name: str) -> Database:
        """Return a database, which need not exist; it shares the connections of this server."""
        return Database(self(_segment(name)).url, self.client)

    def create(self, name: str) -> Database:
        """Create a database; raise AlreadyExists if there is one of this name."""
        self.put(_segment(name))
        return self.database(name)

    def drop(self, name: str) -> None:
        """Delete a database with all its documents."""
        self.delete(_segment(name))


class Database(Couch):
    """One database and its documents."""

    def read(self, name: str, revision: str | None = None) -> Document:
        """Return a document, or an older revision of it; raise ResourceNotFound."""
        params: dict[str, ParamValue] = {} if revision is None else {"rev": revision}
        document: Document = self.get(_document_path(name), None, params).json()
        return document

    def write(self, document: Mapping[str, Any]) -> str:
        """Store a document under its ``_id``, and return its new revision.

        ``_rev`` is the revision that it replaces. Raises Conflict if the store has another one.
        """
        return _revision_of(self.put(_document_path(document["_id"]), json=document))

    def erase(self, name: str, revision: str) -> str:
        """Delete a document, and return the revision of the deletion; raise Conflict."""
        return _revision_of(self.delete(_document_path(name), rev=revision))

    # Attachments: streams in both directions

    def attach(self, name: str, revision: str, file: str, payload: object, kind: str) -> str:
        """Attach anything that restkit can send to a document, and return its new revision."""
        path = f"{_document_path(name)}/{quote(file, safe='')}"
        return _revision_of(self.put(path, payload, {"Content-Type": kind}, rev=revision))

    def attachment(self, name: str, file: str) -> HttpResponse:
        """Return an attachment while it arrives: use it in a ``with``, read or ``save()`` it."""
        return self.get(f"{_document_path(name)}/{quote(file, safe='')}")

    # Many documents

    def write_all(self, documents: Iterable[Mapping[str, Any]]) -> list[Document]:
        """Store documents, which are sent one by one, and return a result for each, in order.

        The result of a document that was not stored has ``error``. This does not raise, because
        the other documents were stored.
        """
        make = partial(_bulk_chunks, documents)
        # A sequence can be sent again: the callable makes a new pass. An iterator cannot.
        payload = make if isinstance(documents, Sequence) else make()
        results = self.post("_bulk_docs", payload, {"Content-Type": "application/json"}).json()
        return list(results)

    def rows(self, view: str | None = None, **params: ParamValue) -> Iterator[Document]:
        """Yield the rows of a view, ``'design/view'``, or of all documents.

        The response is read while the rows are used, and is not kept.
        """
        path = "_all_docs"
        if view is not None:
            design, _, name = view.partition("/")
            path = f"_design/{quote(design, safe='')}/_view/{quote(name, safe='')}"
        return _parse_objects(self, path, params)

    def changes(self, since: str | int = 0, **params: ParamValue) -> Iterator[Document]:
        """Yield changes in order; with ``feed='continuous'`` future changes, too.

        Each change has ``seq``; a later call continues from it. A continuous feed sends a heartbeat
        every 30 seconds, so that a silent connection is a timeout.
        """
        heartbeat: dict[str, ParamValue] = {"heartbeat": 30_000, "since": since}
        for found in _parse_objects(self, "_changes", heartbeat | params):
            if "seq" in found:  # the last line of a feed has last_seq instead
                yield found


def _parse_objects(
    resource: Resource, path: str, params: Mapping[str, ParamValue]
) -> Iterator[Document]:
    """Yield the objects of a response that has each object on its own line, as CouchDB writes it.

    Rows are enclosed in ``{"rows":[`` and ``]}`` and separated by commas. Heartbeats of a
    continuous feed are empty lines. A late error is a line, although the status is 200.
    """
    with resource.get(path, None, params) as response, response.body_stream() as lines:
        for line in iter(lines.readline, b""):
            text = line.strip().removesuffix(b",")
            if text.startswith(b"{") and text.endswith(b"}"):
                found = json.loads(text)
                if {"error", "reason"} <= found.keys():
                    raise RequestFailed(found["reason"], response=response)
                yield found


def _bulk_chunks(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield b'{"docs":['
    for number, document in enumerate(documents):
        yield (b",\n" if number else b"") + json.dumps(document).encode()
    yield b"]}"


def _revision_of(response: HttpResponse) -> str:
    return str(response.json()["rev"])


def _segment(name: str) -> str:
    """Return a name as one segment of a path, with any characters; Resource refuses ``..``."""
    if not name:
        raise ValueError("name must have at least one character")
    return quote(name, safe="")


def _document_path(name: str) -> str:
    for folder in _UNENCODED_PREFIXES:
        if name.startswith(folder):
            return folder + _segment(name.removeprefix(folder))
    return _segment(name)
