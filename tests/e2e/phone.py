"""What tests of calls have in common: what is said on a line, and what a caller has understood."""

from __future__ import annotations

import io
import json

import httpx2
import numpy as np

from models.audio import Pcm16, write_wav
from scripts.phone_line.caller import begun_after, quiet_after
from scripts.phone_line.line import Line
from scripts.phone_line.measure import speech_bounds
from tests.e2e.conftest import Server
from tests.models.speech import silence, speak

RATE = 8_000


def audiosocket_of(server: Server) -> tuple[str, int]:
    """Where it takes AudioSocket connections, if its port was left to it."""
    entry = server.logged("listening for AudioSocket")
    return entry["host"], entry["port"]


async def ask(line: Line, text: str, *, quiet_s: float = 2.0) -> Pcm16:
    """Say it, and wait for the whole answer: it is over when nothing was heard for so long. What arrived of it, without
    the gaps that a busy machine makes in what is heard."""
    rate = line.end.samples.rate
    speech = speak(text, rate=rate)
    end = line.say(speech, rate) + speech_bounds(speech)[1]
    await line.after(end)
    before = len(line.recording.arrived)
    await quiet_after(line, end, quiet_s)
    return np.concatenate(line.recording.arrived[before:] or [silence(0)])


async def speak_over_the_answer(line: Line) -> int:
    """Tell it to stop in the middle of an answer, and hear out what it says to that; the sample at which that began."""
    question, over = speak("Tell me a story.", rate=RATE), speak("Stop please.", rate=RATE)
    end = line.say(question, RATE) + speech_bounds(question)[1]
    await line.after(end)
    await begun_after(line, end)
    await line.after(line.samples + RATE // 2)
    begins = line.say(over, RATE)
    await quiet_after(line, begins + len(over))
    return begins


def stopped_in(server: Server) -> set[str]:
    """The sessions in which it has stopped an answer, by its log, which must be at ``debug``."""
    entries = map(json.loads, list(server.log))
    return {entry["session"] for entry in entries if entry["message"] == "answer stopped"}


async def understood(server: Server, pcm: Pcm16, rate: int = RATE) -> set[str]:
    """The words that a transcriber makes of it."""
    file = io.BytesIO()
    write_wav(file, pcm, rate)
    async with httpx2.AsyncClient(base_url=server.base_url, timeout=60) as client:
        answer = await client.post(
            "/v1/audio/transcriptions", data={"model": "kammerton"}, files={"file": ("heard.wav", file.getvalue())}
        )
    return {word.strip(".,!?") for word in str(answer.json()["text"]).lower().split()}
