"""Names in an archive: the tables and the protocol of restkit 4, and no duplicates."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import PayloadError
from restkit.streaming import name_deduplicator_default
from restkit.zip.names import numbered_name, unique_names
from support.growth import assert_linear

TILDE_REGEX = re.compile("((?:.*/)?.*?)(?:~(\\d+))?(?:\\.(.*?))?")


def tilde_reconstructor(path, index, extension):
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


def deduplicate(names):
    return unique_names(names, name_deduplicator_default)


DEFAULT_NAMES = [
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


@pytest.mark.parametrize(("names", "expected"), DEFAULT_NAMES)
def test_S25_duplicate_names_are_numbered_as_in_restkit_4(names, expected):
    assert deduplicate(names.split(", ")) == expected.split(", ")


def test_S25_index_that_gives_a_used_name_is_skipped():
    names = ["a (1).txt", "a (1) (1).txt", "a (1) (1).txt", "a (1) (1).txt"]

    # restkit 4 gives the first name twice.
    assert deduplicate(names) == [*names[:2], "a (1) (2).txt", "a (1) (3).txt"]


def test_S27_own_regex_and_reconstructor_with_a_tilde():
    names = [*"a.txt a.txt a~5.txt a~5.txt".split(), "a (1).txt", "a (1).txt"]
    expected = [*"a.txt a~1.txt a~5.txt a~2.txt".split(), "a (1).txt", "a (1)~1.txt"]

    deduplicator = name_deduplicator_default(TILDE_REGEX, tilde_reconstructor)

    assert unique_names(names, deduplicator) == expected


@pytest.mark.parametrize("make", [name_deduplicator_postfixed, name_deduplicator_postfixed()])
def test_S27_own_deduplicator_as_function_and_as_generator(make):
    names = unique_names(["sister.txt", "sister.txt"], make)

    assert names == ["sister_0000.txt", "sister_0001.txt"]


def test_S27_none_keeps_duplicate_names():
    assert unique_names(["a", "a"], None) == ["a", "a"]


NAME = st.text(alphabet="ab (1)01./\n٣", max_size=8) | st.text(max_size=12)


@given(st.lists(NAME, max_size=40))
def test_any_names_become_unique(names):
    unique = deduplicate(names)

    assert [name for name, times in Counter(unique).items() if times > 1] == []
    assert [new.endswith("/") for new in unique] == [old.endswith("/") for old in names]


@given(st.lists(st.sampled_from(["a", "a~1", "a~01", "a~1~1", "a~2", "a.b", "a~1.b"]), max_size=40))
def test_any_names_become_unique_with_another_regex(names):
    unique = unique_names(names, name_deduplicator_default(TILDE_REGEX, tilde_reconstructor))

    assert len(set(unique)) == len(names)


@given(st.lists(NAME, max_size=20))
def test_shortcut_for_plain_names_gives_the_same_names(names):
    # For the function, plain names take a shortcut; the generator is sent each name.
    one_by_one = unique_names(names, name_deduplicator_default())

    assert list(deduplicate(names)) == one_by_one


@given(st.lists(NAME, max_size=20, unique=True))
def test_unique_plain_names_are_kept(names):
    plain = [name for name in names if "(" not in name and "/" not in name]

    assert deduplicate(plain) == plain


def test_folder_keeps_its_slash_and_no_file_gets_its_name():
    assert deduplicate(["a/", "a/", "a", "a/b"]) == ["a/", "a (1)/", "a (2)", "a/b"]


def test_index_of_thousands_of_digits_is_part_of_the_name():
    name = f"a ({'9' * 5000}).txt"

    assert deduplicate([name, name]) == [name, f"{name} (1)"]


def test_name_with_line_breaks_and_many_slashes_is_fast():
    name = "./" * 20_000 + "\n"

    assert deduplicate([name, name])[1] == name + " (1)"
    assert_linear(lambda name: deduplicate([name, name]), lambda size: "./" * size + "\n", 2000)


def test_many_equal_names_take_linear_time():
    assert deduplicate(["a.txt"] * 5000)[-1] == "a (4999).txt"
    assert_linear(deduplicate, lambda count: ["a.txt"] * count, 1000)


def test_numbered_name_joins_the_parts():
    assert numbered_name("a", 0, None) == "a"
    assert numbered_name("a", 2, "b.c") == "a (2).b.c"
    assert numbered_name("a", 0, "") == "a."


class RecordingDeduplicator:
    """A deduplicator that is no generator, and records its calls."""

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


def test_deduplicator_is_started_sent_each_name_and_closed():
    recorded = RecordingDeduplicator()

    assert unique_names(["a", "b", "c/"], recorded) == ["a", "b", "c/"]
    assert recorded.calls == [None, "a", "b", "c", "closed"]


def test_error_of_a_deduplicator_passes_through_and_it_is_closed():
    recorded = RecordingDeduplicator(fails_at="b")

    with pytest.raises(KeyError):
        unique_names(["a", "b", "c"], recorded)
    assert recorded.calls == [None, "a", "b", "closed"]


def test_used_deduplicator_raises_and_suggests_its_function():
    used = name_deduplicator_postfixed()
    unique_names(["a"], used)

    with pytest.raises(PayloadError, match="a generator serves one archive; pass the function"):
        unique_names(["a"], used)


def test_deduplicator_that_ends_too_early_raises():
    def once():
        name = yield
        yield name

    with pytest.raises(PayloadError, match="ended before the name 'b'"):
        unique_names(["a", "b"], once)


def test_deduplicator_that_yields_no_str_raises_type_error():
    def numbers():
        yield
        yield from count()

    with pytest.raises(TypeError, match="must yield str; got int for 'a'"):
        unique_names(["a"], numbers)


def test_deduplicator_that_makes_a_folder_of_a_file_raises():
    def as_folders():
        name = yield
        while True:
            name = yield name + "/"

    with pytest.raises(PayloadError, match="returned 'a/' for 'a': a slash at the end"):
        unique_names(["a"], as_folders)


def test_reconstructor_that_ignores_the_index_raises_and_does_not_loop():
    deduplicator = name_deduplicator_default(TILDE_REGEX, lambda path, _index, _extension: path)

    with pytest.raises(PayloadError, match="names that are used already, such as 'a'"):
        unique_names(["a", "a"], deduplicator)
