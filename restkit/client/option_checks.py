"""Checks of option values. Each takes the name of an option and its value, and returns the value.

Each raises RequestError for any other value.
"""

from __future__ import annotations

import os

from restkit.errors import RequestError

_MAX_SECONDS = 1e9


def check_bool(name: str, value: object) -> bool:
    """Return True or False; raise RequestError for anything else."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be True or False; got {value!r:.60}")
    return value


def check_count(name: str, value: object, *, minimum: int = 0, unit: str = "a whole number") -> int:
    """Return an int of at least ``minimum``; raise RequestError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise RequestError(f"{name} must be {unit}, {minimum} or more; got {value!r:.60}")
    return value


def check_positive(name: str, value: object) -> int:
    """Return an int of 1 or more; raise RequestError for anything else."""
    return check_count(name, value, minimum=1)


def check_size(name: str, value: object) -> int:
    """Return a number of bytes; raise RequestError for anything else."""
    return check_count(name, value, unit="a number of bytes")


def check_seconds(name: str, value: object) -> float:
    """Return a number of seconds; raise RequestError for anything else."""
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _MAX_SECONDS:
        return value
    raise RequestError(
        f"{name} must be a number of seconds from 0 to {_MAX_SECONDS:g}; got {value!r:.60}"
    )


def check_path(name: str, value: object) -> str | None:
    """Return a path as a str, or None; raise RequestError for anything else."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise RequestError(f"{name} must be a path or None; got {value!r:.60}")
    return os.fsdecode(value)
