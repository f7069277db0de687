"""How many callers fit: more and more of them, until the first sound comes too late."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.engines.cost import row, shown, table
from benchmarks.engines.simulated import Engines, Turns, load
from benchmarks.process import busy_cores
from benchmarks.search import most_that
from models.base import Pcm16

_HEAD = ("callers", "turns", "failed", "transcript p50 / p95", "first token", "first clause", "first sound")
_MORE = ("prompt tokens", "cached", "answer", "machine busy")


def late(turns: Turns) -> float:
    """Milliseconds from the last word within which 95 % of the turns were heard; a turn without an answer never was."""
    waits = sorted([*turns.sound, *[math.inf] * turns.failed])
    return waits[math.ceil(0.95 * len(waits)) - 1] if waits else math.inf


async def ramp(engines: Engines, speech: Pcm16, *, start: int, most: int, limit_ms: float, seconds: float) -> int:
    """The most callers, within an eighth, for whom the 95th percentile keeps the limit; 0 if ``start`` do not."""
    table(*_HEAD, *_MORE)

    async def in_time(callers: int) -> bool:
        before = busy_cores()
        turns = await load(engines, callers, seconds, speech)
        worked, possible = (now - then for now, then in zip(busy_cores(), before, strict=True))
        _show(callers, turns, worked / max(possible, 0.01))
        return late(turns) <= limit_ms

    return await most_that(in_time, start, most)


def _show(callers: int, turns: Turns, busy: float) -> None:
    stages = [turns.transcript, turns.first_token, turns.clause, turns.sound]
    cells = [shown(stage) if stage else "-" for stage in stages]
    usage = [f"{np.mean(values):.0f}" if values else "-" for values in (turns.prompt, turns.cached, turns.tokens)]
    row(callers, len(turns.sound), turns.failed, *cells, *usage, f"{busy:.0%}")
