"""Payloads around a payload: what one of them does not say is as the inner one says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import PayloadLengthError
from restkit.payload import Payload, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from restkit.payload import Buffer


class PayloadAround(Payload):
    """A payload made of another one, and sent, and sent again, as that one is."""

    def __init__(self, payload: Payload) -> None:
        self.length = payload.length
        self.replayable = payload.replayable
        self.headers = payload.headers
        self.trailer_names = payload.trailer_names
        self.source = f"of {payload!r}"
        self._payload = payload

    @property
    def started(self) -> bool:
        return self._payload.started

    @property
    def waits_on(self) -> int | None:
        return self._payload.waits_on

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self._payload.trailers()

    def chunks(self) -> Iterator[Buffer]:
        return iter(self._payload)


class PassedOn(PayloadAround):
    """Another payload byte for byte, for those who change or watch something else of it."""

    def __iter__(self) -> Iterator[Buffer]:
        # The payload itself counts, and refuses a pass that it does not have.
        return self.chunks()


class DeclaredLength(PayloadAround):
    """A payload held to the ``Content-Length`` that the caller has declared for it.

    A payload that knows another length of itself is a PayloadLengthError at once; one that does
    not know is counted while it is sent, and must have come to its end, not only to the length,
    before its last piece goes out.
    """

    def __init__(self, payload: Payload, length: int) -> None:
        if payload.length is not None and payload.length != length:
            raise PayloadLengthError(f"{payload!r} does not give the declared {count_of(length)}")
        super().__init__(payload)
        self.length = length
        self.source = f"for {payload!r}"

    def __iter__(self) -> Iterator[Buffer]:
        # What knows its own length counts already.
        return super().__iter__() if self._payload.length is None else iter(self._payload)
