"""Callers as the engines see them: one turn every ten seconds, without a socket and without a word that means anything.

A caller speaks for four seconds: voice activity frame by frame, and growing decodes with spare capacity, as in a
session. 96 ms after the last sample the turn is decoded, the chat model answers on a context of its own, and the first
clause is spoken. From then on the answer goes on in the background, as it would while the caller listens.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import numpy as np

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModel,
    ChatRequest,
    Pcm16,
    Priority,
    Synthesizer,
    TextDelta,
    Transcriber,
    VoiceActivityDetector,
    VoiceError,
)

PERIOD_S = 10.0
SOFT_END_MS = 96.0
_SPEAKS_S = 4.0
_RATE = 16_000
_PIECE = _RATE * 96 // 1000
_PARTIAL_EVERY_S = 0.6
_ANSWER_TOKENS = 40
_CLAUSE_TOKENS = 8
_CLAUSE = "Yes, we are open on Friday,"
_REST = "from nine in the morning until six in the evening. Would you like to book an appointment?"
_AGENT = "You are the receptionist of a hair salon. Be friendly. "
_SAID = "We are open from nine to six, and on Saturday from ten to two. "


@dataclass(slots=True)
class Turns:
    """Milliseconds after the last sample of speech until each stage was reached. failed: turns without an answer."""

    transcript: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    clause: list[float] = field(default_factory=list)
    sound: list[float] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    cached: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    failed: int = 0
    errors: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Engines:
    """What is under load. context: tokens, more or less, that each caller's prompt begins with, half of them shared."""

    vad: VoiceActivityDetector
    stt: Transcriber
    llm: ChatModel
    tts: Synthesizer
    context: int


class SimulatedCaller:
    """One of many. Its answers are spoken at a speed of their own each, so that none is kept ready."""

    def __init__(self, engines: Engines, number: int, speech: Pcm16) -> None:
        self._engines = engines
        self._number = number
        self._speech = speech[: int(_SPEAKS_S * _RATE)]
        self._stream = engines.vad.open(_RATE)
        self._asked = 0
        self._talking: set[asyncio.Task[None]] = set()

    async def turns(self, turns: Turns, until: float, count_from: float) -> None:
        """One turn a period, from a moment of its own in the first one on; those that begin before ``count_from`` warm
        up. Both on time.perf_counter's clock."""
        await asyncio.sleep(random.Random(self._number).random() * PERIOD_S)
        while (begins := time.perf_counter()) < until:
            kept = turns if begins >= count_from else Turns()
            try:
                await self._turn(kept)
            except VoiceError as error:
                kept.failed += 1
                kept.errors.add(str(error))
            await asyncio.sleep(begins + PERIOD_S - time.perf_counter())

    async def _turn(self, turns: Turns) -> None:
        utterance = self._engines.stt.open(language="en")
        partials = asyncio.create_task(self._partials(utterance.partial))
        try:
            begun = time.perf_counter()
            for start in range(0, len(self._speech), _PIECE):
                piece = self._speech[start : start + _PIECE]
                await asyncio.sleep(begun + (start + len(piece)) / _RATE - time.perf_counter())
                utterance.push(piece)
                await self._stream.push(piece)
            stopped = begun + len(self._speech) / _RATE
            partials.cancel()
            await asyncio.sleep(stopped + SOFT_END_MS / 1000 - time.perf_counter())
            await utterance.final(Priority.PREPARED)
            transcript = _since(stopped)
            await self._answer(turns, stopped)
            turns.transcript.append(transcript)
        finally:
            partials.cancel()
            utterance.close()

    async def _partials(self, partial: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(_PARTIAL_EVERY_S)
            with suppress(VoiceError):
                await partial()

    async def _answer(self, turns: Turns, stopped: float) -> None:
        deltas = self._engines.llm.stream(self._request())
        first = 0.0
        heard = 0
        async with aclosing(deltas):
            async for delta in deltas:
                if isinstance(delta, ChatDone):
                    break
                first = first or _since(stopped)
                heard += max(1, len(delta.text.split())) if isinstance(delta, TextDelta) else 0
                if heard >= _CLAUSE_TOKENS:
                    break
            clause = _since(stopped)
            await self._first_sound()
            turns.first_token.append(first or clause)
            turns.clause.append(clause)
            turns.sound.append(_since(stopped))
            # The rest is generated and spoken while the caller hears the beginning.
            speaking = asyncio.create_task(self._speak(_REST))
            self._talking.add(speaking)
            speaking.add_done_callback(self._talking.discard)
            await self._finish(deltas, turns)

    async def _finish(self, deltas: AsyncGenerator[ChatDelta, None], turns: Turns) -> None:
        async for delta in deltas:
            if isinstance(delta, ChatDone):
                turns.prompt.append(delta.usage.prompt)
                turns.cached.append(delta.usage.cached)
                turns.tokens.append(delta.usage.completion)

    async def _first_sound(self) -> None:
        voice = self._engines.tts.voices[0]
        speed = 1 + (self._number * 100 + self._asked) % 5000 / 50_000
        async with aclosing(self._engines.tts.synthesize(_CLAUSE, voice, speed=speed)) as chunks:
            async for _ in chunks:
                return

    async def _speak(self, text: str) -> None:
        with suppress(VoiceError):
            async with aclosing(self._engines.tts.synthesize(text, self._engines.tts.voices[0])) as chunks:
                async for _ in chunks:
                    pass

    def _request(self) -> ChatRequest:
        self._asked += 1
        half = self._engines.context // 2
        shared, own = _AGENT * (half // 12), _SAID * (half // 16)
        messages = [
            ChatMessage("system", shared),
            ChatMessage("user", f"I am caller {self._number}."),
            ChatMessage("assistant", own),
            ChatMessage("user", f"And what about number {self._asked}? Is it free in the morning, too?"),
        ]
        return ChatRequest(messages, max_tokens=_ANSWER_TOKENS, priority=Priority.PREPARED, cache_key="benchmark")


async def load(engines: Engines, callers: int, seconds: float, speech: Pcm16) -> Turns:
    """That many callers for so long, behind one period that is not counted."""
    turns = Turns()
    now = time.perf_counter()
    counted = now + PERIOD_S
    everybody = [SimulatedCaller(engines, number, np.roll(speech, number * 997)) for number in range(callers)]
    async with asyncio.TaskGroup() as group:
        for caller in everybody:
            group.create_task(caller.turns(turns, counted + seconds, counted))
    return turns


def _since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1000
