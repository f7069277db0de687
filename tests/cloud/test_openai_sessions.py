"""Sessions that a hosted provider serves: official SDK, this server, and behind it another one that plays OpenAI."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cloud.provider import KEY, CutLine
from tests.models.speech import speak
from tests.server_process import ROOT, Server

TOOLS = [
    {"type": "function", **entry["function"]}
    for entry in json.loads((Path(ROOT) / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text())
]


def words(text: str) -> set[str]:
    return {word.strip(".,!?").lower() for word in text.split()}


async def test_a_spoken_question_is_answered_by_the_provider(front: Server, line: CutLine):
    async with front.caller() as caller:
        turn = await caller.ask(speak("Are you a real person?"))
        assert words(turn.heard) & {"real", "person"}, turn.heard
        assert turn.done.status == "completed"
        assert turn.pcm.any()
        assert turn.text
        assert not caller.of("error")
    head = line.heads[-1].decode()
    assert head.startswith("GET /v1/realtime?model=gpt-realtime HTTP/1.1")
    assert f"Authorization: Bearer {KEY}" in head
    assert KEY not in "".join(front.log)
