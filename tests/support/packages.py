"""The packages that are faster than zlib: each of them alone, and none of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from restkit.content_encoding import compressors

FASTER = {"isal": "isal.isal_zlib", "zlib_ng": "zlib_ng.zlib_ng"}


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """As where these are not installed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in modules:
            patch.setitem(sys.modules, name, None)
        compressors._installed.cache_clear()
        yield
    compressors._installed.cache_clear()


@contextmanager
def with_only(package: str) -> Iterator[None]:
    """As where no faster package is installed but this one; skipped where that is not there."""
    if package in FASTER:
        pytest.importorskip(FASTER[package], exc_type=ImportError)
    with without(*(module for name, module in FASTER.items() if name != package)):
        yield
