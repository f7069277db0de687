"""Voice activity: what a session costs when 1, 16 or 128 of them share the model, and when they do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from benchmarks.engines.cost import Cost, rounds, row, shown, table
from models.vad.silero import FRAME_SAMPLES, SileroVad

_FRAME_MS = 32
_SESSIONS = (1, 16, 128)


async def frame_cost(model: Path, rate: int, sessions: int, max_batch: int, ticks: int) -> Cost:
    """One frame of every session, again and again: the cost of such a tick, all that belongs to it included."""
    detector = SileroVad.load(model, max_batch=max_batch)
    frame = (np.random.default_rng(0).standard_normal(FRAME_SAMPLES[rate]) * 300).astype(np.int16)
    streams = [detector.open(rate) for _ in range(sessions)]
    await asyncio.gather(*(stream.push(frame) for stream in streams))
    cost = Cost()
    for _ in rounds(ticks, f"VAD, {sessions} at {rate} Hz"):
        with cost.run():
            await asyncio.gather(*(stream.push(frame) for stream in streams))
    await detector.close()
    return cost


async def report(model: Path, ticks: int) -> None:
    table("VAD, Hz", "sessions", "batch", "CPU µs a session and 32 ms frame p50 / p95", "of a core, a session")
    for rate in FRAME_SAMPLES:
        for sessions in _SESSIONS:
            for max_batch in (64, 1) if sessions > 1 else (64,):
                cost = await frame_cost(model, rate, sessions, max_batch, max(20, ticks // sessions))
                each = [milliseconds * 1000 / sessions for milliseconds in cost.cpu]
                share = f"{np.median(each) / _FRAME_MS / 10:.2f} %"
                row(rate, sessions, min(sessions, max_batch), shown(each, "µs"), share)
