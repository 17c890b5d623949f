"""The targets of ``fuzz/``, without atheris: their kept inputs pass, and failures are reported.

Inputs that once failed are among them.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def import_fuzz():
    """Import the package ``fuzz`` of the checkout, whose folder is not on sys.path."""
    init = ROOT / "fuzz" / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "fuzz", init, submodule_search_locations=[str(init.parent)]
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)


import_fuzz()

import fuzz.target  # noqa: E402
from fuzz.report import Reporter  # noqa: E402
from fuzz.target import CORPORA, Mismatch, read_corpus  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402
from support.differences import cookies, decoders, find_rows, forms, urls  # noqa: E402

TABLES = {"decoders": decoders, "urls": urls, "cookies": cookies, "forms_read": forms}


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_pass(name):
    target = TARGETS[name]
    inputs = [*target.seeds, *read_corpus(name)]
    assert inputs
    for data in inputs:
        target.check(data)


@pytest.mark.parametrize("name", TABLES)
def test_every_listed_difference_is_needed_by_a_kept_input(name, monkeypatch):
    needed = set()

    def find_and_note(table, data, parser, ours, theirs):
        rows = [*find_rows(table, data, parser, ours, theirs)]
        needed.update((parser, row) for row in rows)
        return iter(rows)

    monkeypatch.setattr(fuzz.target, "find_rows", find_and_note)
    for data in [*TARGETS[name].seeds, *read_corpus(name)]:
        TARGETS[name].check(data)
    listed = {(parser, row) for row in TABLES[name].DIFFERENCES for parser in row.parsers.split()}
    assert listed - needed == set()


def test_each_corpus_belongs_to_a_target():
    assert {path.stem for path in CORPORA.glob("*.txt")} <= set(TARGETS)


def test_failure_is_reported_with_the_command_that_repeats_it(capsys):
    def check(data):
        raise Mismatch("other bytes", f"{data!r}, not b''")

    reporter = Reporter("decoders", check, keep_going=True)
    reporter(b"gzip \xff")
    reporter(b"gzip \xfe")  # of the same kind
    assert capsys.readouterr().err == (
        "\ndecoders fails: Mismatch: other bytes\nb'gzip \\xff', not b''\n"
        "input: b'gzip \\xff'\n"
        "to repeat: make fuzz FUZZ_TARGETS=decoders FUZZ_INPUT=Z3ppcCD/\n"
    )


def test_failure_ends_a_run_that_does_not_go_on():
    def check(data):
        raise Mismatch("other bytes", "")

    with pytest.raises(Mismatch):
        Reporter("decoders", check, keep_going=False)(b"")


def test_command_checks_one_input_again():
    command = [sys.executable, "-m", "fuzz", "urls", "--input", "aHR0cDovL2hvc3Q="]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "urls: the input passes\n"


def test_makefile_passes_the_variables_that_failures_name():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\((FUZZ_[A-Z]+)\)", makefile)) >= {"FUZZ_TARGETS", "FUZZ_INPUT"}
