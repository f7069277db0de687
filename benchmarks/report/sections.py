"""A report, section by section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.report.charts import Series, bars, scatter
from benchmarks.report.columns import Accuracy, Column, Count, accuracy, finite, spread, total
from benchmarks.report.document import (
    Block,
    Code,
    Document,
    Items,
    Section,
    Table,
    Text,
    clean,
    milliseconds,
    number,
    share,
    told,
)
from benchmarks.report.latency import density, latency, three
from benchmarks.report.money import cost_a_minute, cost_rows, quality
from benchmarks.report.stages import stages
from benchmarks.results import Machine, Results

_ERRORS = 10
"""Of a server, at most."""
_LOAD_APART = 0.25
"""Load averages a core that differ by no more are the same."""
_READING = [
    "Voice to voice: from the last sample of the caller's utterance that is speech to the first audible sample of the "
    "answer, as a loudspeaker plays it. Measured by the client, in samples.",
    "Hold: the silence that the server waits for before it takes a turn to be over. It is part of voice to voice; a "
    "shorter one is quicker and cuts more callers off. Where holds differ, compare beyond it, and cut-offs.",
    "A dash is a figure that the server does not tell or that was not measured. p95 is the value that 95 of 100 turns "
    "stay under; of few turns it is little more than the slowest one.",
]


def document(runs: Sequence[Results], columns: Sequence[Column]) -> Document:
    """All that the files say, for one reader."""
    sections = [
        Section("At a glance", [Items([_headline(column) for column in columns]), _summary(columns)]),
        Section("What was measured", _measured(columns)),
        Section("Latency", latency(columns)),
        stages(columns),
        Section("Callers at once", density(columns)),
        Section("Right answers", _right(columns)),
        Section("Interruptions", _interruptions(columns)),
        Section("Cost over quality", _cost(columns)),
        Section("Errors", _errors(columns)),
        Section("How to read this", [Items(_READING)]),
    ]
    noted = _notes(columns)
    if noted:
        sections.insert(-1, Section("Notes", [Items(noted)]))
    newest = max((clean(run.date, 30) for run in runs), default="")
    return Document(f"Voice servers measured, {newest[:10]}", [one for one in sections if one.blocks])


def _notes(columns: Sequence[Column]) -> list[str]:
    """What several servers have in common is said once."""
    said: dict[str, list[str]] = {}
    for column in columns:
        for note in dict.fromkeys(clean(note) for run in column.runs for note in run.notes):
            said.setdefault(note, []).append(column.name)
    return [f"{', '.join(names)}: {note}" for note, names in said.items()]


def _headline(column: Column) -> str:
    waits, beyond = spread(column.voice_to_voice()), spread(column.beyond_hold())
    said = [f"{column.name}: hold {column.hold}"]
    if waits.count:
        said.append(f"voice to voice p50 {milliseconds(waits.p50)} ms, p95 {milliseconds(waits.p95)} ms")
    if beyond.count:
        said.append(f"beyond the hold p50 {milliseconds(beyond.p50)} ms, p95 {milliseconds(beyond.p95)} ms")
    if column.density is not None:
        said.append(f"{column.density.most} callers at once")
    return "; ".join(said)


def _summary(columns: Sequence[Column]) -> Table:
    """Measures down, servers across."""
    rows = {name: [row[name] for row in map(_measures, columns)] for name in _measures(columns[0])}
    known = [[name, *cells] for name, cells in rows.items() if any(cell != "–" for cell in cells)]
    return Table(["", *(column.name for column in columns)], known)


def _measures(column: Column) -> dict[str, str]:
    turns, due = column.turns, [turn for turn in column.turns if turn.wants_answer]
    waits, beyond = spread(column.voice_to_voice()), spread(column.beyond_hold())
    answers = spread(finite(turn.answer_ms for turn in turns if turn.expected))
    stops = spread(finite(one.stop_ms for one in column.interruptions if one.meant))
    words, tools = total(column, lambda one: one.words), total(column, lambda one: one.tools)
    tasks = [call for call in column.calls if call.completed is not None]
    needed = finite(call.turns_to_completion for call in tasks if call.completed)
    ramp = column.density
    return {
        "hold": column.hold,
        "turns answered": share(sum(not turn.lost for turn in due), len(due)),
        "calls that broke off": share(sum(bool(call.errors) for call in column.calls), len(column.calls)),
        "voice to voice p50, p95, p99, ms": three(waits),
        "beyond the hold p50, p95, p99, ms": three(beyond),
        "answer with a tool's result p50, p95, p99, ms": three(answers),
        "barge-in to silence p50, p95, p99, ms": three(stops),
        "answers stopped while the caller was silent": str(sum(turn.false_interruptions for turn in turns)),
        "turns cut off": share(sum(turn.cut_off for turn in turns), len(turns)),
        "turns with gaps in the sound": share(sum(bool(turn.underruns_ms) for turn in turns), len(turns)),
        "word error rate": share(words.part, words.of),
        "turns with the right tool calls": share(tools.part, tools.of),
        "tasks completed": share(sum(bool(call.completed) for call in tasks), len(tasks)),
        "turns to completion": number(sum(needed) / len(needed)) if needed else "–",
        "callers at once": "–" if ramp is None else str(ramp.most),
        "callers at once a GPU": "–" if ramp is None else number(ramp.per_gpu),
        "price a minute": cost_a_minute(column),
    }


def _measured(columns: Sequence[Column]) -> list[Block]:
    names = ["server", "turn detection", "settings", "versions", "machine", "load before", "date, commit"]
    cells = [_circumstances(column) for column in columns]
    rows = [[name, *(cell[place] for cell in cells)] for place, name in enumerate(names)]
    blocks: list[Block] = [Table(["", *(column.name for column in columns)], rows, numeric=False)]
    if not _comparable([column.first.machine for column in columns]):
        blocks.append(
            Text("The columns come from different machines or different load: their latencies cannot be compared.")
        )
    blocks.append(Text("The commands, to be run again:"))
    commands = dict.fromkeys(clean(run.command, None) for column in columns for run in column.runs)
    blocks += [Code(command) for command in commands]
    return blocks


def _comparable(machines: Sequence[Machine]) -> bool:
    """One machine, and about the same load on it before."""
    loads = [machine.load for machine in machines]
    same = len({clean(replace(machine, load=0.0), None) for machine in machines}) == 1
    return same and max(loads) - min(loads) <= _LOAD_APART * machines[0].cores


_DETECTION = "turn_detection"  # has a row of its own


def _circumstances(column: Column) -> list[str]:
    run = column.first
    server, machine = run.server, run.machine
    where = "" if machine.server_is_here else " (the clients'; the server runs elsewhere)"
    gpus = ", ".join(machine.gpus) or "no GPU"
    return [
        clean(f"{server.dialect} at {server.url}, model {server.model or 'unnamed'}"),
        clean(server.vad or "unknown") + f"; hold {column.hold}",
        clean(", ".join(f"{name} {value}" for name, value in server.settings.items() if name != _DETECTION) or "–"),
        clean(", ".join(f"{name} {value}" for name, value in server.versions.items()) or "–"),
        clean(f"{machine.cores} x {machine.cpu}, {machine.memory_gib:.0f} GiB, {gpus}, {machine.os}{where}"),
        f"{machine.load:.1f}" + (" (busy)" if machine.load > machine.cores / 2 else ""),
        clean(f"{run.date[:16].replace('T', ' ')}, {run.commit[:12] or 'no commit'}"),
    ]


_CONDITIONS = {"phone": "phone line", "noise_20": "noise 20 dB", "noise_10": "noise 10 dB", "noise_5": "noise 5 dB"}
_ACCURACIES: tuple[tuple[str, Callable[[Accuracy], Count], str], ...] = (
    ("Word error rate by condition", lambda one: one.words, "less"),
    ("Turns with the right tool calls by condition", lambda one: one.tools, "more"),
)


def _right(columns: Sequence[Column]) -> list[Block]:
    parts = {column.number: accuracy(column) for column in columns}
    conditions = list(dict.fromkeys(name for part in parts.values() for name in part))
    blocks: list[Block] = []
    for title, count, better in _ACCURACIES:
        counts = {
            name: [count(parts[column.number][name]) if name in parts[column.number] else None for column in columns]
            for name in conditions
        }
        counts = {name: row for name, row in counts.items() if any(one is not None and one.of for one in row)}
        if not counts:
            continue
        rows = [
            [
                _CONDITIONS.get(name) or clean(name, 40),
                *("–" if one is None else share(one.part, one.of) for one in row),
            ]
            for name, row in counts.items()
        ]
        groups = {
            (_CONDITIONS.get(name) or clean(name, 14)): [
                (
                    Series(column.name, column.number, []),
                    100 * one.part / one.of if one is not None and one.of else None,
                )
                for column, one in zip(columns, row, strict=True)
            ]
            for name, row in counts.items()
        }
        blocks.append(Table(["condition", *(column.name for column in columns)], rows, title))
        blocks.append(bars(f"{title}, in percent; {better} is better", groups))
    return blocks


def _interruptions(columns: Sequence[Column]) -> list[Block]:
    rows = []
    for column in columns:
        found = column.interruptions
        if not found:
            continue
        meant = [one for one in found if one.meant]
        compared = [one for one in meant if one.heard_words is not None and one.history_words is not None]
        apart = [abs((one.heard_words or 0) - (one.history_words or 0)) for one in compared]
        rows.append(
            [
                column.label,
                share(sum(one.stopped for one in meant), len(meant)),
                three(spread(finite(one.stop_ms for one in meant))),
                share(sum(one.false_alarm for one in found), len(found) - len(meant)),
                number(sum(apart) / len(apart)) if apart else "–",
            ]
        )
    head = ["server", "stopped by words", "to silence p50, p95, p99, ms", "stopped by a cough or a backchannel"]
    head.append("words heard beside words in history, mean difference")
    return [Table(head, rows)] if rows else []


def _errors(columns: Sequence[Column]) -> list[Block]:
    """What went wrong, most often first."""
    rows = [[column.name, error, str(count)] for column in columns for error, count in column.errors[:_ERRORS]]
    note = "What was not said any more in a call that broke off is counted nowhere else."
    return [Table(["server", "error", "times"], rows, note=note, numeric=False)] if rows else []


def _cost(columns: Sequence[Column]) -> list[Block]:
    rows = cost_rows(columns)
    if not rows:
        return []
    head = ["server", "quality", "price a call", "price a minute", "own GPU a minute", "prices of"]
    head += ["tokens a call, in (cached)", "tokens a call, out"]
    blocks: list[Block] = [
        told(Table(head, rows, note="Quality: turns with the right tool calls, or tasks completed."))
    ]
    priced = [
        (column, found) for column in columns if (found := quality(column)) is not None and found.price is not None
    ]
    if priced:
        currency = priced[0][1].currency
        series = [
            Series(column.name, column.number, [(found.price or 0, 100 * found.good)])
            for column, found in priced
            if found.currency == currency
        ]
        blocks.append(scatter("Cost over quality", f"{clean(currency, 10)} a minute", "% right", series))
    return blocks
