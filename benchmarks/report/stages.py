"""Where the time of each turn goes, as far as the server tells."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.report.charts import Bar, waterfall
from benchmarks.report.columns import Column, finite
from benchmarks.report.document import Block, Section, Table, Text, clean, milliseconds
from benchmarks.report.svg import colour
from benchmarks.results import Turn

_SHOWN = 16
_WAIT = "hold over, answer let go"
_HEARD = "first sound heard"
_NAMES = {
    "stt_final": "transcript",
    "llm_first_token": "first token",
    "first_segment": "first clause",
    "tts_first_audio": "first audio made",
    "response_created": _WAIT,
}


def _told(turn: Turn) -> list[tuple[str, float]]:
    """The stages of a turn in the order in which they were reached, the sound at the client last."""
    told = [(_NAMES.get(name) or clean(name, 30), moment) for name, moment in turn.stages.items() if finite([moment])]
    if turn.voice_to_voice_ms is not None:
        told.append((_HEARD, turn.voice_to_voice_ms))
    return sorted(told, key=lambda stage: stage[1])


def stages(columns: Sequence[Column]) -> Section:
    """A bar for each turn, the median turn above; and the medians as a table."""
    telling = {column.number: list(filter(_tells, column.turns)) for column in columns}
    shown = [column for column in columns if telling[column.number]]
    if not shown:
        return Section("Stages of a turn", [])
    names = list(
        dict.fromkeys(
            [
                *_NAMES.values(),
                *(name for column in shown for turn in telling[column.number] for name, _ in _told(turn)),
            ]
        )
    )
    names = [name for name in names if name != _HEARD]
    colours = {name: "wait" if name == _WAIT else colour(number) for number, name in enumerate([*names, _HEARD])}
    highest = max(moment for column in shown for turn in _some(telling[column.number]) for _, moment in _told(turn))
    rows, charts = [], list[Block]()
    for column in shown:
        medians = _medians(telling[column.number], [*names, _HEARD])
        rows.append([column.label, *(milliseconds(medians.get(name)) for name in [*names, _HEARD])])
        charts.append(waterfall(*_picture(column, telling[column.number], medians), highest, colours))
    table = Table(["server", *names, _HEARD], rows, "Median of each stage, ms after the end of speech")
    blocks: list[Block] = [table, *charts]
    silent = [column.name for column in columns if column not in shown]
    if silent:
        blocks.append(Text(f"No stages are told by: {', '.join(silent)}."))
    return Section("Stages of a turn", blocks)


def _tells(turn: Turn) -> bool:
    """Whether it is a turn with an answer whose stages are known; one that wants none (a cough) is not."""
    return turn.wants_answer and not turn.lost and len(_told(turn)) > 1


def _some(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Not too many to look at, from the whole run."""
    return turns[:: -(-len(turns) // _SHOWN)]


def _medians(turns: Sequence[Turn], names: Sequence[str]) -> dict[str, float]:
    moments: dict[str, list[float]] = {name: [] for name in names}
    for turn in turns:
        for name, moment in _told(turn):
            moments[name].append(moment)
    return {name: statistics.median(values) for name, values in moments.items() if values}


def _picture(column: Column, turns: Sequence[Turn], medians: dict[str, float]) -> tuple[str, list[Bar]]:
    shown = f"{len(_some(turns))} of {len(turns)} turns"
    title = f"{column.label}: the median, and {shown}; the end of the hold is marked"
    holds = finite(turn.hold_ms for turn in turns)
    rows = [Bar("median", sorted(medians.items(), key=lambda one: one[1]), statistics.median(holds) if holds else None)]
    for turn in _some(turns):
        rows.append(Bar(f"{clean(turn.scenario, 16)} {turn.call}.{turn.turn}", _told(turn), turn.hold_ms))
    return title, rows
