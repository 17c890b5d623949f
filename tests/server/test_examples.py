"""The examples in the docstrings of the server run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = [
    "app",
    "blueprints",
    "environ",
    "exceptions",
    "file_response",
    "forms",
    "request_stream",
    "response",
    "responses",
    "routing",
    "uploads",
    "views",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    results = doctest.testmod(import_module(f"restkit.server.{name}"))
    assert results.failed == 0
    assert results.attempted > 0
