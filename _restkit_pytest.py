"""The pytest plugin of restkit: the fixture ``restkit_server``.

The module is not part of the package, because pytest imports every installed plugin. Tests that do
not use the fixture therefore never import restkit, and a coverage measurement that starts after
the plugins includes restkit's import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # importing it here would import restkit into every test run
    from restkit.testing import LocalServer


@pytest.fixture
def restkit_server() -> Iterator[LocalServer]:
    """A ``restkit.testing.LocalServer`` for this test: its ``app``, ``url`` and ``received``."""
    from restkit.testing import LocalServer

    with LocalServer() as server:
        yield server
