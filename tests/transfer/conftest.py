"""Short waits between the attempts of a download; ``backoff_seconds`` has tests of its own."""

from __future__ import annotations

import pytest

from restkit.transfer import plan


@pytest.fixture(autouse=True)
def _wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FIRST_WAIT", 0.001)
