"""Errors: their classes, messages, copies, secrets, `sent` and causes."""

from __future__ import annotations

import ast
import copy
import gzip
import io
import pickle
import pkgutil
import ssl
import traceback
from importlib.util import find_spec

import pytest

import restkit
from restkit import (
    AlreadyRead,
    BodyTooLarge,
    Client,
    ConnectError,
    DecodingError,
    Error,
    HttpResponse,
    IdleTimeout,
    InvalidHeader,
    InvalidUrl,
    Payload,
    PayloadError,
    PayloadLengthError,
    PayloadNotReplayable,
    RequestError,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    ResponseError,
    Timeout,
    TLSError,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
    as_payload,
    errors,
)
from restkit.resource import error_from
from support import ScriptedServer, refusing, response
from support.answers import BROKEN, answered, giving

TREE = {
    "Error": {
        "RequestError": {"InvalidUrl": {}, "InvalidHeader": {}},
        "PayloadError": {"PayloadLengthError": {}, "PayloadNotReplayable": {}},
        "TransportError": {
            "ConnectError": {},
            "TLSError": {},
            "ProxyError": {},
            "RequestTimeout": {"ConnectTimeout": {}, "IdleTimeout": {}, "TotalTimeout": {}},
        },
        "ResponseError": {
            "BadStatusLine": {},
            "ParserError": {},
            "UnexpectedEOF": {},
            "DecodingError": {},
            "BodyTooLarge": {},
            "IntegrityError": {},
        },
        "RedirectLimit": {},
        "AlreadyRead": {},
        "ClientDisconnected": {},
        "ResourceError": {
            "ResourceNotFound": {},
            "Unauthorized": {},
            "ResourceGone": {},
            "RequestFailed": {},
        },
    }
}


def tree_of(kind):
    below = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return {child.__name__: tree_of(child) for child in below}


def all_kinds(tree):
    for name, below in tree.items():
        yield getattr(errors, name)
        yield from all_kinds(below)


KINDS = list(all_kinds(TREE))
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)

# The tree


def test_error_tree_matches_its_documentation():
    assert {"Error": tree_of(Error)} == TREE
    drawn = [line for line in errors.__doc__.splitlines() if "├" in line or "└" in line]
    assert [line.lstrip(" │├└").split()[0] for line in drawn] == [
        kind.__name__ for kind in KINDS if kind is not Error
    ]


@EVERY_KIND
def test_every_error_is_public_and_has_a_docstring(kind):
    assert getattr(restkit, kind.__name__) is kind
    assert kind.__doc__
    assert issubclass(kind, Error)
    assert kind is Error or issubclass(kind, Exception)


def test_decoding_error_is_a_value_error():
    assert issubclass(DecodingError, ValueError)


