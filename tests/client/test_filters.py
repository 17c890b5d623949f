"""Filters: their order, the changes they can make, their own responses, and their errors."""

from __future__ import annotations

import gc

import pytest

import restkit
from restkit import (
    Client,
    HttpResponse,
    InvalidHeader,
    InvalidUrl,
    PayloadError,
    RequestError,
    TransportError,
)
from restkit.client.filters import Filter, as_filters
from support import ScriptedServer, body_of, field, refusing, response


class Recording(Filter):
    """Record each call of a hook under the name of this filter."""

    def __init__(self, name, notes):
        self.name = name
        self.notes = notes

    def on_request(self, request):
        self.notes.append(f"{self.name} asked {request.method}")

    def on_response(self, response, request):
        self.notes.append(f"{self.name} told {response.status}")


class Responding:
    def on_request(self, request):
        return HttpResponse.made(request, 203, {"X-From": "filter"}, b"made up")


def test_R20_response_made_by_a_filter_skips_the_network():
    notes = []
    filters = [Recording("first", notes), Responding(), Recording("last", notes)]
    with refusing() as port, Client(filters=filters) as client:
        got = client.post(f"http://127.0.0.1:{port}/", b"payload")
    assert (got.status, got.body, got["x-from"]) == (203, b"made up", "filter")
    assert notes == ["first asked POST", "first told 203", "last told 203"]


def test_made_response_takes_a_body_of_bytes_or_text(server):
    request = restkit.get(server.url()).request
    made = HttpResponse.made(request, 200, {"Content-Type": "text/plain"}, "gr\u00fc\u00dfe")
    assert (made.body, made.text) == ("gr\u00fc\u00dfe".encode(), "gr\u00fc\u00dfe")
    assert HttpResponse.made(request, body=b"gr\xfc").body == b"gr\xfc"
    with pytest.raises(TypeError, match="body must be bytes or str; got dict"):
        HttpResponse.made(request, body={"a": 1})
    with pytest.raises(PayloadError, match="body= has a lone surrogate"):
        HttpResponse.made(request, body="\ud800")


def test_R20_filters_run_in_order_client_before_call(server):
    notes = []
    with Client(filters=[Recording("a", notes), Recording("b", notes)]) as client:
        client.get(server.url(), filters=[Recording("c", notes)])
        assert notes == [
            "a asked GET", "b asked GET", "c asked GET", "a told 200", "b told 200", "c told 200",
        ]  # fmt: skip
        notes.clear()
        client.get(server.url())
        assert notes == ["a asked GET", "b asked GET", "a told 200", "b told 200"]


def test_R20_filter_can_change_the_request(server):
    class Changing:
        def on_request(self, request):
            request.method = "put"
            request.url = request.url.join("/elsewhere")
            request.headers["X-Added"] = "yes"
            request.payload = b"changed"
            return request

    got = restkit.post(server.url(), b"payload", filters=[Changing()])
    assert server.request.startswith(b"PUT /elsewhere HTTP/1.1\r\n")
    assert field(server.request, "x-added") == "yes"
    assert body_of(server.request) == b"changed"
    assert got.request.method == "PUT"


def test_R20_filter_can_replace_the_response(server):
    seen = []

    class Upper:
        def on_response(self, response, request):
            return HttpResponse.made(request, 299, response.headers, response.body.upper())

    class Last:
        def on_response(self, response, request):
            seen.append(response)

    got = restkit.get(server.url(), filters=[Upper(), Last()])
    assert (got.status, got.body) == (299, b"ANSWER")
    assert seen == [got]


def test_filter_runs_once_per_call_with_a_redirect():
    notes = []
    responses = (
        response(b"", "Location: /there", status="302 Found"),
        response(b"there"),
    )
    with ScriptedServer.serving(*responses) as server:
        got = restkit.get(server.url(), filters=[Recording("it", notes)])
        assert got.body == b"there"
        assert len(server.requests) == 2
    assert notes == ["it asked GET", "it told 200"]


