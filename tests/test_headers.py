"""Headers: order, case, several values, names and values that cannot be sent, hidden secrets."""

from __future__ import annotations

import copy
import pickle
from email.message import Message
from enum import Enum, IntEnum
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Headers, InvalidHeader
from restkit.headers import field_fault

pytestmark = pytest.mark.smoke

COOKIES = [("Set-Cookie", "a=1"), ("X", "0"), ("set-cookie", "b=2, c")]


def test_name_matches_in_any_case_and_keeps_its_own():
    headers = Headers({"Content-TYPE": "text/plain"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "text/plain"
    assert "Content-Type" in headers
    assert list(headers) == ["Content-TYPE"]
    assert headers.pairs() == [("Content-TYPE", "text/plain")]


def test_several_values_of_a_name_can_be_read_joined_or_one_by_one():
    headers = Headers([("Accept", "text/plain"), ("X", "1"), ("accept", "text/html")])
    assert headers["accept"] == "text/plain, text/html"
    assert headers.get_all("ACCEPT") == ["text/plain", "text/html"]
    assert headers.get_all("missing") == []
    assert (len(headers), list(headers)) == (2, ["Accept", "X"])
    assert dict(headers) == {"Accept": "text/plain, text/html", "X": "1"}


def test_cookies_are_never_joined():
    headers = Headers(COOKIES)
    assert headers["Set-Cookie"] == "a=1"
    assert headers.get_all("set-cookie") == ["a=1", "b=2, c"]


def test_C14_missing_name_is_a_key_error_or_none():
    headers = Headers()
    with pytest.raises(KeyError, match="missing"):
        headers["missing"]
    with pytest.raises(KeyError, match="missing"):
        del headers["missing"]
    assert headers.get("missing") is None
    assert headers.pop("missing", None) is None
    assert 5 not in headers
    assert not headers


def test_setting_replaces_every_value_at_the_place_of_the_first():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")])
    headers["A"] = "new"
    assert headers.pairs() == [("A", "new"), ("B", "2"), ("C", "4")]
    headers["d"] = 5
    assert headers.pairs()[-1] == ("d", "5")
    del headers["b"]
    assert headers.pairs() == [("A", "new"), ("C", "4"), ("d", "5")]


def test_add_appends_a_field():
    headers = Headers([("A", "1"), ("B", "2")])
    headers.add("a", "3")
    assert headers.pairs() == [("A", "1"), ("B", "2"), ("a", "3")]


def test_copy_is_independent():
    headers = Headers(COOKIES)
    for other in (headers.copy(), copy.copy(headers), copy.deepcopy(headers), Headers(headers)):
        assert other == headers
        other["X"] = "9"
        other.add("Y", "1")
    assert headers.pairs() == COOKIES


def test_pickle_keeps_every_field():
    assert pickle.loads(pickle.dumps(Headers(COOKIES))).pairs() == COOKIES


def test_equality_ignores_case_and_the_order_of_different_names():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers == Headers([("b", "2"), ("A", "1"), ("a", "3")])
    assert headers != Headers([("A", "3"), ("B", "2"), ("A", "1")])
    assert headers != Headers([("A", "1, 3"), ("B", "2")])
    assert Headers({"A": "1", "B": "2"}) == {"b": "2", "a": "1"}
    assert Headers({"A": "1"}) != {"A": "1", "B": "2"}
    assert Headers({"A": "1"}) != [("A", "1")]


def test_mapping_that_cannot_be_headers_is_unequal():
    assert Headers({"A": "1"}) != {1: 2}
    assert Headers({"A": "1"}) != {"A": "1\r\n"}


def test_headers_are_unhashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Headers())


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("text", "text"),
        (" \t padded\t ", "padded"),
        ("", ""),
        ("a\tb", "a\tb"),
        (b"raw \xfc", "raw ü"),
        ("ü", "ü"),
        (12, "12"),
        (0, "0"),
    ],
)
def test_value_may_be_str_bytes_or_int(value, stored):
    assert Headers({"X": value})["x"] == stored