def test_no_vague_builtin_error_is_raised():
    vague = {"Exception", "BaseException", "RuntimeError", "ConnectionError", "TimeoutError"}
    for found in pkgutil.walk_packages(restkit.__path__, "restkit."):
        if found.name in ("restkit.network.tls", "restkit.network.tls_in_tls"):
            continue  # they do the handshake of an SSLSocket, and raise the same errors
        # These errors report a misuse of the server by an application; no client sees them.
        of_applications = found.name.startswith(("restkit.server.", "restkit.testing."))
        with open(find_spec(found.name).origin, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = getattr(node.exc.func, "id", None)
                assert name not in vague - ({"RuntimeError"} if of_applications else set()), (
                    f"{found.name}: {ast.unparse(node)}"
                )


# Messages


@EVERY_KIND
def test_error_without_a_request_shows_only_its_message(kind):
    error = kind("it broke")
    assert str(error) == error.message == error.args[0] == "it broke"
    sent = "nothing" if isinstance(error, RequestError | PayloadError) else None
    assert (error.sent, error.request, error.response) == (sent, None, None)
    assert repr(error) == f"{kind.__name__}('it broke')"


@EVERY_KIND
def test_error_with_a_request_names_method_and_url(kind):
    with answered(response(b"why", status="404 Not Found"), "DELETE", "/x?y") as got:
        error = kind("it broke", sent="part", request=got.request, response=got)
        status = "404 Not Found: " if issubclass(kind, ResourceError) else ""
        assert str(error) == f"DELETE {got.final_url}: {status}it broke"
        assert error.message == "it broke"
        assert (error.sent, error.request, error.response) == ("part", got.request, got)


def test_resource_error_has_the_status():
    assert ResourceError("x").status_int == 0
    with answered(response(b"", status="410 Gone")) as got:
        assert ResourceError("x", response=got).status_int == 410


# Pickles and copies

WAYS = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "oldest pickle": lambda error: pickle.loads(pickle.dumps(error, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
EVERY_WAY = pytest.mark.parametrize("taken", WAYS.values(), ids=WAYS)


@EVERY_WAY
@EVERY_KIND
def test_every_error_can_be_copied(kind, taken):
    other = taken(kind("it broke", sent="nothing"))
    assert type(other) is kind
    assert (str(other), other.message, other.args) == ("it broke", "it broke", ("it broke",))
    assert (other.sent, other.request, other.response) == ("nothing", None, None)


@EVERY_WAY
@EVERY_KIND
def test_every_error_is_copied_with_request_and_response(kind, taken):
    with answered(response(b"why", "X: 1", status="404 Not Found"), "POST", "/x") as got:
        error = kind("it broke", sent="all", request=got.request, response=got)
        other = taken(error)
        assert type(other) is kind
        status = "404 Not Found: " if issubclass(kind, ResourceError) else ""
        assert str(other) == str(error) == f"POST {got.final_url}: {status}it broke"
        assert other.sent == "all"
        assert (other.response.status, other.response.body) == (404, b"why")
        assert other.response["x"] == "1"
        assert other.request.method == other.response.request.method == "POST"
        if kind.__mro__[1] is ResourceError:
            assert other.status_int == 404


@EVERY_WAY
def test_error_with_an_unreadable_response_can_be_copied(taken):
    with answered(giving(BROKEN["length"])) as broken, pytest.raises(UnexpectedEOF) as caught:
        assert not broken.body
    with answered(giving(response(b"x" * 100_000))) as live:
        list(live.payload_stream)
    with answered(giving(response(b"x" * 100_000))) as closed:
        pass
    with answered(response(b"x", "Content-Encoding: gzip")) as spoiled:
        pass
    for got in (broken, live, closed, spoiled):
        other = taken(RequestError("it broke", request=got.request, response=got))
        assert other.response.status == 200
        with pytest.raises(Error):
            assert not other.response.body
    assert str(taken(caught.value)) == str(caught.value)


@EVERY_WAY
def test_copy_keeps_the_subclass_and_its_attributes(taken):
    error = Mine("it broke", sent="part")
    error.extra = [1]
    other = taken(error)
    assert (type(other), other.extra, other.sent) == (Mine, [1], "part")


class Mine(TransportError):
    """A subclass of a user."""


# Secrets


PASSWORD = "hunter2"
SECRETS = {
    "Authorization": f"Bearer {PASSWORD}",
    "Proxy-Authorization": f"Basic {PASSWORD}",
    "cookie": f"session={PASSWORD}",
    "X-Api-Key": PASSWORD,
    "x-auth-token": PASSWORD,
    "X-Amz-Security-Token": PASSWORD,
}


def with_secrets(url):
    return url.replace("//", f"//{PASSWORD}:{PASSWORD}@", 1)


def outputs_of(error):
    """Yield everything that an error writes to a log or a pickle."""
    # The traceback shows lines of this file, which name the password but do not contain it.
    yield "".join(traceback.format_exception(type(error), error, error.__traceback__))
    yield repr(error)
    yield repr(error.request)
    yield pickle.dumps(error).decode("latin-1")


def test_network_error_contains_no_secrets():
    with refusing() as port, Client() as client, pytest.raises(ConnectError) as caught:
        client.post(with_secrets(f"http://127.0.0.1:{port}/x"), PASSWORD, SECRETS)
    for output in outputs_of(caught.value):
        assert PASSWORD not in output
    assert f"POST http://127.0.0.1:{port}/x: " in str(caught.value)


def test_body_error_contains_no_secrets():
    with ScriptedServer(giving(BROKEN["length"])) as server, Client() as client:
        with client.put(with_secrets(server.url("/x")), PASSWORD, SECRETS) as got:
            with pytest.raises(UnexpectedEOF) as caught:
                assert not got.body
    for output in outputs_of(caught.value):
        assert PASSWORD not in output


def test_status_error_contains_no_secrets():
    with ScriptedServer.serving(response(b"", status="404 Not Found")) as server:
        with Client() as client, pytest.raises(ResourceNotFound) as caught:
            client.put(with_secrets(server.url("/x")), PASSWORD, SECRETS).raise_for_status()
    for output in outputs_of(caught.value):
        assert PASSWORD not in output


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        (f"http://{PASSWORD}:{PASSWORD}@host:port/", {}),
        (f"ftp://{PASSWORD}:{PASSWORD}@host/", {}),
        ("http://h/", {"Authorization": f"{PASSWORD}\r\nX: y"}),
        ("http://h/", {"Authorization": f"{PASSWORD} \u20ac"}),
        (f"http://{PASSWORD}:{PASSWORD}@h/", {**SECRETS, "Content-Length": 1}),
    ],
    ids=["port", "scheme", "line", "text", "length"],
)
def test_request_error_contains_no_secrets(url, fields):
    with Client() as client, pytest.raises(Error) as caught:
        client.post(url, PASSWORD, fields)
    for output in outputs_of(caught.value):
        assert PASSWORD not in output


# How much was sent


def test_sent_is_nothing_if_no_connection_opened():
    with refusing() as port, Client() as client:
        with pytest.raises(ConnectError) as caught:
            client.get(f"http://127.0.0.1:{port}/")
        assert caught.value.sent == "nothing"
        with pytest.raises(RequestError) as caught:
            client.request(f"http://127.0.0.1:{port}/", "TRACE", b"x")
        assert caught.value.sent == "nothing"
        assert str(caught.value).startswith(f"TRACE http://127.0.0.1:{port}/: ")


def test_sent_is_part_if_the_server_stopped_reading():
    def script(peer):
        peer.read_head()
        peer.reset()

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), [b"x" * 100_000] * 1000)
    assert caught.value.sent == "part"
    assert isinstance(caught.value.__cause__, OSError)


