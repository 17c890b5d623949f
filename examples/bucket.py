"""A client of an S3-like bucket, made by subclassing ``restkit.Resource``.

    with Bucket("https://s3.example.org/my-bucket", key_id, secret) as bucket:
        bucket.write("notes/today.txt", "text, bytes, or an open file")
        bucket.upload("logs/all.gz", rows())                 # a generator: in parts, as it comes
        bucket.download("logs/all.gz", "all.gz")             # ranges, several at a time
        for entry in bucket.entries("notes/"):                  # pages, one asked for at a time
            print(entry.key, entry.size)

Keys are in the path (``http://host/bucket/key``). Every request is signed (``sigv4.py``).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ranges import RangedFile
from restkit import Client, Error, HttpResponse, RequestFailed, Resource, ResourceError, as_payload
from sigv4 import SigV4

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from restkit.client.options import CommonOptions
    from restkit.url.query import ParamValue

MIB = 1024 * 1024
XML = {"Content-Type": "application/xml"}
_PARTIAL_CONTENT = 206


class Entry(NamedTuple):
    """What a bucket says of one of its objects; ``modified`` as the server writes it."""

    key: str
    size: int
    etag: str
    modified: str


class Bucket(Resource):
    """One bucket, and the objects in it.

    What is refused is an error of ``restkit.Resource``, whose ``message`` begins with the code that
    the server gives it: ``NoSuchKey: The specified key does not exist.``
    """

    def __init__(
        self,
        uri: str,
        key_id: str,
        secret: str,
        *,
        region: str = "us-east-1",
        client: Client | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        options["auth"] = SigV4(key_id, secret, region)
        super().__init__(uri, client, **options)

    # One object

    def write(self, key: str, payload: object, content_type: str | None = None) -> str:
        """Send an object in one request; its ETag. A length that is not known is found out first.

        S3 takes no chunks: of what has no length the server's refusal makes restkit keep all of it
        before it goes again. ``upload`` needs no more memory than a part.
        """
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.put(_path(key), payload, headers)["ETag"]

    def read(self, key: str) -> HttpResponse:
        """The object as it is on the way: use it in a ``with``, read or ``save()`` its body."""
        return self.get(_path(key))

    def stat(self, key: str) -> Entry:
        """What there is to say of an object, without its body."""
        head = self.head(_path(key))
        return Entry(key, int(head["Content-Length"]), head["ETag"], head["Last-Modified"])

    def erase(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self.delete(_path(key)).close()

    # All of them

    def entries(self, prefix: str = "", page: int = 1000) -> Iterator[Entry]:
        """Every object whose key begins so, in the order of the keys; asks page by page."""
        token: dict[str, ParamValue] = {}
        while True:
            listed = _xml(self.get(None, None, _listing(prefix, page) | token))
            yield from map(_entry, listed.iterfind("{*}Contents"))
            if listed.findtext("{*}IsTruncated") != "true":
                return
            token = {"continuation-token": listed.findtext("{*}NextContinuationToken", "")}

    # Big ones

    def upload(
        self, key: str, source: object, part: int = 8 * MIB, content_type: str | None = None
    ) -> str:
        """Send whatever restkit can send, in parts; the ETag of the whole.

        Each part is made when the one before it has arrived, so that a source of any length needs
        the memory of one part, and each can be sent again by itself. S3 wants 5 MiB and more of a
        part that is not the last. What fails takes the parts that have arrived with it.
        """
        headers = {} if content_type is None else {"Content-Type": content_type}
        with closing(_parts(as_payload(source) or (), part)) as parts:
            first = next(parts, b"")
            if len(first) < part:
                return self.write(key, first, content_type)
            begun = _xml(self.post(_path(key), None, headers, uploads=None))
            upload = begun.findtext("{*}UploadId", "")
            try:
                etags = [
                    self.put(_path(key), each, partNumber=number, uploadId=upload)["ETag"]
                    for number, each in enumerate(chain([first], parts), 1)
                ]
                return self._complete(key, upload, etags)
            except BaseException:
                with suppress(Error):
                    self.delete(_path(key), uploadId=upload)
                raise

    def download(
        self, key: str, path: str | os.PathLike[str], block: int = 8 * MIB, workers: int = 4
    ) -> Entry:
        """Fetch an object into a file by ranges, several at a time.

        The file is there when it is whole. Whatever ends this before, the same call goes on with
        the ranges that are missing; of an object that has changed meanwhile it begins anew.
        """
        entry = self.stat(key)
        with RangedFile(path, entry.size, entry.etag, block) as file:
            # Ranges are of the bytes as they are kept: a part of a gzip stream is none.
            fetch = partial(self.clone(decompress=False)._fetch, entry, file)
            with ThreadPoolExecutor(workers) as pool:
                # To go through them raises what one raised, and lets go of those not begun.
                for _ in pool.map(fetch, file.missing()):
                    pass
            file.finish()
        return entry

    # What Resource leaves to a subclass

    def make_params(self, params: dict[str, ParamValue]) -> str:
        """A space is %20 to the signature, and in no case a plus."""
        texts = {name: "" if value is None else value for name, value in params.items()}
        return urlencode(texts, quote_via=quote)

    def make_error(self, response: HttpResponse) -> ResourceError:
        """The error with the code in its message, which the server puts into XML."""
        error = super().make_error(response)
        try:
            error.message = _said(ElementTree.fromstring(error.message))  # noqa: S314  # our server
        except ElementTree.ParseError:
            pass  # an answer to HEAD has no body, and what is in between speaks HTML
        return error

    # Inside

    def _complete(self, key: str, upload: str, etags: Iterable[str]) -> str:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        response = self.post(_path(key), document, XML, uploadId=upload)
        answer = _xml(response)
        if answer.tag.endswith("Error"):  # S3 begins with 200, and puts the parts together then
            raise RequestFailed(_said(answer), request=response.request, response=response)
        return answer.findtext("{*}ETag", "")

    def _fetch(self, entry: Entry, file: RangedFile, block: tuple[int, int]) -> None:
        start, end = block
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": entry.etag}
        with self.get(_path(entry.key), headers) as response:
            if response.status != _PARTIAL_CONTENT:
                raise RequestFailed(
                    f"the range {headers['Range']} was asked for", response=response
                )
            file.write(start, end, response.payload_stream or ())


def _path(key: str) -> str:
    """The path of a key: the slash in front is ours, whatever the key begins with."""
    if not key:
        raise ValueError("an object has a key of at least one character")
    return f"/{quote(key, safe='/')}"


def _listing(prefix: str, page: int) -> dict[str, ParamValue]:
    # By encoding-type the keys come percent-encoded: not every character can be in XML.
    return {"list-type": 2, "prefix": prefix, "max-keys": page, "encoding-type": "url"}


def _xml(response: HttpResponse) -> ElementTree.Element:
    return ElementTree.fromstring(response.body)  # noqa: S314  # from the server that we trust


def _entry(listed: ElementTree.Element) -> Entry:
    key, etag = unquote(listed.findtext("{*}Key", "")), listed.findtext("{*}ETag", "")
    modified = listed.findtext("{*}LastModified", "")
    return Entry(key, int(listed.findtext("{*}Size", "0")), etag, modified)


def _said(error: ElementTree.Element) -> str:
    return f"{error.findtext('{*}Code')}: {error.findtext('{*}Message')}"


def _parts(pieces: Iterable[bytes | bytearray | memoryview], size: int) -> Generator[bytearray]:
    """The same bytes in parts of this size, the last one shorter; each is made anew."""
    part = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            taken = view[: size - len(part)]
            part += taken
            view = view[len(taken) :]
            if len(part) == size:
                yield part
                part = bytearray()
    if part:
        yield part
