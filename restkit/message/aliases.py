"""Names of restkit 1 to 4 and of other libraries for what HttpResponse has."""

from __future__ import annotations

from typing import Protocol


class _Response(Protocol):
    status: int

    @property
    def text(self) -> str: ...


class Aliases:
    """Other names of attributes of HttpResponse."""

    @property
    def status_int(self: _Response) -> int:
        """The status: ``status``."""
        return self.status

    @property
    def unicode_body(self: _Response) -> str:
        """The body as text: ``text``."""
        return self.text
