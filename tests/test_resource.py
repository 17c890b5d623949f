"""Resource: methods, URLs, credentials, errors, hooks of subclasses, filters and clients."""

from __future__ import annotations

import gzip
import inspect
import json
import pickle
import threading

import pytest

from restkit import (
    Client,
    Error,
    Headers,
    HttpResponse,
    InvalidHeader,
    InvalidUrl,
    PayloadError,
    PayloadNotReplayable,
    RequestError,
    RequestFailed,
    RequestTimeout,
    Resource,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    Unauthorized,
    UnexpectedEOF,
)
from support import ScriptedServer, body_of, field, fields_of, head_of, payload_of, response

pytestmark = pytest.mark.smoke

WITHOUT_PAYLOAD = ("get", "head", "delete", "options")
WITH_PAYLOAD = ("post", "put", "patch")


@pytest.fixture
def resource(server):
    with Resource(server.url("/db/"), timeout=10) as resource:
        yield resource


def request_target(request: bytes) -> str:
    return request.split(b" HTTP/1.1\r\n")[0].decode()


def serving(*messages: bytes) -> ScriptedServer:
    return ScriptedServer.serving(*messages)


UNAUTHORIZED = response(b"who are you?", status="401 Unauthorized")
WELCOME = response(b"welcome")

# The methods


@pytest.mark.parametrize("verb", WITHOUT_PAYLOAD)
def test_R19_method_without_a_payload(verb, server, resource):
    got = getattr(resource, verb)("/a b/", {"X-One": "1"}, {"p": "x"}, q=[1, 2], json=None)
    assert (got.status, got.body) == (200, b"" if verb == "head" else b"answer")
    request = server.request
    assert request_target(request) == f"{verb.upper()} /db/a%20b/?q=1&q=2&p=x"
    assert (field(request, "x-one"), field(request, "content-length")) == ("1", None)
    assert body_of(request) == b""


@pytest.mark.parametrize("verb", WITH_PAYLOAD)
def test_R19_method_with_a_payload(verb, server, resource):
    got = getattr(resource, verb)("a", b"payload", {"X-One": "1"}, {"p": "x"}, q=[1, 2])
    assert got.body == b"answer"
    assert request_target(server.request) == f"{verb.upper()} /db/a?q=1&q=2&p=x"
    assert field(server.request, "x-one") == "1"
    assert body_of(server.request) == b"payload"


@pytest.mark.parametrize("verb", WITH_PAYLOAD)
def test_json_is_sent_as_json(verb, server, resource):
    getattr(resource, verb)("a", json={"é": [1, None]}, q=1)
    assert request_target(server.request) == f"{verb.upper()} /db/a?q=1"
    assert field(server.request, "content-type") == "application/json"
    assert json.loads(body_of(server.request)) == {"é": [1, None]}


def test_json_with_another_payload_raises(resource):
    with pytest.raises(TypeError, match="payload and json are both given"):
        resource.post("a", b"x", json=0)
    with pytest.raises(PayloadError, match="json="):
        resource.post("a", json={1, 2})


@pytest.mark.parametrize("name", ["body", "data"])
def test_body_and_data_are_aliases_of_payload(name, server, resource):
    for verb in WITH_PAYLOAD:
        getattr(resource, verb)("a", **{name: b"abc"}, q=1)
    resource.request("DELETE", "a", **{name: b"abc"}, q=1)
    assert [body_of(request) for request in server.requests] == [b"abc"] * 4
    assert {request_target(request).split(" ")[1] for request in server.requests} == {"/db/a?q=1"}
    for ask in (resource.post, lambda *given, **named: resource.request("PUT", *given, **named)):
        with pytest.raises(TypeError, match=f"payload and {name} are both given"):
            ask("a", b"x", **{name: b"y"})
        with pytest.raises(TypeError, match="payload and json are both given"):
            ask("a", **{name: b"y"}, json=1)


@pytest.mark.parametrize("name", ["payload", "body", "data", "timeout", "auth", "params", "verify"])
@pytest.mark.parametrize("verb", WITHOUT_PAYLOAD)
def test_payload_and_option_names_are_not_query_parameters(verb, name, server, resource):
    with pytest.raises(TypeError, match=f"^{name}= is not a parameter: use params_dict"):
        getattr(resource, verb)("a", **{name: b"abc"})
    assert server.connections == 0
    getattr(resource, verb)("a", None, {name: "abc"})
    assert request_target(server.request) == f"{verb.upper()} /db/a?{name}=abc"


