"""A file put together from ranges of bytes, in any order, that can be gone on with later."""

from __future__ import annotations

import os
from collections.abc import Iterable


class RangedFile:
    """What is there already of a file that comes in blocks, and what is missing.

    Beside ``path`` it writes ``path.part``, and the starts of the blocks that are whole there into
    ``path.part.blocks``: whoever stops, for whatever reason, goes on from these. ``version`` says
    what the blocks are of; those of another one are forgotten. Threads may share it.
    """

    def __init__(self, path: str | os.PathLike[str], size: int, version: str, block: int) -> None:
        self.path = os.fspath(path)
        self.size = size
        self.block = block
        self.closed = False
        title = f"{version}, {size} bytes, blocks of {block}\n"
        self._there = self._noted(title)
        notes = [title, *(f"{start}\n" for start in sorted(self._there))]
        how = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._part = os.open(f"{self.path}.part", how, 0o666)
        self._notes = os.open(f"{self.path}.part.blocks", how | os.O_TRUNC | os.O_APPEND, 0o666)
        os.ftruncate(self._part, size)
        os.write(self._notes, "".join(notes).encode())

    def missing(self) -> list[tuple[int, int]]:
        """The blocks that are not there, each as (start, end); the end does not belong to it."""
        starts = range(0, self.size, self.block)
        return [(at, min(at + self.block, self.size)) for at in starts if at not in self._there]

    def write(self, start: int, end: int, pieces: Iterable[bytes]) -> None:
        """Put one block in its place; raises ValueError when that is not what came."""
        at = start
        for piece in pieces:
            view = memoryview(piece)
            if at + len(view) > end:
                raise ValueError(f"more came than bytes {start} to {end} of {self.path}")
            while view:
                written = os.pwrite(self._part, view, at)
                at, view = at + written, view[written:]
        if at < end:
            raise ValueError(f"of bytes {start} to {end} of {self.path} came {at - start}")
        self._there.add(start)
        os.write(self._notes, f"{start}\n".encode())  # one write, appended: lines cannot mix

    def finish(self) -> None:
        """Move the file in place, now that nothing is missing."""
        self.close()
        os.replace(f"{self.path}.part", self.path)
        os.unlink(f"{self.path}.part.blocks")

    def close(self) -> None:
        """Let go of it, finished or not; harmless when repeated."""
        if not self.closed:
            self.closed = True
            os.close(self._part)
            os.close(self._notes)

    def __enter__(self) -> RangedFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self.missing())} blocks missing"
        return f"<RangedFile {self.path}, {state}>"

    def _noted(self, title: str) -> set[int]:
        """The blocks that an earlier one has put here; nothing of a line that was not finished."""
        try:
            with open(f"{self.path}.part.blocks", encoding="utf-8") as notes:
                lines = notes.readlines()
        except FileNotFoundError:
            return set()
        if not lines or lines[0] != title or not os.path.exists(f"{self.path}.part"):
            return set()
        return {int(line) for line in lines[1:] if line.endswith("\n")}
