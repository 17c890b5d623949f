"""restkit's plugin for pytest: the fixture ``restkit_server``.

It is a module beside the package, so that what loads every installed plugin loads nothing of
restkit: tests that do not use it pay nothing for it, and a measurement of coverage that begins
after the plugins sees restkit imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from restkit.testing import LocalServer


@pytest.fixture
def restkit_server() -> Iterator[LocalServer]:
    """A ``restkit.testing.LocalServer`` for this test: its ``app``, ``url`` and ``received``."""
    from restkit.testing import LocalServer

    with LocalServer() as server:
        yield server
