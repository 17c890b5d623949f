"""The request that a handler gets: its head, its arguments and its body."""

from __future__ import annotations

import json
import re
from functools import cached_property
from math import isinf
from typing import Any
from urllib.parse import quote

from restkit.annotations import WSGIApplication, WSGIEnvironment
from restkit.body.body import Body
from restkit.body.files import BodyFile, BodyStream
from restkit.content_encoding.decoding import DecodedSource
from restkit.headers import Headers
from restkit.io.spool import Spool
from restkit.server.environ import (
    Parameters,
    Target,
    has_body,
    parse_cookies,
    parse_query,
    quote_non_ascii,
    read_content_length,
    read_encoded_path,
    read_headers,
    read_host,
    read_target,
)
from restkit.server.exceptions import InvalidUsage, PayloadTooLarge
from restkit.server.forms import MAX_FILES_SIZE, Form, UploadedFile, parse_form
from restkit.server.request_stream import (
    RequestStream,
    open_body,
    parse_supported_codings,
    payload_headers,
)
from restkit.server.responses import AfterHook
from restkit.server.storage import convert_storage_errors

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Request:
    """One request; a handler is called with it, and with the arguments of its route.

    ``arguments`` are those of the route. In a handler that reads its body as a stream, ``stream``
    is a ``RequestStream``. In every other handler it is None: the whole body is received before
    the handler is called, and can be read in every form, any number of times. The body is
    discarded after the response is sent.
    """

    after_hooks: tuple[AfterHook, ...] = ()  # of the blueprint
    awaits_body = False  # True while hooks run before the handler

    def __init__(self, environ: WSGIEnvironment, app: WSGIApplication) -> None:
        self.environ = environ
        self.app = app
        self.arguments: dict[str, Any] = {}
        self.stream: RequestStream | None = None
        self._limit: int | None = None
        self._body = Body(Spool(), None)
        self._decoded: Body | None = None

    # The head

    @property
    def method(self) -> str:
        """The method, in upper case."""
        method: str = self.environ["REQUEST_METHOD"]
        return method

    @cached_property
    def target(self) -> Target:
        """The path in three forms; raises InvalidUsage if it is not UTF-8."""
        return read_target(self.environ)

    @property
    def path(self) -> str:
        """The decoded path below the application; raises InvalidUsage if it is not UTF-8."""
        return self.target.path

    @cached_property
    def encoded_path(self) -> str:
        """The percent-encoded path below the application, as sent if the server passes it on."""
        return read_encoded_path(self.environ)

    @property
    def url(self) -> str:
        """The whole URL of the request."""
        script = quote(self.environ.get("SCRIPT_NAME", ""), encoding="latin-1")
        query = f"?{quote_non_ascii(self.query_string)}" if self.query_string else ""
        return f"{self.scheme}://{self.host}{script}{self.encoded_path}{query}"

    @property
    def scheme(self) -> str:
        """'http' or 'https'."""
        scheme: str = self.environ["wsgi.url_scheme"]
        return scheme

    @property
    def host(self) -> str:
        """Host and port, as the client sent them."""
        return read_host(self.environ)

    @cached_property
    def headers(self) -> Headers:
        """The header fields."""
        return read_headers(self.environ)

    @property
    def content_type(self) -> str | None:
        """The Content-Type with its parameters; None if there is none."""
        return self.environ.get("CONTENT_TYPE") or None

    @property
    def query_string(self) -> str:
        """The text after the ``?``, unchanged."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    @cached_property
    def args(self) -> Parameters[str]:
        """The arguments of the query: ``args.get('name')``, ``args.getlist('name')``."""
        return parse_query(self.query_string)

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        return parse_cookies(self.environ.get("HTTP_COOKIE", ""))

    @property
    def remote_addr(self) -> str | None:
        """The address of the connection: that of the client, or of the last proxy."""
        return self.environ.get("REMOTE_ADDR") or None

    ip = remote_addr

    # The body

    @property
    def body(self) -> bytes:
        """The body as sent, with its content codings."""
        return self._whole_body().read_all()

    @property
    def body_file(self) -> BodyFile:
        """The body as sent, as a new binary file; it can seek, and be sent on."""
        return BodyFile(self._whole_body())

    @property
    def text(self) -> str:
        """The decoded body as text; raises InvalidUsage if it is not UTF-8."""
        try:
            return self._decoded_body().read_all().decode()
        except UnicodeDecodeError as exc:
            raise InvalidUsage(f"the body is not UTF-8 text: {exc.reason}") from exc

    @property
    def json(self) -> Any:
        """The decoded body as JSON, None if it is empty; raises InvalidUsage if it is not JSON."""
        data = self._decoded_body().read_all()
        try:
            return _parse_json(data) if data else None
        except (ValueError, RecursionError) as exc:
            raise InvalidUsage(f"Failed when parsing body as json: {exc}") from exc

    @property
    def form(self) -> Parameters[str]:
        """The text fields of a form, urlencoded or multipart."""
        return Parameters.from_pairs(self._form.fields)

    @property
    def files(self) -> Parameters[UploadedFile]:
        """The files of a multipart form, all in one spool until the response is sent."""
        return Parameters.from_pairs(self._form.files)

    @cached_property
    def _form(self) -> Form:
        if self.stream is None:
            file: BodyFile | BodyStream = BodyFile(self._decoded_body())
        else:
            file = _open_decoded(self.stream, self._limit)
        max_size = MAX_FILES_SIZE if self._limit is None else self._limit
        with convert_storage_errors():
            return parse_form(file, self.content_type or "", max_size)

    def _decoded_body(self) -> Body:
        """Return the whole body without its content codings."""
        codings = parse_supported_codings(self._content_encodings())
        if not codings:
            return self._whole_body()
        if self._decoded is None:
            source = DecodedSource(RequestStream(self.body_file), codings)
            self._decoded = _spool_body(Body(Spool(), source, max_size=self._limit))
        return self._decoded

    def _whole_body(self) -> Body:
        if self.stream is not None:
            raise RuntimeError("this handler reads its body as a stream: use request.stream")
        if self.awaits_body:
            raise RuntimeError("a hook before the handler cannot read the body, which comes later")
        return self._body

    def _content_encodings(self) -> list[str]:
        value = self.environ.get("HTTP_CONTENT_ENCODING")
        return [value] if value else []

    # Called by the application

    def open_stream(self, max_size: int | None) -> None:
        """Open ``stream``; raise PayloadTooLarge if the declared length is too large."""
        self._limit = max_size
        length = self.check_length(max_size)
        file = open_body(self.environ, max_size)
        self.stream = RequestStream(file, self._content_encodings(), max_size, length)

    def read_body(self, max_size: int | None) -> None:
        """Read the whole body into a spool; raise PayloadTooLarge if it is too large."""
        self._limit = max_size
        if has_body(self.environ):
            self.check_length(max_size)
            stream = RequestStream(open_body(self.environ), (), max_size)
            headers = payload_headers(self._content_encodings())
            self._body = Body(_spool_stream(stream), None, payload_headers=headers)

    def check_length(self, max_size: int | None) -> int | None:
        """Return the declared length, or None; raise PayloadTooLarge if it is too large."""
        length = read_content_length(self.environ) if has_body(self.environ) else 0
        if length is not None and max_size is not None and length > max_size:
            raise PayloadTooLarge(f"Payload Too Large: the limit is {max_size} bytes")
        return length

    @property
    def must_close(self) -> bool:
        """Whether ``close()`` has a body or a stream to close."""
        return self._body.spooled_size > 0 or self.stream is not None

    def close(self) -> None:
        """Discard the body, and the files of a form. Idempotent."""
        self._body.close_with_file()
        if self._decoded is not None:
            self._decoded.close_with_file()
        form: Form | None = self.__dict__.get("_form")
        if form is not None:
            form.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.encoded_path}>"


def _spool_stream(stream: RequestStream) -> Spool:
    spool = Spool()
    try:
        with convert_storage_errors():
            for chunk in stream:
                spool.append(chunk)
    except BaseException:
        spool.close()
        raise
    return spool


def _spool_body(body: Body) -> Body:
    """Read the whole body into its spool; close it after an error."""
    try:
        with convert_storage_errors():
            body.spool_all()
    except BaseException:
        body.close_with_file()
        raise
    return body


def _open_decoded(stream: RequestStream, max_size: int | None) -> BodyStream:
    """Open the rest of a stream, without its content codings, as a file."""
    codings = parse_supported_codings(stream.content_encodings)
    source = DecodedSource(stream, codings) if codings else stream
    return BodyStream(Body(Spool(), source, max_size=max_size))


def _parse_json(data: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259).

    ``json.loads`` takes more: NaN, Infinity, numbers beyond a float, and lone surrogates, none of
    which can be sent as JSON again. Raises ValueError or RecursionError.

    >>> _parse_json(b'[1.5, null]')
    [1.5, None]
    """
    # loads() would decode bytes with "surrogatepass".
    text = data.decode(json.detect_encoding(data))
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_finite)
    if "\\" in text and _LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("a string has half of a surrogate pair")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _parse_finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"the number is too large: {text:.40}")
    return number
