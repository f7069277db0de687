"""Somebody on the phone who keeps to a plan, and what came of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.audio import rms_dbfs
from models.base import Pcm16
from scripts.phone_line.line import Line, Recording
from scripts.phone_line.measure import answer_after_ms, speech_bounds, stopped_after_ms

_QUIET_S = 0.8
_PATIENCE_S = 30.0
_INTO_ANSWER_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """says: one after the other, each when the answer before has fallen silent. over: spoken into the last answer.
    Samples at 8 kHz."""

    says: tuple[Pcm16, ...] = ()
    over: Pcm16 | None = None
    keys: str = ""
    hang_up_after_s: float | None = None

    def level_dbfs(self) -> float:
        """How loud the caller speaks."""
        spoken = [pcm for pcm in self.says if len(pcm)]
        return rms_dbfs(np.concatenate(spoken)) if spoken else -20.0


@dataclass(slots=True)
class CallResult:
    """Times in milliseconds of the line's own clock. answers: from the end of each question to the first sound of its
    answer, None where none came. stopped: from the first sound of what was said over it to the answer's last."""

    recording: Recording
    greeting_ms: float | None = None
    answers: list[float | None] = field(default_factory=list)
    stopped_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For printing."""
        return {
            "seconds": round(self.recording.seconds, 2),
            "greeting_ms": self.greeting_ms,
            "answer_ms": self.answers,
            "stopped_ms": self.stopped_ms,
            "underruns": self.recording.underruns,
            "late_ms": round(self.recording.late_ms, 1),
            "findings": self.recording.findings,
        }


async def hold_call(line: Line, plan: Plan) -> CallResult:
    """Keep to the plan on a line that runs."""
    result = CallResult(line.recording)
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.hang_up_after_s):
            await _talk(line, plan, result)
    return result


async def _talk(line: Line, plan: Plan, result: CallResult) -> None:
    rate = line.recording.rate
    await quiet_after(line, 0)
    result.greeting_ms = answer_after_ms(line.recording.heard_pcm, 0, rate)
    if plan.keys:
        since = line.samples
        await line.press(plan.keys)
        await quiet_after(line, since)
    for number, speech in enumerate(plan.says):
        begins = line.say(speech, 8_000)
        end = begins + speech_bounds(speech)[1] * rate // 8_000
        await line.after(end)
        last = number == len(plan.says) - 1
        if last and plan.over is not None:
            await _speak_over(line, plan.over, end, result)
        else:
            await quiet_after(line, end)
        result.answers.append(answer_after_ms(line.recording.heard_pcm, end, rate))


async def _speak_over(line: Line, speech: Pcm16, since: int, result: CallResult) -> None:
    rate = line.recording.rate
    await begun_after(line, since)
    await line.after(line.samples + int(_INTO_ANSWER_S * rate))
    first, last = (bound * rate // 8_000 for bound in speech_bounds(speech))
    begins = line.say(speech, 8_000)
    await line.after(begins + last)
    await quiet_after(line, begins + last)
    result.stopped_ms = stopped_after_ms(line.recording.heard_pcm, begins + first, rate)


async def begun_after(line: Line, since: int) -> None:
    """Until something is heard after this sample, or it has taken too long."""
    rate = line.recording.rate
    while answer_after_ms(line.recording.heard_from(since), 0, rate) is None:
        if line.ended or line.samples > since + _PATIENCE_S * rate:
            return
        await line.after(line.samples + rate // 10)


async def quiet_after(line: Line, since: int, seconds: float = _QUIET_S) -> None:
    """Until something was heard after this sample, and then nothing for so long; or it has taken too long."""
    await begun_after(line, since)
    rate = line.recording.rate
    while not line.ended:
        heard = line.recording.heard_from(since)
        if len(heard) - speech_bounds(heard)[1] >= seconds * rate or len(heard) > 4 * _PATIENCE_S * rate:
            return
        await line.after(line.samples + rate // 10)
