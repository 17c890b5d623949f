"""The request as a handler sees it.

A request as a handler sees it: its head, its arguments, and its body in whatever form.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from restkit.body.body import Body
from restkit.body.files import BodyFile, BodyStream
from restkit.content_encoding.decoding import DecodedSource
from restkit.io.spool import Spool
from restkit.server.environ import (
    Parameters,
    Target,
    arguments_of,
    cookies_of,
    encoded_path,
    headers_of,
    host_of,
    in_ascii,
    target_of,
)
from restkit.server.exceptions import InvalidUsage, PayloadTooLarge
from restkit.server.request_stream import (
    RequestStream,
    body_file,
    declared_length,
    fields_to_send_on,
    has_body,
    parse_known,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from restkit.headers import Headers
    from restkit.server.app import App
    from restkit.server.forms import Form, UploadedFile


class Request:
    """One request; handlers are called with it, and with the arguments of their route.

    ``arguments`` are those of the route. In a handler that takes its body live ``stream`` is a
    ``RequestStream``; in every other it is None, the body has come whole before the handler is
    called, and can be had in every form, as often as is wanted. It is gone when the answer is out.
    """

    def __init__(self, environ: WSGIEnvironment, app: App) -> None:
        self.environ = environ
        self.app = app
        self.arguments: dict[str, Any] = {}
        self.stream: RequestStream | None = None
        self._limit: int | None = None
        self._whole = Body(Spool(), None)
        self._decoded: Body | None = None

    # The head

    @property
    def method(self) -> str:
        """The method, in capitals."""
        method: str = self.environ["REQUEST_METHOD"]
        return method

    @cached_property
    def target(self) -> Target:
        """The path in its three writings; InvalidUsage for one that is not UTF-8."""
        return target_of(self.environ)

    @property
    def path(self) -> str:
        """The path below the application, decoded; InvalidUsage for one that is not UTF-8."""
        return self.target.path

    @cached_property
    def encoded_path(self) -> str:
        """The path below the application, percent-encoded as it was sent, as far as is known."""
        return encoded_path(self.environ)

    @property
    def url(self) -> str:
        """The whole URL that was asked for."""
        from urllib.parse import quote

        script = quote(self.environ.get("SCRIPT_NAME", ""), encoding="latin-1")
        query = f"?{in_ascii(self.query_string)}" if self.query_string else ""
        return f"{self.scheme}://{self.host}{script}{self.encoded_path}{query}"

    @property
    def scheme(self) -> str:
        """'http' or 'https'."""
        scheme: str = self.environ["wsgi.url_scheme"]
        return scheme

    @property
    def host(self) -> str:
        """Host and port, as the client named them."""
        return host_of(self.environ)

    @cached_property
    def headers(self) -> Headers:
        """The header fields."""
        return headers_of(self.environ)

    @property
    def content_type(self) -> str | None:
        """The Content-Type with its parameters; None where there is none."""
        return self.environ.get("CONTENT_TYPE") or None

    @property
    def query_string(self) -> str:
        """What stands behind the ``?``, as it was sent."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    @cached_property
    def args(self) -> Parameters[str]:
        """The arguments of the query: ``args.get('name')``, ``args.getlist('name')``."""
        return arguments_of(self.query_string)

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by their names."""
        return cookies_of(self.environ.get("HTTP_COOKIE", ""))

    @property
    def remote_addr(self) -> str | None:
        """The address that the connection came from: the client's, or the last proxy's."""
        return self.environ.get("REMOTE_ADDR") or None

    ip = remote_addr

    # The body

    @property
    def body(self) -> bytes:
        """The body as it was sent."""
        return self._taken().read_all()

    @property
    def body_file(self) -> BodyFile:
        """The body as it was sent, as a new binary file; can seek, and can be sent on."""
        return BodyFile(self._taken())

    @property
    def text(self) -> str:
        """The body without its content codings, from UTF-8; InvalidUsage for what is none."""
        try:
            return self._plain().read_all().decode()
        except UnicodeDecodeError as exc:
            raise InvalidUsage(f"the body is no UTF-8 text: {exc.reason}") from exc

    @property
    def json(self) -> Any:
        """What the body says in JSON, None where it is empty; InvalidUsage for what is none."""
        import json

        data = self._plain().read_all()
        try:
            return json.loads(data) if data else None
        except (ValueError, RecursionError) as exc:
            raise InvalidUsage(f"Failed when parsing body as json: {exc}") from exc

    @property
    def form(self) -> Parameters[str]:
        """The text fields of a form that was sent, urlencoded or multipart."""
        return Parameters.of_pairs(self._form.fields)

    @property
    def files(self) -> Parameters[UploadedFile]:
        """The files of a multipart form, each in a spool of its own until the answer is out."""
        return Parameters.of_pairs(self._form.files)

    @cached_property
    def _form(self) -> Form:
        # PyPI's multipart comes with it, and most requests are no forms.
        from restkit.server.forms import parse_form

        if self.stream is None:
            file: BodyFile | BodyStream = BodyFile(self._plain())
        else:
            file = _live_file(self.stream, self._limit)
        return parse_form(file, self.content_type or "")

    def _plain(self) -> Body:
        """The whole body without its content codings."""
        codings = parse_known(self._content_encodings())
        if not codings:
            return self._taken()
        if self._decoded is None:
            source = DecodedSource(RequestStream(self.body_file), codings)
            self._decoded = Body(Spool(), source, max_size=self._limit)
        return self._decoded

    def _taken(self) -> Body:
        if self.stream is not None:
            raise RuntimeError("this handler takes its body as a stream: request.stream has it")
        return self._whole

    def _content_encodings(self) -> list[str]:
        said = self.environ.get("HTTP_CONTENT_ENCODING")
        return [said] if said else []

    # What the application does with it

    def open_stream(self, max_size: int | None) -> None:
        """Let the handler take the body live; PayloadTooLarge where it was announced larger."""
        self._limit = max_size
        length = self._announced(max_size)
        file = body_file(self.environ)
        self.stream = RequestStream(file, self._content_encodings(), max_size, length)

    def take_body(self, max_size: int | None) -> None:
        """Take the whole body into a spool; PayloadTooLarge where it is larger."""
        self._limit = max_size
        if has_body(self.environ):
            self._announced(max_size)
            stream = RequestStream(body_file(self.environ), (), max_size)
            fields = fields_to_send_on(self._content_encodings())
            self._whole = Body(_spooled(stream), None, payload_headers=fields)

    def _announced(self, max_size: int | None) -> int | None:
        length = declared_length(self.environ) if has_body(self.environ) else 0
        if length is not None and max_size is not None and length > max_size:
            raise PayloadTooLarge(f"Payload Too Large: at most {max_size} bytes are taken")
        return length

    @property
    def holds_something(self) -> bool:
        """Whether there is something that ``close()`` lets go of."""
        return self._whole.spooled_size > 0 or self.stream is not None

    def close(self) -> None:
        """Let go of the body, and of the files of a form; may be called twice."""
        self._whole.close()
        if self._decoded is not None:
            self._decoded.close()
        form: Form | None = self.__dict__.get("_form")
        for _, file in form.files if form else ():
            file.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.encoded_path}>"


def _spooled(stream: RequestStream) -> Spool:
    spool = Spool()
    try:
        for piece in stream:
            spool.append(piece)
    except BaseException:
        spool.close()
        raise
    return spool


def _live_file(stream: RequestStream, max_size: int | None) -> BodyStream:
    """What is still to come, without its content codings, as a file."""
    codings = parse_known(stream.content_encodings)
    source = DecodedSource(stream, codings) if codings else stream
    return BodyStream(Body(Spool(), source, max_size=max_size))
