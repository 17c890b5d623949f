"""Aliases of HttpResponse attributes, as in restkit 1 to 4 and in other libraries."""

from __future__ import annotations

from typing import Protocol

from restkit.body.files import PayloadStream


class _Response(Protocol):
    status: int

    @property
    def payload_stream(self) -> PayloadStream | None: ...

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

    @property
    def body_chunks(self: _Response) -> PayloadStream | None:
        """The chunks of the body as they arrive: ``payload_stream``."""
        return self.payload_stream
