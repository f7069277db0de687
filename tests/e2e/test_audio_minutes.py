"""A key's minutes of audio are used up over plain HTTP as on the socket, and a restart does not give them back."""

from __future__ import annotations

import io
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from models.audio import write_wav
from server.policy.keys import KeyFile
from tests.models.speech import speak
from tests.server_process import Server, start, stop


def client(server: Server, key: str) -> OpenAI:
    return OpenAI(base_url=f"{server.base_url}/v1", api_key=key, max_retries=0)


def recording() -> bytes:
    file = io.BytesIO()
    write_wav(file, speak("What time do you open on Friday?"), 16_000)
    return file.getvalue()


def test_recordings_and_speech_use_up_a_days_audio(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    key, free = file.create("small", audio_minutes_a_day=0.1), file.create("free")
    wav = recording()
    server = start(KAMMERTON_AUTH__KEYS_FILE=str(file.path))
    try:
        with client(server, key) as small:
            heard = small.audio.transcriptions.create(model="kammerton", file=("a.wav", wav))
            assert heard.text == "What time do you open on Friday?"
            # Speech is never cut short; what follows it is refused.
            spoken = small.audio.speech.create(model="kammerton", voice="en_US", input="We are open. " * 8).read()
            assert len(spoken) > 1000
            with pytest.raises(openai.RateLimitError, match="used up"):
                small.audio.transcriptions.create(model="kammerton", file=("a.wav", wav))
            with pytest.raises(openai.RateLimitError, match="used up"):
                small.audio.speech.create(model="kammerton", voice="en_US", input="Hello.")
            small.chat.completions.create(model="kammerton", messages=[{"role": "user", "content": "Hello!"}])
        with client(server, free) as other:
            assert other.audio.transcriptions.create(model="kammerton", file=("a.wav", wav)).text
    finally:
        assert stop(server) == 0
    server = start(KAMMERTON_AUTH__KEYS_FILE=str(file.path))
    try:
        with client(server, key) as small, pytest.raises(openai.RateLimitError, match="used up"):
            small.audio.speech.create(model="kammerton", voice="en_US", input="Hello.")
    finally:
        assert stop(server) == 0
