"""Streams made by a function: called anew for each pass, bound as any function is, sent again."""

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

CALLS = []


@ResourceStreamFunction
def name(here, *, there):
    """What it is for."""
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


def sent(payload):
    """One pass. Each piece is copied while it is good, as the wire does with what it sends."""
    return b"".join(bytes(piece) for piece in payload)


def begun(payload):
    """The first piece of a pass that is broken off behind it."""
    a_pass = iter(payload)
    piece = bytes(next(a_pass))
    a_pass.close()
    return piece


# The stream of a function


def test_S08_a_call_binds_and_each_pass_calls_anew():
    CALLS.clear()
    stream = name(4, there=56)
    iter(stream)
    assert CALLS == []
    assert (
        [bytes(piece) for piece in stream] == [bytes(piece) for piece in stream] == [b"4", b" 56"]
    )
    assert CALLS == [(4, 56), (4, 56)]
    assert (stream.length, stream.replayable) == (None, True)


def test_S08_two_interleaved_passes_know_nothing_of_each_other():
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
    assert sent(stream) == b"one"
    rows.append(b" two")
    assert sent(stream) == b"one two"


def test_S10_it_is_shown_as_the_call_that_it_makes():
    assert repr(name(4, there=56)) == "<ResourceStream streaming name(4, there = 56)>"
    assert repr(name) == "<ResourceStreamFunction wrapping name>"
    assert repr(PLACE.method(1)) == "<ResourceStream streaming method(1)>"
    assert repr(replayable(lambda: b"")) == "<ResourceStream streaming <lambda>()>"
    partial = ResourceStreamFunction(functools.partial(sent))
    assert repr(partial("x")) == "<ResourceStream streaming partial('x')>"


def test_what_is_shown_is_bounded_and_has_no_credentials_in_it():
    url = "https://me:secret@host/?token=secret&page=2"
    shown = repr(name(url, [url], there=b"x" * 10_000, api_key="secret", key="secret"))
    assert "secret" not in shown.replace("api_key", "")
    assert shown.startswith(
        "<ResourceStream streaming name('https://host/?token=***&page=2', ['https://host/?"
    )
    assert shown.endswith("api_key = ***, key = ***)>")
    assert len(shown) < 600


