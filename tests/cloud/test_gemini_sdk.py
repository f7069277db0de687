"""Google's own SDK talks to the stand-in: what it sends is taken, and what it gets it understands."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.clients.front import make_certificate
from tests.cloud.gemini_server import KEY, GeminiServer, Habits
from tests.cloud.gemini_turns import Call, Scene
from tests.models.speech import silence, speak
from tests.server_process import ROOT

_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
_SCRIPT = [
    Scene(
        "We open at {open} on Friday.",
        heard="What time do you open?",
        calls=(Call("get_opening_hours", {"day": "friday"}),),
    ),
    Scene("On Sunday we are closed."),
    Scene("Nobody is here.", heard="Hello?"),
    Scene("Good morning."),
]


@pytest.mark.parametrize("binary", [True, False], ids=["binary frames", "text frames"])
async def test_the_sdk_speaks_types_calls_and_is_refused(binary: bool, tmp_path: Path):
    if not _PYTHON.exists():
        pytest.skip("needs scripts/client-env")
    file = tmp_path / "question.pcm"
    question = np.concatenate((silence(0.2), speak("What time do you open?"), silence(0.6)))
    file.write_bytes(question.astype("<i2").tobytes())
    certificate = make_certificate(tmp_path)
    async with GeminiServer(_SCRIPT, Habits(binary=binary, played=0.05), certificate) as server:
        program = await asyncio.create_subprocess_exec(
            str(_PYTHON),
            str(Path(__file__).parent / "genai_program.py"),
            *(server.url, KEY, str(file)),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "NO_PROXY": "*",
                "SSL_CERT_FILE": str(certificate[0]),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(program.communicate(), 60)
    assert program.returncode == 0, errors.decode()[-2000:]
    report = json.loads(out.splitlines()[-1])
    assert report["spoken"]["heard"] == "What time do you open?"
    assert report["spoken"]["calls"] == [["get_opening_hours", {"day": "friday"}]]
    assert report["spoken"]["said"] == "We open at nine on Friday."
    assert report["spoken"]["bytes"] > 48_000
    assert report["spoken"]["complete"]
    assert report["spoken"]["tokens"] > 0
    assert report["typed"]["said"] == "On Sunday we are closed."
    assert report["by_hand"]["bytes"] > 24_000
    assert report["content"]["bytes"] > 24_000
    assert "API key not valid" in report["wrong_key"]
    spoken, by_hand, _ = server.sessions
    assert spoken.instructions == "You are a bakery."
    assert spoken.tools == []
    assert spoken.talk.words("user") == ["What time do you open?", "And on Sunday?"]
    assert by_hand.talk.words("user") == ["Hello?", "Hello."]
