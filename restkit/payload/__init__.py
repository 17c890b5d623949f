"""Payloads: everything that is sent."""

from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.values import BufferPayload, BytesPayload

__all__ = ["BufferPayload", "BytesPayload", "Payload", "as_payload"]
