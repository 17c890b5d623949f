"""``restkit.Retry``, and the conversion of ``retries=``: a number, a Retry, or urllib3's Retry.

restkit reads only public attributes of urllib3's ``Retry`` (urllib3 2.2 to 2.8), so that a subclass
works too. It does not call its methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from restkit.caller import warn_caller
from restkit.client.option_checks import check_bool, check_count, check_seconds
from restkit.client.retries import RetryPolicy
from restkit.errors import RequestError
from restkit.message.request import IDEMPOTENT_METHODS, check_method

_STATUSES = (502, 503, 504)
# urllib3 calls these methods to decide. restkit ignores an override, and warns about it.
_DECIDING_METHODS = (
    "get_backoff_time",
    "get_retry_after",
    "increment",
    "is_exhausted",
    "is_retry",
    "parse_retry_after",
    "sleep",
    "sleep_for_retry",
)


class Retry:
    """The rules for retries, an immutable value for ``retries=``.

    ``total`` is the number of retries of one call, for all reasons together. restkit retries
    network errors, timeouts except ``Timeout.total``, malformed responses, and the statuses in
    ``status``. A request that may have reached the server is only repeated if its method is in
    ``methods`` and its payload can be sent again.

    ``backoff`` is the delay in seconds before the first retry. It doubles for each further retry,
    with a random difference of up to 25 %. None uses the option ``wait_tries``.

    With ``respect_retry_after``, the delay is that of ``Retry-After`` if a response has one. Then
    413, 429 and 503 responses with this field are retried too, whatever ``status`` is.

    ``max_wait`` limits both delays: a longer backoff is cut, and a response with a longer
    ``Retry-After`` is returned. None uses the option ``max_wait``.

    >>> Retry(5, backoff=1)
    Retry(5, status=(502, 503, 504), backoff=1)
    """

    __slots__ = ("backoff", "max_wait", "methods", "respect_retry_after", "status", "total")
    total: int
    status: frozenset[int]
    methods: frozenset[str]
    backoff: float | None
    max_wait: float | None
    respect_retry_after: bool

    def __init__(
        self,
        total: int = 3,
        *,
        status: int | Iterable[int] = _STATUSES,
        methods: str | Iterable[str] = IDEMPOTENT_METHODS,
        backoff: float | None = None,
        max_wait: float | None = None,
        respect_retry_after: bool = True,
    ) -> None:
        # Not a frozen dataclass: the module dataclasses would slow `import restkit` down.
        set_field = object.__setattr__
        set_field(self, "total", check_count("Retry: total", total))
        set_field(self, "status", _as_statuses(status))
        set_field(self, "methods", _as_methods(methods))
        for name, seconds in (("backoff", backoff), ("max_wait", max_wait)):
            set_field(
                self, name, None if seconds is None else check_seconds(f"Retry: {name}", seconds)
            )
        set_field(
            self,
            "respect_retry_after",
            check_bool("Retry: respect_retry_after", respect_retry_after),
        )

    def __repr__(self) -> str:
        parts = [f"{self.total}", f"status={_as_tuple_text(self.status)}"]
        if self.methods != IDEMPOTENT_METHODS:
            parts.append(f"methods={_as_tuple_text(self.methods)}")
        delays = {"backoff": self.backoff, "max_wait": self.max_wait}
        parts += [f"{name}={value!r}" for name, value in delays.items() if value is not None]
        if not self.respect_retry_after:
            parts.append("respect_retry_after=False")
        return f"Retry({', '.join(parts)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Retry is immutable: {name} cannot be set; create a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Retry is immutable: {name} cannot be deleted")

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Retry.__slots__}

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Retry) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._values().values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self._values())


def _unpickle(kind: type[Retry], values: dict[str, Any]) -> Retry:
    return kind(**values)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _as_statuses(value: Any) -> frozenset[int]:
    found: list[Any] = [value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = list(value)
    if not all(_is_count(each) and 200 <= each <= 599 for each in found):
        raise RequestError(f"Retry: status must be status codes from 200 to 599; got {value!r:.60}")
    return frozenset(found)


def _as_methods(value: object) -> frozenset[str]:
    found: list[Any] = [value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = list(value)
    if not all(isinstance(each, str) for each in found):
        raise RequestError(f"Retry: methods must be names of methods; got {value!r:.60}")
    return frozenset(check_method(each).upper() for each in found)


def _as_tuple_text(values: Iterable[Any]) -> str:
    return repr(tuple(sorted(values)))


def as_retries(value: object) -> RetryPolicy | None:
    """Convert ``retries=``: a number of retries, a Retry, False for none, or None.

    ``Retry`` may be urllib3's; a warning names its settings that have no effect. Raises
    RequestError for anything else.
    """
    if value is None or isinstance(value, RetryPolicy):
        return value
    if value is False:
        return RetryPolicy(0)
    if _is_count(value):
        value = Retry(value)  # type: ignore[arg-type]  # a number
    if isinstance(value, Retry):
        return RetryPolicy(
            value.total,
            statuses=value.status,
            methods=value.methods,
            respect_retry_after=value.respect_retry_after,
            wait=value.backoff,
            max_wait=value.max_wait,
            only_replayable=True,
        )
    from urllib3.util.retry import Retry as Urllib3Retry

    if not isinstance(value, Urllib3Retry):
        raise RequestError(
            "retries must be a number of retries (0 or more), a restkit.Retry, urllib3's Retry, "
            f"False or None; got {value!r:.60}"
        )
    _warn_about_ignored(value, Urllib3Retry)
    return _from_urllib3(value)


def _from_urllib3(retry: Any) -> RetryPolicy:
    # Counts may be False, which is 0; methods may be False or empty, which allows any.
    methods = retry.allowed_methods
    return RetryPolicy(
        total=_to_count(retry.total),
        connect=_to_count(retry.connect),
        read=_to_count(retry.read),
        status=_to_count(retry.status),
        other=_to_count(retry.other),
        statuses=frozenset(retry.status_forcelist or ()),
        methods=frozenset(each.upper() for each in methods) if methods else None,
        backoff_factor=retry.backoff_factor,
        backoff_max=retry.backoff_max,
        backoff_jitter=retry.backoff_jitter,
        respect_retry_after=bool(retry.respect_retry_after_header),
        retry_after_statuses=frozenset(retry.RETRY_AFTER_STATUS_CODES),
        retry_after_max=getattr(retry, "retry_after_max", None),
    )


def _to_count(value: int | None) -> int | None:
    return None if value is None else int(value)


def _warn_about_ignored(retry: Any, base: type) -> None:
    # Retry(total=False) sets redirect and raise_on_redirect itself.
    check_redirects = retry.total is not False
    removed = frozenset(name.lower() for name in retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT)
    ignored = {
        "redirect": check_redirects and retry.redirect is not None,
        "raise_on_redirect": check_redirects and not retry.raise_on_redirect,
        "raise_on_status": not retry.raise_on_status,
        "remove_headers_on_redirect": retry.remove_headers_on_redirect != removed,
    }
    for name in _DECIDING_METHODS:
        ignored[f"{name}()"] = getattr(type(retry), name, None) is not getattr(base, name, None)
    names = ", ".join(name for name, is_set in ignored.items() if is_set)
    if names:
        warn_caller(
            f"retries=: restkit ignores {names} of urllib3's Retry. Use follow_redirect= and "
            "max_follow_redirect= for redirects, and raise_for_status() to raise a status",
            UserWarning,
        )
