"""The words of restkit: docstrings, comments, messages and names in plain technical English.

The rules that a program can check; a reader checks the rest. Prose begins with a verb or with the
name of a thing, uses one word for one thing, and has no idioms; functions are verbs.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    *sorted(ROOT.joinpath("restkit").rglob("*.py")),
    *sorted(ROOT.joinpath("examples").rglob("*.py")),
    ROOT / "_restkit_pytest.py",
]
PAGES = [*sorted(ROOT.joinpath("docs").glob("*.rst")), ROOT / "README.rst"]

# A document's program, letter for letter.
QUOTED = {"client_plain.py"}

FIRST_WORDS = re.compile(
    r"(What|Who|Whose|Whatever|Whoever|Where|Which|How|So many|Nothing|Of|Once|One who|That)\b"
)
BANNED = re.compile(
    r"\b(is|are) wanted\b"
    r"|\blets? go\b|\bletting go\b"
    r"|\b(is seen|sees) to\b"
    r"|\b(of|for|by|to|from|beside|behind|with) (who|whom|whoever)\b"
    r"|\bso many\b|\bnothing but\b|\bbut for\b"
    r"|\bbeside (that|this|it|them)\b"
    r"|\bon (its|the) way\b"
    r"|\bthe other end\b|\bat rest\b"
    r"|\b(judges?|judged|whoever|whosoever|hitherto|thereof|wherein|whereof|thereby|anew)\b"
    r"|\btakes and gives\b|\bgives and takes\b",
    re.IGNORECASE,
)
# Articles, participles and clauses are no names of functions.
BAD_NAMES = re.compile(
    r"^_?(a|an|the|perhaps|asked|told|shown|masked|judged?|kept|gone|said)(_|$)"
    r"|_(is|are|was|were|says|said|wants|wanted)$"
    r"|^_?(as_the|as_wanted|who|what|whose)_"
)


def texts_in(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the kind and the text of each docstring, message and comment."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, "docstring", docstring
        elif isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, "message", part.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], "comment", token.string


def show(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=show)
def test_prose_of_a_file_is_plain(path):
    wrong = [
        f"line {line}: {kind}: {found[0]!r}"
        for line, kind, text in texts_in(path)
        if (found := BANNED.search(text))
        or (kind == "docstring" and (found := FIRST_WORDS.match(text)))
    ]
    assert path.name in QUOTED or not wrong


@pytest.mark.parametrize("path", FILES, ids=show)
def test_functions_are_named_by_verbs(path):
    wrong = [
        f"line {node.lineno}: {node.name}"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef) and BAD_NAMES.search(node.name)
    ]
    assert not wrong


@pytest.mark.parametrize("path", PAGES, ids=show)
def test_prose_of_a_page_is_plain(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    wrong = [
        f"line {n}: {found[0]!r}"
        for n, line in enumerate(lines, 1)
        if (found := BANNED.search(line))
    ]
    assert not wrong
