"""The results of one server, and what is reckoned from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.report.document import clean, milliseconds
from benchmarks.results import CONDITIONS, Call, Density, Interruption, Percentiles, Results, Turn


@dataclass(slots=True)
class Column:
    """One server. number: its place among the others, from 0, which is its colour. runs: the files that it is from."""

    name: str
    number: int
    runs: list[Results]

    @property
    def first(self) -> Results:
        return self.runs[0]

    @property
    def turns(self) -> list[Turn]:
        return [turn for run in self.runs for turn in run.turns]

    @property
    def calls(self) -> list[Call]:
        return [call for run in self.runs for call in run.calls]

    @property
    def density(self) -> Density | None:
        return next((run.density for run in self.runs if run.density is not None), None)

    @property
    def interruptions(self) -> list[Interruption]:
        return [turn.interruption for turn in self.turns if turn.interruption is not None]

    @property
    def hold(self) -> str:
        """The end-of-turn silence, in words; it belongs beside every latency."""
        holds = {turn.hold_ms for turn in self.turns} or {self.first.server.hold_ms}
        known = sorted(hold for hold in holds if hold is not None)
        if not known:
            return "unknown"
        told = milliseconds(known[0]) if known[0] == known[-1] else f"{known[0]:.0f} to {known[-1]:.0f}"
        return f"{told} ms" + (", of some turns unknown" if len(known) < len(holds) else "")

    @property
    def errors(self) -> list[tuple[str, int]]:
        """What went wrong, in the callers' words and the server's, and in how many turns and calls; most often first.
        What broke a call off is told by its last turn, too, and counts once."""
        said = {(turn.call, turn.condition, error) for turn in self.turns for error in turn.errors}
        said |= {(call.call, call.condition, error) for call in self.calls for error in call.errors}
        return Counter(clean(error, 200) for *_, error in sorted(said)).most_common()

    @property
    def label(self) -> str:
        return f"{self.name}, hold {self.hold}"

    def voice_to_voice(self) -> list[float]:
        return finite(turn.voice_to_voice_ms for turn in self.turns)

    def beyond_hold(self) -> list[float]:
        return finite(turn.beyond_hold_ms for turn in self.turns)


@dataclass(slots=True)
class Count:
    """So many of so many."""

    part: float = 0
    of: float = 0

    def add(self, part: float, of: float) -> None:
        self.part += part
        self.of += of


@dataclass(slots=True)
class Accuracy:
    """By condition. words: errors of the transcript. tools: turns with tool calls, and those in which all was right."""

    words: Count = field(default_factory=Count)
    tools: Count = field(default_factory=Count)


def columns(runs: Sequence[Results]) -> list[Column]:
    """One for each run; a ramp of the same server joins the run that has none. Servers of the same name are told apart
    by their files' names, and if those are the same, by numbers."""
    found: list[Column] = []
    for run in runs:
        partner = next((column for column in found if _belongs(run, column)), None)
        if partner is not None:
            partner.runs.append(run)
        else:
            found.append(Column("", len(found), [run]))
    servers = Counter(_server(column) for column in found)
    taken = Counter[str]()
    for column in found:
        name = _server(column)
        if servers[name] > 1:
            name = f"{name} ({clean(column.first.name, 60)})"
        taken[name] += 1
        column.name = f"{name} ({taken[name]})" if taken[name] > 1 else name
    return found


def _server(column: Column) -> str:
    return clean(column.first.server.name, 60) or "unnamed"


def _belongs(run: Results, column: Column) -> bool:
    """One has spoken to the server, the other has filled it."""
    same = (run.server.name, run.server.dialect) == (column.first.server.name, column.first.server.dialect)
    spoken = bool(run.turns or run.calls) and bool(column.turns or column.calls)
    return same and not spoken and not (run.density and column.density)


def finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def spread(values: Sequence[float]) -> Percentiles:
    """Interpolated between the two nearest values."""
    if not values:
        return Percentiles()
    p50, p95, p99 = (float(value) for value in np.percentile(np.asarray(values), [50, 95, 99]))
    return Percentiles(len(values), p50, p95, p99)


def accuracy(column: Column) -> dict[str, Accuracy]:
    """By condition, those that occur, in the order of CONDITIONS, and unknown ones behind."""
    found: dict[str, Accuracy] = {}
    for turn in column.turns:
        here = found.setdefault(turn.condition, Accuracy())
        here.words.add(turn.word_errors, turn.words)
        if turn.tools is not None:
            here.tools.add(turn.tools.whole, 1)
    order = {name: place for place, name in enumerate(CONDITIONS)}
    return dict(sorted(found.items(), key=lambda entry: order.get(entry[0], len(order))))


def total(column: Column, count: Callable[[Accuracy], Count]) -> Count:
    """Over all conditions."""
    whole = Count()
    for part in accuracy(column).values():
        whole.add(count(part).part, count(part).of)
    return whole
