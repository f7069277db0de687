"""How long callers wait: one at a time, and many at once. The hold stands beside every number."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.charts import Series, distribution, over_callers
from benchmarks.report.columns import Column, finite, spread
from benchmarks.report.document import Block, Table, clean, milliseconds, number, told
from benchmarks.results import Density, Level, Percentiles


def three(values: Percentiles) -> str:
    """With the count behind."""
    if not values.count:
        return "–"
    return ", ".join(map(milliseconds, (values.p50, values.p95, values.p99))) + f" (of {values.count})"


def latency(columns: Sequence[Column]) -> list[Block]:
    talking = [column for column in columns if column.voice_to_voice()]
    if not talking:
        return []
    rows = [
        [column.name, column.hold, three(spread(column.voice_to_voice())), three(spread(column.beyond_hold()))]
        for column in talking
    ]
    head = ["server", "hold", "voice to voice p50, p95, p99, ms", "beyond the hold p50, p95, p99, ms"]
    holds = {column.number: sorted(finite({turn.hold_ms for turn in column.turns})) for column in talking}
    whole = [
        Series(column.label, column.number, [(wait, 0) for wait in column.voice_to_voice()], holds[column.number])
        for column in talking
    ]
    beyond = [
        Series(column.label, column.number, [(max(wait, 0), 0) for wait in column.beyond_hold()])
        for column in talking
        if column.beyond_hold()
    ]
    blocks: list[Block] = [Table(head, rows)]
    blocks.append(
        distribution("Voice to voice; the hold is dotted", "ms from the end of speech to the first sound", whole)
    )
    if beyond:
        blocks.append(distribution("Beyond the hold", "ms from the end of the hold to the first sound", beyond))
    return [*blocks, _by_scenario(talking)]


def _by_scenario(columns: Sequence[Column]) -> Table:
    """p50 and p95 of each scenario."""
    titles = {name: title for column in columns for run in column.runs for name, title in run.scenarios.items()}
    names = list(dict.fromkeys(turn.scenario for column in columns for turn in column.turns))
    rows = []
    for name in names:
        cells = []
        for column in columns:
            waits = spread(finite(turn.voice_to_voice_ms for turn in column.turns if turn.scenario == name))
            cells.append(
                f"{milliseconds(waits.p50)}, {milliseconds(waits.p95)} (of {waits.count})" if waits.count else "–"
            )
        rows.append([clean(titles.get(name) or name, 80), *cells])
    return Table(["scenario", *(column.label for column in columns)], rows, "Voice to voice by scenario: p50, p95, ms")


def density(columns: Sequence[Column]) -> list[Block]:
    ramps = [(column, column.density) for column in columns if column.density is not None and column.density.levels]
    if not ramps:
        return []
    blocks: list[Block] = []
    series = []
    for column, ramp in ramps:
        points = [(float(level.callers), p95) for level in _in_order(ramp) for p95 in finite([_judged(level).p95])]
        if points:
            series.append(Series(column.label, column.number, points))
    limit = max(ramp.limit_ms for _, ramp in ramps)
    if series:
        blocks.append(over_callers("p95 by callers at once", "p95 beyond the hold, ms", series, limit))
    for column, ramp in ramps:
        title = f"{column.label}: {ramp.most} callers at once within {ramp.limit_ms:.0f} ms"
        rows = [_level(level) for level in _in_order(ramp)]
        blocks.append(told(Table(_LEVEL_HEAD, rows, title, clean(ramp.bound))))
    return blocks


def _in_order(ramp: Density) -> list[Level]:
    """Levels are recorded as they were tried, which is not from few callers to many."""
    return sorted(ramp.levels, key=lambda level: level.callers)


_LEVEL_HEAD = [
    *("callers", "kept", "beyond the hold p50, p95, p99, ms", "voice to voice p50, p95, p99, ms", "turns, lost"),
    *("gaps", "server's cores", "clients' cores", "machine busy", "GPU busy", "memory, MB", "microphone late p95, ms"),
]


def _level(level: Level) -> list[str]:
    return [
        str(level.callers),
        "yes" if level.held else "no",
        three(level.beyond_hold_ms),
        three(level.voice_to_voice_ms),
        f"{level.turns}, {level.lost}",
        str(level.underruns),
        number(level.server_cores, 2),
        number(level.client_cores, 2),
        "–" if level.machine_busy is None else f"{100 * level.machine_busy:.0f} %",
        "–" if level.gpu is None else f"{100 * level.gpu:.0f} %",
        number(level.memory_mb, 0),
        milliseconds(level.microphone_late_ms),
    ]


def _judged(level: Level) -> Percentiles:
    """What the limit is about."""
    return level.beyond_hold_ms if level.beyond_hold_ms.count else level.voice_to_voice_ms
