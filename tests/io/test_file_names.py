"""Invisible characters in names of files."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.io.file_names import remove_invisible


def test_all_control_and_format_characters_are_removed():
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert remove_invisible(f"a{chr(point)}b") == "ab"


@pytest.mark.parametrize(
    "name",
    [
        "a b-c_d.txt",
        "bűn.txt",
        "例え.txt",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.pdf",  # a Persian word with a joiner
        "\U0001f469\u200d\U0001f467.png",
        "\u2764\ufe0f\u200d\U0001f525.png",
    ],
)
def test_visible_name_stays_unchanged(name):
    assert remove_invisible(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "\u200da",
        "a\u200d",
        "\u4f8b\u200d",
        "\u200c\u4f8b",
        "\u4f8b\u200d\u200d\u4f8b",
        "\u4f8b\u200d.",
    ],
)
def test_joiner_without_two_characters_to_join_is_removed(name):
    assert not set(remove_invisible(name)) & set("\u200c\u200d")


@pytest.mark.parametrize("blank", "\u3164\u115f\u1160\uffa0\u2800\u034f\u180e\u180f\u17b4")
def test_letters_and_symbols_without_a_form_are_removed(blank):
    assert remove_invisible(f"a{blank}b") == "ab"


@given(st.text(st.sampled_from("aé例\u200b\u200c\u200d\u3164\ufeff .")))
def test_visible_characters_stay_in_their_order(name):
    removed = "\u200b\u200c\u200d\u3164\ufeff"
    result = remove_invisible(name)
    assert [c for c in result if c not in removed] == [c for c in name if c not in removed]
    assert not set(result) & set("\u200b\u3164\ufeff")
