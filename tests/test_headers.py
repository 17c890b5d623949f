"""Header fields: order, case, several values, what cannot go on the wire, and what is not shown."""

from __future__ import annotations

import copy
import pickle
from enum import Enum, IntEnum
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Headers, InvalidHeader

pytestmark = pytest.mark.smoke

COOKIES = [("Set-Cookie", "a=1"), ("X", "0"), ("set-cookie", "b=2, c")]


def test_a_name_is_found_in_any_case_and_kept_as_it_was_written():
    headers = Headers({"Content-TYPE": "text/plain"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "text/plain"
    assert "Content-Type" in headers
    assert list(headers) == ["Content-TYPE"]
    assert headers.pairs() == [("Content-TYPE", "text/plain")]


def test_several_values_of_a_name_are_joined_and_kept_apart():
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


def test_C14_a_missing_name_is_a_key_error_or_none():
    headers = Headers()
    with pytest.raises(KeyError, match="missing"):
        headers["missing"]
    with pytest.raises(KeyError, match="missing"):
        del headers["missing"]
    assert headers.get("missing") is None
    assert headers.pop("missing", None) is None
    assert 5 not in headers
    assert not headers


def test_setting_replaces_every_value_in_the_place_of_the_first():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")])
    headers["A"] = "new"
    assert headers.pairs() == [("A", "new"), ("B", "2"), ("C", "4")]
    headers["d"] = 5
    assert headers.pairs()[-1] == ("d", "5")
    del headers["b"]
    assert headers.pairs() == [("A", "new"), ("C", "4"), ("d", "5")]


def test_adding_puts_one_more_at_the_end():
    headers = Headers([("A", "1"), ("B", "2")])
    headers.add("a", "3")
    assert headers.pairs() == [("A", "1"), ("B", "2"), ("a", "3")]


def test_a_copy_is_free_to_change():
    headers = Headers(COOKIES)
    for other in (headers.copy(), copy.copy(headers), copy.deepcopy(headers), Headers(headers)):
        assert other == headers
        other["X"] = "9"
        other.add("Y", "1")
    assert headers.pairs() == COOKIES


def test_a_pickle_keeps_every_field():
    assert pickle.loads(pickle.dumps(Headers(COOKIES))).pairs() == COOKIES


def test_equal_are_the_same_fields_whatever_their_case_and_the_order_of_their_names():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers == Headers([("b", "2"), ("A", "1"), ("a", "3")])
    assert headers != Headers([("A", "3"), ("B", "2"), ("A", "1")])
    assert headers != Headers([("A", "1, 3"), ("B", "2")])
    assert Headers({"A": "1", "B": "2"}) == {"b": "2", "a": "1"}
    assert Headers({"A": "1"}) != {"A": "1", "B": "2"}
    assert Headers({"A": "1"}) != [("A", "1")]


def test_what_cannot_be_headers_at_all_is_only_unequal():
    assert Headers({"A": "1"}) != {1: 2}
    assert Headers({"A": "1"}) != {"A": "1\r\n"}


def test_headers_have_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Headers())


@pytest.mark.parametrize(
    ("value", "kept"),
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
def test_a_value_is_text_bytes_or_a_whole_number(value, kept):
    assert Headers({"X": value})["x"] == kept


class Name(str, Enum):
    """Of a member, ``str()`` is the name of the member."""

    GIVEN = "X-Name"
    __str__ = Enum.__str__


class Number(IntEnum):
    SEVEN = 7


class Sly(str):
    __slots__ = ()

    def __str__(self):
        return "a\r\nX: y"

    def strip(self, *_):
        return str(self)


class SlyNumber(int):
    def __str__(self):
        return "1\r\nX: y"

    __repr__ = __str__


class SlyBytes(bytes):
    def decode(self, *_):
        return Sly("x")


def test_W16_a_name_or_value_of_a_subclass_goes_out_as_what_it_holds():
    headers = Headers([(Name.GIVEN, Name.GIVEN), (Sly("a"), Sly("b")), ("n", SlyNumber(5))])
    headers["e"] = Number.SEVEN
    headers[Sly("s")] = HTTPStatus.OK
    headers.add("b", SlyBytes(b"bytes"))
    said = [("X-Name", "X-Name"), ("a", "b"), ("n", "5"), ("e", "7"), ("s", "200"), ("b", "bytes")]
    assert headers.pairs() == said
    assert headers.lines() == "".join(f"{name}: {value}\r\n" for name, value in said)
    assert {type(text) for pair in headers.pairs() for text in pair} == {str}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("a\r\nX: y", "has a CR at 1"),
        ("a\nX: y", "has a LF at 1"),
        ("a\r", "has a CR at 1"),
        ("\0", "has a NUL at 0"),
        (b"a\nb", "has a LF at 1"),
        ("1 €", "has '€' at 2.*RFC 8187.*X-Test\\*=UTF-8''"),
        ("\udc80", "has '.udc80' at 0"),
        (1.5, "of type float"),
        (True, "of type bool"),
        (None, "of type NoneType"),
        (["a"], "of type list"),
        (bytearray(b"a"), "of type bytearray"),
    ],
)
def test_W16_a_value_that_cannot_be_one_line_of_latin_1_is_refused(value, fault):
    for put in (
        lambda: Headers({"X-Test": value}),
        lambda: Headers([("X-Test", value)]),
        lambda: Headers().add("X-Test", value),
        lambda: Headers().__setitem__("X-Test", value),
    ):
        with pytest.raises(InvalidHeader, match=f"^the value of X-Test.*{fault}"):
            put()


@pytest.mark.parametrize("name", ["", " ", "A B", "A:", "A\r\n", "ü", "A\0", "\nA", b"A", 1, None])
def test_W16_a_name_that_is_no_token_is_refused(name):
    for put in (lambda: Headers([(name, "x")]), lambda: Headers().__setitem__(name, "x")):
        with pytest.raises(InvalidHeader, match="is no header name"):
            put()


def test_what_is_refused_changes_nothing():
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
def test_credentials_are_not_shown(name):
    headers = Headers([("X", "1"), (name, "Basic hunter2")])
    assert "hunter2" not in repr(headers)
    assert f"('X', '1'), ('{name}', '...')" in repr(headers)
    assert headers[name] == "Basic hunter2"


@pytest.mark.parametrize(
    "name", ["WWW-Authenticate", "Authentication-Info", "Content-Type", "Author", "ETag", "Allow"]
)
def test_what_looks_like_no_credential_is_shown(name):
    assert repr(Headers([(name, "value")])) == f"Headers([('{name}', 'value')])"


NAMES = st.sampled_from(["a", "A", "b", "Set-Cookie", "set-cookie"])
VALUES = st.text("xyz ,", max_size=3)
STEPS = st.tuples(st.sampled_from(["add", "set", "delete"]), NAMES, VALUES)


@given(st.lists(STEPS))
def test_any_order_of_changes_is_that_of_a_list_of_pairs(steps):
    headers, model = Headers(), []
    for verb, name, value in steps:
        places = [at for at, (key, _) in enumerate(model) if key.lower() == name.lower()]
        if verb == "add" or (verb == "set" and not places):
            model.append((name, value.strip()))
        elif verb == "set":
            model[places[0]] = (name, value.strip())
            model = [pair for at, pair in enumerate(model) if at not in places[1:]]
        else:
            model = [pair for at, pair in enumerate(model) if at not in places]
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