@pytest.mark.parametrize("verb", WITH_PAYLOAD)
def test_option_name_of_a_payload_method_raises(verb, resource):
    with pytest.raises(TypeError, match=r"clone\(timeout=\.\.\.\)"):
        getattr(resource, verb)("a", b"payload", timeout=5)
    with pytest.raises(TypeError, match=r"clone\(timeout=\.\.\.\)"):
        resource.request(verb, "a", b"payload", timeout=5)


def test_params_dict_accepts_the_names_of_arguments(server, resource):
    resource.post("a", None, None, {"json": 1, "path": "x", "method": "y", "q": 2}, q=1)
    assert request_target(server.request) == "POST /db/a?q=2&json=1&path=x&method=y"


def test_other_methods_use_request(server, resource):
    resource.request("PROPFIND", "a", "text", {"Depth": 1}, q="", r=None)
    assert request_target(server.request) == "PROPFIND /db/a?q="
    assert (field(server.request, "depth"), body_of(server.request)) == ("1", b"text")


def test_verbs_call_the_request_method_of_a_subclass(server):
    class Counted(Resource):
        calls = 0

        def request(self, *args, **options):
            self.calls += 1
            return super().request(*args, **options)

    with Counted(server.url()) as resource:
        for verb in (*WITHOUT_PAYLOAD, *WITH_PAYLOAD):
            getattr(resource, verb)()
        assert resource.calls == len(server.requests) == 7


def test_R19_argument_names_match_the_original_restkit():
    def names(verb):
        return [*inspect.signature(getattr(Resource, verb)).parameters][1:]

    for verb in WITHOUT_PAYLOAD:
        assert names(verb) == ["path", "headers", "params_dict", "params"]
    for verb in WITH_PAYLOAD:
        assert names(verb)[:4] == ["path", "payload", "headers", "params_dict"]
        assert names(verb)[4:] == ["json", "body", "data", "params"]
    assert names("request")[:2] == ["method", "path"]
    assert names("request")[2:] == names("post")[1:]


def test_R01_file_is_posted_with_its_length(server, resource, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"\0\r\n\xff" * 5000)
    with open(path, "rb") as file:
        resource.post("file", payload=file)
    assert field(server.request, "content-length") == "20000"
    assert field(server.request, "transfer-encoding") is None
    assert payload_of(server.request) == path.read_bytes()


# URLs


def test_R19_path_is_appended_to_the_uri(server):
    for base in ("/a", "/a/"):
        with Resource(server.url(base)) as resource:
            for path in (None, "b", "/b", "b/"):
                resource.get(path)
    assert [request_target(request)[4:] for request in server.requests] == [
        *("/a", "/a/b", "/a/b", "/a/b/"),
        *("/a/", "/a/b", "/a/b", "/a/b/"),
    ]


def test_R19_calling_a_resource_returns_a_child_resource(server, resource):
    below = resource("/2026", "notes/")
    assert type(below) is Resource
    assert (below.uri, resource.uri) == (server.url("/db/2026/notes/"), server.url("/db/"))
    assert below.client is resource.client
    below("x").get(q=1)
    assert request_target(server.request) == "GET /db/2026/notes/x?q=1"


def test_R19_clone_is_independent(server, resource):
    other = resource.clone()
    other.update_uri("moved")
    assert (other.uri, resource.uri) == (server.url("/db/moved"), server.url("/db/"))
    other.update_uri()
    assert other.uri == server.url("/db/moved")


def test_child_and_clone_keep_the_subclass(server):
    class Api(Resource):
        def __init__(self, uri, token, **options):
            super().__init__(uri, **options)
            self.token = token

        def make_headers(self, headers):
            return [*headers, ("X-Token", self.token)]

    with Api(server.url(), "secret") as api:
        api("a").clone().get()
    assert field(server.request, "x-token") == "secret"


def test_query_of_the_uri_is_sent_with_every_request(server):
    with Resource(server.url("/db?key=1")) as resource:
        resource.get("a", q=2)
        resource("b").get("c?x=3")
    assert [request_target(request)[4:] for request in server.requests] == [
        "/db/a?key=1&q=2",
        "/db/b/c?key=1&x=3",
    ]


