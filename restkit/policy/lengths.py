"""A payload in chunks that was refused for that: the same request once more, with its length.

A server may ask for a length by 411 (RFC 9110 15.5.12); one that does not know chunks says 501
(RFC 9112 6.1).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from restkit.payload import is_whole
from restkit.replaying import spooled

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse

_WANTING_A_LENGTH = frozenset((411, 501))
_OF_CHUNKS = ("transfer-encoding", "trailer")


def with_length(request: Request, response: HttpResponse) -> Request | None:
    """The request with its payload spooled, to be sent by its length; None where that is no help.

    That is: where the answer says something else, the payload had its length, or is spent. A
    ``Transfer-Encoding: chunked`` of the caller's was what the server refused, and is left out;
    trailers go only with chunks: those that were announced become headers. Reads the payload
    here and now, and raises what its source raises.
    """
    if response.status not in _WANTING_A_LENGTH or not _was_chunked(request):
        return None
    payload = request.payload
    if not is_whole(payload):
        return None
    following = copy(request)
    for name in _OF_CHUNKS:
        following.headers.pop(name, None)
    if payload is not None and payload.length is None:
        following.payload = spooled(payload, request.settings.new_spool)
    return following


def _was_chunked(request: Request) -> bool:
    names = request.headers.names()
    if "transfer-encoding" in names:
        return True
    payload = request.payload
    return payload is not None and payload.length is None and "content-length" not in names
