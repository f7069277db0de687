"""Agents in spoken calls, through the official SDK: handed over and back, over a limit, to a human. What is said and
what is heard are sound: the answers are checked by transcribing them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from models import catalog
from models.audio import resample
from models.base import (
    ChatDelta,
    ChatDone,
    ChatModel,
    ChatRequest,
    Pcm16,
    TextDelta,
    ToolCallDelta,
    Transcriber,
    Usage,
)
from server.core import events as e
from server.core.turns import TurnPolicy
from server.policy.access import Access
from server.policy.keys import Keys
from server.policy.secrets import Secrets
from server.runtime.admission import Admission
from server.store.sql import connect
from server.telemetry.metrics import Metrics
from server.transports.auth import Gate
from server.transports.base import DoorSettings
from server.transports.openai_realtime import router
from tests.agents.test_library import library
from tests.e2e.call import RATES, Caller, Turn
from tests.models.speech import silence, speak
from tests.server_process import ROOT
from tests.transports.http_server import serving

DAY = "For which day is the haircut?"
PRICE = "A haircut costs twenty five euros."
LOOKED_UP = "One moment, let me check that for you. A haircut costs twenty five euros."
SCRIPTED = "For which day would you like an appointment?"
END = "Thank you. Goodbye!"
HUMAN = "I have asked a colleague to take over."
ANSWERS = (
    DAY,
    PRICE,
    LOOKED_UP,
    SCRIPTED,
    END,
    HUMAN,
    "Pardon?",
    "Sorry, something went wrong. Please say that again.",
)
"""All that is said in these calls, and what is said when they go wrong."""

ROUTER = """
instructions = "You route."
hands_to = ["booking"]
"""
BOOKING = """
instructions = "You book."
hands_to = ["router"]
[accepts]
service = { type = "string", enum = ["haircut", "massage"] }
"""
RECEPTION = f"""
instructions = "You are the receptionist of a hair salon."
limits.turns = 1
[[tools]]
python = "tools.py:get_price"
[escalation]
say = "I am connecting you."
elsewhere = "{HUMAN}"
words = ["a human", "human"]
by_model = false
[script]
start = "day"
[script.states.day]
say = "{SCRIPTED}"
slot = "day"
next = "end"
[script.states.day.expect]
friday = ["friday"]
[script.states.end]
say = "{END}"
"""


@dataclass
class Desk:
    """Two agents' chat model: it goes by the words that were heard, and answers with the facts that it was told of.
    heard: what each agent was asked."""

    name = "desk"
    context: int | None = None
    heard: list[tuple[str, str]] = field(default_factory=list)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        system, last = request.messages[0].text, request.messages[-1]
        agent = "router" if system.startswith("You route.") else "booking"
        service = "haircut" if '"service":"haircut"' in system else ""
        if last.role == "user":
            self.heard.append((agent, last.text.lower()))
        if last.role == "tool":
            known = PRICE if agent == "router" else DAY
            yield TextDelta(known.replace("haircut", service or "thing"))
        elif agent == "router" and "book" in last.text.lower():
            wanted = "haircut" if "haircut" in last.text.lower() else "massage"
            yield ToolCallDelta(0, f'{{"service": "{wanted}"}}', id="call_1", name="hand_over_to_booking")
        elif agent == "booking" and "price" in last.text.lower():
            yield ToolCallDelta(0, "{}", id="call_2", name="hand_over_to_router")
        else:
            yield TextDelta("Pardon?")
        yield ChatDone("stop", Usage(10, 5))

    async def warm(self, request: ChatRequest) -> None: ...
    async def close(self) -> None: ...


@dataclass
class House:
    """A server with agents, and its caller. ear: the server's own. folder: of the agents, with the store beside them.
    since: where in the caller's events the reaction to the last question begins."""

    caller: Caller
    ear: Transcriber
    metrics: Metrics
    folder: Path
    since: int = 0

    async def ask(self, words: str) -> str:
        """Say it when all that was sent has been heard; the answer, once it waits for no tool, which of ANSWERS its
        sound is nearest to."""
        caller = self.caller
        caller.pace = 3.0
        played = Turn(caller, self.since).seconds if caller.of("response.done") else 0.0
        begun = since = self.since = caller.say(np.concatenate((silence(played + 0.2), speak(words))))
        while True:
            done = await caller.until("response.done", since)
            if all(item.type != "function_call" for item in done.response.output):
                break
            since = caller.events.index(done) + 1
        heard = await self._heard(Turn(caller, begun).pcm)
        return max(ANSWERS, key=lambda answer: SequenceMatcher(None, answer.lower(), heard.lower()).ratio())

    async def _heard(self, pcm: Pcm16) -> str:
        """The server's own ear is as good as any; the voice is never quite the same, and so are its mistakes."""
        utterance = self.ear.open(language="en")
        utterance.push(resample(pcm, RATES[self.caller.output], 16_000))
        transcript = await utterance.final()
        utterance.close()
        return transcript.text

    @property
    def understood(self) -> list[str]:
        """What the server heard of the caller."""
        kind = "conversation.item.input_audio_transcription.completed"
        return [event.transcript for event in self.caller.of(kind)]

    def facts(self) -> dict[str, str]:
        """All that the store holds of the one session."""
        with sqlite3.connect(self.folder / "store.db") as connection:
            found = dict(connection.execute("SELECT name, value FROM facts").fetchall())
        connection.close()
        return found


