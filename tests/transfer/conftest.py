"""A Client for downloads, and short waits between their attempts.

``backoff_seconds`` has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restkit import Client, Timeout
from restkit.transfer import plan


@pytest.fixture
def sender() -> Iterator[Client]:
    with Client(timeout=Timeout(10, 10)) as client:
        yield client


@pytest.fixture(autouse=True)
def _wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FIRST_WAIT", 0.001)