@pytest.mark.parametrize(
    ("headers", "shown"),
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
def test_headers_among_the_arguments_are_shown_without_their_credentials(headers, shown):
    assert repr(name(1, headers)) == f"<ResourceStream streaming name(1, {shown})>"
    assert repr(name(1, there=headers)) == f"<ResourceStream streaming name(1, there = {shown})>"


def test_what_holds_itself_can_be_shown():
    headers: dict[str, object] = {}
    headers["again"] = headers
    assert repr(name(headers)) == "<ResourceStream streaming name({'again': {...}})>"


def test_S10_it_is_equal_by_function_and_arguments_and_has_no_hash():
    assert name(4, there=56) == name(4, there=56)
    assert name(4, there=56) != name(5, there=56)
    assert name(4, there=56) != name(4, there=57)
    assert name(4, there=56) != PLACE.static(4, there=56)
    assert name(4, there=56) != "name(4, there = 56)"
    assert name == ResourceStreamFunction(name.__wrapped__)
    assert name != ResourceStreamFunction(sent)
    assert name != name.__wrapped__
    assert PLACE.method(1) == PLACE.method(1)
    assert PLACE.method(1) != Place(7).method(1)  # as it is of bound methods
    for each in (name, name(4, there=56)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(each)


def test_S10_a_stream_can_be_made_from_its_fields():
    stream = ResourceStream.from_fields(name.__wrapped__, (4,), {"there": 56})
    assert stream == name(4, there=56)
    assert sent(stream) == b"4 56"
    assert (stream.function, stream.positional_parameters) == (name.__wrapped__, (4,))
    assert stream.keyword_parameters == {"there": 56}


def test_S10_what_a_function_says_of_itself_is_kept():
    assert name.__doc__ == "What it is for."
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
def test_S08_methods_are_bound_as_they_would_be(bound, gives):
    assert [sent(bound(1, b=3)) for _ in range(2)] == [gives, gives]
    assert sent(bound(1)) == gives[:-1] + b"2"


def test_a_method_out_of_its_class_wants_its_self_like_any_other():
    assert sent(Place.method(PLACE, 1)) == b"7 1 2"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        sent(Place.method(PLACE))


def test_an_argument_may_be_called_self():
    stream = ResourceStreamFunction(lambda self, function: f"{self} {function}")
    assert sent(stream(self=1, function=2)) == b"1 2"


def test_an_object_that_can_be_called_is_a_function_too():
    class Counter:
        def __call__(self, end):
            return (str(number) for number in range(end))

    class Holder:
        counter = ResourceStreamFunction(Counter())
        part = ResourceStreamFunction(functools.partial(Counter(), 2).__call__)

    assert sent(Holder().counter(3)) == b"012"
    assert sent(Holder().part()) == b"01"
    assert sent(ResourceStreamFunction(io.BytesIO)(b"a class")) == b"a class"


@pytest.mark.parametrize("make", [ResourceStreamFunction, replayable])
def test_P09_what_cannot_be_called_or_would_have_to_be_awaited_is_refused_at_once(make):
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
def test_it_pickles_where_its_function_does(each):
    again = pickle.loads(pickle.dumps(each))
    assert (repr(again), type(again)) == (repr(each), type(each))
    stream = (
        each(1, there=2) if each is name else each if isinstance(each, ResourceStream) else each(1)
    )
    other = again(1, there=2) if each is name else again if stream is each else again(1)
    assert sent(other) == sent(stream)
    assert copy.deepcopy(other).length == copy.copy(other).length == stream.length


def test_it_does_not_pickle_where_its_function_does_not():
    for each in (replayable(lambda: b""), ResourceStreamFunction(lambda: b"")):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(each)


# What the function gives


class Noted(io.BytesIO):
    """A file that is not plain, and so is read by its own methods."""


def test_what_the_function_gives_may_be_whatever_can_be_sent(tmp_path):
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
        lambda: Noted(b"the bytes"),
        lambda: lambda: b"the bytes",
        lambda: as_payload(b"the bytes"),
        lambda: replayable(lambda: iter([b"the bytes"])),
        ResourceStreamFunction(lambda: b"the bytes"),
    ]
    for function in gives:
        stream = replayable(function)
        assert [sent(stream), sent(stream)] == [b"the bytes"] * 2


def test_a_function_that_was_not_called_is_a_payload_by_itself():
    @ResourceStreamFunction
    def rows():
        yield b"row"

    payload = as_payload(rows)
    assert [sent(payload), sent(payload)] == [b"row", b"row"]
    with pytest.raises(TypeError, match="missing a required"):
        as_payload(name)


@pytest.mark.parametrize("given", [None, 3, {1, 2}, object()])
def test_what_cannot_be_sent_is_a_type_error_of_the_pass(given):
    with pytest.raises(TypeError):
        sent(replayable(lambda: given))


@pytest.mark.parametrize("whole", [True, False])
def test_what_it_gave_is_closed_at_the_end_of_its_pass(whole, tmp_path):
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

    def opened():
        files.append(path.open("rb"))
        return files[-1]

    for function in (rows, opened):
        (sent if whole else begun)(replayable(function))
    assert closed == ["rows"]
    assert files[0].closed


def test_a_file_that_cannot_be_sent_is_closed_too(tmp_path):
    file = (tmp_path / "file").open("wb")
    with pytest.raises(Error, match="not open for reading"):
        sent(replayable(lambda: file))
    assert file.closed


def test_what_the_function_raises_comes_as_it_is():
    def rows():
        yield b"abc"
        raise KeyError("row")

    def none():
        raise OSError("no disk")

    with pytest.raises(KeyError):
        sent(replayable(rows))
    with pytest.raises(OSError, match="no disk"):
        sent(replayable(none))


# A second pass that has nothing to give


@pytest.mark.parametrize("first", [sent, begun])
def test_a_second_pass_that_gives_nothing_is_an_error(first):
    source = iter([b"one", b"two"])
    stream = replayable(lambda: (item for item in source))
    first(stream)
    list(source)
    with pytest.raises(PayloadNotReplayable, match="gave nothing, though it gave something before"):
        sent(stream)


@pytest.mark.parametrize("first", [sent, begun])
@pytest.mark.parametrize(
    "make",
    [
        lambda: map(bytes.upper, [b"one", b"two"]),
        lambda: (item for item in [b"one", b"two"]),
        lambda: io.BufferedReader(io.BytesIO(b"onetwo"), 1),
    ],
    ids=["an iterator", "a generator", "a file"],
)
def test_a_function_that_gives_the_same_again_is_an_error(make, first):
    one_pass = make()
    stream = replayable(lambda: one_pass)
    first(stream)
    with pytest.raises(Error):
        sent(stream)


def test_a_function_that_never_gives_anything_may_do_so_again():
    stream = replayable(lambda: iter(()))
    assert sent(stream) == sent(stream) == b""


# A length


def test_a_length_is_announced_and_held_to():
    with ScriptedServer.serving(response(b"")) as server, Client(timeout=10) as client:
        client.put(server.url(), replayable(lambda: iter([b"abc", b"def"]), 6))
        assert field(server.request, "content-length") == "6"
        assert body_of(server.request) == b"abcdef"


@pytest.mark.parametrize("length", [5, 7])
def test_a_length_that_is_not_kept_is_an_error(length):
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
    with pytest.raises(TypeError, match="a lambda can hold them"):
        replayable(PLACE.method.__wrapped__)


# On the wire

ROWS = [b"one\n", b"two\n" * 50_000, b"three\n"]


@ResourceStreamFunction
def rows():
    yield from ROWS


def moved(status, place):
    return response(b"", f"Location: {place}", status=f"{status} Moved")


@pytest.mark.parametrize("status", [307, 308])
def test_S12_a_redirect_is_given_the_whole_again(status):
    with ScriptedServer.serving(response(b"thanks")) as second:
        with ScriptedServer.serving(moved(status, second.url("/there"))) as first:
            with Client(timeout=10) as client:
                assert client.post(first.url("/here"), rows()).body == b"thanks"
    for server, path in ((first, "/here"), (second, "/there")):
        assert server.request.startswith(f"POST {path} HTTP/1.1\r\n".encode())
        assert field(server.request, "host") == f"127.0.0.1:{server.port}"
        assert payload_of(server.request) == b"".join(ROWS)


def test_S12_a_redirect_before_the_end_is_given_the_whole_again():
    def script(peer):
        peer.read_head()
        peer.send(moved(307, second.url("/there")))
        peer.read_to_end()

    endless = ResourceStreamFunction(lambda: iter([b"x" * 65536] * 1000))
    with ScriptedServer.serving(response(b"thanks")) as second, ScriptedServer(script) as first:
        with Client(timeout=10) as client:
            assert client.post(first.url("/here"), endless()).body == b"thanks"
        assert len(payload_of(second.request)) == 65_536_000


def test_S12_a_plain_generator_is_not_sent_again_as_nothing():
    with ScriptedServer.serving(response(b"")) as second:
        with ScriptedServer.serving(moved(307, second.url())) as first, Client() as client:
            with pytest.raises(PayloadNotReplayable, match="307 Moved"):
                client.post(first.url(), rows.__wrapped__())
            assert len(first.requests) == 1
        assert second.connections == 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_function_that_has_run_dry_sends_no_second_request(whole):
    source = iter(ROWS * 20)
    stream = replayable(lambda: (item for item in source))

    def script(peer):
        if whole:
            peer.read_request()
        else:
            peer.read_head()
            peer.read_some()
        list(source)  # whoever else takes the rest
        peer.send(moved(307, second.url()))
        peer.read_to_end()

    with ScriptedServer(lambda peer: peer.read_to_end()) as second, ScriptedServer(script) as first:
        with Client(timeout=10) as client, pytest.raises(PayloadNotReplayable) as caught:
            client.post(first.url(), stream)
        second.join()
        assert second.wire == [b""]
        assert caught.value.sent == "nothing"


def test_a_connection_that_is_lost_is_followed_by_the_whole():
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


def test_S06_a_function_that_raises_sends_no_end_and_the_client_goes_on():
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
        assert body_of(server.wire[0]) == b"3\r\nabc\r\n"


def test_nothing_is_called_where_nothing_can_be_sent():
    CALLS.clear()
    with ScriptedServer(lambda peer: None) as server:
        pass
    with Client(timeout=10, max_tries=1) as client, pytest.raises(Error):
        client.put(server.url(), name(1, there=2))
    assert CALLS == []


def test_P13_two_threads_send_one_stream_at_once():
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


def test_an_error_that_has_it_pickles_without_its_arguments_secrets():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server, Client(timeout=10) as client:
        stream = replayable(functools.partial(list, [b"abc"]), 9)
        with pytest.raises(PayloadLengthError) as caught:
            client.post(server.url(), stream)
    again = pickle.loads(pickle.dumps(caught.value))
    assert repr(again.request.payload) == repr(stream)


def test_the_path_of_this_file_is_a_stream_like_any_other():
    stream = replayable(lambda: Path(__file__))
    assert sent(stream) == Path(__file__).read_bytes()