def test_sent_is_all_without_a_response():
    def script(peer):
        peer.read_request()

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        with pytest.raises(TransportError, match="without a response") as caught:
            client.post(server.url(), b"x")
    assert caught.value.sent == "all"
    assert str(caught.value).startswith(f"POST {server.url()}: ")


def test_sent_is_all_for_an_invalid_response():
    with ScriptedServer.serving(b"nonsense\r\n\r\n") as server, Client() as client:
        with pytest.raises(ResponseError, match="nonsense") as caught:
            client.get(server.url())
    assert (caught.value.sent, caught.value.request.method) == ("all", "GET")


def test_timeout_names_its_limit_and_how_much_was_sent():
    def script(peer):
        peer.read_request()
        peer.read_to_end()

    with ScriptedServer(script) as server, Client() as client:
        with pytest.raises(IdleTimeout, match=r"0\.1 s.*waiting for the response") as caught:
            client.get(server.url(), timeout=Timeout(idle=0.1))
        assert caught.value.sent == "all"
        with pytest.raises(TotalTimeout, match=r"0\.5 s") as caught:
            client.get(server.url(), timeout=Timeout(total=0.5))
        assert caught.value.sent == "all"


def test_sent_is_part_if_a_payload_is_too_short():
    def script(peer):
        peer.read_to_end()

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        with pytest.raises(PayloadLengthError, match="produced 3 of 10 bytes") as caught:
            client.post(server.url(), iter([b"abc"]), {"Content-Length": 10})
        assert caught.value.sent == "part"
        assert caught.value.request.method == "POST"


def test_sent_is_nothing_for_a_consumed_payload():
    payload = as_payload(iter([b"abc"]))
    assert b"".join(payload) == b"abc"
    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client(timeout=10) as client:
        with pytest.raises(PayloadNotReplayable) as caught:
            client.post(server.url(), payload)
        assert (caught.value.sent, caught.value.request.method) == ("nothing", "POST")
        assert server.connections == 0


def closed_file():
    with open(__file__) as file:
        pass
    return file


