"""A file for the tests of payloads."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(b"0123456789")
    return path
