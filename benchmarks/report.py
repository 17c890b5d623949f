"""What came out, as tables: one for each row, and at the end the budget, bar by bar."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.child import Sample
    from benchmarks.row import Bar
    from benchmarks.run import Outcome

MEMORY_BAR = 32.0  # MiB above what was resident after the warm-up, whatever the size of the body


class Verdict(NamedTuple):
    """One line of the budget."""

    row: str
    bar: str
    measured: str
    holds: bool | None  # None: not measured

    @property
    def words(self) -> str:
        return {True: "holds", False: "DOES NOT HOLD", None: "not measured"}[self.holds]


def row_table(outcome: Outcome) -> str:
    """Medians of everyone, and how many times as much the first of restkit's sides took of it."""
    ours = outcome.samples.get(next(iter(outcome.row.peers)), [])
    head = ("who", "CPU ms", "wall ms", "peak MiB", "growth", "restkit/it CPU", "restkit/it wall")
    lines: list[tuple[str, ...]] = [head]
    for name, samples in outcome.samples.items():
        if name in outcome.absent:
            lines.append((name, outcome.absent[name]))
        elif samples:
            lines.append((name, *_numbers(outcome, samples), *_compared(ours, samples)))
    rounds = max(map(len, outcome.samples.values()), default=0)
    return f"{outcome.row.name}: {outcome.title} · median of {rounds}\n\n{_aligned(lines)}\n"


def verdicts(outcome: Outcome) -> list[Verdict]:
    found = [_verdict(outcome, bar) for bar in outcome.row.bars]
    if outcome.row.counts_memory and outcome.row.bars:
        found += _memory_verdicts(outcome)
    return found


def budget_table(found: list[Verdict]) -> str:
    """A simple table of reStructuredText, to be pasted as it is."""
    rows = [("row", "bar", "measured, lowest to highest", "")]
    rows += [(line.row, line.bar, line.measured, line.words) for line in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = "  ".join("=" * width for width in widths)
    body = [_spaced(row, widths) for row in rows]
    return "\n".join([rule, body[0], rule, *body[1:], rule])


def _verdict(outcome: Outcome, bar: Bar) -> Verdict:
    words = f"{bar.ours}: at most {bar.most:g} of the CPU of {bar.peer}"
    words += f", less {bar.minus}" if bar.minus else ""
    ratios = list(_ratios(outcome, bar))
    if not ratios:
        return Verdict(outcome.row.name, words, "", None)
    measured = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return Verdict(outcome.row.name, words, measured, round(median(ratios), 2) <= bar.most)


def _ratios(outcome: Outcome, bar: Bar) -> Iterator[float]:
    if outcome.absent.keys() & {bar.ours, bar.peer, bar.minus}:
        return
    names = (bar.ours, bar.peer, bar.minus or bar.peer)
    for ours, its, base in zip(*(outcome.samples[name] for name in names), strict=True):
        less = base.cpu if bar.minus else 0.0
        yield (ours.cpu - less) / (its.cpu - less)


def _memory_verdicts(outcome: Outcome) -> Iterator[Verdict]:
    for name, samples in outcome.samples.items():
        if name.startswith("restkit"):
            growth = [sample.growth for sample in samples]
            words = f"{name}: memory grows by at most {MEMORY_BAR:g} MiB"
            if name in outcome.absent or not growth:
                yield Verdict(outcome.row.name, words, "", None)
                continue
            measured = f"{median(growth):.1f} ({min(growth):.1f} to {max(growth):.1f})"
            yield Verdict(outcome.row.name, words, measured, max(growth) <= MEMORY_BAR)


def _numbers(outcome: Outcome, samples: list[Sample]) -> tuple[str, ...]:
    cpu, wall, peak, growth = (median(values) for values in zip(*samples, strict=True))
    times = (f"{cpu * 1000:.1f}", f"{wall * 1000:.1f}")
    memory = (f"{peak:.1f}", f"{growth:.1f}") if outcome.row.counts_memory else ("", "")
    return times + memory


def _compared(ours: list[Sample], its: list[Sample]) -> tuple[str, ...]:
    pairs = list(zip(ours, its, strict=False))
    if not pairs or ours is its:
        return "", ""
    cpu = median(one.cpu / other.cpu for one, other in pairs)
    wall = median(one.wall / other.wall for one, other in pairs)
    return f"{cpu:.2f}", f"{wall:.2f}"


def _aligned(lines: list[tuple[str, ...]]) -> str:
    """Numbers to the right; a line of two cells is a name and why it has no numbers."""
    full = [line for line in lines if len(line) > 2]
    widths = [max(len(line[column]) for line in full) for column in range(len(full[0]))]
    widths[0] = max(len(line[0]) for line in lines)
    return "\n".join("  " + _spaced(line, widths, numbers=line in full) for line in lines)


def _spaced(cells: tuple[str, ...], widths: list[int], *, numbers: bool = False) -> str:
    rest = [
        c.rjust(w) if numbers else c.ljust(w) for c, w in zip(cells[1:], widths[1:], strict=False)
    ]
    return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()
