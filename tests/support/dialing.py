"""Dials that fail, as the tests of proxies look at them."""

from __future__ import annotations

import pytest

from restkit.errors import Error
from restkit.timeouts import Clock, Timeout
from restkit.wire.dial import dial
from restkit.wire.route import Route

from .memory import descriptors
from .peer import HANG_BOUND
from .proxies import PASSWORD
from .waiting import until

PATIENT = Timeout(connect=HANG_BOUND)


def clock(timeout: Timeout = PATIENT) -> Clock:
    """The clock of a request to origin.test."""
    return Clock(timeout, "origin.test")


def failure(route: Route, timeout: Timeout = PATIENT) -> Error:
    """The error of a dial, and no secret in it; nothing is left open."""
    before = set(descriptors())
    with pytest.raises(Error) as caught:
        dial(route, clock(timeout))
    assert caught.value.sent == "nothing"
    assert PASSWORD not in str(caught.value)
    until(lambda: set(descriptors()) <= before, "the end of every connection")
    return caught.value