@pytest.mark.parametrize(
    "payload",
    [closed_file, lambda: "\ud800", lambda: ["\ud800"], lambda: io.FileIO(1, "w", closefd=False)],
    ids=["closed", "surrogate", "in a list", "write-only"],
)
def test_sent_is_nothing_for_an_invalid_payload(payload):
    with pytest.raises(PayloadError) as caught:
        restkit.post("http://127.0.0.1:1/", payload())
    assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", False)


def error_in_body(message, look, **options):
    """Return the error raised by reading the body of a response."""
    with answered(message, **options) as got:
        with pytest.raises(Error) as caught:
            look(got)
        assert caught.value.request is got.request
        assert caught.value.response is got
    return caught.value


def taken(got):
    list(got.payload_stream)
    return got.body


CODED = response(b"no gzip", "Content-Encoding: gzip")
RESPONSE_ERRORS = {
    "decoding": (CODED, lambda got: got.body, DecodingError),
    "too many codings": (
        response(b"", "Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip"),
        lambda got: got.body,
        DecodingError,
    ),
    "unknown coding": (
        response(b"x", "Content-Encoding: rot13"),
        lambda got: got.text,
        DecodingError,
    ),
    "json": (response(b"{"), HttpResponse.json, DecodingError),
    "text": (response(b"\xff"), lambda got: got.text, DecodingError),
    "charset": (
        response(b"", "Content-Type: a/b; charset=idna"),
        lambda got: got.text,
        DecodingError,
    ),
    "too large": (response(b"x" * 100), lambda got: got.body, BodyTooLarge),
    "cut short": (giving(BROKEN["length"]), lambda got: got.body, UnexpectedEOF),
    "chunks": (giving(BROKEN["chunks"]), lambda got: got.body, UnexpectedEOF),
    "gone by": (response(b"x" * 9), taken, AlreadyRead),
    "status": (
        response(b"", status="404 No"),
        HttpResponse.raise_for_status,
        ResourceNotFound,
    ),
    "status, read": (
        response(b"", status="410 No"),
        lambda got: (_ for _ in ()).throw(error_from(got)),
        ResourceGone,
    ),
    "no socket": (response(b""), HttpResponse.detach, RequestError),
}


@pytest.mark.parametrize("case", RESPONSE_ERRORS)
def test_sent_is_all_for_an_error_in_the_response(case):
    message, look, kind = RESPONSE_ERRORS[case]
    options = {"max_body": 60} if kind is BodyTooLarge else {}
    error = error_in_body(message, look, **options)
    assert (type(error), error.sent) == (kind, "all")


def test_sent_is_part_after_an_early_error():
    def script(peer):
        peer.read_head()
        peer.send(response(b"{", status="413 Too Large"))
        peer.read_to_end()

    def rows():
        while True:
            yield b"x" * 1000

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        got = client.post(server.url(), rows())
        assert got.sent == "part"
        for look in (got.json, got.raise_for_status, got.detach):
            with pytest.raises(Error) as caught:
                look()
            assert caught.value.sent == "part"
        unpickled = pickle.loads(pickle.dumps(got))
        with pytest.raises(DecodingError) as caught:
            unpickled.json()
        assert caught.value.sent == unpickled.sent == "part"


def test_payload_error_reports_how_much_was_sent():
    def rows():
        yield b"abc"
        restkit.get("no url")

    def read_on(peer):
        peer.read_to_end()

    with ScriptedServer(read_on) as server, Client(timeout=10) as client:
        with pytest.raises(InvalidUrl) as caught:
            client.post(server.url(), rows())
        assert (caught.value.sent, caught.value.out_of_payload) == ("part", True)
        # The error names the forwarded response; `sent` is about the new request.
        with answered(giving(BROKEN["length"])) as broken:
            with pytest.raises(UnexpectedEOF) as caught:
                client.post(server.url(), broken)
            assert caught.value.request is broken.request
            assert (caught.value.sent, caught.value.out_of_payload) == ("part", True)
            with pytest.raises(UnexpectedEOF) as caught:
                assert not broken.body
            assert (caught.value.sent, caught.value.out_of_payload) == ("all", False)
        with answered(giving(BROKEN["length"])) as broken:
            with pytest.raises(UnexpectedEOF) as caught:
                client.post(server.url(), broken, spool=True)
            assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)


