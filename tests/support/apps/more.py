"""An application of what the cases N01 to N24 ask for beyond the program of the seed."""

from __future__ import annotations

import threading

from restkit.server import App, HTTPError, Request
from restkit.server.blueprints import Blueprint
from restkit.server.response import json, stream, text
from restkit.server.responses import Response, StreamingHTTPResponse
from restkit.server.views import CompositionView, HTTPMethodView
from restkit.server.views import stream as stream_decorator

app = App("more", max_body=1024 * 1024)

go_on = threading.Event()
"""What ``/paused`` waits for between its two writes."""


@app.get("/csv")
def csv(request: Request) -> Response:
    def sample_streaming_fn(response: StreamingHTTPResponse) -> None:
        response.write("foo,")
        response.write("bar")

    return stream(sample_streaming_fn, content_type="text/csv", headers={"Content-Length": 999})


@app.get("/empty_writes")
def empty_writes(request: Request) -> Response:
    def write(response: StreamingHTTPResponse) -> None:
        for piece in ("a", "", b"", "b"):
            response.write(piece)

    return stream(write)


@app.get("/kinds")
def kinds(request: Request) -> Response:
    def write(response: StreamingHTTPResponse) -> None:
        for piece in ("é", b"b", bytearray(b"ba"), memoryview(b"mv"), 12):
            response.write(piece)

    return stream(write)


@app.get("/none")
def none(request: Request) -> Response:
    return stream(lambda response: response.write(None))


@app.get("/paused")
def paused(request: Request) -> Response:
    def write(response: StreamingHTTPResponse) -> None:
        response.write("first")
        go_on.wait(30)
        response.write("second")

    return stream(write)


@app.get("/go_on")
def let_it_go_on(request: Request) -> Response:
    go_on.set()
    return text("it goes on")


@app.get("/nothing")
def nothing(request: Request) -> Response:
    return stream(lambda response: response.write(""))


@app.get("/fail/<when>")
def fail(request: Request, when: str) -> Response:
    """Fails before the answer, before its first write, after it, and by way of an iterable."""

    def write(response: StreamingHTTPResponse) -> None:
        if when == "after":
            response.write("a")
        raise RuntimeError(when)

    def pieces() -> object:
        yield "a"
        raise RuntimeError(when)

    if when == "handler":
        raise RuntimeError(when)
    return stream(pieces() if when == "iterable" else write)


@app.get("/refuse/<status:int>")
def refuse(request: Request, status: int) -> Response:
    raise HTTPError(status)


@app.post("/refuse", stream=True)
def refuse_upload(request: Request) -> Response:
    """Answers without having read."""
    raise HTTPError(403)


@app.post("/ignore", stream=True)
def ignore(request: Request) -> Response:
    """Answers well, without having read."""
    return text("ignored")


@app.route("/body", methods=["POST", "PUT"])
def body(request: Request) -> Response:
    """Everything that an ordinary handler sees of a body."""
    return json({"stream": request.stream is None, "size": len(request.body)})


@app.post("/gets", stream=True)
def gets(request: Request) -> Response:
    """Whether get() gives None for ever."""
    assert request.stream is not None
    size = sum(map(len, request.stream))
    return json({"size": size, "after": [request.stream.get(), request.stream.get()]})


@app.post("/echo", stream=True)
def echo(request: Request) -> Response:
    """Sends what comes, as it comes."""
    assert request.stream is not None
    return stream(request.stream, content_type="application/octet-stream")


@app.post("/echo_by_write", stream=True)
def echo_by_write(request: Request) -> Response:
    """The same through write()."""
    source = request.stream
    assert source is not None

    def write(response: StreamingHTTPResponse) -> None:
        for piece in source:
            response.write(piece)

    return stream(write, content_type="application/octet-stream")


@app.post("/after_all", stream=True)
def after_all(request: Request) -> Response:
    """Reads all of it and says how much it was."""
    assert request.stream is not None
    return json(sum(map(len, request.stream)))


@app.post("/letters", stream=True)
def letters(request: Request) -> Response:
    """The text, a list of what iter_text() gave."""
    assert request.stream is not None
    return json(list(request.stream.iter_text()))


@app.post("/decoded", stream=True, max_body=1024 * 1024)
def decoded(request: Request) -> Response:
    """How much it is without its content codings, at most 1 MiB of it."""
    assert request.stream is not None
    return json(sum(map(len, request.stream.iter_decoded(max_size=1024 * 1024))))


class Mixed(HTTPMethodView):
    def get(self, request: Request) -> Response:
        return json({"stream": request.stream is not None})

    @stream_decorator
    def post(self, request: Request) -> Response:
        return json({"stream": request.stream is not None})


app.add_route(Mixed.as_view(), "/mixed")

bp = Blueprint("numbers", url_prefix="/v1")


@bp.patch("/p/<id:int>", stream=True)
def numbered(request: Request, id: int) -> Response:  # noqa: A002  # as the case has it
    assert request.stream is not None
    return json({"id": id, "body": request.stream.read().decode()})


composed = CompositionView()
composed.add(["PUT"], echo, stream=True)
bp.add_route(composed, "/composed")

app.blueprint(bp)