def test_absolute_url_of_the_same_origin_is_used_as_given(server, resource):
    resource.get(server.url("/elsewhere?x=1"), q=2)
    assert request_target(server.request) == "GET /elsewhere?x=1&q=2"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a", "https://127.0.0.1/a", "http://other/a", "HTTP://other"]
)
def test_url_of_another_origin_raises(url, server):
    with Resource(f"http://me:secret@127.0.0.1:{server.port}/db") as resource:
        for ask in (resource.get, resource, resource.update_uri):
            with pytest.raises(InvalidUrl, match="has another origin than http://127") as caught:
                ask(url)
            assert "secret" not in str(caught.value)
    assert server.connections == 0


def test_error_for_another_origin_shows_no_secrets():
    with Resource("http://host/?api_key=s3cret") as resource:
        with pytest.raises(InvalidUrl, match=r"api_key=\*\*\*") as caught:
            resource.get("http://other/?token=s3cret")
        assert "token=***" in str(caught.value)
        assert "s3cret" not in str(caught.value) + repr(resource)


def test_path_outside_the_base_url_raises(server, resource):
    with pytest.raises(InvalidUrl, match="would lead out of the base URL"):
        resource.delete("a/..")
    assert server.connections == 0


# Credentials in the URI


def with_user(server):
    return f"http://me:p%40ss@127.0.0.1:{server.port}/db/"


@pytest.mark.parametrize("path", [None, "a", "http://127.0.0.1:{port}/b"])
def test_R17_userinfo_in_the_uri_is_sent_as_basic_auth(path, server):
    with Resource(with_user(server)) as resource:
        resource("x")(path and path.format(port=server.port)).get()
        shown = (repr(resource), resource.uri)
    assert field(server.request, "authorization") == "Basic bWU6cEBzcw=="
    assert shown[1] == server.url("/db/")
    assert (resource.url.username, resource.url.password) == ("me", "p@ss")
    assert "p@ss" not in str(shown)
    assert "p%40ss" not in str(shown)


def test_basic_auth_url_can_be_switched_off(server):
    class Anonymous(Resource):
        basic_auth_url = False

    with Anonymous(with_user(server)) as resource:
        resource.get()
    assert field(server.request, "authorization") is None


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", RequestFailed),
        ("401 Unauthorized", Unauthorized),
        ("403 Forbidden", Unauthorized),
        ("404 Not Found", ResourceNotFound),
        ("410 Gone", ResourceGone),
        ("418 I'm a teapot", RequestFailed),
        ("500 Internal Server Error", RequestFailed),
    ],
)
def test_R19_status_of_400_or_more_raises(status, kind):
    with serving(response("wärum".encode(), "X: 1", status=status)) as server:
        with Resource(server.url("/db")) as resource, pytest.raises(ResourceError) as caught:
            resource.get("x", q=1)
    error = caught.value
    assert type(error) is kind
    assert error.status_int == error.status == error.response.status == int(status[:3])
    assert error.message == error.msg == "wärum"
    assert str(error) == f"GET {server.url('/db/x?q=1')}: {status}: wärum"
    assert error.response.body == "wärum".encode()
    assert error.response["X"] == "1"
    assert error.request is error.response.request
    assert error.__cause__ is None


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_status_below_400_returns_the_response(status):
    with serving(response(b"", status=status)) as server, Resource(server.url()) as resource:
        assert resource.get().status_line == status


def test_R19_error_shows_200_characters_and_keeps_64_KiB():
    body = b"a" * 200 + b"b" * 300_000
    with serving(response(body, status="500 Oops")) as server, Resource(server.url()) as resource:
        with pytest.raises(RequestFailed) as caught:
            resource.put(payload=b"x")
        error = caught.value
        assert str(error) == f"PUT {server.url()}: 500 Oops: {'a' * 200}"
        assert error.message == body[: 64 * 1024].decode()
        assert error.response.body == body
        assert [*error.response.iter_blocks(400_000)] == [body]


@pytest.mark.parametrize(
    ("body", "fields", "message", "shown"),
    [
        (b"", [], "", ""),
        (b"  \n", [], "  \n", ""),
        (b'{"error":\r\n  "no"}\n', [], '{"error":\r\n  "no"}\n', ': {"error": "no"}'),
        (b"\x1b[31mred\0", [], "\x1b[31mred\0", ": \ufffd[31mred\ufffd"),
        (b"w\xe4rum", ["Content-Type: text/plain; charset=latin-1"], "wärum", ": wärum"),
        (b"w\xe4rum", [], "w\ufffdrum", ": w\ufffdrum"),
        (b"why", ["Content-Type: text/plain; charset=no-such"], "why", ": why"),
        (b"why", ["Content-Type: text/plain; charset=hex"], "why", ": why"),
        (gzip.compress(b"why", mtime=0), ["Content-Encoding: gzip"], "why", ": why"),
        (b"why", ["Content-Encoding: identity"], "why", ": why"),
        (b"???", ["Content-Encoding: rot13"], "", ""),
    ],
)
def test_error_message_comes_from_the_body(body, fields, message, shown):
    with serving(response(body, *fields, status="404 Not Found")) as server:
        with Resource(server.url()) as resource, pytest.raises(ResourceNotFound) as caught:
            resource.get()
    assert caught.value.message == message
    assert str(caught.value) == f"GET {server.url()}: 404 Not Found{shown}"


