"""A file that is written in ranges of bytes, in any order. It can be continued later."""

from __future__ import annotations

import os
from collections.abc import Iterable


class RangedFile:
    """A file of ranges, which records the ranges that are complete. Threads may share it.

    It writes ``path.part``, and the starts of complete ranges into ``path.part.ranges``. A later
    RangedFile continues from these. ``version`` identifies the content: ranges of another
    version are ignored.
    """

    def __init__(self, path: str | os.PathLike[str], size: int, version: str, step: int) -> None:
        self.path = os.fspath(path)
        self.size = size
        self.step = step
        self.closed = False
        title = f"{version}, {size} bytes, ranges of {step}\n"
        self._complete = self._read_record(title)
        record = [title, *(f"{start}\n" for start in sorted(self._complete))]
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._part = os.open(f"{self.path}.part", flags, 0o666)
        self._record = os.open(f"{self.path}.part.ranges", flags | os.O_TRUNC | os.O_APPEND, 0o666)
        os.ftruncate(self._part, size)
        os.write(self._record, "".join(record).encode())

    def missing(self) -> list[tuple[int, int]]:
        """Return the missing ranges as (start, end); ``end`` is not part of the range."""
        starts = range(0, self.size, self.step)
        return [(at, min(at + self.step, self.size)) for at in starts if at not in self._complete]

    def write(self, start: int, end: int, chunks: Iterable[bytes]) -> None:
        """Write one range; raise ValueError if the chunks have more or fewer bytes."""
        at = start
        for chunk in chunks:
            view = memoryview(chunk)
            if at + len(view) > end:
                raise ValueError(f"received more than bytes {start} to {end} of {self.path}")
            while view:
                written = os.pwrite(self._part, view, at)
                at, view = at + written, view[written:]
        if at < end:
            raise ValueError(f"received {at - start} of bytes {start} to {end} of {self.path}")
        self._complete.add(start)
        os.write(self._record, f"{start}\n".encode())  # one write, appended: lines cannot mix

    def finish(self) -> None:
        """Rename the complete file to its path."""
        self.close()
        os.replace(f"{self.path}.part", self.path)
        os.unlink(f"{self.path}.part.ranges")

    def close(self) -> None:
        """Close the files, complete or not. Idempotent."""
        if not self.closed:
            self.closed = True
            os.close(self._part)
            os.close(self._record)

    def __enter__(self) -> RangedFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self.missing())} ranges missing"
        return f"<RangedFile {self.path}, {state}>"

    def _read_record(self, title: str) -> set[int]:
        """Return the starts that an earlier RangedFile recorded; an unfinished line is ignored."""
        try:
            with open(f"{self.path}.part.ranges", encoding="utf-8") as record:
                lines = record.readlines()
        except FileNotFoundError:
            return set()
        if not lines or lines[0] != title or not os.path.exists(f"{self.path}.part"):
            return set()
        return {int(line) for line in lines[1:] if line.endswith("\n")}
