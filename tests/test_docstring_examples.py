"""Run the examples in the docstrings of these packages and modules."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = [
    "restkit.body",
    "restkit.content_digest",
    "restkit.content_encoding",
    "restkit.forms",
    "restkit.payload",
    "restkit.zip",
]
MODULES = ["restkit.progress"]


def list_modules():
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        yield from (module.name for module in pkgutil.iter_modules(folder, f"{package}."))


@pytest.mark.parametrize("name", [*list_modules(), *MODULES])
def test_docstring_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
