"""Find the recording for a request, and name what differs from the nearest one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from threading import RLock
from typing import Any

from restkit.headers import Headers
from restkit.testing.cassette_file import Exchange


class Recordings:
    """The exchanges of a file, and which of them were played. Safe for threads."""

    def __init__(
        self, exchanges: list[Exchange], headers: Sequence[str], *, body: bool, repeat: bool
    ) -> None:
        self.exchanges = exchanges
        self._headers = headers
        self._body = body
        self._repeat = repeat
        self._played = [False] * len(exchanges)
        self._lock = RLock()

    def take(self, request: dict[str, Any]) -> Exchange | None:
        """Return the first recording of this request that was not played; None without one.

        With ``repeat``, the last one is returned again.
        """
        with self._lock:
            last = None
            for number, exchange in enumerate(self.exchanges):
                if self._find_differences(request, exchange["request"]):
                    continue
                last = exchange
                if not self._played[number]:
                    self._played[number] = True
                    return exchange
            return last if self._repeat else None

    def unused(self) -> list[Exchange]:
        """Return the recordings that were not played, in their order."""
        with self._lock:
            return [
                exchange
                for exchange, played in zip(self.exchanges, self._played, strict=True)
                if not played
            ]

    def describe_nearest(self, request: dict[str, Any]) -> str:
        """Return a sentence about the recording that is most like the request."""
        if not self.exchanges:
            return "it has no recordings"
        played = sum(
            not self._find_differences(request, exchange["request"]) for exchange in self.exchanges
        )
        if played:
            times = "once" if played == 1 else f"{played} times"
            return (
                f"it is recorded {times} and each recording was played; repeat=True plays the last "
                "recording again"
            )
        number, nearest = max(
            enumerate((exchange["request"] for exchange in self.exchanges), 1),
            key=lambda item: _likeness(request, item[1]),
        )
        differences = "; ".join(self._find_differences(request, nearest))
        return f"the nearest is recording {number}, {name_request(nearest)}: {differences}"

    def _find_differences(self, request: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
        pairs = [(name, request[name], recorded[name]) for name in ("method", "url")]
        if self._headers:
            fields, others = _headers_of(request), _headers_of(recorded)
            pairs += [
                (f"header {each}", fields.get(each), others.get(each)) for each in self._headers
            ]
        if self._body:
            body, other = request.get("body", {}), recorded.get("body", {})
            if body != other:
                pairs.append(("body", _show(body), _show(other)))
        return [
            f"its {name} is {there!r:.200}, not {here!r:.200}"
            for name, here, there in pairs
            if here != there
        ]


def name_request(request: dict[str, Any]) -> str:
    """Return method and URL."""
    return f"{request['method']} {request['url']}"


def _headers_of(request: dict[str, Any]) -> Headers:
    return Headers([(name, value) for name, value in request["headers"]])


def _show(body: dict[str, Any]) -> str:
    content = body.get("text", body.get("base64", body.get("sha256", "")))
    return content if isinstance(content, str) else "".join(content)


def _likeness(request: dict[str, Any], recorded: dict[str, Any]) -> float:
    urls = SequenceMatcher(None, request["url"], recorded["url"], autojunk=False)
    is_same_method: bool = request["method"] == recorded["method"]
    return urls.ratio() + is_same_method
