"""A client of a document store that speaks as CouchDB does, made by subclassing ``Resource``.

    with Database("http://me:secret@127.0.0.1:5984/notes") as notes:
        revision = notes.write({"_id": "today", "text": "..."})
        with open("photo.jpg", "rb") as photo:
            notes.attach("today", revision, "photo.jpg", photo, "image/jpeg")
        for row in notes.rows(include_docs=True):        # as they come, however many there are
            print(row["id"], row["doc"])
        for change in notes.changes(feed="continuous"):  # until the server ends it
            print(change["seq"], change["id"])

What is behind a database is asked for with the methods of ``Resource``, whatever this file has no
method for: ``notes.post('_find', json={'selector': {...}})``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from restkit import HttpResponse, RequestFailed, Resource, ResourceError

if TYPE_CHECKING:
    from restkit.url.query import ParamValue

Document = dict[str, Any]


class Conflict(ResourceError):
    """409: the document has another revision by now; read it, and decide anew."""


class AlreadyThere(ResourceError):
    """412: there is a database of that name."""


_ERRORS: dict[int, type[ResourceError]] = {409: Conflict, 412: AlreadyThere}
_PATH_OF_ITS_OWN = ("_design/", "_local/")


class Couch(Resource):
    """What the server and a database have in common: how parameters and errors look."""

    def make_params(self, params: dict[str, ParamValue]) -> dict[str, ParamValue]:
        """Keys of an index are JSON, text with its quotation marks too."""
        keys = {"key", "keys", "startkey", "endkey"} & params.keys()
        return params | {name: json.dumps(params[name]) for name in keys}

    def make_error(self, response: HttpResponse) -> ResourceError:
        """An error with the reason that the store gives, of a class of its own for a conflict."""
        error = super().make_error(response)
        try:
            message = json.loads(error.message)["reason"]
        except (ValueError, LookupError, TypeError):
            message = error.message  # what is in between may answer too, and an answer to HEAD
        kind = _ERRORS.get(response.status, type(error))
        return kind(message, request=response.request, response=response)


class Server(Couch):
    """The store: its databases."""

    def names(self) -> list[str]:
        """The names of all databases."""
        return list(self.get("_all_dbs").json())

    def database(self, name: str) -> Database:
        """One of them, whether it is there or not; it shares this server's connections."""
        return Database(self(_segment(name)).url, self.client)

    def create(self, name: str) -> Database:
        """Make a database; raises AlreadyThere."""
        self.put(_segment(name))
        return self.database(name)

    def drop(self, name: str) -> None:
        """Delete a database with all that is in it."""
        self.delete(_segment(name))


class Database(Couch):
    """One database, and its documents."""

    def read(self, name: str, revision: str | None = None) -> Document:
        """A document, as it is or once was; raises ResourceNotFound."""
        params: dict[str, ParamValue] = {} if revision is None else {"rev": revision}
        document: Document = self.get(_document(name), None, params).json()
        return document

    def write(self, document: Mapping[str, Any]) -> str:
        """Store a document under its ``_id``; its new revision.

        ``_rev`` in it is the revision that it replaces. Raises Conflict where that is another one
        by now.
        """
        return _revision(self.put(_document(document["_id"]), json=document))

    def erase(self, name: str, revision: str) -> str:
        """Delete a document; the revision that says so. Raises Conflict."""
        return _revision(self.delete(_document(name), rev=revision))

    # Attachments: streams both ways

    def attach(self, name: str, revision: str, file: str, payload: object, kind: str) -> str:
        """Put a file beside a document: anything that restkit can send; the new revision."""
        path = f"{_document(name)}/{quote(file, safe='')}"
        return _revision(self.put(path, payload, {"Content-Type": kind}, rev=revision))

    def attachment(self, name: str, file: str) -> HttpResponse:
        """A file beside a document, on its way: use it in a ``with``, read it or ``save()`` it."""
        return self.get(f"{_document(name)}/{quote(file, safe='')}")

    # Many at once

    def write_all(self, documents: Iterable[Mapping[str, Any]]) -> list[Document]:
        """Store documents, sent one by one as they are asked for; what became of each, in order.

        One that was not stored has ``error`` in its entry, and is no exception here: the others
        have been stored all the same.
        """
        made = partial(_bulk, documents)
        # What is asked for anew gives all documents again, but not so if it was an iterator.
        payload = made if isinstance(documents, Sequence) else made()
        results = self.post("_bulk_docs", payload, {"Content-Type": "application/json"}).json()
        return list(results)

    def rows(self, view: str | None = None, **params: ParamValue) -> Iterator[Document]:
        """The rows of a view, ``'design/view'``, or of all documents; one at a time.

        The answer is read as the rows are asked for, and nothing of it is kept.
        """
        path = "_all_docs"
        if view is not None:
            design, _, name = view.partition("/")
            path = f"_design/{quote(design, safe='')}/_view/{quote(name, safe='')}"
        return _objects(self, path, params)

    def changes(self, since: str | int = 0, **params: ParamValue) -> Iterator[Document]:
        """What has changed, in order; with ``feed='continuous'`` what will change, too.

        Each has ``seq``, from which a later call goes on. A continuous feed says each half of a
        minute that it is alive, so that silence is a timeout, and not a quiet day.
        """
        alive: dict[str, ParamValue] = {"heartbeat": 30_000, "since": since}
        for found in _objects(self, "_changes", alive | params):
            if "seq" in found:  # the last line of a feed that has ended has last_seq
                yield found


def _objects(resource: Resource, path: str, params: Mapping[str, ParamValue]) -> Iterator[Document]:
    """The objects of an answer that has each on a line of its own, as CouchDB writes them.

    Around rows stand ``{"rows":[`` and ``]}``, between them commas; a continuous feed has empty
    lines for its heartbeats. What goes wrong under way comes as a line, behind a status of 200.
    """
    with resource.get(path, None, params) as response, response.body_stream() as lines:
        for line in iter(lines.readline, b""):
            text = line.strip().removesuffix(b",")
            if text.startswith(b"{") and text.endswith(b"}"):
                found = json.loads(text)
                if {"error", "reason"} <= found.keys():
                    raise RequestFailed(found["reason"], response=response)
                yield found


def _bulk(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield b'{"docs":['
    for number, document in enumerate(documents):
        yield (b",\n" if number else b"") + json.dumps(document).encode()
    yield b"]}"


def _revision(response: HttpResponse) -> str:
    return str(response.json()["rev"])


def _segment(name: str) -> str:
    """A name as one segment of a path, whatever characters it has; ``..`` is refused below."""
    if not name:
        raise ValueError("a name has at least one character")
    return quote(name, safe="")


def _document(name: str) -> str:
    for folder in _PATH_OF_ITS_OWN:
        if name.startswith(folder):
            return folder + _segment(name.removeprefix(folder))
    return _segment(name)
