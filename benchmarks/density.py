"""`python -m benchmarks density`: how many callers at once a server answers in time.

Callers in real time, more and more of them, each asking on as soon as the answer was heard, until the 95th percentile
of voice to voice beyond the hold passes the limit, sound comes too late to be played without a gap, or questions stay
without an answer. Says what gave out first; where it was the clients themselves, the figure is theirs, and says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks import crowd, machine, peer, results, run, summary
from benchmarks.conversation import NO_ANSWER
from benchmarks.peer import Peer
from benchmarks.process import busy_cores
from benchmarks.search import most_that

_console = Console()
_status = Console(stderr=True)
_FULL = 0.9
_OTHERS = 0.25
_CLIENTS_LATE_MS = 20.0
"""A piece of audio is 20 ms: callers whose pieces leave so late are no callers in real time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    peer.add_arguments(parser)
    parser.add_argument("--limit-ms", type=float, default=800, help="for the p95 of voice to voice beyond the hold")
    parser.add_argument("--start", type=int, default=1, help="callers of the first level")
    parser.add_argument(
        "--step", type=int, default=0, help="so many more each time; default: half as many, then in between"
    )
    parser.add_argument("--most", type=int, default=512, help="stop here")
    parser.add_argument("--turns", type=int, default=4, help="questions of each caller and level")
    parser.add_argument("--condition", choices=results.CONDITIONS, default="clean")
    parser.add_argument("--out", type=Path, help="result file, e.g. results/ours.json")


def main(arguments: argparse.Namespace) -> int:
    """0, or 1 when not even the first level was held. Raises UsageError."""
    arguments.set.insert(0, f"KAMMERTON_SERVER__MAX_SESSIONS={arguments.most}")
    with peer.peer(arguments) as server:
        found = run.begin(arguments.out.stem if arguments.out else "density", server, [])
        found.density = asyncio.run(ramp(server, arguments))
    if found.machine.gpus and found.machine.server_is_here:
        found.density.per_gpu = found.density.most / len(found.machine.gpus)
    if arguments.out:
        results.write(found, arguments.out)
    _console.print(summary.markdown(found), soft_wrap=True, markup=False, highlight=False)
    return 0 if found.density.most else 1


async def ramp(server: Peer, arguments: argparse.Namespace) -> results.Density:
    """Levels from ``start`` on, in the order in which they were tried."""
    density = results.Density(arguments.limit_ms, 0, "")

    pools: dict[int, ProcessPoolExecutor] = {}

    async def held(callers: int) -> bool:
        count = crowd.processes_for(callers)
        if count > 1 and count not in pools:
            pools[count] = stack.enter_context(crowd.process_pool(callers))
        level = await measure(server, callers, arguments, pools.get(count))
        density.levels.append(level)
        _status.print(summary.level_row(level), markup=False, highlight=False, soft_wrap=True)
        return level.held

    with ExitStack() as stack:
        density.most = await most_that(held, arguments.start, arguments.most, arguments.step)
    over = [level for level in density.levels if not level.held]
    if over:
        first = min(over, key=lambda level: level.callers)
        density.bound = f"With {first.callers}: {first.bound}."
    else:
        density.bound = f"Nothing was at its end: --most {arguments.most} was."
    return density


async def measure(
    server: Peer, callers: int, arguments: argparse.Namespace, pool: ProcessPoolExecutor | None = None
) -> results.Level:
    """One level, with what it cost whom."""
    parts = server.local.cpu_by_part() if server.local else {}
    cpu, worked, begun = sum(parts.values()), busy_cores(), time.monotonic()
    with machine.watched_gpus() as gpus, _status.status(f"{callers} callers"):
        taken = await crowd.talk(server, crowd.Load(callers, arguments.turns, arguments.condition), pool)
    wall = time.monotonic() - begun
    if taken.ready is not None:
        server.told(taken.ready)
    level = _level(callers, arguments.turns, taken)
    level.client_cores = taken.cpu_s / wall
    spent, possible = (now - then for now, then in zip(busy_cores(), worked, strict=True))
    level.machine_busy = spent / possible if server.is_here else None
    if server.local is not None:
        level.server_cores = (server.local.cpu_s() - cpu) / wall
        level.memory_mb = server.local.own_memory_mb()
        now = server.local.cpu_by_part()
        parts = {part: (now[part] - parts[part]) / wall for part in parts}
    if server.is_here:
        level.gpu, level.gpu_memory_gib = gpus.share, gpus.memory
    late = level.beyond_hold_ms.p95 if level.beyond_hold_ms.count else level.voice_to_voice_ms.p95
    in_time = late is not None and late <= arguments.limit_ms
    level.held = in_time and not level.lost and not level.underruns
    if not level.held:
        level.bound = bound(level, parts, arguments.limit_ms)
    return level


