"""A client of an S3-like bucket, a subclass of ``restkit.Resource``.

    with Bucket("https://s3.example.org/my-bucket", key_id, secret) as bucket:
        bucket.write("notes/today.txt", "text, bytes, or an open file")
        bucket.upload("logs/all.gz", rows())                 # a generator, sent in parts
        bucket.download("logs/all.gz", "all.gz")             # ranges, several at a time
        for entry in bucket.entries("notes/"):               # one page after the other
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
from restkit.client import CommonOptions
from restkit.url import ParamValue
from sigv4 import SigV4

if TYPE_CHECKING:
    from typing_extensions import Unpack

MIB = 1024 * 1024
XML = {"Content-Type": "application/xml"}
_PARTIAL_CONTENT = 206


class Entry(NamedTuple):
    """The key, size, ETag and date of an object; ``modified`` is the text of the server."""

    key: str
    size: int
    etag: str
    modified: str


class Bucket(Resource):
    """One bucket, and its objects.

    A refused request raises an error of ``restkit.Resource``. Its ``message`` begins with the code
    of the server: ``NoSuchKey: The specified key does not exist.``
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
        """Send an object in one request, and return its ETag.

        S3 refuses chunked requests. If the payload has no length, restkit then keeps all of it to
        send it again with its length. ``upload`` only needs the memory of one part.
        """
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.put(_key_path(key), payload, headers)["ETag"]

    def read(self, key: str) -> HttpResponse:
        """Return an object while it arrives: use it in a ``with``, read or ``save()`` its body."""
        return self.get(_key_path(key))

    def stat(self, key: str) -> Entry:
        """Return the entry of an object, without its body."""
        head = self.head(_key_path(key))
        return Entry(key, int(head["Content-Length"]), head["ETag"], head["Last-Modified"])

    def erase(self, key: str) -> None:
        """Delete an object; a missing one is not an error."""
        self.delete(_key_path(key)).close()

    # All objects

    def entries(self, prefix: str = "", page: int = 1000) -> Iterator[Entry]:
        """Yield every object whose key has this prefix, in order of keys; one request a page."""
        token: dict[str, ParamValue] = {}
        while True:
            listing = _parse_xml(self.get(None, None, _listing_params(prefix, page) | token))
            yield from map(_parse_entry, listing.iterfind("{*}Contents"))
            if listing.findtext("{*}IsTruncated") != "true":
                return
            token = {"continuation-token": listing.findtext("{*}NextContinuationToken", "")}

    # Large objects

    def upload(
        self, key: str, source: object, part: int = 8 * MIB, content_type: str | None = None
    ) -> str:
        """Send anything that restkit can send, in parts, and return the ETag of the whole.

        Each part is read from the source after the last one was sent. So a source of any length
        needs the memory of one part, and each part can be sent again. S3 requires parts of at
        least 5 MiB, except the last. If the upload fails, the parts that were sent are deleted.
        """
        headers = {} if content_type is None else {"Content-Type": content_type}
        with closing(_split(as_payload(source) or (), part)) as parts:
            first = next(parts, b"")
            if len(first) < part:
                return self.write(key, first, content_type)
            started = _parse_xml(self.post(_key_path(key), None, headers, uploads=None))
            upload = started.findtext("{*}UploadId", "")
            try:
                etags = [
                    self.put(_key_path(key), each, partNumber=number, uploadId=upload)["ETag"]
                    for number, each in enumerate(chain([first], parts), 1)
                ]
                return self._complete(key, upload, etags)
            except BaseException:
                with suppress(Error):
                    self.delete(_key_path(key), uploadId=upload)
                raise

    def download(
        self, key: str, path: str | os.PathLike[str], size: int = 8 * MIB, workers: int = 4
    ) -> Entry:
        """Fetch an object into a file by ranges of ``size`` bytes, several at a time.

        The file appears when it is complete. After a failure, call this again: it fetches the
        missing ranges, or all of them if the object has changed.
        """
        entry = self.stat(key)
        with RangedFile(path, entry.size, entry.etag, size) as file:
            # Ranges count the encoded bytes, and a part of a gzip stream cannot be decoded.
            fetch = partial(self.clone(decompress=False)._fetch, entry, file)
            with ThreadPoolExecutor(workers) as pool:
                # The loop raises the error of a range, and cancels those that have not started.
                for _ in pool.map(fetch, file.missing()):
                    pass
            file.finish()
        return entry

    # Hooks of Resource

    def make_params(self, params: dict[str, ParamValue]) -> str:
        """Encode a space as %20, which the signature requires, and not as a plus."""
        texts = {name: "" if value is None else value for name, value in params.items()}
        return urlencode(texts, quote_via=quote)

    def make_error(self, response: HttpResponse) -> ResourceError:
        """Return the error with the code and the text of the XML body as its message."""
        error = super().make_error(response)
        try:
            error.message = _error_text(ElementTree.fromstring(error.message))  # noqa: S314  # ours
        except ElementTree.ParseError:
            pass  # a response to HEAD has no body, and proxies send HTML
        return error

    # Inside

    def _complete(self, key: str, upload: str, etags: Iterable[str]) -> str:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        response = self.post(_key_path(key), document, XML, uploadId=upload)
        result = _parse_xml(response)
        if result.tag.endswith("Error"):  # S3 sends the status 200 before it joins the parts
            raise RequestFailed(_error_text(result), request=response.request, response=response)
        return result.findtext("{*}ETag", "")

    def _fetch(self, entry: Entry, file: RangedFile, span: tuple[int, int]) -> None:
        start, end = span
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": entry.etag}
        with self.get(_key_path(entry.key), headers) as response:
            if response.status != _PARTIAL_CONTENT:
                raise RequestFailed(
                    f"the server did not send the range {headers['Range']}", response=response
                )
            file.write(start, end, response.body_chunks or ())


def _key_path(key: str) -> str:
    """Return the path of a key. The first slash is ours, also if the key begins with one."""
    if not key:
        raise ValueError("key must have at least one character")
    return f"/{quote(key, safe='/')}"


def _listing_params(prefix: str, page: int) -> dict[str, ParamValue]:
    # encoding-type makes the server percent-encode keys: XML cannot contain every character.
    return {"list-type": 2, "prefix": prefix, "max-keys": page, "encoding-type": "url"}


def _parse_xml(response: HttpResponse) -> ElementTree.Element:
    return ElementTree.fromstring(response.body)  # noqa: S314  # from a server that we trust


def _parse_entry(listing: ElementTree.Element) -> Entry:
    key, etag = unquote(listing.findtext("{*}Key", "")), listing.findtext("{*}ETag", "")
    modified = listing.findtext("{*}LastModified", "")
    return Entry(key, int(listing.findtext("{*}Size", "0")), etag, modified)


def _error_text(error: ElementTree.Element) -> str:
    return f"{error.findtext('{*}Code')}: {error.findtext('{*}Message')}"


def _split(chunks: Iterable[bytes | bytearray | memoryview], size: int) -> Generator[bytearray]:
    """Yield the same bytes in new bytearrays of ``size`` bytes; the last one may be shorter."""
    part = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            taken = view[: size - len(part)]
            part += taken
            view = view[len(taken) :]
            if len(part) == size:
                yield part
                part = bytearray()
    if part:
        yield part
