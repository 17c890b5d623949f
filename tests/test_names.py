"""Names in an archive: the original's tables, its protocol, and no name twice whatever comes."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import PayloadError
from restkit.streaming import name_deduplicator_default
from restkit.streaming.names import reconstructed, unique_names
from support.growth import assert_linear

SEED_REGEX = re.compile("((?:.*/)?.*?)(?:~(\\d+))?(?:\\.(.*?))?")


def seed_reconstructor(path, index, extension):
    name_parts = [path]

    if index:
        name_parts.append("~")
        name_parts.append(str(index))

    if extension is not None:
        name_parts.append(".")
        name_parts.append(extension)

    return "".join(name_parts)


POSTFIX_REGEX = re.compile("((?:.*/)?.*?)(?:\\.(.*?))?")


def postfix_reconstructor(path, index, extension):
    name_parts = [path, "_", str(index).rjust(4, "0")]

    if extension is not None:
        name_parts.append(".")
        name_parts.append(extension)

    return "".join(name_parts)


def name_deduplicator_postfixed():
    name = yield

    for index in count():
        match = POSTFIX_REGEX.fullmatch(name)
        if match is None:
            path = name
            extension = None
        else:
            path, extension = match.groups()

        name = yield postfix_reconstructor(path, index, extension)


def by_default(names):
    return unique_names(names, name_deduplicator_default)


TABLES = [
    ("a, a, a", "a, a (1), a (2)"),
    ("a.txt, a.txt, a.txt", "a.txt, a (1).txt, a (2).txt"),
    ("a (1), a, a", "a (1), a, a (2)"),
    ("a (5), a (5), a (5)", "a (5), a, a (1)"),
    ("a, a (1), a, a", "a, a (1), a (2), a (3)"),
    ("a (2), a, a, a", "a (2), a, a (1), a (3)"),
    ("a, a (0)", "a, a (1)"),
    ("a (01), a (1)", "a (01), a"),
    ("archive.tar.gz, archive.tar.gz", "archive.tar.gz, archive (1).tar.gz"),
    ("a.b/c, a.b/c", "a.b/c, a.b/c (1)"),
    ("a.b/c.d, a.b/c.d", "a.b/c.d, a.b/c (1).d"),
    (".bashrc, .bashrc", ".bashrc,  (1).bashrc"),
    ("a, A", "a, A"),
    ("orin/miau.png, orin/miau.png", "orin/miau.png, orin/miau (1).png"),
]


@pytest.mark.parametrize(("names", "expected"), TABLES)
def test_S25_names_that_occur_twice_are_numbered_as_in_the_original(names, expected):
    assert by_default(names.split(", ")) == expected.split(", ")


def test_S25_a_number_that_would_make_a_name_that_is_taken_is_passed_over():
    names = ["a (1).txt", "a (1) (1).txt", "a (1) (1).txt", "a (1) (1).txt"]

    # The original gives the first name twice.
    assert by_default(names) == [*names[:2], "a (1) (2).txt", "a (1) (3).txt"]


def test_S27_the_seeds_tilde():
    names = [*"a.txt a.txt a~5.txt a~5.txt".split(), "a (1).txt", "a (1).txt"]
    expected = [*"a.txt a~1.txt a~5.txt a~2.txt".split(), "a (1).txt", "a (1)~1.txt"]

    deduplicator = name_deduplicator_default(SEED_REGEX, seed_reconstructor)

    assert unique_names(names, deduplicator) == expected


@pytest.mark.parametrize("make", [name_deduplicator_postfixed, name_deduplicator_postfixed()])
def test_S27_the_seeds_postfix_as_a_function_and_as_its_generator(make):
    names = unique_names(["sister.txt", "sister.txt"], make)

    assert names == ["sister_0000.txt", "sister_0001.txt"]


def test_S27_none_keeps_names_that_occur_twice():
    assert unique_names(["a", "a"], None) == ["a", "a"]


NAME = st.text(alphabet="ab (1)01./\n٣", max_size=8) | st.text(max_size=12)


@given(st.lists(NAME, max_size=40))
def test_names_are_unique_whatever_comes(names):
    unique = by_default(names)

    assert [name for name, times in Counter(unique).items() if times > 1] == []
    assert [new.endswith("/") for new in unique] == [old.endswith("/") for old in names]


@given(st.lists(st.sampled_from(["a", "a~1", "a~01", "a~1~1", "a~2", "a.b", "a~1.b"]), max_size=40))
def test_names_are_unique_by_another_regex_too(names):
    unique = unique_names(names, name_deduplicator_default(SEED_REGEX, seed_reconstructor))

    assert len(set(unique)) == len(names)


@given(st.lists(NAME, max_size=20))
def test_names_that_are_not_looked_into_are_those_that_would_stay_as_they_are(names):
    # The function may see that there is nothing to do; the generator is sent each name.
    one_by_one = unique_names(names, name_deduplicator_default())

    assert list(by_default(names)) == one_by_one


@given(st.lists(NAME, max_size=20, unique=True))
def test_plain_names_that_occur_once_stay_as_they_are(names):
    plain = [name for name in names if "(" not in name and "/" not in name]

    assert by_default(plain) == plain


def test_a_folder_keeps_its_slash_and_no_file_has_its_name():
    assert by_default(["a/", "a/", "a", "a/b"]) == ["a/", "a (1)/", "a (2)", "a/b"]


def test_an_index_of_thousands_of_digits_is_part_of_the_name():
    name = f"a ({'9' * 5000}).txt"

    assert by_default([name, name]) == [name, f"{name} (1)"]


def test_a_name_with_line_breaks_and_many_slashes_takes_no_time():
    name = "./" * 20_000 + "\n"

    assert by_default([name, name])[1] == name + " (1)"
    assert_linear(lambda name: by_default([name, name]), lambda size: "./" * size + "\n", 2000)


def test_many_equal_names_do_not_take_the_square_of_their_number():
    assert by_default(["a.txt"] * 5000)[-1] == "a (4999).txt"
    assert_linear(by_default, lambda count: ["a.txt"] * count, 1000)


def test_the_parts_are_put_together():
    assert reconstructed("a", 0, None) == "a"
    assert reconstructed("a", 2, "b.c") == "a (2).b.c"
    assert reconstructed("a", 0, "") == "a."


class Recorded:
    """A deduplicator that is no generator, and tells what was done to it."""

    def __init__(self, fails_at: object = "nothing") -> None:
        self.calls: list[object] = []
        self.fails_at = fails_at

    def send(self, name):
        self.calls.append(name)
        if name == self.fails_at:
            raise KeyError(name)
        return name

    def close(self):
        self.calls.append("closed")


def test_a_deduplicator_is_primed_sent_each_name_and_closed():
    recorded = Recorded()

    assert unique_names(["a", "b", "c/"], recorded) == ["a", "b", "c/"]
    assert recorded.calls == [None, "a", "b", "c", "closed"]


def test_what_a_deduplicator_raises_passes_through_and_it_is_closed():
    recorded = Recorded(fails_at="b")

    with pytest.raises(KeyError):
        unique_names(["a", "b", "c"], recorded)
    assert recorded.calls == [None, "a", "b", "closed"]


def test_a_deduplicator_that_was_used_says_what_would_do():
    used = name_deduplicator_postfixed()
    unique_names(["a"], used)

    with pytest.raises(PayloadError, match="a generator serves one archive; the function"):
        unique_names(["a"], used)


def test_a_deduplicator_that_ends_too_early_is_an_error():
    def once():
        name = yield
        yield name

    with pytest.raises(PayloadError, match="ended before the name 'b'"):
        unique_names(["a", "b"], once)


def test_a_deduplicator_that_gives_no_text_is_a_type_error():
    def numbers():
        yield
        yield from count()

    with pytest.raises(TypeError, match="gave int for 'a'; str is wanted"):
        unique_names(["a"], numbers)


def test_a_deduplicator_may_not_make_a_folder_of_a_file():
    def as_folders():
        name = yield
        while True:
            name = yield name + "/"

    with pytest.raises(PayloadError, match="gave 'a/' for 'a', which is no folder"):
        unique_names(["a"], as_folders)


def test_a_reconstructor_that_does_not_look_at_the_index_is_an_error_and_no_endless_loop():
    deduplicator = name_deduplicator_default(SEED_REGEX, lambda path, _index, _extension: path)

    with pytest.raises(PayloadError, match="gives names that are taken, such as 'a'"):
        unique_names(["a", "a"], deduplicator)
