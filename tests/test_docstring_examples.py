"""Run the examples in the docstrings of these packages."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = [
    "restkit.content_digest",
    "restkit.content_encoding",
    "restkit.forms",
    "restkit.zip",
]


def list_modules():
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        yield from (module.name for module in pkgutil.iter_modules(folder, f"{package}."))


@pytest.mark.parametrize("name", [*list_modules()])
def test_docstring_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
