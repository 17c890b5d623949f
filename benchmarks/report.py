"""Print the results: a table for each row, and the budget with each goal."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.child import Sample
    from benchmarks.row import Goal
    from benchmarks.run import Outcome

MEMORY_GOAL = 32.0  # MiB above the resident memory after the warm-up, for any size of the body


class Verdict(NamedTuple):
    """One line of the budget."""

    row: str
    goal: str
    measured: str
    holds: bool | None  # None: not measured

    @property
    def words(self) -> str:
        return {True: "holds", False: "DOES NOT HOLD", None: "not measured"}[self.holds]


def row_table(outcome: Outcome) -> str:
    """Return the medians of each peer, and the ratios of restkit's first variant to it."""
    ours = outcome.samples.get(next(iter(outcome.row.peers)), [])
    head = (
        "client",
        "CPU ms",
        "wall ms",
        "peak MiB",
        "growth",
        "restkit/it CPU",
        "restkit/it wall",
    )
    lines: list[tuple[str, ...]] = [head]
    for name, samples in outcome.samples.items():
        if name in outcome.absent:
            lines.append((name, outcome.absent[name]))
        elif samples:
            lines.append((name, *_format_medians(outcome, samples), *_format_ratios(ours, samples)))
    rounds = max(map(len, outcome.samples.values()), default=0)
    return f"{outcome.row.name}: {outcome.title} · median of {rounds}\n\n{_align(lines)}\n"


def verdicts(outcome: Outcome) -> list[Verdict]:
    results = [_make_verdict(outcome, goal) for goal in outcome.row.goals]
    if outcome.row.counts_memory and outcome.row.goals:
        results += _memory_verdicts(outcome)
    return results


def budget_table(results: list[Verdict]) -> str:
    """Return the budget as a simple table of reStructuredText."""
    rows = [("row", "goal", "measured, lowest to highest", "")]
    rows += [(line.row, line.goal, line.measured, line.words) for line in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = "  ".join("=" * width for width in widths)
    body = [_pad(row, widths) for row in rows]
    return "\n".join([rule, body[0], rule, *body[1:], rule])


def _make_verdict(outcome: Outcome, goal: Goal) -> Verdict:
    words = f"{goal.ours}: at most {goal.most:g} of the CPU of {goal.peer}"
    words += f", less {goal.minus}" if goal.minus else ""
    ratios = list(_ratios(outcome, goal))
    if not ratios:
        return Verdict(outcome.row.name, words, "", None)
    measured = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return Verdict(outcome.row.name, words, measured, round(median(ratios), 2) <= goal.most)


def _ratios(outcome: Outcome, goal: Goal) -> Iterator[float]:
    if outcome.absent.keys() & {goal.ours, goal.peer, goal.minus}:
        return
    names = (goal.ours, goal.peer, goal.minus or goal.peer)
    for ours, its, base in zip(*(outcome.samples[name] for name in names), strict=True):
        less = base.cpu if goal.minus else 0.0
        yield (ours.cpu - less) / (its.cpu - less)


def _memory_verdicts(outcome: Outcome) -> Iterator[Verdict]:
    for name, samples in outcome.samples.items():
        if name.startswith("restkit"):
            growth = [sample.growth for sample in samples]
            words = f"{name}: memory grows by at most {MEMORY_GOAL:g} MiB"
            if name in outcome.absent or not growth:
                yield Verdict(outcome.row.name, words, "", None)
                continue
            measured = f"{median(growth):.1f} ({min(growth):.1f} to {max(growth):.1f})"
            yield Verdict(outcome.row.name, words, measured, max(growth) <= MEMORY_GOAL)


def _format_medians(outcome: Outcome, samples: list[Sample]) -> tuple[str, ...]:
    cpu, wall, peak, growth = (median(values) for values in zip(*samples, strict=True))
    times = (f"{cpu * 1000:.1f}", f"{wall * 1000:.1f}")
    memory = (f"{peak:.1f}", f"{growth:.1f}") if outcome.row.counts_memory else ("", "")
    return times + memory


def _format_ratios(ours: list[Sample], its: list[Sample]) -> tuple[str, ...]:
    pairs = list(zip(ours, its, strict=False))
    if not pairs or ours is its:
        return "", ""
    cpu = median(one.cpu / other.cpu for one, other in pairs)
    wall = median(one.wall / other.wall for one, other in pairs)
    return f"{cpu:.2f}", f"{wall:.2f}"


def _align(lines: list[tuple[str, ...]]) -> str:
    """Align numbers to the right; a line of two cells is a name and the reason for no numbers."""
    full = [line for line in lines if len(line) > 2]
    widths = [max(len(line[column]) for line in full) for column in range(len(full[0]))]
    widths[0] = max(len(line[0]) for line in lines)
    return "\n".join("  " + _pad(line, widths, numbers=line in full) for line in lines)


def _pad(cells: tuple[str, ...], widths: list[int], *, numbers: bool = False) -> str:
    rest = [
        c.rjust(w) if numbers else c.ljust(w) for c, w in zip(cells[1:], widths[1:], strict=False)
    ]
    return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()
