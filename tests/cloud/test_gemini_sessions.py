"""Sessions that Gemini Live serves: official SDK and a phone, this server, and behind it the stand-in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.twilio import TwilioAccount, twilio_call
from tests.cloud.gemini_server import KEY, GeminiServer, Habits, Session
from tests.cloud.gemini_turns import Call, Scene
from tests.cloud.provider import sent_to
from tests.e2e.call import Caller
from tests.e2e.phone import ask, speak_over_the_answer, understood
from tests.models.speech import silence, speak
from tests.server_process import Server, start, stop

T = TypeVar("T")

TOKEN, PUBLIC = "an auth token of nobody's account", "https://voice.example.org/phones"
QUESTION = "Are you a real person?"
ASKED = Scene("No, I am an assistant.", heard=QUESTION)
AGAIN = Scene("I can tell you the prices.", heard="What can you do?")
STORY = Scene(
    "Once upon a time there was a king who lived in a castle. He had a horse and a dog. Every day he went out"
    " into the forest, and every evening he came home again and was tired.",
    heard="Tell me a story.",
)
HOURS = {
    "type": "function",
    "name": "get_opening_hours",
    "description": "When it is open.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
}
LOOKED_UP = Scene(
    "We open at {open}.", heard="When do you open?", calls=(Call("get_opening_hours", {"day": "friday"}),)
)
AGENT = """
instructions = "You are a shop."
[[tools]]
python = "hours.py"
"""
TOOL = '''
from server.agents.python_tools import tool


@tool()
async def get_opening_hours(day: str) -> dict[str, str]:
    """When it is open."""
    return {"open": "ten" if day == "friday" else "noon"}
'''


class Gemini:
    """The stand-in, on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = GeminiServer([ASKED])
        self.run(self.server.__aenter__())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it do something, and wait."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """The same from another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def plays(self, *scenes: Scene, played: float = 0.05, **habits: Any) -> None:
        """What comes next."""
        self.server.scenes[:] = scenes
        for name, value in {**vars(Habits(played=played)), **habits}.items():
            setattr(self.server.habits, name, value)

    @property
    def session(self) -> Session:
        """The newest that was set up."""
        return self.server.ready[-1]

    async def after(self, old: Session) -> Session:
        """The session that took this one's place."""
        await self.do(self.server.until(lambda: self.session is not old))
        return self.session

    def close(self) -> None:
        """It is gone."""
        self.run(self.server.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="module")
def gemini() -> Iterator[Gemini]:
    service = Gemini()
    yield service
    service.close()


@pytest.fixture(scope="module")
def shop(gemini: Gemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server all of whose sessions are Gemini's; it takes calls, too."""
    folder = tmp_path_factory.mktemp("agents")
    (folder / "shop.toml").write_text(AGENT)
    (folder / "hours.py").write_text(TOOL)
    server = start(
        **sent_to(gemini.server.url, "gemini", key=KEY, model="gemini-3.8-live"),
        KAMMERTON_AGENTS__FOLDER=str(folder),
        KAMMERTON_STORE__URL=f"sqlite:///{folder}/store.db",
        KAMMERTON_TWILIO__AUTH_TOKEN=TOKEN,
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__GREETING="Hello.",
    )
    yield server
    assert stop(server) == 0
    assert KEY not in "".join(server.log)


def caller_of(shop: Server, **session: object) -> Caller:
    """Somebody who speaks four times as fast as people do: the stand-in goes by the sound, not by the clock."""
    caller = shop.caller(**session)
    caller.pace = 4
    return caller


def errors(caller: Caller) -> list[str]:
    return [event.error.message for event in caller.of("error")]


async def test_a_spoken_question_is_answered_in_speech(shop: Server, gemini: Gemini):
    gemini.plays(ASKED)
    async with caller_of(shop, instructions="Be brief.", tools=[HOURS], audio={"output": {"voice": "Puck"}}) as caller:
        turn = await caller.ask(speak(QUESTION))
        assert errors(caller) == []
    assert turn.heard == QUESTION
    assert turn.text == ASKED.says
    assert turn.done.status == "completed"
    assert turn.done.usage.output_token_details.audio_tokens > 0
    assert 1 < turn.seconds < 4
    assert gemini.session.instructions == "Be brief."
    assert gemini.session.tools == ["get_opening_hours"]
    voice = gemini.session.setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]
    assert voice == {"voiceName": "Puck"}


async def test_the_clients_tool_is_called_and_its_result_spoken(shop: Server, gemini: Gemini):
    gemini.plays(LOOKED_UP)
    async with caller_of(shop, tools=[HOURS]) as caller:
        turn = await caller.ask(speak("When do you open?"))
        ((call_id, name, arguments),) = turn.calls
        assert (name, arguments) == ("get_opening_hours", '{"day":"friday"}')
        since = len(caller.events)
        output = {"type": "function_call_output", "call_id": call_id, "output": '{"open": "nine"}'}
        await caller.connection.conversation.item.create(item=output)
        await caller.connection.response.create()
        done = await caller.until("response.done", since)
        assert errors(caller) == []
    assert done.response.output[0].content[0].transcript == "We open at nine."
    assert gemini.session.turns.results[0][1] == {"output": {"open": "nine"}}


async def test_the_servers_tool_runs_here_and_the_client_sees_none_of_it(shop: Server, gemini: Gemini):
    gemini.plays(LOOKED_UP)
    async with Caller(shop.base_url, {}, model="shop") as caller:
        since = caller.say(speak("When do you open?"))
        while "We open at ten." not in said(caller, since):
            await caller.until("response.done", len(caller.events))
        assert errors(caller) == []
    assert gemini.session.instructions == "You are a shop."


