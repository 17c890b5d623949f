"""What tests need that is not the package: peers, certificates, nginx, measures of memory."""

from .messages import (
    LAST_CHUNK,
    body_of,
    chunked_response,
    chunks,
    dechunk,
    digest_of,
    field,
    fields_of,
    head_of,
    payload_of,
    response,
)
from .peer import ClientGone, Peer
from .scripted import ScriptedServer, refusing, unanswering

__all__ = [
    "LAST_CHUNK",
    "ClientGone",
    "Peer",
    "ScriptedServer",
    "body_of",
    "chunked_response",
    "chunks",
    "dechunk",
    "digest_of",
    "field",
    "fields_of",
    "head_of",
    "payload_of",
    "refusing",
    "response",
    "unanswering",
]
