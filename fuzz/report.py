"""Report an input that fails, with the command that repeats it."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable

from fuzz.target import Mismatch

_QUOTED = re.compile(r"""b?'[^']*'|b?"[^"]*"|[0-9]+""")


class Reporter:
    """Calls the check, and reports an input that fails with the command that repeats it."""

    def __init__(self, name: str, check: Callable[[bytes], None], *, keep_going: bool) -> None:
        self._name = name
        self._check = check
        self._keep_going = keep_going
        self._seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        """Check one input; with ``keep_going``, report only the first failure of each kind."""
        try:
            self._check(data)
        except Exception as exc:
            kind = _QUOTED.sub("", exc.kind if isinstance(exc, Mismatch) else repr(exc))
            if kind not in self._seen:
                self._seen.add(kind)
                sys.stderr.write(describe_failure(self._name, data, exc))
            if not self._keep_going:
                raise


def describe_failure(name: str, data: bytes, exc: Exception) -> str:
    """Return the failure, the input, and the command that repeats it."""
    encoded = base64.b64encode(data).decode()
    return (
        f"\n{name} fails: {type(exc).__name__}: {exc}\ninput: {data!r}\n"
        f"to repeat: make fuzz FUZZ_TARGETS={name} FUZZ_INPUT={encoded}\n"
    )
