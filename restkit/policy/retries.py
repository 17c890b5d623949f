"""What ``retries=`` means: urllib3's ``Retry`` as a value that decides nothing by itself.

Of a ``Retry`` only the public attributes are read (urllib3 2.2 to 2.8), so that a subclass is
as good; what it would do by its methods, ``policy/tries.py`` does.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.errors import RequestError

if TYPE_CHECKING:
    from restkit.message.response import HttpResponse

_IDEMPOTENT = frozenset(("HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"))


class Retries(NamedTuple):
    """What may be tried again, and how often: urllib3's ``Retry`` in a value; None is no limit.

    ``methods`` None is any method; ``backoff_factor`` None waits as ``wait_tries`` says.
    """

    total: int | None
    connect: int | None = None
    read: int | None = None
    status: int | None = None
    other: int | None = None
    statuses: frozenset[int] = frozenset()
    methods: frozenset[str] | None = _IDEMPOTENT
    backoff_factor: float | None = None
    backoff_max: float = 120.0
    backoff_jitter: float = 0.0
    respect_retry_after: bool = True
    retry_after_statuses: frozenset[int] = frozenset((413, 429, 503))
    retry_after_max: float | None = None

    def asked_by(self, response: HttpResponse) -> bool:
        """Whether the status of an answer asks for another try, a Retry-After counted in."""
        if response.status in self.statuses:
            return True
        return bool(
            self.total
            and self.respect_retry_after
            and response.status in self.retry_after_statuses
            and "retry-after" in response.headers
        )


def as_retries(value: object) -> Retries | None:
    """What ``retries=`` means: urllib3's Retry, how often to try again, False for never, or None.

    Of a Retry, ``redirect`` and ``raise_on_*`` are not looked at; one that sets them has a
    warning. Raises RequestError for anything else.
    """
    if value is None or isinstance(value, Retries):
        return value
    if value is False:
        return Retries(0)
    if isinstance(value, int) and value is not True and value >= 0:
        return Retries(value)
    from urllib3.util.retry import Retry

    if not isinstance(value, Retry):
        raise RequestError(
            f"retries={value!r}: urllib3's Retry is wanted, or how often to try again, 0 or more"
        )
    _warn_of_ignored(value)
    return _of_urllib3(value)


def _of_urllib3(retry: Any) -> Retries:
    # Its counts may be False, which is 0; its methods False or empty, which is any.
    methods = retry.allowed_methods
    return Retries(
        total=_count_of(retry.total),
        connect=_count_of(retry.connect),
        read=_count_of(retry.read),
        status=_count_of(retry.status),
        other=_count_of(retry.other),
        statuses=frozenset(retry.status_forcelist or ()),
        methods=frozenset(each.upper() for each in methods) if methods else None,
        backoff_factor=retry.backoff_factor,
        backoff_max=retry.backoff_max,
        backoff_jitter=retry.backoff_jitter,
        respect_retry_after=bool(retry.respect_retry_after_header),
        retry_after_statuses=frozenset(retry.RETRY_AFTER_STATUS_CODES),
        retry_after_max=getattr(retry, "retry_after_max", None),
    )


def _count_of(value: int | None) -> int | None:
    return None if value is None else int(value)


def _warn_of_ignored(retry: Any) -> None:
    # A total of False sets the other two itself.
    of_redirects = retry.total is not False
    ignored = {
        "redirect": of_redirects and retry.redirect is not None,
        "raise_on_redirect": of_redirects and not retry.raise_on_redirect,
        "raise_on_status": not retry.raise_on_status,
    }
    names = ", ".join(name for name, is_set in ignored.items() if is_set)
    if names:
        warnings.warn(
            f"retries=: {names} of urllib3's Retry is not looked at. Redirects have "
            "follow_redirect= and max_follow_redirect=; a status is never raised unless "
            "raise_for_status() is called",
            UserWarning,
            stacklevel=2,
        )