@asynccontextmanager
async def house(folder: Path, agent: str, llm: ChatModel | None = None, **files: str) -> AsyncIterator[House]:
    """The bundled engines; llm: instead of their chat model. files: agents by name."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    engines = catalog.load(catalog.resolve("tiny", folder))
    store = connect(f"sqlite:///{folder}/store.db")
    await store.open()
    metrics = Metrics("test")
    agents = library(folder, store=store)
    own = replace(engines, llm=llm or engines.llm)
    config = e.SessionConfig(language="en", context_tokens=own.llm.context)
    settings = DoorSettings(config, TurnPolicy(), (metrics,), agents=agents)
    gate = Gate(Access(Keys(folder / "keys.json", ""), Secrets()), [], lambda reason: None)
    try:
        door = router(own, settings, Admission(2), metrics, gate)
        async with serving(door) as url, Caller(url, {}, model=agent) as caller:
            yield House(caller, engines.stt, metrics, folder)
            assert not caller.of("error")
    finally:
        await agents.close()
        await store.close()
        await asyncio.gather(*(engine.close() for engine in (engines.vad, engines.stt, engines.llm, engines.tts)))


async def test_a_spoken_call_goes_from_the_router_to_booking_and_back_and_keeps_its_facts(tmp_path: Path) -> None:
    desk = Desk()
    async with house(tmp_path, "router", desk, router=ROUTER, booking=BOOKING) as spoken:
        assert await spoken.ask("I would like to book a haircut.") == DAY, desk.heard
        assert await spoken.ask("What is the price?") == PRICE, desk.heard
        assert spoken.facts() == {"service": '"haircut"'}
    assert [agent for agent, _ in desk.heard] == ["router", "booking"]


async def test_over_its_ceiling_the_script_takes_a_spoken_call_over(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_bytes((ROOT / "examples/reception/tools.py").read_bytes())
    async with house(tmp_path, "reception", reception=RECEPTION) as spoken:
        assert await spoken.ask("How much is a haircut?") == LOOKED_UP, spoken.understood
        assert await spoken.ask("What time do you open on Friday?") == SCRIPTED, spoken.understood
        assert await spoken.ask("On Friday please.") == END, spoken.understood
        assert spoken.facts() == {"day": '"friday"'}
        called = spoken.caller.of("response.function_call_arguments.done")
        assert [event.name for event in called] == ["get_price"]


async def test_who_asks_for_a_human_aloud_hears_that_one_was_asked(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_bytes((ROOT / "examples/reception/tools.py").read_bytes())
    async with house(tmp_path, "reception", reception=RECEPTION) as spoken:
        assert await spoken.ask("Can I speak to a human?") == HUMAN, spoken.understood
        report: Any = spoken.caller.of("response.done")[-1].response.kammerton["escalation"]
        page = spoken.metrics.page()[0].decode()
    assert (report["trigger"], report["agent"], report["transferred"]) == ("words", "reception", False)
    assert 'kammerton_escalations_total{trigger="words"} 1.0' in page
