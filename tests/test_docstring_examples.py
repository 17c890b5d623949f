"""Run the examples in the docstrings of these packages and modules."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = [
    "restkit.auth",
    "restkit.content_digest",
    "restkit.content_encoding",
    "restkit.cookies",
    "restkit.forms",
    "restkit.io",
    "restkit.url",
    "restkit.zip",
]
MODULES = ["restkit.headers", "restkit.log", "restkit.redaction", "restkit.timeouts"]


def list_modules():
    yield from MODULES
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        yield from (module.name for module in pkgutil.iter_modules(folder, f"{package}."))


@pytest.mark.parametrize("name", [*list_modules()])
def test_docstring_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
