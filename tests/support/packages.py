"""Hide the packages that are faster than zlib, all or all except one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from restkit.content_encoding.decoding import import_optional

FASTER = {"isal": "isal.isal_zlib", "zlib_ng": "zlib_ng.zlib_ng"}


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Hide these modules."""
    with pytest.MonkeyPatch.context() as patch:
        for name in modules:
            patch.setitem(sys.modules, name, None)
        import_optional.cache_clear()
        yield
    import_optional.cache_clear()


@contextmanager
def with_only(package: str) -> Iterator[None]:
    """Hide every faster package except this one; skip the test if it is not installed."""
    if package in FASTER:
        pytest.importorskip(FASTER[package], exc_type=ImportError)
    with without(*(module for name, module in FASTER.items() if name != package)):
        yield
