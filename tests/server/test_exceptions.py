"""Exceptions of the server: statuses, reason phrases, and their responses."""

from __future__ import annotations

import pickle

import pytest

from restkit.server import App, HTTPError, exceptions
from restkit.server.exceptions import InvalidUsage, format_status
from support.wsgi_calls import call_app


def app_raising(exc):
    """Return an app whose handler raises this exception."""
    app = App("raising")

    @app.get("/")
    def handler(request):
        raise exc

    return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exceptions.InvalidUsage, "400 Bad Request"),
        (exceptions.Unauthorized, "401 Unauthorized"),
        (exceptions.Forbidden, "403 Forbidden"),
        (exceptions.NotFound, "404 Not Found"),
        (exceptions.MethodNotAllowed, "405 Method Not Allowed"),
        (exceptions.LengthRequired, "411 Length Required"),
        (exceptions.UnsupportedMediaType, "415 Unsupported Media Type"),
        (exceptions.ServiceUnavailable, "503 Service Unavailable"),
    ],
)
def test_status_errors_become_responses(error, status, caplog):
    response = call_app(app_raising(error()))
    assert (response.status, response.text) == (status, f"Error: {status[4:]}")
    response = call_app(app_raising(error("why", {"X-Why": "so"})))
    assert (response.text, response.header("X-Why")) == ("Error: why", "so")
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    assert not caplog.records


def test_HTTPError_takes_any_status_and_defaults_to_its_reason():
    assert call_app(app_raising(HTTPError(507))).text == "Error: Insufficient Storage"
    assert (
        call_app(app_raising(HTTPError(507, "the disk is full"))).text == "Error: the disk is full"
    )
    assert call_app(app_raising(exceptions.PayloadTooLarge())).text == "Error: Payload Too Large"
    assert str(HTTPError(507, "full")) == "507: full"
    with pytest.raises(ValueError, match="from 200 to 599"):
        HTTPError(42)


def test_exceptions_can_be_pickled():
    for error in (HTTPError(418, "tea", {"X": "y"}), InvalidUsage("why", {"X": "y"})):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.status, again.message, again.headers) == (
            type(error),
            error.status,
            error.message,
            error.headers,
        )


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (413, "413 Content Too Large"),
        (422, "422 Unprocessable Content"),
        (299, "299 Success"),
        (499, "499 Client Error"),
        (599, "599 Server Error"),
        (308, "308 Permanent Redirect"),
    ],
)
def test_every_status_has_a_reason(status, line):
    assert format_status(status) == line
