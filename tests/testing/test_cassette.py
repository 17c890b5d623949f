"""Cassette: what is recorded, what is played, and what is an error."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import threading
import zlib
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import restkit
from restkit import BodyTooLarge, Client, ConnectError, RequestError, UnexpectedEOF
from restkit.connections.pool import ConnectionPool
from restkit.testing import Cassette, UnknownRequest
from restkit.testing.cassette_bodies import from_json_body, to_json_body
from support import ScriptedServer, chunked_response, response

WITH_TRAILER = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cassettes" / "api.json"


def load(path):
    return json.loads(path.read_bytes())["exchanges"]


def record(path, answer=None, *, url="/x", method="GET", **options):
    """Record one exchange and return its response, read; the server is gone afterwards."""
    cassette = {name: options.pop(name) for name in list(options) if name in CASSETTE_OPTIONS}
    with ScriptedServer.serving(answer or response(b"body")) as server, Client() as client:
        with Cassette(path, **cassette):
            got = client.request(server.url(url), method, **options)
            assert got.body is not None
    return got


CASSETTE_OPTIONS = {"mode", "secrets", "edit", "max_body", "match_body", "match_headers"}


def play(path, url, method="GET", cassette=None, **options):
    with Cassette(path, "none", **(cassette or {})), Client() as client:
        got = client.request(url, method, **options)
        assert got.body is not None
    return got


# What is played is what was recorded


@pytest.mark.parametrize(
    "answer",
    [
        response(b"hello", "X-Twice: 1", "X-Twice: 2", "X-Latin: \xe9"),
        response(b"", status="204 Nothing"),
        response(b"\x00\xff\x80 binary"),
        response("ű\r\none\ntwo".encode(), status="404 Nowhere"),
        response(b"x" * 3_000_000),
        chunked_response(b"one", b"two"),
        b"HTTP/1.0 200 OK\r\n\r\nto the end",
        WITH_TRAILER,
    ],
)
def test_replay_has_the_same_status_headers_trailers_and_bytes(path, answer):
    first = record(path, answer)
    second = play(path, first.final_url)
    for name in ("status", "reason", "version", "headerslist", "body", "final_url"):
        assert getattr(second, name) == getattr(first, name), name
    assert second.trailers.pairs() == first.trailers.pairs()
    assert second.body_file.read() == first.body_file.read()


@pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15)])
def test_compressed_text_is_readable_in_the_file_and_decoded_in_the_replay(path, coding, wbits):
    encoder = zlib.compressobj(wbits=wbits)
    encoded = encoder.compress(b'{"name": "value"}') + encoder.flush()
    first = record(path, response(encoded, f"Content-Encoding: {coding}"))
    assert load(path)[0]["response"]["body"] == {"text": '{"name": "value"}'}
    second = play(path, first.final_url)
    assert second.headerslist == first.headerslist
    assert second.json() == first.json() == {"name": "value"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (gzip.compress(b"text", mtime=0), "Content-Encoding: gzip, identity"),
        (b"not gzip", "X-Content-Encoding: gzip"),
        (gzip.compress(b"text", mtime=0) + b"more", "Content-Encoding: x-unknown"),
    ],
)
def test_other_encodings_are_kept_as_they_arrived(path, body, field):
    first = record(path, response(body, field), decompress=False)
    assert from_json_body(load(path)[0]["response"]["body"]) == body
    assert play(path, first.final_url, decompress=False).body == body


def test_timings_of_a_replay_are_those_of_an_idle_connection(path):
    first = record(path)
    timings = play(path, first.final_url).timings
    assert (timings.connect, timings.tls) == (None, None)
    assert 0 <= timings.sent <= timings.first_byte <= timings.done < 60
    assert first.timings.connect is not None
    assert 0 < first.timings.sent <= first.timings.first_byte <= first.timings.done


def test_recording_client_gets_the_connection_back(path):
    with ScriptedServer.serving(response(b"x" * 200_000)) as server, Client() as client:
        with Cassette(path):
            client.get(server.url("/a"))
            client.get(server.url("/b"))
        assert server.connections == 1


def test_redirects_and_cookies_work_in_the_replay(path):
    answers = (
        response(b"", "Location: /end", "Set-Cookie: sid=abc; Path=/", status="302 Found"),
        response(b"end"),
    )
    with ScriptedServer.serving(*answers) as server, Cassette(path), Client() as client:
        first = client.get(server.url("/start"))
    with Cassette(path, "none") as cassette, Client() as client:
        second = client.get(server.url("/start"))
        assert re.fullmatch(r"\*\*\*[0-9a-f]{12}", client.cookies["sid"])
    assert second.final_url == first.final_url == server.url("/end")
    assert second.body == b"end"
    assert [one.status for one in second.history] == [302]
    assert cassette.unused == []


def test_functions_of_restkit_are_recorded_too(path):
    with ScriptedServer.serving(response(b"body")) as server, Cassette(path):
        restkit.get(server.url("/x"))
    with Cassette(path, "none"):
        assert restkit.get(server.url("/x")).text == "body"


# Payloads


@pytest.mark.parametrize("match_body", [False, True])
@pytest.mark.parametrize("kind", ["bytes", "generator", "file"])
def test_payload_is_sent_when_it_is_recorded_and_read_when_it_is_played(tmp_path, kind, match_body):
    path, file_path = tmp_path / "cassette", tmp_path / "file"
    file_path.write_bytes(b"some bytes")
    with file_path.open("rb") as file:

        def make():
            kinds = {"bytes": b"some bytes", "generator": iter([b"some ", b"bytes"]), "file": file}
            return kinds[kind]

        with ScriptedServer.serving(response(b"ok")) as server, Client() as client:
            with Cassette(path, match_body=match_body):
                assert client.post(server.url(), make()).text == "ok"
            for part in (b"some ", b"bytes"):
                assert part in server.requests[0]
        assert load(path)[0]["request"]["body"] == {"text": "some bytes"}
        again = make()
        match = {"match_body": match_body}
        assert play(path, server.url(), "POST", match, payload=again).text == "ok"
        assert kind != "generator" or list(again) == []


def test_long_payload_is_kept_as_size_and_digest(path):
    first = record(path, method="POST", payload=b"x" * 100_000)
    assert load(path)[0]["request"]["body"] == {
        "size": 100_000,
        "sha256": sha256(b"x" * 100_000).hexdigest(),
    }
    match = {"match_body": True}
    assert play(path, first.final_url, "POST", match, payload=b"x" * 100_000).text == "body"
    with pytest.raises(UnknownRequest, match="its body is"):
        play(path, first.final_url, "POST", match, payload=b"y" * 100_000)


def test_error_of_the_payload_source_reaches_the_caller_of_a_replay(path):
    def rows():
        yield b"one"
        raise LookupError("no more rows")

    first = record(path, method="POST", payload=b"one")
    with pytest.raises(LookupError, match="no more rows"):
        play(path, first.final_url, "POST", payload=rows())


# Modes


def test_mode_once_records_if_there_is_no_file_and_plays_otherwise(path):
    with ScriptedServer.serving(response(b"one"), response(b"two")) as server, Client() as client:
        with Cassette(path):
            assert client.get(server.url()).text == "one"
        with Cassette(path):
            assert client.get(server.url()).text == "one"
            with pytest.raises(UnknownRequest):
                client.get(server.url("/new"))
        assert len(server.requests) == 1


def test_mode_none_never_sends(path):
    with ScriptedServer.serving(response(b"one")) as server, Client() as client:
        with pytest.raises(FileNotFoundError), Cassette(path, "none"):
            client.get(server.url())
        assert server.requests == []


def test_mode_new_plays_what_is_recorded_and_records_the_rest(path):
    with ScriptedServer.serving(response(b"one"), response(b"two")) as server, Client() as client:
        for _ in range(2):
            with Cassette(path, "new"):
                assert client.get(server.url("/a")).text == "one"
        with Cassette(path, "new"):
            assert client.get(server.url("/b")).text == "two"
        assert len(server.requests) == 2
    assert [one["request"]["url"] for one in load(path)] == [server.url("/a"), server.url("/b")]
    assert play(path, server.url("/a")).text == "one"


def test_mode_all_records_everything_again(path):
    with ScriptedServer.serving(response(b"one"), response(b"two")) as server, Client() as client:
        for text in ("one", "two"):
            with Cassette(path, "all"):
                assert client.get(server.url()).text == text
    assert [one["response"]["body"]["text"] for one in load(path)] == ["two"]


def test_recordings_of_one_request_are_played_in_order_and_once(path):
    answers = (response(b"one"), response(b"two"))
    with ScriptedServer.serving(*answers) as server, Client() as client, Cassette(path):
        assert [client.get(server.url()).text for _ in range(2)] == ["one", "two"]
    with Cassette(path) as cassette, Client() as client:
        assert len(cassette.unused) == 2
        assert client.get(server.url()).text == "one"
        [left] = cassette.unused
        assert left == cassette.exchanges[1]
        assert client.get(server.url()).text == "two"
        with pytest.raises(UnknownRequest, match="recorded 2 times and each recording was played"):
            client.get(server.url())
    with Cassette(path, repeat=True), Client() as client:
        assert [client.get(server.url()).text for _ in range(3)] == ["one", "two", "two"]


# Unknown requests


def test_unknown_request_names_the_nearest_recording_and_what_differs(path):
    with ScriptedServer.serving(response(b"")) as server, Client() as client:
        with Cassette(path):
            client.get(server.url("/other"))
            client.get(server.url("/users?page=1"))
        with Cassette(path), pytest.raises(UnknownRequest) as caught:
            client.get(server.url("/users?page=2"))
        assert str(caught.value) == (
            f"GET {server.url('/users?page=2')}: {str(path)!r} has no recording for this request, "
            "and mode='once' sends nothing: the nearest is recording 2, GET "
            f"{server.url('/users?page=1')}: its url is {server.url('/users?page=1')!r}, not "
            f"{server.url('/users?page=2')!r}"
        )
        with Cassette(path), pytest.raises(UnknownRequest, match="its method is 'GET', not 'POST'"):
            client.post(server.url("/other"))
    assert caught.value.sent == "nothing"
    assert caught.value.request.method == "GET"


def test_unknown_request_is_not_retried_and_is_an_error_of_restkit(path):
    first = record(path)
    with Cassette(path), Client(max_tries=5, wait_tries=60) as client:
        with pytest.raises(restkit.Error, match="has no recording"):
            client.get(f"{first.final_url}/other")


def test_empty_cassette_says_so(path):
    path.parent.mkdir()
    path.write_text('{"format": "restkit.testing.Cassette/1", "exchanges": []}')
    with pytest.raises(UnknownRequest, match="it has no recordings"):
        play(path, "http://a.test/")


def test_headers_and_bodies_are_matched_by_choice(path):
    headers = {"Accept": "text/plain"}
    first = record(path, method="POST", payload=b"one", headers=headers)
    play(path, first.final_url, "POST", payload=b"two", headers={"Accept": "text/html"})
    by_body, by_header = {"match_body": True}, {"match_headers": ["accept"]}
    with pytest.raises(UnknownRequest, match="its body is 'one', not 'two'"):
        play(path, first.final_url, "POST", by_body, payload=b"two")
    with pytest.raises(UnknownRequest, match="its header accept is 'text/plain', not 'text/html'"):
        play(path, first.final_url, "POST", by_header, headers={"Accept": "text/html"})
    both = by_body | by_header
    assert play(path, first.final_url, "POST", both, payload=b"one", headers=headers).text == "body"


# Edit


def test_edit_changes_or_leaves_out_what_is_recorded(path):
    def edit(exchange):
        if exchange["request"]["url"].endswith("/skip"):
            return None
        exchange["response"]["body"] = {"text": "edited"}
        return exchange

    with ScriptedServer.serving(response(b"body")) as server, Client() as client:
        with Cassette(path, edit=edit):
            assert client.get(server.url("/keep")).text == "body"
            assert client.get(server.url("/skip")).text == "body"
    assert [one["request"]["url"] for one in load(path)] == [server.url("/keep")]
    assert play(path, server.url("/keep")).text == "edited"


def set_body(value):
    return lambda exchange: exchange["response"].update(body=value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda exchange: exchange.clear(), 'it has no "request"'),
        (lambda exchange: exchange["response"].update(status="200"), "the status must be a number"),
        (set_body({"text": b"x"}), "must be a string or a list of strings"),
        (set_body({"text": "\ud800"}), "surrogates not allowed"),
        (lambda exchange: exchange["request"].pop("headers"), "request: 'headers' is missing"),
        (lambda exchange: exchange.update(note=b"x"), "not JSON serializable"),
    ],
)
def test_wrong_result_of_edit_is_an_error_at_once_and_nothing_is_written(path, change, reason):
    def edit(exchange):
        change(exchange)
        return exchange

    match = r"edit= of the cassette .* must return the exchange"
    with ScriptedServer.serving(response(b"body")) as server, Client() as client:
        with pytest.raises(RequestError, match=match), Cassette(path, edit=edit):
            with pytest.raises(RequestError, match=match) as caught:
                client.get(server.url())
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("result", [True, "text", [], {}])
def test_edit_must_return_an_exchange_or_none(path, result):
    with pytest.raises(RequestError, match='it has no "request"'):
        record(path, edit=lambda _: result)
    assert not path.exists()


# The file


def test_file_is_readable_and_can_be_edited(path):
    record(path, response(b"one\ntwo\n", "Content-Type: text/plain"))
    text = path.read_text()
    assert '["Content-Type", "text/plain"]' in text
    assert '"text": ["one\\n", "two\\n"]' in text
    path.write_text(text.replace('"two\\n"', '"three"'))
    assert play(path, load(path)[0]["request"]["url"]).text == "one\nthree"


@given(
    st.one_of(
        st.binary(), st.text().map(str.encode), st.text("a\r\n\x0b\x85\u2028").map(str.encode)
    )
)
def test_every_body_survives_the_file(data):
    assert from_json_body(json.loads(json.dumps(to_json_body(data)))) == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.binary(max_size=300), st.sampled_from([200, 404, 500, 299]))
def test_every_exchange_survives_the_file(path, body, status):
    first = record(path, response(body, status=f"{status} Some reason"), mode="all")
    second = play(path, first.final_url)
    assert (second.status_line, second.body) == (first.status_line, body)


def test_file_is_not_written_when_the_block_raises(path):
    with pytest.raises(LookupError), ScriptedServer.serving(response(b"")) as server:
        with Cassette(path), Client() as client:
            client.get(server.url())
            raise LookupError
    assert not path.exists()
    record(path)
    before = path.read_bytes()
    with pytest.raises(LookupError), Cassette(path, "all"):
        raise LookupError
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", 'it has no "format"'),
        ('{"format": "restkit.testing.Cassette/1"}', "exchanges"),
        (
            '{"format": "restkit.testing.Cassette/1", "exchanges": [{}]}',
            'exchange 1: it has no "request"',
        ),
        ("\udcff", "utf-8"),
    ],
)
def test_damaged_file_is_a_clear_error(path, text, reason):
    path.parent.mkdir()
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RequestError) as caught, Cassette(path):
        pass
    assert str(caught.value).startswith(f"the cassette {str(path)!r} is damaged: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "200"}, "exchange 1"),
        ({"status": 99}, "exchange 1: response: the status must be"),
        ({"headers": [["a b", "c"]]}, "exchange 1"),
        ({"headers": [["a"]]}, "exchange 1"),
        ({"body": {"base64": "?"}}, "exchange 1"),
        ({"body": {"text": 3}}, "exchange 1"),
        ({"reason": "\u0171"}, "exchange 1"),
        ({"reason": "a\nb"}, "exchange 1: response: the reason must have no CR, LF or NUL"),
        ({"reason": 5}, "exchange 1: response: the reason must be a string; got 5"),
        ({"version": 1.1}, 'exchange 1: response: the version must be "1.1" or "1.0"; got 1.1'),
        ({"version": "2"}, "exchange 1: response: the version must be"),
        ({"version": None}, "exchange 1: response: the version must be"),
        ({"encode_body": "br"}, 'encode_body must be "gzip" or "deflate"; got \'br\''),
        ({"encode_body": None}, 'encode_body must be "gzip" or "deflate"; got None'),
        ({"status": 200.5}, "the status must be a number from 200 to 999; got 200.5"),
        ({"status": True}, "the status must be"),
        ({"headers": [["a", 1]]}, "headers must be pairs of strings; got ['a', 1]"),
        ({"headers": [["a", "b\nc"]]}, "exchange 1: response: "),
        ({"headers": {"a": "b"}}, "headers must be a list of pairs"),
        ({"headers": ["ab"]}, "headers must be pairs of strings"),
        ({"trailers": None}, "trailers must be a list of pairs"),
        ({"body": {"text": {"a": 1}}}, "the text of the body must be a string"),
        ({"body": {"text": "\ud800"}}, "surrogates not allowed"),
    ],
)
def test_damaged_exchange_is_a_clear_error(path, change, reason):
    record(path)
    content = json.loads(path.read_bytes())
    content["exchanges"][0]["response"].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match="is damaged") as caught, Cassette(path):
        pass
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["version", "status", "reason", "headers", "body"])
def test_missing_field_of_a_response_is_a_clear_error(path, name):
    record(path)
    content = json.loads(path.read_bytes())
    del content["exchanges"][0]["response"][name]
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match=f"exchange 1: response: '{name}' is missing"):
        play(path, "http://a.test/")


@pytest.mark.parametrize("key", ["", "zz", "00", 5])
def test_damaged_key_is_a_clear_error(path, key):
    path.parent.mkdir()
    path.write_text(
        json.dumps({"format": "restkit.testing.Cassette/1", "key": key, "exchanges": []})
    )
    with pytest.raises(RequestError, match="is damaged: "), Cassette(path):
        pass


def test_link_stays_and_its_target_is_written(path, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    for mode in ("once", "all"):
        first = record(link, mode=mode)
        assert link.is_symlink()
        assert play(path, first.final_url).text == "body"


def test_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        record(pipe, mode="all")
        written = os.read(reader, 60_000)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert json.loads(written)["exchanges"][0]["response"]["body"] == {"text": "body"}
    assert os.listdir(tmp_path) == ["pipe"]


# Failures, bounds, threads


def test_failures_are_not_recorded_and_reach_the_caller(path):
    def break_off(peer):
        peer.next_request()
        peer.send(response(b"x" * 100)[:-1])

    with Client(max_tries=1) as client, Cassette(path):
        with ScriptedServer(break_off) as server, pytest.raises(UnexpectedEOF) as caught:
            assert client.get(server.url("/x")).body
        with pytest.raises(ConnectError):
            client.get(server.url("/x"))
    assert str(caught.value.request.url) == server.url("/x")
    assert not path.exists()


def test_body_beyond_the_bound_is_an_error(path):
    with pytest.raises(BodyTooLarge, match="has more than 1000 bytes, the most that this Cassette"):
        record(path, response(b"x" * 1001), max_body=1000)
    assert not path.exists()
    assert record(path, response(b"x" * 1000), max_body=1000).body == b"x" * 1000


def test_cassette_may_be_used_by_threads(path):
    answers = [response(str(number).encode()) for number in range(40)]
    with ScriptedServer.serving(*answers) as server, Client() as client:
        with Cassette(path):
            run_in_threads(lambda number: client.get(server.url(f"/{number}")).body)
        recorded = {one["request"]["url"]: one["response"]["body"]["text"] for one in load(path)}
        assert len(recorded) == 40
        with Cassette(path, "none") as cassette:
            bodies = run_in_threads(lambda number: client.get(server.url(f"/{number}")).text)
        assert cassette.unused == []
    assert bodies == {number: recorded[server.url(f"/{number}")] for number in range(40)}


def run_in_threads(call):
    results = {}

    def run(first):
        for number in range(first, 40, 4):
            results[number] = call(number)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_inner_cassette_is_used_and_the_outer_one_afterwards(tmp_path):
    send = ConnectionPool.send
    with ScriptedServer.serving(response(b"")) as server, Client() as client:
        with Cassette(tmp_path / "outer"):
            client.get(server.url("/1"))
            with Cassette(tmp_path / "inner"):
                client.get(server.url("/2"))
            client.get(server.url("/3"))
        client.get(server.url("/4"))
    assert [one["request"]["url"][-1] for one in load(tmp_path / "outer")] == ["1", "3"]
    assert [one["request"]["url"][-1] for one in load(tmp_path / "inner")] == ["2"]
    assert ConnectionPool.send is send


def test_cassette_cannot_be_entered_twice_at_a_time(path):
    with Cassette(path) as cassette:
        with pytest.raises(RequestError, match="in use already"), cassette:
            pass
    with cassette:
        pass


@pytest.mark.parametrize(
    "wrong", [{"mode": "record"}, {"match_headers": "accept"}, {"secrets": "token"}]
)
def test_wrong_options_are_errors(path, wrong):
    with pytest.raises(RequestError, match=f"{next(iter(wrong))} must be"):
        Cassette(path, **wrong)


def test_closed_client_is_an_error_in_a_replay_too(path):
    first = record(path)
    client = Client()
    client.close()
    with Cassette(path), pytest.raises(RequestError, match="is closed"):
        client.get(first.final_url)


def test_https_and_a_proxy_have_the_urls_of_the_origin(path, certs, client):
    with ScriptedServer.serving(response(b"tls"), ssl_context=certs.server) as server:
        with Cassette(path, "new"):
            url = f"https://localhost:{server.port}/x?y"
            client.get(url)
    with ScriptedServer.serving(response(b"proxied")) as proxy, Cassette(path, "new"):
        client.get("http://origin.test/x?y", proxy=f"http://127.0.0.1:{proxy.port}")
    assert [one["request"]["url"] for one in load(path)] == [url, "http://origin.test/x?y"]
    assert play(path, url).text == "tls"
    assert play(path, "http://origin.test/x?y").text == "proxied"