def test_undecoded_body_gives_no_error_message():
    body = gzip.compress(b"why", mtime=0)
    wire = response(body, "Content-Encoding: gzip", status="404 Not Found")
    with serving(wire) as server, Resource(server.url(), decompress=False) as resource:
        with pytest.raises(ResourceNotFound) as caught:
            resource.get()
    assert caught.value.message == ""


def test_error_message_keeps_a_truncated_body():
    broken = b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nit was"
    with serving(broken) as server, Resource(server.url()) as resource:
        with pytest.raises(RequestFailed, match=r"500 Oops: it was$") as caught:
            resource.get()
    assert isinstance(caught.value.__cause__, UnexpectedEOF)


def test_error_does_not_wait_for_a_slow_body():
    raised = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 500 Oops\r\n\r\n")
        drips = 0
        while drips < 400 and not raised.wait(0.05):
            peer.send(b"x")
            drips += 1
        peer.send(b"end")

    with ScriptedServer(script) as server, Resource(server.url()) as resource:
        with pytest.raises(RequestFailed) as caught:
            resource.get()
        raised.set()
        error = caught.value
        assert set(error.message) == {"x"}
        assert error.response.body.endswith(b"xend")


def test_error_of_a_head_request_has_no_message():
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n")

    with ScriptedServer(script) as server, Resource(server.url()) as resource:
        with pytest.raises(ResourceNotFound, match=r"404 Not Found$") as caught:
            resource.head("x")
    assert caught.value.message == ""


def test_connection_is_reused_after_an_error():
    with serving(response(b"why", status="404 Not Found"), WELCOME) as server:
        with Resource(server.url()) as resource:
            with pytest.raises(ResourceNotFound):
                resource.get()
            assert resource.get().body == b"welcome"
        assert server.connections == 1


def test_error_can_be_pickled():
    with serving(response(b"why", status="410 Gone")) as server:
        with Resource(server.url()) as resource, pytest.raises(ResourceGone) as caught:
            resource.get()
    other = pickle.loads(pickle.dumps(caught.value))
    assert (type(other), str(other)) == (ResourceGone, str(caught.value))
    assert (other.message, other.response.body) == ("why", b"why")


def test_failure_before_a_response_is_not_a_resource_error():
    with ScriptedServer(lambda peer: peer.read_request()) as server:
        with Resource(server.url(), max_tries=1) as resource, pytest.raises(Error) as caught:
            resource.post()
    assert not isinstance(caught.value, ResourceError)


def test_make_error_hook_chooses_the_error_class():
    class Conflict(ResourceError):
        """409."""

    class Api(Resource):
        def make_error(self, response):
            if response.status == 409:
                return Conflict(response.json()["reason"], response=response)
            return super().make_error(response)

    conflict = response(b'{"reason": "changed meanwhile"}', status="409 Conflict")
    missing = response(b"", status="404 Not Found")
    with serving(conflict, missing) as server, Api(server.url()) as api:
        with pytest.raises(Conflict) as caught:
            api.put("a")
        assert caught.value.message == "changed meanwhile"
        assert str(caught.value) == f"PUT {server.url('/a')}: 409 Conflict: changed meanwhile"
        with pytest.raises(ResourceNotFound):
            api.get("a")


# The unauthorized hook


class Renewing(Resource):
    """Get a new token when the server rejects the old one."""

    token = "old"
    renewed = 0

    def make_headers(self, headers):
        return [*headers, ("Authorization", self.token)]

    def make_params(self, params):
        return {**params, "renewed": self.renewed}

    def unauthorized(self, response):
        assert response.status in (401, 403)
        self.renewed += 1
        self.token = "new"
        return False


