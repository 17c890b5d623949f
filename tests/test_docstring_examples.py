"""Run the examples in the docstrings of every module of restkit."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import restkit

# Modules that configure a program as soon as they are imported.
NOT_IMPORTED = {"restkit.server.on_gunicorn"}

MODULES = [
    module.name
    for module in pkgutil.walk_packages(restkit.__path__, "restkit.")
    if module.name not in NOT_IMPORTED
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "name", ["request", "get", "Client", "HttpResponse", "Timeout", "Payload", "Headers", "Error"]
)
def test_public_object_has_an_example(name):
    examples = doctest.DocTestFinder(recurse=False).find(getattr(restkit, name))
    assert any(test.examples for test in examples)
