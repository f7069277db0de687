"""Whole sessions of both kinds of Gemini's models, without a door: what a client sees keeps the protocol's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect

from models.audio import Pcm16
from server.cloud.gemini import GeminiDialect
from server.cloud.gemini_setup import GeminiOptions
from server.cloud.link import Pool, Socket
from server.cloud.remote import RemoteRunner
from server.core import events as e
from server.core.turns import TurnPolicy
from server.runtime.live import SessionPlan
from tests.cloud.gemini_server import KEY, GeminiServer, Habits
from tests.cloud.gemini_turns import Call, Scene
from tests.cloud.protocol import Order
from tests.models.speech import silence, speak

NEW, OLD = "gemini-3.8-live", "gemini-live-2.5-flash-native-audio"
ASKED = Scene("No, I am an assistant.", heard="Are you a real person?")
STORY = Scene("Once upon a time there was a king who lived in a castle far away.", heard="Tell me a story.")
LOOKED_UP = Scene("We open at {open}.", heard="When do you open?", calls=(Call("hours", {"day": "friday"}),))
both = pytest.mark.parametrize("model", [NEW, OLD])


class Client:
    """Sees the events of a session."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self.order = Order()
        self._news = asyncio.Condition()
        self.runner: RemoteRunner
        self.stages: set[str] = set()

    def observe_stage(self, stage: str, seconds: float) -> None:
        """See ``StageObserver``."""
        self.stages.add(stage)

    async def send(self, event: e.Event) -> None:
        """See ``Peer``."""
        async with self._news:
            self.order.see([event])
            self.events.append(event)
            self._news.notify_all()

    async def clear_playout(self, item_id: str) -> None:
        """See ``Peer``."""

    async def until(self, kind: type[Any], since: int = 0) -> Any:
        """The first event of this type from index ``since`` on."""
        async with asyncio.timeout(60), self._news:
            while True:
                for event in self.events[since:]:
                    if isinstance(event, kind):
                        return event
                await self._news.wait()

    async def say(self, text: str) -> int:
        """Speak, faster than anybody; returns where the reaction begins."""
        since = len(self.events)
        for pcm in (silence(0.2, 24_000), speak(text, rate=24_000), silence(0.7, 24_000)):
            await self._hear(pcm)
        return since

    async def _hear(self, pcm: Pcm16) -> None:
        for start in range(0, len(pcm), 480):
            await self.runner.append(pcm[start : start + 480].astype("<i2").tobytes())

    async def type(self, text: str, item_id: str) -> e.ResponseView:
        """A typed turn, answered."""
        since = len(self.events)
        item = e.Item(item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
        await self.runner.receive(e.CreateItem("t", item, None))
        await self.runner.receive(e.CreateResponse("r"))
        return cast(e.ResponseDone, await self.until(e.ResponseDone, since)).response

    async def ask(self, text: str) -> e.ResponseView:
        """A spoken turn, answered."""
        since = await self.say(text)
        return cast(e.ResponseDone, await self.until(e.ResponseDone, since)).response


async def dial(url: str, headers: Mapping[str, str]) -> Socket:
    return cast(Socket, await connect(url, additional_headers=dict(headers), max_size=None))


@asynccontextmanager
async def session(
    server: GeminiServer, model: str, config: e.SessionConfig | None = None, session_s: float = 3300
) -> AsyncIterator[Client]:
    """A client's session at this service."""
    numbers, client = count(1), Client()

    def new_id(prefix: str) -> str:
        return f"{prefix}_{next(numbers)}"

    config = config or e.SessionConfig(transcription=e.InputTranscription())
    plan = SessionPlan("sess_1", config, TurnPolicy(), cast(Any, None), client, new_id)
    options = GeminiOptions(model, KEY, server.url, session_s=session_s)
    pool = Pool(dial, spares=0)
    client.runner = RemoteRunner(plan, client, "gemini", GeminiDialect(options, "conv_1", new_id), pool)
    running = asyncio.create_task(client.runner.run())
    try:
        # Who speaks before there is a connection is heard from a second before it on.
        await server.until(lambda: bool(server.ready))
        yield client
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await pool.close()


def words(response: e.ResponseView) -> str:
    return "".join(part.text or "" for item in response.output for part in item.content)


def of(client: Client, kind: type[Any], wanted: Callable[[Any], bool] = lambda _: True) -> list[Any]:
    return [event for event in client.events if isinstance(event, kind) and wanted(event)]


@both
@pytest.mark.parametrize("binary", [True, False])
async def test_a_conversation_of_all_kinds_of_turns(model: str, binary: bool):
    scenes = [ASKED, LOOKED_UP, Scene("Yes."), STORY, ASKED]
    async with GeminiServer(scenes, Habits(played=0.02, binary=binary, thinks=True)) as server:
        config = e.SessionConfig(
            transcription=e.InputTranscription(), tools=(e.Tool("hours", "When it is open.", {"type": "object"}),)
        )
        async with session(server, model, config) as client:
            assert words(await client.ask("Are you a real person?")) == ASKED.says
            await client.say("When do you open?")
            called = await client.until(e.FunctionArgumentsDone)
            since = len(client.events)
            result = e.Item("o1", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=called.call_id, output='{"open": "nine"}')
            await client.runner.receive(e.CreateItem("o", result, None))
            await client.runner.receive(e.CreateResponse("r"))
            done = await client.until(e.ResponseDone, since)
            assert words(done.response) == "We open at nine."
            assert words(await client.type("Is that so?", "t1")) == "Yes."
            server.habits.played = 1.0
            since = await client.say("Tell me a story.")
            await client.until(e.OutputAudioDelta, since)
            over = await client.say("Are you a real person?")
            cut = await client.until(e.ResponseDone, over)
            assert (cut.response.status, cut.response.reason) == ("cancelled", "turn_detected")
            server.habits.played = 0.02
            answer = await client.until(e.ResponseDone, client.events.index(cut) + 1)
            assert words(answer.response) == ASKED.says
        assert of(client, e.Error) == []
        assert [event.transcript for event in of(client, e.TranscriptionCompleted)] == [
            *(ASKED.heard, LOOKED_UP.heard, STORY.heard, ASKED.heard)
        ]
        user = [ASKED.heard, LOOKED_UP.heard, "Is that so?", STORY.heard, ASKED.heard]
        assert server.sessions[0].talk.words("user") == user


@both
async def test_after_a_break_the_conversation_goes_on_in_a_fresh_session(model: str):
    habits = Habits(played=0.02, no_resuming="Request contains an invalid argument.")
    async with GeminiServer([ASKED, Scene("Yes."), STORY], habits) as server, session(server, model) as client:
        await client.ask("Are you a real person?")
        assert not client.stages, "Gemini does not tell when a spoken turn has ended"
        await client.type("Is that so?", "t1")
        assert client.stages >= {"response_created", "tts_first_audio"}
        await server.ready[0].close()
        await server.until(lambda: len(server.ready) > 1)
        assert words(await client.ask("Tell me a story.")) == STORY.says
        assert of(client, e.Error) == []
        assert server.ready[-1].talk.words("user") == [ASKED.heard, "Is that so?", STORY.heard]
        assert server.ready[-1].talk.words("model") == [ASKED.says, "Yes.", STORY.says]


async def test_a_session_moves_on_before_it_is_too_old():
    async with GeminiServer([ASKED], Habits(played=0.02)) as server:
        async with session(server, NEW, session_s=0.2) as client:
            await client.ask("Are you a real person?")
            await server.until(lambda: len(server.ready) > 2)
        assert of(client, e.Error) == []
        assert server.ready[-1].talk.words("user")[:1] == [ASKED.heard]


async def test_words_that_come_after_their_answer_break_nothing():
    async with GeminiServer([ASKED], Habits(played=0.02, late_words=True)) as server, session(server, NEW) as client:
        assert words(await client.ask("Are you a real person?")) == ""
        assert words(await client.ask("Are you a real person?")) == ""
        assert len(of(client, e.ResponseDone)) == 2
