"""Streams of a function that is called for each pass: arguments, methods, pickling, replay."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import pickle
import threading
import traceback
from pathlib import Path

import pytest

from restkit import Client, Error, PayloadLengthError, PayloadNotReplayable
from restkit.payload.convert import as_payload
from restkit.streaming import ResourceStream, ResourceStreamFunction, replayable
from support import ScriptedServer, body_of, field, payload_of, response
from support.payloads import join_chunks

CALLS = []


@ResourceStreamFunction
def name(here, *, there):
    """Return two numbers."""
    CALLS.append((here, there))
    yield b"%d" % here
    yield f" {there}"


class Place:
    """Functions of every kind, decorated in either order."""

    def __init__(self, number):
        self.number = number

    @ResourceStreamFunction
    def method(self, a, b=2):
        """A method."""
        yield f"{self.number} {a} {b}"

    @classmethod
    @ResourceStreamFunction
    def of_class(cls, a, b=2):
        """A class method."""
        yield f"{cls.__name__} {a} {b}"

    @ResourceStreamFunction
    @classmethod
    def of_class_too(cls, a, b=2):
        """A class method, the other way round."""
        yield f"{cls.__name__} {a} {b}"

    @staticmethod
    @ResourceStreamFunction
    def static(a, b=2):
        """A static method."""
        yield f"static {a} {b}"

    @ResourceStreamFunction
    @staticmethod
    def static_too(a, b=2):
        """A static method, the other way round."""
        yield f"static {a} {b}"

    def __eq__(self, other):
        return isinstance(other, Place) and other.number == self.number

    __hash__ = None


class Child(Place):
    pass


PLACE = Place(7)


def read_first_chunk(payload):
    """Return the first chunk of a pass that is broken off after it."""
    running = iter(payload)
    chunk = bytes(next(running))
    running.close()
    return chunk


# The stream of a function


def test_S08_a_call_binds_the_arguments_and_each_pass_calls_the_function():
    CALLS.clear()
    stream = name(4, there=56)
    iter(stream)
    assert CALLS == []
    assert (
        [bytes(chunk) for chunk in stream] == [bytes(chunk) for chunk in stream] == [b"4", b" 56"]
    )
    assert CALLS == [(4, 56), (4, 56)]
    assert (stream.length, stream.replayable) == (None, True)


def test_S08_two_interleaved_passes_are_independent():
    CALLS.clear()
    stream = name(4, there=56)
    one, other = iter(stream), iter(stream)
    assert [bytes(next(one)), bytes(next(other)), bytes(next(one))] == [b"4", b"4", b" 56"]
    assert list(one) == []
    assert bytes(next(other)) == b" 56"
    assert list(other) == []
    assert len(CALLS) == 2


def test_S08_arguments_are_held_and_not_copied():
    rows = [b"one"]
    stream = ResourceStreamFunction(lambda items: (item for item in items))(rows)
    assert join_chunks(stream) == b"one"
    rows.append(b" two")
    assert join_chunks(stream) == b"one two"


def test_S10_a_repr_shows_the_call():
    assert repr(name(4, there=56)) == "<ResourceStream streaming name(4, there = 56)>"
    assert repr(name) == "<ResourceStreamFunction wrapping name>"
    assert repr(PLACE.method(1)) == "<ResourceStream streaming method(1)>"
    assert repr(replayable(lambda: b"")) == "<ResourceStream streaming <lambda>()>"
    partial = ResourceStreamFunction(functools.partial(join_chunks))
    assert repr(partial("x")) == "<ResourceStream streaming partial('x')>"


def test_a_repr_is_bounded_and_has_no_credentials():
    url = "https://me:secret@host/?token=secret&page=2"
    text = repr(name(url, [url], there=b"x" * 10_000, api_key="secret", key="secret"))
    assert "secret" not in text.replace("api_key", "")
    assert text.startswith(
        "<ResourceStream streaming name('https://host/?token=***&page=2', ['https://host/?"
    )
    assert text.endswith("api_key = ***, key = ***)>")
    assert len(text) < 600


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (
            {"Authorization": "Bearer hidden", "Accept": "a/b", 3: None},
            "{'Authorization': ***, 'Accept': 'a/b', 3: None}",
        ),
        ([("Cookie", "a=hidden"), ("Accept", "a/b")], "[('Cookie', ***), ('Accept', 'a/b')]"),
        ({"headers": {"X-Api-Key": "hidden"}}, "{'headers': {'X-Api-Key': ***}}"),
        ([("x", "y"), ("of", "no", "pair")], "[('x', 'y'), ('of', 'no', 'pair')]"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_a_repr_shows_headers_without_their_credentials(headers, text):
    assert repr(name(1, headers)) == f"<ResourceStream streaming name(1, {text})>"
    assert repr(name(1, there=headers)) == f"<ResourceStream streaming name(1, there = {text})>"


def test_a_repr_of_a_dict_that_contains_itself_ends():
    headers: dict[str, object] = {}
    headers["again"] = headers
    assert repr(name(headers)) == "<ResourceStream streaming name({'again': {...}})>"


def test_S10_streams_are_equal_by_function_and_arguments_and_have_no_hash():
    assert name(4, there=56) == name(4, there=56)
    assert name(4, there=56) != name(5, there=56)
    assert name(4, there=56) != name(4, there=57)
    assert name(4, there=56) != PLACE.static(4, there=56)
    assert name(4, there=56) != "name(4, there = 56)"
    assert name == ResourceStreamFunction(name.__wrapped__)
    assert name != ResourceStreamFunction(join_chunks)
    assert name != name.__wrapped__
    assert PLACE.method(1) == PLACE.method(1)
    assert PLACE.method(1) != Place(7).method(1)  # bound methods of two objects differ too
    for each in (name, name(4, there=56)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(each)


def test_S10_a_stream_can_be_made_from_its_fields():
    stream = ResourceStream.from_fields(name.__wrapped__, (4,), {"there": 56})
    assert stream == name(4, there=56)
    assert join_chunks(stream) == b"4 56"
    assert (stream.function, stream.positional_parameters) == (name.__wrapped__, (4,))
    assert stream.keyword_parameters == {"there": 56}


def test_S10_the_name_docstring_and_signature_of_a_function_are_kept():
    assert name.__doc__ == "Return two numbers."
    assert (name.__name__, name.__qualname__, name.__module__) == ("name", "name", __name__)
    assert str(inspect.signature(name)) == "(here, *, there)"
    assert PLACE.method.__doc__ == "A method."
    assert str(inspect.signature(PLACE.method)) == "(a, b=2)"
    assert str(inspect.signature(Place.of_class_too)) == "(a, b=2)"
    assert str(inspect.signature(Place.method)) == "(self, a, b=2)"


@pytest.mark.parametrize(
    ("bound", "gives"),
    [
        (PLACE.method, b"7 1 3"),
        (Child(8).method, b"8 1 3"),
        (PLACE.of_class, b"Place 1 3"),
        (Place.of_class, b"Place 1 3"),
        (Child.of_class, b"Child 1 3"),
        (PLACE.of_class_too, b"Place 1 3"),
        (Place.of_class_too, b"Place 1 3"),
        (Child.of_class_too, b"Child 1 3"),
        (PLACE.static, b"static 1 3"),
        (Place.static, b"static 1 3"),
        (PLACE.static_too, b"static 1 3"),
        (Place.static_too, b"static 1 3"),
    ],
)
def test_S08_methods_are_bound_as_without_the_decorator(bound, gives):
    assert [join_chunks(bound(1, b=3)) for _ in range(2)] == [gives, gives]
    assert join_chunks(bound(1)) == gives[:-1] + b"2"


def test_a_method_of_a_class_needs_its_self_argument():
    assert join_chunks(Place.method(PLACE, 1)) == b"7 1 2"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        join_chunks(Place.method(PLACE))


def test_an_argument_may_be_called_self():
    stream = ResourceStreamFunction(lambda self, function: f"{self} {function}")
    assert join_chunks(stream(self=1, function=2)) == b"1 2"


def test_a_callable_object_can_be_decorated():
    class Counter:
        def __call__(self, end):
            return (str(number) for number in range(end))

    class Holder:
        counter = ResourceStreamFunction(Counter())
        part = ResourceStreamFunction(functools.partial(Counter(), 2).__call__)

    assert join_chunks(Holder().counter(3)) == b"012"
    assert join_chunks(Holder().part()) == b"01"
    assert join_chunks(ResourceStreamFunction(io.BytesIO)(b"a class")) == b"a class"


@pytest.mark.parametrize("make", [ResourceStreamFunction, replayable])
def test_P09_an_object_that_is_not_callable_or_asynchronous_raises_at_once(make):
    async def rows():
        yield b""

    async def row():
        return b""

    for function in (rows, row):
        with pytest.raises(TypeError, match="asynchronous"):
            make(function)
    for value in (b"bytes", [b"list"], name(1, there=2), None):
        with pytest.raises(TypeError, match="calling a function"):
            make(value)


@pytest.mark.parametrize(
    "each",
    [
        name,
        name(4, there=56),
        PLACE.method,
        PLACE.method(1),
        Place.of_class,
        Place.of_class(1, b=4),
        Place.of_class_too,
        Place.of_class_too(1),
        Child.of_class_too(1),
        Place.static(1),
        Place.static_too,
        Place.static_too(1),
        replayable(functools.partial(bytes, 3), 3),
    ],
    ids=repr,
)
def test_a_stream_pickles_if_its_function_does(each):
    again = pickle.loads(pickle.dumps(each))
    assert (repr(again), type(again)) == (repr(each), type(each))
    stream = (
        each(1, there=2) if each is name else each if isinstance(each, ResourceStream) else each(1)
    )
    other = again(1, there=2) if each is name else again if stream is each else again(1)
    assert join_chunks(other) == join_chunks(stream)
    assert copy.deepcopy(other).length == copy.copy(other).length == stream.length


def test_a_stream_of_a_lambda_does_not_pickle():
    for each in (replayable(lambda: b""), ResourceStreamFunction(lambda: b"")):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(each)


# The result of the function


class NotPlain(io.BytesIO):
    """A file of another type than open() returns, read by its own methods."""


def test_the_function_may_return_any_value_that_can_be_sent(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"the bytes")
    gives = [
        lambda: b"the bytes",
        lambda: bytearray(b"the bytes"),
        lambda: "the bytes",
        lambda: [b"the ", "bytes"],
        lambda: iter([b"the ", "bytes"]),
        lambda: path,
        lambda: path.open("rb"),
        lambda: path.open("rb", buffering=0),
        path.open,
        lambda: io.BytesIO(b"the bytes"),
        lambda: NotPlain(b"the bytes"),
        lambda: lambda: b"the bytes",
        lambda: as_payload(b"the bytes"),
        lambda: replayable(lambda: iter([b"the bytes"])),
        ResourceStreamFunction(lambda: b"the bytes"),
    ]
    for function in gives:
        stream = replayable(function)
        assert [join_chunks(stream), join_chunks(stream)] == [b"the bytes"] * 2


def test_a_decorated_function_without_parameters_is_a_payload():
    @ResourceStreamFunction
    def rows():
        yield b"row"

    payload = as_payload(rows)
    assert [join_chunks(payload), join_chunks(payload)] == [b"row", b"row"]
    with pytest.raises(TypeError, match="missing a required"):
        as_payload(name)


@pytest.mark.parametrize("given", [None, 3, {1, 2}, object()])
def test_a_result_of_a_wrong_type_raises_in_the_pass(given):
    with pytest.raises(TypeError):
        join_chunks(replayable(lambda: given))


@pytest.mark.parametrize("whole", [True, False])
def test_the_result_is_closed_at_the_end_of_its_pass(whole, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    closed = []

    def rows():
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append("rows")

    files = []

    def open_file():
        files.append(path.open("rb"))
        return files[-1]

    for function in (rows, open_file):
        (join_chunks if whole else read_first_chunk)(replayable(function))
    assert closed == ["rows"]
    assert files[0].closed


def test_a_result_that_cannot_be_sent_is_closed(tmp_path):
    file = (tmp_path / "file").open("wb")
    with pytest.raises(Error, match="not open for reading"):
        join_chunks(replayable(lambda: file))
    assert file.closed


def test_an_exception_of_the_function_is_not_changed():
    def rows():
        yield b"abc"
        raise KeyError("row")

    def none():
        raise OSError("no disk")

    with pytest.raises(KeyError):
        join_chunks(replayable(rows))
    with pytest.raises(OSError, match="no disk"):
        join_chunks(replayable(none))


# A second pass without bytes


@pytest.mark.parametrize("first", [join_chunks, read_first_chunk])
def test_a_second_pass_that_yields_nothing_raises(first):
    source = iter([b"one", b"two"])
    stream = replayable(lambda: (item for item in source))
    first(stream)
    list(source)
    with pytest.raises(PayloadNotReplayable, match="produced nothing, but an earlier pass did"):
        join_chunks(stream)


@pytest.mark.parametrize("first", [join_chunks, read_first_chunk])
@pytest.mark.parametrize(
    "make",
    [
        lambda: map(bytes.upper, [b"one", b"two"]),
        lambda: (item for item in [b"one", b"two"]),
        lambda: io.BufferedReader(io.BytesIO(b"onetwo"), 1),
    ],
    ids=["an iterator", "a generator", "a file"],
)
def test_a_function_that_returns_the_same_object_twice_raises(make, first):
    one_pass = make()
    stream = replayable(lambda: one_pass)
    first(stream)
    with pytest.raises(Error):
        join_chunks(stream)


def test_a_function_that_always_yields_nothing_is_an_empty_payload():
    stream = replayable(lambda: iter(()))
    assert join_chunks(stream) == join_chunks(stream) == b""


# Length and headers


def test_a_length_is_sent_as_content_length():
    with ScriptedServer.serving(response(b"")) as server, Client(timeout=10) as client:
        client.put(server.url(), replayable(lambda: iter([b"abc", b"def"]), 6))
        assert field(server.request, "content-length") == "6"
        assert body_of(server.request) == b"abcdef"


@pytest.mark.parametrize("length", [5, 7])
def test_another_length_than_given_raises(length):
    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client(timeout=10) as client:
        with pytest.raises(PayloadLengthError):
            client.put(server.url(), replayable(lambda: iter([b"abc", b"def"]), length))
        server.join()
        assert len(body_of(server.wire[0])) < length


def test_length_and_headers_can_be_set_on_a_stream():
    stream = name(4, there=56)
    stream.length = 4
    stream.headers = [("Content-Type", "text/plain")]
    with ScriptedServer.serving(response(b"")) as server, Client(timeout=10) as client:
        client.put(server.url(), pickle.loads(pickle.dumps(stream)))
        assert field(server.request, "content-length") == "4"
        assert field(server.request, "content-type") == "text/plain"


def test_a_factory_is_called_without_arguments():
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        replayable(lambda a: a)
    with pytest.raises(TypeError, match="or a lambda"):
        replayable(PLACE.method.__wrapped__)


# On a connection

ROWS = [b"one\n", b"two\n" * 50_000, b"three\n"]


@ResourceStreamFunction
def rows():
    yield from ROWS


def redirect(status, place):
    return response(b"", f"Location: {place}", status=f"{status} Moved")


@pytest.mark.parametrize("status", [307, 308])
def test_S12_a_redirect_receives_the_whole_stream_again(status):
    with ScriptedServer.serving(response(b"thanks")) as second:
        with ScriptedServer.serving(redirect(status, second.url("/there"))) as first:
            with Client(timeout=10) as client:
                assert client.post(first.url("/here"), rows()).body == b"thanks"
    for server, path in ((first, "/here"), (second, "/there")):
        assert server.request.startswith(f"POST {path} HTTP/1.1\r\n".encode())
        assert field(server.request, "host") == f"127.0.0.1:{server.port}"
        assert payload_of(server.request) == b"".join(ROWS)


def test_S12_a_redirect_before_the_end_receives_the_whole_stream():
    def script(peer):
        peer.read_head()
        peer.send(redirect(307, second.url("/there")))
        peer.read_to_end()

    endless = ResourceStreamFunction(lambda: iter([b"x" * 65536] * 1000))
    with ScriptedServer.serving(response(b"thanks")) as second, ScriptedServer(script) as first:
        with Client(timeout=10) as client:
            assert client.post(first.url("/here"), endless()).body == b"thanks"
        assert len(payload_of(second.request)) == 65_536_000


def test_S12_a_generator_is_not_sent_again_to_a_redirect():
    with ScriptedServer.serving(response(b"")) as second:
        with ScriptedServer.serving(redirect(307, second.url())) as first, Client() as client:
            with pytest.raises(PayloadNotReplayable, match="307 Moved"):
                client.post(first.url(), rows.__wrapped__())
            assert len(first.requests) == 1
        assert second.connections == 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_function_without_more_items_sends_no_second_request(whole):
    source = iter(ROWS * 20)
    stream = replayable(lambda: (item for item in source))

    def script(peer):
        if whole:
            peer.read_request()
        else:
            peer.read_head()
            peer.read_some()
        list(source)  # other code consumes the rest
        peer.send(redirect(307, second.url()))
        peer.read_to_end()

    with ScriptedServer(lambda peer: peer.read_to_end()) as second, ScriptedServer(script) as first:
        with Client(timeout=10) as client, pytest.raises(PayloadNotReplayable) as caught:
            client.post(first.url(), stream)
        second.join()
        assert second.wire == [b""]
        assert caught.value.sent == "nothing"


def test_the_attempt_after_a_lost_connection_sends_the_whole_stream():
    def lost(peer):
        peer.read_head()
        peer.read_some()
        peer.reset()

    def taken(peer):
        peer.read_request()
        peer.send(response(b"thanks"))

    with ScriptedServer(lost, taken) as server, Client(timeout=10, wait_tries=0.01) as client:
        answer = client.put(server.url(), rows())
        assert len(answer.history) == 1
        assert payload_of(server.request) == b"".join(ROWS)


def test_S06_a_function_that_raises_sends_no_last_chunk_and_the_client_stays_usable():
    def failing():
        yield b"abc"
        raise KeyError("row")

    def script(peer):
        peer.read_head()
        peer.read_to_end()

    def taken(peer):
        while peer.next_request():
            peer.send(response(b"thanks"))

    with ScriptedServer(script, taken) as server, Client(timeout=10) as client:
        with pytest.raises(KeyError) as caught:
            client.post(server.url(), replayable(failing))
        assert any(frame.name == "failing" for frame in traceback.extract_tb(caught.tb))
        assert client.post(server.url(), rows()).body == b"thanks"
        server.until(lambda: server.peers[0].finished, "the end of the first script")
        assert body_of(server.wire[0]) == b"3\r\nabc\r\n"


def test_the_function_is_not_called_without_a_connection():
    CALLS.clear()
    with ScriptedServer(lambda peer: None) as server:
        pass
    with Client(timeout=10, max_tries=1) as client, pytest.raises(Error):
        client.put(server.url(), name(1, there=2))
    assert CALLS == []


def test_P13_two_threads_send_one_stream_at_the_same_time():
    meet = threading.Barrier(2)

    def slow():
        yield b"one"
        meet.wait(10)
        yield b"two"

    stream = replayable(slow)
    with ScriptedServer.serving(response(b"")) as server, Client(timeout=10) as client:
        threads = [
            threading.Thread(target=client.put, args=(server.url(), stream)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [payload_of(request) for request in server.requests] == [b"onetwo", b"onetwo"]


def test_an_error_with_a_stream_pickles():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client(timeout=10) as client:
        stream = replayable(functools.partial(list, [b"abc"]), 9)
        with pytest.raises(PayloadLengthError) as caught:
            client.post(server.url(), stream)
    again = pickle.loads(pickle.dumps(caught.value))
    assert repr(again.request.payload) == repr(stream)


def test_a_function_may_return_a_path():
    stream = replayable(lambda: Path(__file__))
    assert join_chunks(stream) == Path(__file__).read_bytes()