class Name(str, Enum):
    """An enum whose ``str()`` of a member is not the value."""

    GIVEN = "X-Name"
    __str__ = Enum.__str__


class Number(IntEnum):
    SEVEN = 7


class LyingStr(str):
    __slots__ = ()

    def __str__(self):
        return "a\r\nX: y"

    def strip(self, *_):
        return str(self)


class LyingInt(int):
    def __str__(self):
        return "1\r\nX: y"

    __repr__ = __str__


class LyingBytes(bytes):
    def decode(self, *_):
        return LyingStr("x")


def test_W16_subclasses_are_sent_as_the_value_of_the_base_type():
    headers = Headers(
        [(Name.GIVEN, Name.GIVEN), (LyingStr("a"), LyingStr("b")), ("n", LyingInt(5))]
    )
    headers["e"] = Number.SEVEN
    headers[LyingStr("s")] = HTTPStatus.OK
    headers.add("b", LyingBytes(b"bytes"))
    expected = [
        ("X-Name", "X-Name"),
        ("a", "b"),
        ("n", "5"),
        ("e", "7"),
        ("s", "200"),
        ("b", "bytes"),
    ]
    assert headers.pairs() == expected
    assert headers.lines() == "".join(f"{name}: {value}\r\n" for name, value in expected)
    assert {type(text) for pair in headers.pairs() for text in pair} == {str}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("a\r\nX: y", "has CR at 1"),
        ("a\nX: y", "has LF at 1"),
        ("a\r", "has CR at 1"),
        ("\0", "has NUL at 0"),
        (b"a\nb", "has LF at 1"),
        ("1 €", "has '€' at 2.*X-Test\\*=UTF-8''.*RFC 8187"),
        ("\udc80", "has '.udc80' at 0"),
        (1.5, "got float"),
        (True, "got bool"),
        (None, "got NoneType"),
        (["a"], "got list"),
        (bytearray(b"a"), "got bytearray"),
    ],
)
def test_W16_value_that_is_not_one_line_of_latin_1_raises(value, fault):
    for change in (
        lambda: Headers({"X-Test": value}),
        lambda: Headers([("X-Test", value)]),
        lambda: Headers().add("X-Test", value),
        lambda: Headers().__setitem__("X-Test", value),
    ):
        with pytest.raises(InvalidHeader, match=f"^the value of X-Test.*{fault}"):
            change()


def test_name_may_be_bytes():
    headers = Headers({b"X-A": b"1"})
    headers.add(b"x-a", "2")
    headers[b"Y"] = b"3"
    assert headers.pairs() == [("X-A", "1"), ("x-a", "2"), ("Y", "3")]


@pytest.mark.parametrize("name", ["X-A", b"X-A", "x-a", b"x-a"])
def test_name_given_as_bytes_is_the_same_as_one_given_as_str(name):
    headers = Headers([("X-A", "1"), ("x-a", "2"), ("Y", "3")])
    assert name in headers
    assert (headers[name], headers.get(name), headers.get(name, "none")) == ("1, 2",) * 3
    assert headers.get_all(name) == ["1", "2"]
    assert headers.setdefault(name, "4") == "1, 2"
    assert headers.pop(name) == "1, 2"
    assert headers.pop(name, 5) == headers.get(name, 5) == 5
    assert headers.pairs() == [("Y", "3")]
    assert headers.setdefault(name, b"6") == "6"
    headers.update({name: b"7"})
    assert headers[name] == "7"
    del headers[name]
    assert headers.pairs() == [("Y", "3")]
    for missing in (headers.__getitem__, headers.__delitem__, headers.pop):
        with pytest.raises(KeyError):
            missing(name)


@pytest.mark.parametrize("name", ["Set-Cookie", b"set-cookie"])
def test_cookies_are_not_joined_under_a_name_of_bytes(name):
    assert Headers(COOKIES)[name] == "a=1"


