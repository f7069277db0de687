"""The load: five callers with a question each, one beginning shortly after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.client import Answer, call
from benchmarks.gate.margins import Call, Measured, measured
from benchmarks.process import Server
from benchmarks.speech import Question, speak
from benchmarks.tool_scoring import ToolCall, score, word_errors

_QUESTIONS = (
    ("en-us", "Are you a real person?", None),
    ("en-us", "What time do you open on Friday?", ToolCall("get_opening_hours", {"day": "friday"})),
    ("en-gb", "Where can I park?", None),
    ("en-us", "How much is a haircut?", ToolCall("get_price", {"service": "haircut"})),
    ("en-gb", "Do you have anything free on Tuesday?", ToolCall("check_availability", {"day": "tuesday"})),
)
_TOOLS = Path(__file__).parents[2] / "models" / "bundled" / "llm" / "tiny" / "tools.json"
_APART_S = 0.4
_PATIENCE_S = 15.0


@dataclass(slots=True)
class Load:
    """What one server has been asked so far, and what it cost. cpu_s: of the server's processes, during its calls."""

    server: Server
    calls: list[Call] = field(default_factory=list)
    cpu_s: float = 0.0

    def so_far(self) -> Measured:
        return measured(self.calls, self.cpu_s)


def questions() -> list[tuple[Question, ToolCall | None]]:
    """Spoken, with the call of a tool that each needs."""
    return [(speak(text, voice), expected) for voice, text, expected in _QUESTIONS]


async def warm_up(load: Load, asked: Sequence[tuple[Question, ToolCall | None]], hold_ms: int) -> None:
    """A first call, which does not count."""
    await _ask(load.server.url, *asked[0], hold_ms, 0.0)


async def burst(load: Load, asked: Sequence[tuple[Question, ToolCall | None]], hold_ms: int) -> None:
    """All questions, each in a call of its own."""
    before = load.server.cpu_s()
    calls = [
        _ask(load.server.url, question, expected, hold_ms, _APART_S * number)
        for number, (question, expected) in enumerate(asked)
    ]
    load.calls += await asyncio.gather(*calls)
    load.cpu_s += load.server.cpu_s() - before


async def _ask(url: str, question: Question, expected: ToolCall | None, hold_ms: int, after_s: float) -> Call:
    """An answer that does not come is None; a server that cannot be called raises."""
    await asyncio.sleep(after_s)
    detection = {"type": "server_vad", "silence_duration_ms": hold_ms}
    audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": detection}}
    session = {"instructions": "You are the receptionist of a hair salon.", "tools": _tools(), "audio": audio}
    async with call(url, session) as caller:
        try:
            answer = await caller.ask(question, _PATIENCE_S)
        except TimeoutError:
            answer = Answer(question.text)
        hold = caller.hold_ms
    got = [ToolCall.read(*asked.split(" ", 1)) for asked in answer.calls]
    return Call(
        None if answer.voice_to_voice is None else answer.voice_to_voice - hold,
        answer.tokens,
        None if expected is None else score([expected], got).whole,
        *word_errors(question.text, answer.transcript),
    )


def _tools() -> list[dict[str, Any]]:
    return [{"type": "function", **entry["function"]} for entry in json.loads(_TOOLS.read_text())]
