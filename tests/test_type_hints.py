"""``typing.get_type_hints`` works on every public name, without a package for type checkers."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator

import pytest
from test_public_api import MODULES, public_names

import restkit

pytestmark = pytest.mark.smoke


def functions_of(value: object) -> Iterator[Callable[..., object]]:
    """Return a function, or the public methods and properties of a class."""
    if inspect.isfunction(value):
        yield value
    for kind in value.__mro__ if inspect.isclass(value) else ():
        for name, member in vars(kind).items():
            if kind.__module__.startswith("restkit") and (name == "__init__" or name[0] != "_"):
                found = getattr(member, "fget", None) or getattr(member, "__func__", member)
                if inspect.isfunction(found):
                    yield found


PUBLIC = [
    pytest.param(getattr(importlib.import_module(module), name), id=f"{module}.{name}")
    for module in MODULES
    for name in public_names(importlib.import_module(module))
]


@pytest.mark.parametrize("value", PUBLIC)
def test_get_type_hints_works_on_every_public_name(value):
    for function in functions_of(value):
        assert typing.get_type_hints(function) or not function.__annotations__
    if inspect.isclass(value):
        typing.get_type_hints(value)


def test_get_type_hints_of_the_typed_dicts_names_every_option():
    for kind in (restkit.RequestOptions, restkit.ClientOptions):
        hints = typing.get_type_hints(kind)
        assert {"timeout", "auth", "compress", "min_tls", "replay", "headers", "params"} <= set(
            hints
        )
    compress = typing.get_type_hints(restkit.RequestOptions)["compress"]
    assert set(typing.get_args(compress)) == {
        typing.Literal["gzip", "deflate", "zstd"],
        type(None),
    }


def test_annotations_import_nothing_for_a_type_checker():
    program = (
        "import sys, typing, restkit\n"
        "typing.get_type_hints(restkit.get), typing.get_type_hints(restkit.ClientOptions)\n"
        "print({'urllib3', 'typing_extensions', 'http.cookiejar'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
