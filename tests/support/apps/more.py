"""An application for the cases N01 to N24 that the program of seed 002 does not cover."""

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
"""Set by ``/go_on``; ``/paused`` waits for it between its two writes."""


@app.get("/csv")
def csv(request: Request) -> Response:
    def sample_streaming_fn(response: StreamingHTTPResponse) -> None:
        response.write("foo,")
        response.write("bar")

    return stream(sample_streaming_fn, content_type="text/csv", headers={"Content-Length": 999})


@app.get("/empty_writes")
def empty_writes(request: Request) -> Response:
    def write(response: StreamingHTTPResponse) -> None:
        for chunk in ("a", "", b"", "b"):
            response.write(chunk)

    return stream(write)


@app.get("/kinds")
def kinds(request: Request) -> Response:
    def write(response: StreamingHTTPResponse) -> None:
        for chunk in ("é", b"b", bytearray(b"ba"), memoryview(b"mv"), 12):
            response.write(chunk)

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
def set_go_on(request: Request) -> Response:
    go_on.set()
    return text("set")


@app.get("/nothing")
def nothing(request: Request) -> Response:
    return stream(lambda response: response.write(""))


@app.get("/fail/<when>")
def fail(request: Request, when: str) -> Response:
    """Fail in the handler, before the first write, after it, or in an iterable."""

    def write(response: StreamingHTTPResponse) -> None:
        if when == "after":
            response.write("a")
        raise RuntimeError(when)

    def chunks() -> object:
        yield "a"
        raise RuntimeError(when)

    if when == "handler":
        raise RuntimeError(when)
    return stream(chunks() if when == "iterable" else write)


@app.get("/refuse/<status:int>")
def refuse(request: Request, status: int) -> Response:
    raise HTTPError(status)


@app.post("/refuse", stream=True)
def refuse_upload(request: Request) -> Response:
    """Respond with an error without reading the body."""
    raise HTTPError(403)


@app.post("/ignore", stream=True)
def ignore(request: Request) -> Response:
    """Respond with success without reading the body."""
    return text("ignored")


@app.route("/body", methods=["POST", "PUT"])
def body(request: Request) -> Response:
    """Respond with what an ordinary handler gets of a body."""
    return json({"stream": request.stream is None, "size": len(request.body)})


@app.post("/gets", stream=True)
def gets(request: Request) -> Response:
    """Read to the end, then call get() twice more."""
    assert request.stream is not None
    size = sum(map(len, request.stream))
    return json({"size": size, "after": [request.stream.get(), request.stream.get()]})


@app.post("/echo", stream=True)
def echo(request: Request) -> Response:
    """Stream the body back."""
    assert request.stream is not None
    return stream(request.stream, content_type="application/octet-stream")


@app.post("/echo_by_write", stream=True)
def echo_by_write(request: Request) -> Response:
    """Stream the body back through write()."""
    source = request.stream
    assert source is not None

    def write(response: StreamingHTTPResponse) -> None:
        for chunk in source:
            response.write(chunk)

    return stream(write, content_type="application/octet-stream")


@app.post("/letters", stream=True)
def letters(request: Request) -> Response:
    """Respond with the list of texts from iter_text()."""
    assert request.stream is not None
    return json(list(request.stream.iter_text()))


@app.post("/decoded", stream=True, max_body=1024 * 1024)
def decoded(request: Request) -> Response:
    """Respond with the decoded size, limited to 1 MiB."""
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