@pytest.mark.parametrize("fields", [[("X", "a\r\nb")], [("X Y", "a")], [("Content-Length", "3")]])
def test_invalid_trailers_are_a_payload_error(fields):
    class Trailing(Payload):
        def chunks(self):
            yield b"abc"

        def trailers(self):
            return fields

    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client() as client:
        with pytest.raises(PayloadError) as caught:
            client.post(server.url(), Trailing())
        assert (caught.value.sent, caught.value.out_of_payload) == ("part", True)
        server.join()
        assert server.wire[0].endswith(b"\r\n\r\n3\r\nabc\r\n")


# Causes


def test_foreign_errors_are_wrapped_with_their_cause(certs):
    with refusing() as port, Client() as client, pytest.raises(ConnectError) as caught:
        client.get(f"http://127.0.0.1:{port}/")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    with ScriptedServer.serving(response(b""), ssl_context=certs.self_signed) as server:
        with Client() as client, pytest.raises(TLSError) as caught:
            client.get(server.url())
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    with answered(response(b"no gzip", "Content-Encoding: gzip")) as got:
        with pytest.raises(DecodingError) as caught:
            assert not got.body
    assert caught.value.__cause__ is not None


SECRET = "s3cr\udce9t"


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": SECRET}},
        {"payload": {"password": SECRET}},
        {"payload": f"password={SECRET}"},
        {"json": {"password": SECRET}},
        {"params": {"token": SECRET}},
        {"proxy": f"http://user:{SECRET}@proxy.test"},
        {"auth": ("user", SECRET)},
    ],
    ids=["header", "form", "text", "json", "params", "proxy", "auth"],
)
def test_error_about_a_lone_surrogate_has_no_cause_with_the_secret(options):
    with Client() as client, pytest.raises(Error) as caught:
        client.post("http://127.0.0.1:9/", **options)
    cause = caught.value
    while cause is not None:
        assert "s3cr" not in str(cause)
        assert not hasattr(cause, "object")
        cause = cause.__cause__


def test_error_of_the_callers_source_propagates_unchanged():
    class Own(Exception):
        pass

    def rows(exc):
        yield b"abc"
        raise exc

    own = [Own(), KeyError("x"), BrokenPipeError(), ConnectionResetError(), TimeoutError()]
    for exc in own:
        with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client() as client:
            with pytest.raises(type(exc)) as caught:
                client.post(server.url(), rows(exc))
            assert caught.value is exc
            server.join()
            (wire,) = server.wire
            assert wire.endswith(b"\r\n\r\n3\r\nabc\r\n")


def test_payload_that_is_not_json_is_a_payload_error():
    with Client() as client:
        for value in (object(), float("nan"), {1, 2}, "\udc80"):
            with pytest.raises(PayloadError, match="json=") as caught:
                client.post("http://127.0.0.1:1/", json=value)
            assert caught.value.sent == "nothing"


def test_closed_client_raises_a_request_error():
    client = Client()
    client.close()
    client.close()
    assert repr(client) == "<Client, closed>"
    with pytest.raises(RequestError, match="this Client is closed") as caught:
        client.get("http://127.0.0.1:1/")
    assert caught.value.sent == "nothing"


def test_invalid_urls_and_headers_raise_before_connecting():
    with ScriptedServer.serving(response(b"")) as server, Client() as client:
        with pytest.raises(InvalidUrl):
            client.get("/some/url")
        with pytest.raises(InvalidHeader):
            client.get(server.url(), headers={"X": "a\nb"})
        with pytest.raises(RequestError, match="the method must be"):
            client.request(server.url(), "GET / HTTP/1.1\r\nX: y")
        assert server.connections == 0


def test_already_read_explains_the_one_pass_body():
    with answered(response(gzip.compress(b"x"), "Content-Encoding: gzip")) as got:
        list(got.payload_stream)
        with pytest.raises(AlreadyRead, match=f"^GET {got.final_url}: .*one pass") as caught:
            assert not got.body
        error = caught.value
        assert (error.sent, error.request, error.response) == ("all", got.request, got)
