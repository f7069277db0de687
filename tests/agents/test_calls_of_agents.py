"""Whole calls of agents: handed over, failed, limited; everything real but the model and the voice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from models.base import ChatDelta, ChatDone, ChatRequest, EngineError, TextDelta, ToolCallDelta, Transcript, Usage
from server.agents.hearing import Heard, NotingTranscriber
from server.agents.library import Role
from server.agents.models import ChatModels
from server.core import events as e
from server.runtime.runner import Runner
from tests.agents.test_library import BOOKING, ROUTER, TOOLS, library
from tests.runtime.session import Client, call

SCRIPT = """
[script]
failures = 2
start = "day"
[script.states.day]
say = "For which day?"
slot = "day"
next = "end"
[script.states.end]
say = "We will call you."
"""


class Model:
    """One answer after the other: words, a call of a tool, or a failure."""

    name = "scripted"

    def __init__(self, *answers: str | ToolCallDelta | EngineError) -> None:
        self._answers = list(answers)
        self.context: int | None = None
        self.asked: list[ChatRequest] = []
        self.warmed: list[ChatRequest] = []
        self.usage = Usage(10, 2)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, EngineError):
            raise answer
        yield answer if isinstance(answer, ToolCallDelta) else TextDelta(answer)
        yield ChatDone("stop", self.usage)

    async def warm(self, request: ChatRequest) -> None:
        self.warmed.append(request)

    async def close(self) -> None: ...


def role(folder: Path, name: str, model: Model, models: ChatModels | None = None) -> Role:
    engines: Any = SimpleNamespace(vad=None, stt=SimpleNamespace(name="s", languages=()), llm=model, tts=None)
    # No turn detection: the questions are typed, the answers are spoken.
    found = library(folder, models).cast(name, e.SessionConfig(turn_detection=None), engines, "sess_1")
    assert found is not None
    return found


def write(folder: Path, router: str = ROUTER, booking: str = BOOKING) -> Path:
    for name, text in {"router.toml": router, "booking.toml": booking, "tools.py": TOOLS}.items():
        (folder / name).write_text(text)
    return folder


async def ask(runner: Runner, client: Client, words: str) -> str:
    """What is said last in answer."""
    client.events.clear()
    content = (e.ContentPart("input_text", words),)
    await runner.receive(e.CreateItem(None, e.Item("", e.ItemKind.MESSAGE, role="user", content=content), None))
    await runner.receive(e.CreateResponse(None))
    while True:
        await client.until(e.ResponseDone)
        said = [event.transcript for event in client.events if isinstance(event, e.OutputTranscriptDone)]
        if said:
            return said[-1]
        client.events[:] = [event for event in client.events if not isinstance(event, e.ResponseDone)]


def handed(to: str, arguments: str = "{}") -> ToolCallDelta:
    return ToolCallDelta(0, arguments, id=f"call_{to}", name=f"hand_over_to_{to}")


async def test_a_call_goes_from_the_router_to_a_specialist_and_back_with_its_facts(tmp_path: Path) -> None:
    model = Model(
        handed("booking", '{"service": "haircut"}'), "For which day?", handed("router"), "Anything else?", "Goodbye."
    )
    cast = role(write(tmp_path), "router", model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "I want a haircut.") == "For which day?"
        assert await ask(runner, client, "I changed my mind.") == "Anything else?"
        assert await ask(runner, client, "No.") == "Goodbye."
    systems = [request.messages[0].text.splitlines() for request in model.asked]
    assert [lines[0] for lines in systems] == ["You route.", "You book.", "You book.", "You route.", "You route."]
    assert systems[4][1] == 'Known so far: {"service":"haircut"}'
    assert [[tool.name for tool in request.tools] for request in model.asked[:2]] == [
        ["hand_over_to_booking"],
        ["get_price", "hand_over_to_router"],
    ]


async def test_a_model_that_fails_twice_is_replaced_by_the_script_in_the_middle_of_the_call(tmp_path: Path) -> None:
    failure = EngineError("scripted", "out of memory")
    model = Model("Hello.", failure, failure)
    cast = role(write(tmp_path, ROUTER + SCRIPT), "router", model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "Hello?") == "Hello."
        assert await ask(runner, client, "A haircut.") == "For which day?"
        assert await ask(runner, client, "Friday.") == "We will call you."
    assert await cast.toolbox.state.all() == {"day": "Friday."}


async def test_over_the_ceiling_of_turns_the_script_takes_over(tmp_path: Path) -> None:
    model = Model("Hello.")
    cast = role(write(tmp_path, ROUTER + "limits.turns = 1\n" + SCRIPT), "router", model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "Hello?") == "Hello."
        assert await ask(runner, client, "A haircut.") == "For which day?"
    assert len(model.asked) == 1


async def test_a_call_that_outgrows_what_the_model_reads_ends_at_its_ceiling_all_the_same(tmp_path: Path) -> None:
    turns = 6
    model = Model(*["Yes."] * turns)
    # It does not say how long its prompts were: they are reckoned.
    model.usage = Usage(0, 0)
    cast = role(write(tmp_path, f'{ROUTER}goodbye = "Goodbye."\nlimits.turns = {turns}\n'), "router", model)
    config = replace(cast.config, context_tokens=400)
    async with call(cast.engines.llm, config, cast.toolbox) as (runner, client):
        for _ in range(turns):
            assert await ask(runner, client, "Well, let me see. " * 20) == "Yes."
        assert await ask(runner, client, "And now?") == "Goodbye."
    assert len(model.asked[-1].messages) < turns


async def test_a_specialist_has_a_script_of_its_own(tmp_path: Path) -> None:
    failure = EngineError("scripted", "out of memory")
    model = Model(handed("booking", '{"service": "haircut"}'), failure, failure)
    own = SCRIPT.replace("For which day?", "For which day is your appointment?")
    cast = role(write(tmp_path, ROUTER + SCRIPT, BOOKING + own), "router", model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "A haircut.") == "For which day is your appointment?"


async def test_how_sure_the_transcriber_was_is_noted_with_the_language() -> None:
    class Utterance:
        async def final(self, priority: object = None) -> Transcript:
            return Transcript("Guten Tag", "Guten Tag", "de", 0.9, -0.5, 900)

    class Transcriber:
        name = "scripted"
        languages = ("de",)

        def open(self, **options: object) -> Utterance:
            assert options == {"language": "de"}
            return Utterance()

    heard = Heard()
    transcriber: Any = Transcriber()
    await NotingTranscriber(transcriber, heard).open(language="de").final()
    assert heard.language == "de"
    assert round(heard.confidence, 3) == 0.607