def _level(callers: int, turns: int, taken: crowd.Taken) -> results.Level:
    # An answer that failed is none, whatever was heard of it: an apology comes quickly.
    answered = [turn for turn in taken.turns if not turn.lost and not turn.errors]
    level = results.Level(
        callers,
        len(answered),
        callers * turns - len(answered),
        sum(len(turn.underruns_ms) for turn in answered),
        held=False,
        voice_to_voice_ms=summary.percentiles(turn.voice_to_voice_ms for turn in answered),
        beyond_hold_ms=summary.percentiles(turn.beyond_hold_ms for turn in answered),
        errors=sorted({*taken.errors, *(error for turn in taken.turns for error in turn.errors)}),
    )
    for stage in dict.fromkeys(name for turn in answered for name in turn.stages):
        p95 = summary.percentiles(turn.stages.get(stage) for turn in answered).p95
        if p95 is not None:
            level.stages_p95_ms[stage] = p95
    if taken.late_s:
        level.microphone_late_ms = round(float(np.percentile(taken.late_s, 95)) * 1000, 1)
    return level


def bound(level: results.Level, parts: dict[str, float], limit_ms: float) -> str:
    """What gave out, and at whose end it was. parts: cores that the parts of the server used."""
    why = []
    if level.lost:
        why.append(f"{level.lost} questions without an answer")
    if level.underruns:
        why.append(f"{level.underruns} gaps in the sound")
    late = level.beyond_hold_ms.p95 if level.beyond_hold_ms.count else level.voice_to_voice_ms.p95
    if late is not None and late > limit_ms:
        why.append(f"p95 {late:.0f} ms")
    return f"{', '.join(why)}; {_culprit(level, parts)}"


def _culprit(level: results.Level, parts: dict[str, float]) -> str:
    clients_are_slow = (level.microphone_late_ms or 0.0) > _CLIENTS_LATE_MS
    if (level.client_cores or 0.0) > _FULL * crowd.processes_for(level.callers):
        return "the clients were at their end, so the server may be able to do more: measure from another machine"
    said = [error for error in level.errors if error != NO_ANSWER]
    if level.lost and said:
        return f"the server said: {said[0]}"
    if level.gpu is not None and level.gpu > _FULL:
        return "the GPU was at its end"
    for part, cores in parts.items():
        if part != "models" and cores > _FULL:
            return f"the server's {part} took a whole core"
    if (level.machine_busy or 0.0) > _FULL:
        return _busy(level)
    if clients_are_slow:
        return "the clients sent their audio late, so the server may be able to do more: measure from another machine"
    stages = level.stages_p95_ms
    slowest = (
        f"; the stages' p95 in ms: {', '.join(f'{name} {ms:.0f}' for name, ms in stages.items())}" if stages else ""
    )
    return f"neither processor nor GPU was at its end{slowest}"


def _busy(level: results.Level) -> str:
    """Whose work it was that took all cores."""
    clients = f"{level.client_cores or 0.0:.1f} the clients'"
    if level.server_cores is None:
        return f"all cores of the machine were busy, {clients}"
    others = (level.machine_busy or 0.0) * (os.cpu_count() or 1) - level.server_cores - (level.client_cores or 0.0)
    shares = f"{level.server_cores:.1f} cores of it the server's, {clients}"
    if others > max(level.server_cores, _OTHERS):
        return f"other work took {others:.1f} cores of the machine ({shares}): measure when it is quiet"
    return f"all cores of the machine were busy, {shares}"
