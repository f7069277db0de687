"""Ten minutes without a pause that ends the turn: heard to the end, and the call goes on."""

from __future__ import annotations

import numpy as np

from tests.e2e.conftest import Server
from tests.models.speech import silence, speak

SENTENCES = (
    "What time do you open on Friday?",
    "I would like to book a haircut on Tuesday at two.",
    "Do you have anything free on Monday?",
    "How much does a haircut cost?",
)
MINUTES = 10


async def test_ten_minutes_of_speech(server: Server):
    piece = np.concatenate([part for text in SENTENCES for part in (speak(text), silence(0.15))])
    repeats = MINUTES * 60 * 16_000 // len(piece)
    patient = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 1500}}}
    async with server.caller(audio=patient) as caller:
        caller.pace = 40.0
        for _ in range(repeats):
            caller.say(piece)
        caller.say(silence(3.0))
        completed = await caller.until("conversation.item.input_audio_transcription.completed", timeout_s=240)
        assert len(caller.of("input_audio_buffer.committed")) == 1
        assert completed.usage.seconds > MINUTES * 60 * 0.97
        heard = completed.transcript.lower()
        assert heard.count("friday") > repeats * 0.8
        assert heard.count("monday") > repeats * 0.8
        deltas = caller.of("conversation.item.input_audio_transcription.delta")
        # How many there are is up to the machine: they are decoded with what is left over.
        assert len(deltas) > 1
        # More than the small chat model can read: said so, and no reason to end the call.
        answered = (await caller.until("response.done", timeout_s=120)).response
        assert (answered.status, answered.status_details.error.code) == ("failed", "context_length_exceeded")
        caller.pace = 1.0
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"
        assert turn.text