def test_R19_request_is_resent_if_unauthorized_returns_false():
    with serving(UNAUTHORIZED, WELCOME) as server, Renewing(server.url()) as resource:
        got = resource.post("a", b"payload", [("X", "1"), ("X", "2")], q=1)
        assert got.body == b"welcome"
        assert [r.status for r in got.history] == [401]
        assert server.connections == 1
        first, second = server.requests
        for request, token, renewed in ((first, "old", 0), (second, "new", 1)):
            assert request_target(request) == f"POST /a?q=1&renewed={renewed}"
            assert ("authorization", token) in fields_of(head_of(request))
            assert [v for n, v in fields_of(head_of(request)) if n == "x"] == ["1", "2"]
            assert body_of(request) == b"payload"


def test_headers_from_an_iterator_are_sent_in_both_requests():
    with serving(UNAUTHORIZED, WELCOME) as server, Renewing(server.url()) as resource:
        resource.get("a", iter([("X", "1")]))
        assert [field(request, "x") for request in server.requests] == ["1", "1"]


def test_second_unauthorized_response_raises():
    with serving(UNAUTHORIZED) as server, Renewing(server.url()) as resource:
        with pytest.raises(Unauthorized, match="who are you"):
            resource.get()
        assert (len(server.requests), resource.renewed) == (2, 1)


@pytest.mark.parametrize("returned", [None, True, 0, ""])
def test_S3_17_request_is_resent_only_if_the_hook_returns_false(returned):
    class Logging(Resource):
        def unauthorized(self, response):
            return returned

    with serving(UNAUTHORIZED, WELCOME) as server, Logging(server.url()) as resource:
        with pytest.raises(Unauthorized):
            resource.post("a", b"payload")
        assert len(server.requests) == 1


def test_unauthorized_response_without_a_hook_raises():
    with serving(UNAUTHORIZED) as server, Resource(server.url()) as resource:
        with pytest.raises(Unauthorized):
            resource.get()
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "407 Proxy Authentication"])
def test_unauthorized_hook_runs_for_401_and_403_only(status):
    with serving(response(b"", status=status)) as server, Renewing(server.url()) as resource:
        with pytest.raises(ResourceError):
            resource.get()
        assert resource.renewed == 0


def test_one_pass_payload_is_not_resent():
    with serving(UNAUTHORIZED, WELCOME) as server, Renewing(server.url()) as resource:
        with pytest.raises(PayloadNotReplayable, match="can be sent only once") as caught:
            resource.put("a", (chunk for chunk in [b"one", b"two"]))
        assert caught.value.response.status == 401
        assert len(server.requests) == 1


def test_spooled_payload_is_resent():
    with serving(UNAUTHORIZED, WELCOME) as server:
        with Renewing(server.url(), replay="spool") as resource:
            resource.put("a", (chunk for chunk in [b"one", b"two"]))
        assert [payload_of(request) for request in server.requests] == [b"onetwo"] * 2


# Hooks


def test_hooks_receive_and_may_change_the_arguments(server):
    seen = []

    class Api(Resource):
        def make_params(self, params):
            seen.append(dict(params))
            params["key"] = 1
            return params

        def make_headers(self, headers):
            seen.append(list(headers))
            headers.append(("X-Api", "2"))
            return headers

    with Api(server.url()) as api:
        mine, params = Headers({"X": "1"}), {"a": 1}
        api.get("x", mine, params, b=2)
        api.get("x", [("X", "1"), ("x", "2")])
        api.get("x", {"User-Agent": None})
        api.get("x")
    assert (mine, params) == ({"X": "1"}, {"a": 1})
    assert seen[0::2] == [{"b": 2, "a": 1}, {}, {}, {}]
    assert seen[1::2] == [[("X", "1")], [("X", "1"), ("x", "2")], [("User-Agent", None)], []]
    assert [request_target(r) for r in server.requests[:2]] == [
        "GET /x?b=2&a=1&key=1",
        "GET /x?key=1",
    ]
    assert all(field(request, "x-api") == "2" for request in server.requests)
    assert field(server.requests[2], "user-agent") is None
    assert field(server.requests[3], "user-agent") is not None


@pytest.mark.parametrize("headers", [5, [1], ["abc"], [("X", "a\nb")]])
def test_invalid_headers_raise(headers, server, resource):
    with pytest.raises(InvalidHeader):
        resource.get("a", headers)
    assert server.connections == 0


class ApiResponse(HttpResponse):
    """The response class of an API client."""

    def first(self):
        return self.body[:1]


