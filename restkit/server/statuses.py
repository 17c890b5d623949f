"""The status line's text, as a WSGI server wants it: number and reason.

The reasons are those of RFC 9110 15 on every interpreter; ``http.HTTPStatus`` had older ones for
some before Python 3.13.
"""

from __future__ import annotations

from http import HTTPStatus

_REASONS = {each.value: each.phrase for each in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_CLASSES = {2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}


def reason_of(status: int) -> str:
    """The reason of a status; of one that is not registered, what its first digit says."""
    return _REASONS.get(status) or _CLASSES.get(status // 100, "Unknown")


def status_text(status: int) -> str:
    """'404 Not Found'."""
    return f"{status} {reason_of(status)}"


def checked_status(status: object) -> int:
    """The status as a plain int; raises ValueError for one that no final answer can have."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status={status!r}: the status of an answer is from 200 to 599")
    return int(status)  # a member of HTTPStatus would write its name