def test_on_response_is_not_called_when_the_connection_fails():
    notes = []
    with refusing() as port, pytest.raises(TransportError):
        restkit.get(f"http://127.0.0.1:{port}/", filters=[Recording("it", notes)], max_tries=1)
    assert notes == ["it asked GET"]


# Errors


class FilterError(Exception):
    pass


def test_error_in_on_request_is_raised_and_nothing_is_sent(server):
    class Raising:
        def on_request(self, request):
            raise FilterError

    with pytest.raises(FilterError):
        restkit.post(server.url(), b"payload", filters=[Raising()])
    assert server.connections == 0


def test_error_in_on_response_is_raised_and_response_is_closed():
    kept = []

    class Raising:
        def on_response(self, response, request):
            kept.append(response)
            raise FilterError

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1000)
        peer.read_to_end()

    with ScriptedServer(script) as server, Client(filters=[Raising()]) as client:
        with pytest.raises(FilterError):
            client.get(server.url())
        server.join()  # although the response is still referenced
        assert server.peers[0].closed_by_client
        with pytest.raises(restkit.AlreadyRead):
            _ = kept[0].body


@pytest.mark.parametrize("wrong", ["a text", 0, False, object()])
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_hook_returning_a_wrong_type_raises_type_error_naming_it(hook, wrong, server):
    class Wrong:
        def __repr__(self):
            return "<the wrong one>"

    setattr(Wrong, hook, lambda *args: wrong)
    expected = (
        f"^{hook} of <the wrong one> must return .*; got a value of type {type(wrong).__name__}"
    )
    with pytest.raises(TypeError, match=expected):
        restkit.get(server.url(), filters=[Wrong()])
    gc.collect()


@pytest.mark.parametrize(
    ("name", "value", "wrong", "expected"),
    [
        (
            "url",
            "http://us:hunter2@host/",
            InvalidUrl,
            "got a value of type str",
        ),
        ("url", None, InvalidUrl, "got a value of type NoneType"),
        (
            "headers",
            {"X-Added": "yes"},
            InvalidHeader,
            "got a value of type dict",
        ),
    ],
)
def test_filter_setting_an_invalid_attribute_is_named_in_the_error(
    name, value, wrong, expected, server
):
    class Setting:
        def on_request(self, request):
            setattr(request, name, value)

        def __repr__(self):
            return "<the wrong one>"

    with pytest.raises(wrong) as caught:
        restkit.get(server.url(), filters=[Setting(), Recording("next", notes := [])])
    assert str(caught.value).startswith(f"on_request of <the wrong one> must set request.{name} to")
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert notes == []
    assert server.connections == 0


# The filters= option


class OnlyAsks:
    def on_request(self, request):
        return None


class OnlyTold:
    def on_response(self, response, request):
        return None


def test_filters_option_accepts_one_filter_or_several(server):
    whole, one, other = Filter(), OnlyAsks(), OnlyTold()
    assert as_filters(None) == as_filters(()) == as_filters([]) == ()
    assert as_filters(whole) == as_filters([whole]) == (whole,)
    assert len(as_filters(one)) == 1
    assert [repr(kept) for kept in as_filters(iter([one, other]))] == [repr(one), repr(other)]
    assert restkit.get(server.url(), filters=[whole, one, other]).body == b"answer"


def test_iterable_object_with_hooks_is_one_filter(server):
    class Many(list):
        def on_request(self, request):
            self.append(request.method)

    many = Many()
    restkit.get(server.url(), filters=many)
    assert many == ["GET"]


@pytest.mark.parametrize("wrong", [1, "text", [1], [Filter(), None], print, [OnlyAsks], OnlyTold])
def test_object_without_hooks_is_rejected(wrong):
    with pytest.raises(RequestError, match=r"(a filter must have|filters must be objects)"):
        as_filters(wrong)


def test_hook_that_is_not_callable_is_rejected():
    class Odd:
        on_request = "no method"

    with pytest.raises(RequestError, match=r"(a filter must have|filters must be objects)"):
        Client(filters=[Odd()])
