"""Hugging Face's speech-to-speech answers the same client as our server does, in the protocol that both serve."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.client import Answer, call
from benchmarks.peers.pipecat.process import PYTHON as PIPECAT
from benchmarks.peers.speech_to_speech.process import PYTHON, run
from benchmarks.process import Server
from benchmarks.speech import speak

pytestmark = pytest.mark.skipif(not (PYTHON.exists() and PIPECAT.exists()), reason="scripts/peer-env has not been run")

# Its first answer waits for what it loads late.
_LIMIT_S = 120


@pytest.fixture(scope="module")
def peer() -> Iterator[Server]:
    with run("tuned", callers=2) as peer:
        yield peer


async def ask(peer: Server, hold_ms: int) -> Answer:
    detection = {"type": "server_vad", "silence_duration_ms": hold_ms}
    async with call(peer.url, {"audio": {"input": {"turn_detection": detection}}}) as caller:
        assert caller.hold_ms == hold_ms
        return await caller.ask(speak("Are you a real person?", "en-us"), _LIMIT_S)


async def test_callers_at_once_are_answered_after_the_hold_that_each_asks_for(peer: Server):
    holds = (500, 900)
    answers = await asyncio.gather(*(ask(peer, hold_ms) for hold_ms in holds))
    for answer, hold_ms in zip(answers, holds, strict=True):
        assert answer.transcript
        assert "AI" in answer.text
        assert answer.heard_s > 1
        assert answer.voice_to_voice is not None
        assert answer.voice_to_voice > hold_ms