def test_setdefault_of_a_missing_name_needs_a_value_and_adds_one_field():
    headers = Headers({"A": "1"})
    with pytest.raises(InvalidHeader, match="the value of B must be str, bytes or int"):
        headers.setdefault("B")
    assert headers.setdefault("B", 2) == "2"
    assert headers.pairs() == [("A", "1"), ("B", "2")]


def test_fields_may_be_of_any_object_that_has_items():
    message = Message()
    message["A"] = "1"
    message["a"] = "2"
    assert Headers(message).pairs() == [("A", "1"), ("a", "2")]


@pytest.mark.parametrize(
    "name", ["", " ", "A B", "A:", "A\r\n", "ü", "A\0", "\nA", b"A B", b"A\n", b"\xfc", b"", 1]
)
def test_W16_name_that_is_not_a_token_raises(name):
    for change in (lambda: Headers([(name, "x")]), lambda: Headers().__setitem__(name, "x")):
        with pytest.raises(InvalidHeader, match="a header name must be made of letters"):
            change()


@given(st.text(max_size=3), st.text(max_size=3))
def test_W16_a_fault_is_reported_exactly_for_the_fields_that_headers_reject(name, value):
    fault = field_fault(name, value)
    if fault is None:
        assert Headers([(name, value)]).pairs() == [(name, value.strip(" \t"))]
    else:
        with pytest.raises(InvalidHeader) as caught:
            Headers([(name, value)])
        assert str(caught.value) == fault


def test_failed_change_leaves_the_fields_unchanged():
    headers = Headers({"A": "1"})
    for change in (
        lambda: headers.add("B", "\n"),
        lambda: headers.__setitem__("A", "\n"),
        lambda: headers.__setitem__("A\n", "x"),
    ):
        with pytest.raises(InvalidHeader):
            change()
    assert headers.pairs() == [("A", "1")]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "COOKIE",
        "Set-Cookie",
        "X-Api-Key",
        "apikey",
        "X-AUTH-TOKEN",
        "X-Session-Id",
        "Client-Secret",
    ],
)
def test_repr_hides_credentials(name):
    headers = Headers([("X", "1"), (name, "Basic hunter2")])
    assert "hunter2" not in repr(headers)
    assert f"('X', '1'), ('{name}', '...')" in repr(headers)
    assert headers[name] == "Basic hunter2"


@pytest.mark.parametrize(
    "name", ["WWW-Authenticate", "Authentication-Info", "Content-Type", "Author", "ETag", "Allow"]
)
def test_repr_shows_other_values(name):
    assert repr(Headers([(name, "value")])) == f"Headers([('{name}', 'value')])"


NAMES = st.sampled_from(["a", "A", "b", "Set-Cookie", "set-cookie"])
VALUES = st.text("xyz ,", max_size=3)
STEPS = st.tuples(st.sampled_from(["add", "set", "delete"]), NAMES, VALUES)


@given(st.lists(STEPS))
def test_changes_in_any_order_match_a_list_of_pairs(steps):
    headers, model = Headers(), []
    for verb, name, value in steps:
        places = [index for index, (key, _) in enumerate(model) if key.lower() == name.lower()]
        if verb == "add" or (verb == "set" and not places):
            model.append((name, value.strip()))
        elif verb == "set":
            model[places[0]] = (name, value.strip())
            model = [pair for index, pair in enumerate(model) if index not in places[1:]]
        else:
            model = [pair for index, pair in enumerate(model) if index not in places]
        if verb == "add":
            headers.add(name, value)
        elif verb == "set":
            headers[name] = value
        else:
            headers.pop(name, None)
        assert headers.pairs() == model
    assert len(headers) == len({name.lower() for name, _ in model})
    for name in ("a", "b", "set-cookie"):
        assert headers.get_all(name) == [value for key, value in model if key.lower() == name]
        assert (name in headers) == bool(headers.get_all(name))