def said(caller: Caller, since: int) -> str:
    return "".join(event.delta for event in caller.of("response.output_audio_transcript.delta", since))


async def test_whoever_speaks_over_an_answer_stops_it(shop: Server, gemini: Gemini):
    gemini.plays(STORY, ASKED, played=1.0)
    async with caller_of(shop) as caller:
        since = caller.say(speak("Tell me a story."))
        await caller.until("response.output_audio.delta", since)
        over = caller.say(speak(QUESTION))
        await caller.until("input_audio_buffer.speech_started", over)
        cancelled = await caller.until("response.done", over)
        gemini.server.habits.played = 0.05
        answered = await caller.until("response.done", caller.events.index(cancelled) + 1)
        assert errors(caller) == []
    assert (cancelled.response.status, cancelled.response.status_details.reason) == ("cancelled", "turn_detected")
    assert answered.response.output[0].content[0].transcript == ASKED.says


async def test_a_tool_call_that_is_spoken_over_is_called_off(shop: Server, gemini: Gemini):
    gemini.plays(LOOKED_UP, ASKED)
    async with caller_of(shop, tools=[HOURS]) as caller:
        turn = await caller.ask(speak("When do you open?"))
        assert turn.calls
        answer = await caller.ask(speak(QUESTION))
        assert answer.text == ASKED.says
        assert errors(caller) == []
    assert gemini.session.turns.results == []


async def test_before_the_service_leaves_the_session_moves_on_with_its_handle(shop: Server, gemini: Gemini):
    gemini.plays(ASKED, AGAIN)
    async with caller_of(shop) as caller:
        await caller.ask(speak(QUESTION))
        before = gemini.session
        await gemini.do(before.go_away(10))
        after = await gemini.after(before)
        turn = await caller.ask(speak("What can you do?"))
        assert turn.text == AGAIN.says
        assert errors(caller) == []
    assert "handle" in after.setup["sessionResumption"]
    assert after.talk.words("user") == [QUESTION, AGAIN.heard]
    assert "clientContent" not in after.received


async def test_where_a_session_cannot_be_resumed_a_fresh_one_is_told_the_conversation(shop: Server, gemini: Gemini):
    gemini.plays(ASKED, AGAIN, no_resuming="Request contains an invalid argument.")
    async with caller_of(shop) as caller:
        await caller.ask(speak(QUESTION))
        before = gemini.session
        await gemini.do(before.close())
        after = await gemini.after(before)
        turn = await caller.ask(speak("What can you do?"))
        assert turn.text == AGAIN.says
        assert errors(caller) == []
    assert after.setup["sessionResumption"] == {}
    assert after.talk.words("user") == [QUESTION, AGAIN.heard]
    assert after.talk.words("model") == [ASKED.says, AGAIN.says]


async def test_an_answer_that_is_cut_off_by_a_lost_connection_has_an_end(shop: Server, gemini: Gemini):
    sorry = Scene("Sorry, something went wrong.")
    gemini.plays(STORY, sorry, ASKED, played=1.0)
    async with caller_of(shop) as caller:
        since = caller.say(speak("Tell me a story."))
        await caller.until("response.output_audio.delta", since)
        await gemini.do(gemini.session.close(1011, "Internal error encountered."))
        failed = await caller.until("response.done", since)
        gemini.server.habits.played = 0.05
        apology = await caller.until("response.done", caller.events.index(failed) + 1)
        turn = await caller.ask(speak(QUESTION))
    assert failed.response.status == "failed"
    assert apology.response.output[0].content[0].transcript == sorry.says
    assert turn.text == ASKED.says


async def test_a_used_up_account_ends_the_session_and_says_so(shop: Server, gemini: Gemini):
    gemini.plays(ASKED)
    async with caller_of(shop) as caller:
        await caller.ask(speak(QUESTION))
        await gemini.do(gemini.session.close(1011, "You exceeded your current quota, please check your plan."))
        error = await caller.until("error")
    assert error.error.code == "insufficient_quota"


async def test_turns_by_hand_and_typed_ones_are_answered(shop: Server, gemini: Gemini):
    gemini.plays(ASKED, AGAIN)
    async with caller_of(shop, audio={"input": {"turn_detection": None}}) as caller:
        await caller.append(speak(QUESTION, rate=caller.rate))
        await caller.append(silence(0.1, caller.rate))
        await caller.connection.input_audio_buffer.commit()
        await caller.connection.response.create()
        spoken = await caller.until("response.done")
        since = len(caller.events)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And what else?"}]}
        await caller.connection.conversation.item.create(item=item)
        await caller.connection.response.create()
        typed = await caller.until("response.done", since)
        assert errors(caller) == []
    assert spoken.response.output[0].content[0].transcript == ASKED.says
    assert typed.response.output[0].content[0].transcript == AGAIN.says
    assert gemini.session.talk.words("user") == [QUESTION, "And what else?"]


async def test_a_call_is_answered_and_stops_when_it_is_spoken_over(shop: Server, gemini: Gemini):
    gemini.plays(Scene("Hello."), ASKED, STORY, AGAIN, played=1.0)
    account = TwilioAccount(shop.base_url, PUBLIC, TOKEN)
    async with twilio_call(account) as line:
        await quiet_after(line, 0)
        answer = await ask(line, QUESTION)
        begins = await speak_over_the_answer(line)
        assert line.recording.findings == []
    assert await understood(shop, answer) & {"assistant", "no"}
    assert [at >= begins for at in line.recording.cleared] == [True]
