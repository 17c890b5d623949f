"""Dials that fail, for the tests of proxies."""

from __future__ import annotations

import time

import pytest

from restkit.errors import Error
from restkit.network.dial import dial
from restkit.network.route import Route
from restkit.timeouts import Deadline, Timeout

from .memory import descriptors
from .peer import HANG_BOUND
from .proxies import PASSWORD

PATIENT = Timeout(connect=HANG_BOUND)


def clock(timeout: Timeout = PATIENT) -> Deadline:
    """Return the clock of a request to origin.test."""
    return Deadline(timeout, "origin.test")


def failure(route: Route, timeout: Timeout = PATIENT) -> Error:
    """Return the error of a dial; check that it has no secret and leaves nothing open."""
    before = set(descriptors())
    with pytest.raises(Error) as caught:
        dial(route, clock(timeout))
    assert caught.value.sent == "nothing"
    assert PASSWORD not in str(caught.value)
    end = time.monotonic() + HANG_BOUND
    while left := set(descriptors()) - before:
        assert time.monotonic() < end, left
        time.sleep(0.01)
    return caught.value
