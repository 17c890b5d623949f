"""The limits of the servers in tests/server/engine/test_request_limits.py."""

from __future__ import annotations

RATE_SECONDS = 0.5
TIMEOUT = 3.0
MIN_RATE = 5000.0
MAX_REQUEST_SECONDS = 6.0
MAX_SPOOL = 3 << 20
