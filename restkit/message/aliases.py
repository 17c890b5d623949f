"""Names of restkit 1 to 4 and of other libraries.

The original restkit's names for what has another name now.
"""

from __future__ import annotations

from typing import Protocol


class _Response(Protocol):
    status: int

    @property
    def text(self) -> str: ...


class OriginalNames:
    """Names of restkit 1 to 4 that say the same in other words."""

    @property
    def status_int(self: _Response) -> int:
        """The status as a number: ``status``."""
        return self.status

    @property
    def unicode_body(self: _Response) -> str:
        """The body as text: ``text``."""
        return self.text
