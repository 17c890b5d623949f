"""Run the examples in the docstrings of payloads, bodies and progress."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "restkit.body.files",
    "restkit.payload.base",
    "restkit.payload.convert",
    "restkit.payload.files",
    "restkit.payload.replay",
    "restkit.payload.spooled",
    "restkit.payload.values",
    "restkit.progress",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name):
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted
    assert not outcome.failed
