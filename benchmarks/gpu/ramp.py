"""How many callers fit: more and more of them, until the first sound comes too late."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.engines.cost import row, shown, table
from benchmarks.engines.simulated import Engines, Turns, load
from benchmarks.process import busy_cores
from models.base import Pcm16

_HEAD = ("callers", "turns", "failed", "transcript p50 / p95", "first token", "first clause", "first sound")
_MORE = ("prompt tokens", "cached", "answer", "machine busy")


def late(turns: Turns) -> float:
    """Milliseconds from the last word within which 95 % of the turns were heard; a turn without an answer never was."""
    waits = sorted([*turns.sound, *[math.inf] * turns.failed])
    return waits[math.ceil(0.95 * len(waits)) - 1] if waits else math.inf


async def ramp(engines: Engines, speech: Pcm16, *, start: int, most: int, limit_ms: float, seconds: float) -> int:
    """The most callers, within an eighth, for whom the 95th percentile stays within the limit; 0 if ``start`` do not.

    Half as many again each time until it is passed, then in between.
    """
    table(*_HEAD, *_MORE)
    good, bad, callers = 0, most + 1, min(start, most)
    while callers > good and bad - good > max(1, good // 8):
        before = busy_cores()
        turns = await load(engines, callers, seconds, speech)
        worked, possible = (now - then for now, then in zip(busy_cores(), before, strict=True))
        _show(callers, turns, worked / max(possible, 0.01))
        if late(turns) <= limit_ms:
            good = callers
        else:
            bad = callers
        callers = min(good * 3 // 2 + 1, most) if bad > most else (good + bad) // 2
    return good


def _show(callers: int, turns: Turns, busy: float) -> None:
    stages = [turns.transcript, turns.first_token, turns.clause, turns.sound]
    cells = [shown(stage) if stage else "-" for stage in stages]
    usage = [f"{np.mean(values):.0f}" if values else "-" for values in (turns.prompt, turns.cached, turns.tokens)]
    row(callers, len(turns.sound), turns.failed, *cells, *usage, f"{busy:.0%}")
