"""Dials that fail, for the tests of proxies."""

from __future__ import annotations

import pytest

from restkit.errors import Error
from restkit.network.dial import dial
from restkit.network.route import Route
from restkit.timeouts import Deadline, Timeout

from .memory import descriptors
from .peer import HANG_BOUND
from .proxies import PASSWORD
from .waiting import until

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
    until(lambda: set(descriptors()) <= before, "the end of every connection")
    return caught.value
