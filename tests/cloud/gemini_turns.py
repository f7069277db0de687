"""The turns of the Gemini Live stand-in: where speech is in the sound, and what the scripted model does about it."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import numpy as np

from models.audio import Pcm16, rms_dbfs
from tests.cloud.gemini_wire import INVALID, Json, RefusedError
from tests.models.speech import speak

_IN_RATE, _OUT_RATE = 16_000, 24_000
_WINDOW = _IN_RATE // 50
_LOUD_DBFS = -45.0
_CHUNK = _OUT_RATE // 25
_TOKENS_A_SECOND = 25


@dataclass(frozen=True)
class Call:
    """A function call that the model makes."""

    name: str
    args: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """One turn of the script. says: the answer; ``{name}`` stands for a value out of the results of its calls. heard:
    what the caller is understood to have said."""

    says: str
    heard: str = ""
    calls: tuple[Call, ...] = ()


class Activity:
    """Speech by loudness, in windows of 20 ms: start_ms of it are a start, and silence_ms of quiet an end."""

    def __init__(self, start_ms: int, silence_ms: int) -> None:
        self._needed = max(1, start_ms // 20)
        self._quiet_allowed = max(1, silence_ms // 20)
        self._left: Pcm16 = np.zeros(0, np.int16)
        self._loud = self._quiet = self._windows = 0
        self._speaking = False

    def push(self, pcm: Pcm16) -> list[tuple[bool, int]]:
        """Starts (True) and ends of speech in these samples at 16 kHz, each with its position in all samples so far."""
        data = np.concatenate((self._left, pcm))
        whole = len(data) // _WINDOW
        self._left = data[whole * _WINDOW :]
        found = []
        for window in data[: whole * _WINDOW].reshape(whole, _WINDOW):
            self._windows += 1
            loud = rms_dbfs(window) > _LOUD_DBFS
            self._loud = self._loud + 1 if loud else 0
            self._quiet = 0 if loud else self._quiet + 1
            turned = self._quiet >= self._quiet_allowed if self._speaking else self._loud >= self._needed
            if turned:
                self._speaking = not self._speaking
                found.append((self._speaking, self._windows * _WINDOW))
        return found

    def flush(self) -> bool:
        """The microphone is off: whether that ended speech."""
        ended, self._speaking = self._speaking, False
        return ended


class _Habits(Protocol):
    played: float
    late_words: bool
    thinks: bool


class Turns:
    """The model's side of one connection: at most one answer at a time."""

    def __init__(
        self,
        send: Callable[[Json], Awaitable[None]],
        remember: Callable[[Json | None], Awaitable[None]],
        next_scene: Callable[[], Scene],
        habits: _Habits,
    ) -> None:
        self._send, self._remember, self._next_scene, self._habits = send, remember, next_scene, habits
        self.interruptible = True
        self.hears = self.writes = False
        """Whether the client wants the caller's words, and the answer's."""
        self.results: list[tuple[str, Json]] = []
        self._answer: asyncio.Task[None] | None = None
        self._cutting: set[asyncio.Task[None]] = set()
        self._waiting: list[bool] = []
        self._calls: dict[str, asyncio.Future[Json]] = {}
        self._numbers = count(1)
        self._said: list[str] = []
        self._speaking_since: float | None = None
        self.open = False
        """Whether activity was told by hand and goes on."""
        self._prompt_tokens = 0

    def close(self) -> None:
        """The connection is over."""
        for task in (self._answer, *self._cutting):
            if task is not None:
                task.cancel()

    # ------------------------------------------------------------------------------- the caller

    def manual_start(self) -> None:
        """activityStart."""
        if self.open:
            raise RefusedError(INVALID, "Request contains an invalid argument: the activity has started already.")
        self.open = True

    def manual_end(self) -> bool:
        """activityEnd; whether one was open."""
        was, self.open = self.open, False
        return was

    def hear(self, count: int, *, manual: bool) -> None:
        """Sound has come. Where activity is told by hand it is not heard outside of one."""
        if self.open or not manual:
            self._prompt_tokens += count * _TOKENS_A_SECOND // _IN_RATE

    def begin(self, *, typed: bool) -> None:
        """The caller's turn is over: answer it, after what is being said."""
        if self._answer is not None and not self._answer.done():
            self._waiting.append(typed)
            return
        before = list(self._cutting)
        self._answer = asyncio.create_task(self._run(typed, before))

    def interrupt_for_input(self, *, always: bool = False) -> None:
        """The caller does something: what is being said ends, if it may."""
        answer = self._answer
        if answer is None or answer.done() or not (self.interruptible or always):
            return
        answer.cancel()
        self._answer = None
        self._waiting.clear()
        task = asyncio.create_task(self._cut(answer))
        self._cutting.add(task)
        task.add_done_callback(self._cutting.discard)

    def result(self, call_id: str, response: Json) -> None:
        """A tool's result. One for a call that is not waited for is not used."""
        self.results.append((call_id, response))
        waiting = self._calls.pop(call_id, None)
        if waiting is not None:
            waiting.set_result(response)

    async def _cut(self, answer: asyncio.Task[None]) -> None:
        await asyncio.wait([answer])
        if self._calls:
            await self._send({"toolCallCancellation": {"ids": list(self._calls)}})
            self._calls.clear()
        await self._send({"serverContent": {"interrupted": True}})
        said, self._said = self._said, []
        if said:
            await self._remember({"role": "model", "parts": [{"text": " ".join(self._played(said))}]})
        await self._send(self._complete(len(said)))

    def _played(self, said: list[str]) -> list[str]:
        """The words that a client that plays as it hears has played by now."""
        since = self._speaking_since
        played_s = 0.0 if since is None else asyncio.get_running_loop().time() - since
        return said[: int(played_s * 2.7)]

    # -------------------------------------------------------------------------------- the model

    async def _run(self, typed: bool, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        scene = self._next_scene()
        if not typed:
            await self._hear(scene.heard)
        results = await self._call(scene.calls) if scene.calls else {}
        text = scene.says.format(**results)
        if self._habits.thinks:
            await self._part({"text": "The caller wants an answer.", "thought": True})
        await self._speak(text)
        self._said = []
        await self._remember({"role": "model", "parts": [{"text": text}]})
        if self._waiting:
            waiting = self._waiting.pop(0)
            self._answer = asyncio.create_task(self._run(waiting, []))

    async def _hear(self, words: str) -> None:
        if self.hears and words:
            for piece in _pieces(words):
                await self._send({"serverContent": {"inputTranscription": {"text": piece}}})
        await self._remember({"role": "user", "parts": [{"text": words}]})

    async def _call(self, calls: tuple[Call, ...]) -> dict[str, Any]:
        ids = {f"function-call-{id(self)}-{next(self._numbers)}": call for call in calls}
        loop = asyncio.get_running_loop()
        waiting = {call_id: loop.create_future() for call_id in ids}
        self._calls.update(waiting)
        listed = [{"id": call_id, "name": call.name, "args": call.args} for call_id, call in ids.items()]
        await self._send({"toolCall": {"functionCalls": listed}})
        results: dict[str, Any] = {}
        for answer in waiting.values():
            result = await answer
            results |= result.get("output", result)
        return results

    async def _speak(self, text: str) -> None:
        pcm = await asyncio.to_thread(speak, text, rate=_OUT_RATE)
        chunks = [pcm[start : start + _CHUNK] for start in range(0, len(pcm), _CHUNK)]
        words = _pieces(text) if self.writes else []
        self._speaking_since = begun = asyncio.get_running_loop().time()
        for index, chunk in enumerate(chunks):
            data = base64.b64encode(chunk.astype("<i2").tobytes()).decode()
            await self._part({"inlineData": {"mimeType": f"audio/pcm;rate={_OUT_RATE}", "data": data}})
            # The words run ahead of the sound, as far as they are told at all.
            if not self._habits.late_words and index < len(words):
                await self._word(words[index])
            self._said = text.split()[: index + 1]
            await asyncio.sleep(0)
        for word in words[len(chunks) :] if not self._habits.late_words else []:
            await self._word(word)
        self._said = text.split()
        await self._send({"serverContent": {"generationComplete": True}})
        played_s = len(pcm) / _OUT_RATE * self._habits.played
        await asyncio.sleep(max(0.0, begun + played_s - asyncio.get_running_loop().time()))
        await self._send(self._complete(len(chunks)))
        for word in words if self._habits.late_words else []:
            await self._word(word)

    async def _part(self, part: Json) -> None:
        await self._send({"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}})

    async def _word(self, text: str) -> None:
        await self._send({"serverContent": {"outputTranscription": {"text": text}}})

    def _complete(self, spoken: int) -> Json:
        prompt, self._prompt_tokens = self._prompt_tokens + 40, 0
        return {
            "serverContent": {"turnComplete": True},
            "usageMetadata": {
                "promptTokenCount": prompt,
                "responseTokenCount": spoken,
                "totalTokenCount": prompt + spoken,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 40},
                    {"modality": "AUDIO", "tokenCount": prompt - 40},
                ],
                "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
            },
        }


def _pieces(text: str) -> list[str]:
    """Words, each with the space before it, as transcriptions come."""
    return re.findall(r"\s*\S+", text)
