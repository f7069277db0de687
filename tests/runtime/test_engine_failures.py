"""An engine dies while several are on the line: who was in it hears so, and the others hear their answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import models
from models.llm.openai_chat import OpenAIChat
from models.tts.piper import Piper
from server.core import events as e
from server.core.session import Session
from server.runtime.runner import Runner
from server.transports.wire import new_id
from tests.models.chat_peer import ChatPeer, Exchange, says

BUNDLED = Path(models.__file__).parent / "bundled" / "tts"
SORRY = {"en": "Sorry, please say that again.", "de": "Verzeihung, bitte noch einmal."}
ANSWER = "We are open."


@dataclass
class Engines:
    """The chat model and the voice of the test; nobody speaks to it, so that nothing else is needed."""

    llm: OpenAIChat
    tts: Piper
    vad: Any = None
    stt: Any = None


class Caller:
    """Types its question and keeps what it is told."""

    def __init__(self, engines: Engines, **config: Any) -> None:
        started = replace(e.SessionConfig(language="en", apologies=SORRY), **config)
        self.runner = Runner(Session(new_id("sess"), started, new_id), engines, self, self)
        self.told: list[e.Event] = []
        self._news = asyncio.Condition()

    def observe_stage(self, stage: str, seconds: float) -> None:
        pass

    async def clear_playout(self, item_id: str) -> None:
        pass

    async def send(self, event: e.Event) -> None:
        async with self._news:
            self.told.append(event)
            self._news.notify_all()

    async def ask(self, text: str) -> None:
        part = e.ContentPart("input_text", text)
        await self.runner.receive(
            e.CreateItem(None, e.Item("", e.ItemKind.MESSAGE, role="user", content=(part,)), None)
        )
        await self.runner.receive(e.CreateResponse(None))

    async def responses(self, number: int) -> list[e.ResponseView]:
        """This many, as they were done."""
        async with asyncio.timeout(60), self._news:
            while len(done := [it.response for it in self.told if isinstance(it, e.ResponseDone)]) < number:
                await self._news.wait()
        return done

    def seconds(self, response: e.ResponseView) -> float:
        deltas = (it for it in self.told if isinstance(it, e.OutputAudioDelta) and it.response_id == response.id)
        return sum(delta.samples for delta in deltas) / 24_000


@asynccontextmanager
async def line(engines: Engines, **config: Any) -> AsyncIterator[Caller]:
    caller = Caller(engines, **config)
    task = asyncio.create_task(caller.runner.run())
    yield caller
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def piper() -> AsyncIterator[Piper]:
    engine = await asyncio.to_thread(Piper.load, BUNDLED, name="piper")
    yield engine
    await engine.close()


async def breaks_off(exchange: Exchange) -> None:
    """Hangs up in the middle of the answer to those who ask for it."""
    if "break" not in str(exchange.body["messages"][-1]):
        await says(ANSWER)(exchange)
        return
    await exchange.begin()
    await exchange.delta(role="assistant", content="We are open from nine to")
    exchange.hang_up()


@pytest.mark.parametrize("language", ["en", "de"])
async def test_a_chat_model_that_breaks_off_is_apologised_for_and_nobody_else_notices(piper: Piper, language: str):
    async with ChatPeer([breaks_off]) as peer:
        engines = Engines(OpenAIChat(peer.url, "m", name="chat"), piper)
        async with line(engines, language=language) as unlucky, line(engines) as other:
            await asyncio.gather(unlucky.ask("Please break."), other.ask("Are you open?"))
            failed, sorry = await unlucky.responses(2)
            assert (failed.status, failed.error_code) == (e.ResponseStatus.FAILED, "engine_error")
            assert sorry.status is e.ResponseStatus.COMPLETED
            assert sorry.output[0].content[0].text == SORRY[language]
            assert unlucky.seconds(sorry) > 0.8
            (answer,) = await other.responses(1)
            assert answer.output[0].content[0].text == ANSWER
            assert other.seconds(answer) > 0.4
            await unlucky.ask("Are you open?")
            assert (await unlucky.responses(3))[2].status is e.ResponseStatus.COMPLETED
        await engines.llm.close()


async def test_a_voice_worker_that_is_killed_fails_the_response_in_it_only(piper: Piper):
    async with ChatPeer([says(ANSWER)]) as peer:
        engines = Engines(OpenAIChat(peer.url, "m", name="chat"), piper)
        async with line(engines) as unlucky, line(engines, modality="text") as reader, line(engines) as waiting:
            worker = piper.pids[0]
            os.kill(worker, signal.SIGSTOP)
            await unlucky.ask("Are you open?")
            async with asyncio.timeout(60):
                while not piper.busy:  # noqa: ASYNC110 - a thread takes it, without an event of this loop
                    await asyncio.sleep(0.001)
            await waiting.ask("Are you open?")
            await reader.ask("Are you open?")
            await reader.responses(1)
            os.kill(worker, signal.SIGKILL)
            (failed,) = await unlucky.responses(1)
            assert (failed.status, failed.error_code) == (e.ResponseStatus.FAILED, "engine_error")
            (answer,) = await waiting.responses(1)
            assert answer.status is e.ResponseStatus.COMPLETED
            assert waiting.seconds(answer) > 0.4
            await unlucky.ask("Are you open?")
            _, again = await unlucky.responses(2)
            assert again.status is e.ResponseStatus.COMPLETED
            assert unlucky.seconds(again) > 0.4
        await engines.llm.close()
