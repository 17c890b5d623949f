"""Run the attempts of one download until all bytes are there.

``Attempts.run`` is the only loop. Each attempt sends one request, and ``decide`` of
http1/ranges.py decides how to use its response. Attempts that bring no new bytes are counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeAlias

from restkit.client.retries import retry_after_seconds
from restkit.errors import (
    Error,
    IntegrityError,
    ResponseError,
    TotalTimeout,
    make_status_error,
)
from restkit.http1.fields import parse_length
from restkit.http1.ranges import (
    Action,
    Decision,
    Version,
    decide,
    format_range,
    is_other_version,
    read_version,
)
from restkit.log import get_logger
from restkit.message.response import HttpResponse
from restkit.progress import ProgressCallback
from restkit.redaction import redact_url
from restkit.transfer.part_file import PartFile
from restkit.transfer.plan import (
    MAX_RETRY_AFTER,
    TEMPORARY_STATUSES,
    backoff_seconds,
    is_temporary,
    read_digests,
)
from restkit.transfer.record import Record, Source
from restkit.transfer.stream import StreamTarget

Send: TypeAlias = Callable[[dict[str, str], "float | None"], HttpResponse]
"""Sends a GET with these headers, in this many seconds at most."""

_BUFFER = 256 * 1024
_STEP = 256 * 1024  # bytes between two reports of progress


class Attempts:
    """The attempts of one download, and their results."""

    def __init__(
        self,
        source: Source,
        target: PartFile | StreamTarget,
        send: Send,
        *,
        max_tries: int,
        total_seconds: float | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._source = source
        self._target = target
        self._send = send
        self._max_tries = max_tries
        self._total_seconds = total_seconds
        self._ends_at = None if total_seconds is None else monotonic() + total_seconds
        self._progress = progress
        self._reported: int | None = None
        self._furthest = target.held
        self.tries = 0
        self._is_checked = False  # whether the Client has checked the digests of the whole
        self.status = 0
        self.restarts: list[str] = []

    def run(self) -> None:
        """Send requests until the target has all bytes; raise the error that ends the download."""
        failures = 0
        while True:
            self.tries += 1
            error: Error | None = None
            wait: float | None = None
            try:
                if self._attempt():
                    return
            except _Unavailable as exc:
                error, wait = exc.error, exc.wait
            except Error as exc:
                if not is_temporary(exc):
                    raise
                error = exc
            if self._target.held > self._furthest:
                self._furthest = self._target.held
                failures = 0
                if error is None:
                    continue  # the server sent less than was requested
            failures += 1
            if failures >= self._max_tries:
                raise error or ResponseError(
                    f"{failures} attempts in a row brought no new bytes: "
                    f"{self.restarts[-1] if self.restarts else 'the responses were empty'}"
                )
            if len(self.restarts) >= self._max_tries:
                raise error or ResponseError(
                    f"the download started over {len(self.restarts)} times: {self.restarts[-1]}"
                )
            self._wait(backoff_seconds(failures, random.random()) if wait is None else wait)  # noqa: S311  # no secret

    def _remaining(self) -> float | None:
        if self._ends_at is None:
            return None
        seconds = self._ends_at - monotonic()
        if seconds <= 0:
            self._raise_total()
        return seconds

    def _raise_total(self) -> None:
        raise TotalTimeout(
            f"the download had {self._target.held} bytes when the {self._total_seconds:g} s of "
            "Timeout.total were over"
        )

    def _wait(self, seconds: float) -> None:
        remaining = self._remaining()
        if remaining is not None and remaining <= seconds:
            self._raise_total()
        sleep(seconds)

    # One attempt

    def _attempt(self) -> bool:
        """Send one request and use its response; return whether the target has all bytes."""
        record = self._target.record
        version = Version() if record is None else record.version
        # Without a strong validator, nothing shows that the rest belongs to the same version.
        start = self._target.held if version.condition else 0
        headers = {"Accept-Encoding": "identity"}
        if start and version.condition:
            headers.update({"Range": format_range(start), "If-Range": version.condition})
        with self._send(headers, self._remaining()) as response:
            self.status = response.status
            decision = decide(response.status, response.headers, version, start)
            if decision.action is Action.DONE:
                self._report(version)
                return True
            if decision.action is Action.START_OVER:
                self._start_over(decision.reason)
                return False
            if decision.action is Action.REPLACE:
                return self._receive_whole(response)
            if decision.action is Action.CONTINUE and record is not None:
                return self._receive_rest(response, decision, record)
            raise self._make_error(response, decision)

    def _make_error(self, response: HttpResponse, decision: Decision) -> Error:
        """Return the error for a response without usable bytes."""
        if decision.action is Action.REJECT or response.status < 400:
            return ResponseError(
                f"a download needs 200; got {response.status_line}"
                + (f": {decision.reason}" if decision.reason else ""),
                request=response.request,
                response=response,
                sent=response.sent,
            )
        error = make_status_error(response, response.status_line)
        wait = retry_after_seconds(response.headers)
        is_bounded = wait is None or wait <= MAX_RETRY_AFTER
        if response.status in TEMPORARY_STATUSES and is_bounded:
            return _Unavailable(error, wait)
        return error

    def _start_over(self, reason: str) -> None:
        """Discard all bytes, and log the reason."""
        self._note_restart(reason, self._target.held)
        self._target.drop()

    def _note_restart(self, reason: str, held: int) -> None:
        self.restarts.append(reason)
        self._furthest = 0
        url = redact_url(self._source.url)
        get_logger().warning(
            "%s", f"download of {url} discards {held} bytes and starts over: {reason}"
        )

    def _receive_whole(self, response: HttpResponse) -> bool:
        """Write the body of a 200 from the start; return True."""
        headers = response.headers
        is_coded = "content-encoding" in headers
        length = None
        if not is_coded and "transfer-encoding" not in headers:
            length = parse_length(headers.get("content-length", ""))
        version = read_version(headers, length)
        if is_coded:
            # Ranges count encoded bytes, but decoded bytes are written.
            version = version._replace(condition=None)
        record = Record(
            self._source, version, name=response.filename, digests=_digests_in(response)
        )
        held, old = self._target.held, self._target.record
        skip = self._target.begin(record)
        if held and not skip:
            if old is not None and is_other_version(headers, old.version):
                reason = "the validator has changed"
            elif old is not None and old.version.condition:
                reason = "the server ignored the range"
            else:
                reason = "there is no strong validator"
            self._note_restart(reason, held)
        if not self._receive(response, version, skip, None):
            raise ResponseError(f"the body ended before byte {skip}, which came earlier")
        if length is not None and self._target.held != length:
            raise ResponseError(
                f"the body has {self._target.held} bytes, but Content-Length is {length}"
            )
        self._is_checked = not skip
        return True

    def _receive_rest(self, response: HttpResponse, decision: Decision, record: Record) -> bool:
        """Append the body of a 206; return whether all bytes are there."""
        target = self._target
        total = record.version.total if decision.total is None else decision.total
        target.record = record = record._replace(
            version=record.version._replace(total=total),
            digests=tuple(dict([*_digests_in(response), *record.digests]).items()),
        )
        is_within = self._receive(response, record.version, decision.skip, decision.end)
        # A body without length and chunks ends by a close, which may be a lost connection.
        has_end = "transfer-encoding" in response.headers
        if not is_within or (has_end and target.held != decision.end):
            self._start_over("the body has not the length of its range")
            return False
        return target.held == total

    def _receive(
        self, response: HttpResponse, version: Version, skip: int, end: int | None
    ) -> bool:
        """Write a body without its first ``skip`` bytes.

        Return False if it has fewer bytes, or goes beyond ``end``.
        """
        self._reported = None
        self._report(version)
        view = memoryview(bytearray(_BUFFER))
        with response.body_stream() as stream:
            # readinto1 returns what has arrived. readinto() would lose it if the connection breaks.
            while skip and (count := stream.readinto1(view[: min(skip, _BUFFER)])):
                skip -= count
            while not skip and (count := stream.readinto1(view)):
                if end is not None and self._target.held + count > end:
                    return False
                self._target.write(view[:count])
                if self._progress is not None:
                    self._report(version, step=_STEP)
        self._report(version)
        return not skip

    def _report(self, version: Version, step: int = 1) -> None:
        held = self._target.held
        if self._progress is not None and (self._reported is None or held - self._reported >= step):
            self._reported = held
            self._progress(held, version.total)

    def check_digest(self, expected: tuple[str, bytes] | None) -> str | None:
        """Check the digests of the whole file; return one that was checked, or None.

        Raises IntegrityError. The digests of a server are checked here, unless the whole came in
        one response: the Client has checked these.
        """
        record = self._target.record
        checks = [] if expected is None else [("the option digest=", *expected)]
        if record is not None and not self._is_checked:
            checks += [
                ("its digest field", name, bytes.fromhex(text)) for name, text in record.digests
            ]
        checked = []
        for where, algorithm, digest in checks:
            found = self._target.make_digest(algorithm)
            if found is None:
                continue
            if found != digest:
                raise IntegrityError(
                    f"the download does not match {where}: expected {algorithm}={digest.hex()}, "
                    f"got {found.hex()} for {self._target.held} bytes"
                )
            checked.append(f"{algorithm}={digest.hex()}")
        if record is not None and self._is_checked:
            checked += ["=".join(pair) for pair in record.digests]
        return checked[0] if checked else None


def _digests_in(response: HttpResponse) -> tuple[tuple[str, str], ...]:
    """Return the digests of the whole, in hex, unless the Client ignores digests."""
    if not response.request.read_options.check_digest:
        return ()
    found = read_digests(response.headers, response.status)
    return tuple((name, digest.hex()) for name, digest in found.items())


class _Unavailable(Error):
    """A status that asks for another attempt, with the seconds of its Retry-After."""

    def __init__(self, error: Error, wait: float | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait
