"""Which error a status is, where the caller asked for it to be one."""

from __future__ import annotations

from restkit.errors import (
    RequestFailed,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    Unauthorized,
)

_ERRORS: dict[int, type[ResourceError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: ResourceNotFound,
    410: ResourceGone,
}


def error_for(status: int) -> type[ResourceError]:
    """The class for a status of 400 or more."""
    return _ERRORS.get(status, RequestFailed)