def test_response_class_can_be_chosen(server):
    class Api(Resource):
        response_class = ApiResponse

    with Api(server.url()) as api:
        got = api("below").get()
        assert (type(got), got.first()) == (ApiResponse, b"a")
        assert type(pickle.loads(pickle.dumps(got))) is ApiResponse
        assert type(api.client.get(server.url())) is HttpResponse
    with Resource(server.url(), response_class=ApiResponse) as resource:
        assert type(resource.get()) is ApiResponse
    with pytest.raises(RequestError, match="response_class"):
        Resource(server.url(), response_class=dict)


def test_error_has_a_response_of_the_chosen_class():
    with serving(response(b"", status="404 Not Found")) as server:
        with Resource(server.url(), response_class=ApiResponse) as resource:
            with pytest.raises(ResourceNotFound) as caught:
                resource.get()
    assert type(caught.value.response) is ApiResponse


# Filters


class RecordingFilter:
    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def on_request(self, request):
        self.seen.append(f"{self.name} > {request.url.target}")

    def on_response(self, response, request):
        self.seen.append(f"{self.name} < {response.status} {request.url.target}")


def test_R20_filters_run_in_order(server):
    seen = []
    filters = [RecordingFilter("one", seen), RecordingFilter("two", seen)]
    with Resource(server.url("/db"), filters=filters) as resource:
        resource("a").get(q=1)
    assert seen == [f"{name} > /db/a?q=1" for name in ("one", "two")] + [
        f"{name} < 200 /db/a?q=1" for name in ("one", "two")
    ]


def test_R20_error_response_of_a_filter_raises():
    class Missing:
        def on_request(self, request):
            return HttpResponse.made(request, 404, {"X": "1"}, b"not even asked")

    with Resource("http://host.invalid/", filters=[Missing()]) as resource:
        with pytest.raises(ResourceNotFound, match="404 Not Found: not even asked") as caught:
            resource.get("a")
    assert caught.value.response["x"] == "1"


# Client and options


def test_given_client_is_shared_and_stays_open(server):
    with Client() as client:
        with Resource(server.url("/a"), client) as one, Resource(server.url("/b"), client) as two:
            one.get()
            two.get()
        one.close()
        assert client.get(server.url()).status == 200
    assert server.connections == 1


def test_own_client_is_closed_with_its_resource(server):
    with Resource(server.url()) as resource:
        for other in (resource("x"), resource.clone()):
            with other:
                other.get()
            other.close()
        resource.get()
        assert "closed" not in repr(resource)
    resource.close()
    assert repr(resource) == f"<Resource {server.url()} by <Client, closed>>"
    with pytest.raises(RequestError, match="closed"):
        resource.get()


def test_options_go_to_the_own_client(server):
    with Resource(server.url(), headers={"X": "1"}, params={"key": 1}) as resource:
        resource.get("a", q=2)
        resource.get("a", key=3)
    assert [request_target(request) for request in server.requests] == [
        "GET /a?key=1&q=2",
        "GET /a?key=3",
    ]
    assert field(server.requests[0], "x") == "1"


def test_options_with_a_given_client_apply_to_each_call():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client() as client:
        resource = Resource(server.url(), client, timeout=0.1, max_tries=1)
        for one in (resource("x"), Resource(server.url(), client).clone(timeout=0.1, max_tries=1)):
            with pytest.raises(RequestTimeout):
                one.get()


@pytest.mark.parametrize("option", ["pool_size", "uds", "headers", "params", "no_such", "json"])
def test_client_only_option_with_a_given_client_raises(option):
    with Client() as client, pytest.raises(TypeError, match=f"{option}= is not an option"):
        Resource("http://host/", client, **{option: 1})
    with Resource("http://host/") as resource, pytest.raises(TypeError, match="is not an option"):
        resource.clone(**{option: 1})


@pytest.mark.parametrize("name", ["headers", "params"])
def test_headers_and_params_with_a_given_client_raise(name):
    with Client() as client, pytest.raises(TypeError, match=f"override make_{name}"):
        Resource("http://host/", client, **{name: {"X": "1"}})
    with Resource("http://host/") as resource, pytest.raises(TypeError, match=f"make_{name}"):
        resource.clone(**{name: {"X": "1"}})


def test_unknown_option_or_relative_url_raises():
    with pytest.raises(TypeError, match="no_such= is not an option here"):
        Resource("http://host/", no_such=1)
    with pytest.raises(InvalidUrl):
        Resource("/relative")
