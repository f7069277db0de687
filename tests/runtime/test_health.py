"""Engines count as ill when sessions see them fail, and as well when they answer again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from models.base import EngineError
from server.core import events as e
from server.runtime.health import Health

FAILED = e.ResponseFailed("resp_1", "engine_error", "it died")
ANSWERED = e.ResponseFinished("resp_1", e.TokenUsage(input_text=5, output_text=3))
RECITED = e.ResponseFinished("resp_1", e.TokenUsage())
UNHEARD = e.TranscriptFailed("item_1", 0, "it died")
HEARD = e.TranscriptFinal("item_1", 0, "hello", "en")


class Engines:
    """What the health is asked about."""

    def __init__(self) -> None:
        self.dead = False
        self.health = Health(self.look, again_s=0.0)

    async def look(self) -> None:
        if self.dead:
            raise EngineError("llm", "nobody there")

    def see(self, *facts: e.Input) -> None:
        for fact in facts:
            self.health("sess_1", fact, [])

    async def until(self, missing: str | None) -> None:
        """Until this is what is said to be missing."""
        async with asyncio.timeout(60):
            while self.health.missing != missing:  # noqa: ASYNC110 - nobody is told when it changes
                await asyncio.sleep(0)


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    engines = Engines()
    watch = asyncio.create_task(engines.health.watch())
    yield engines
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


async def test_they_are_not_ready_before_they_have_answered_and_not_ill_either() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        asked.set()
        await answered.wait()

    health = Health(look)
    watch = asyncio.create_task(health.watch())
    await asked.wait()
    assert (health.missing, health.ill) == ("engines are warming up", False)
    answered.set()
    while health.missing:  # noqa: ASYNC110 - nobody is told when it changes
        await asyncio.sleep(0)
    assert not health.ill
    watch.cancel()


async def test_three_failures_in_a_row_make_them_ill_until_they_answer(engines: Engines) -> None:
    await engines.until(None)
    engines.dead = True
    engines.see(FAILED, FAILED)
    assert not engines.health.ill
    engines.see(FAILED)
    assert engines.health.ill
    await engines.until("engines do not answer: nobody there")
    assert engines.health.ill
    engines.dead = False
    await engines.until(None)
    assert not engines.health.ill


async def test_answers_between_failures_keep_them_well(engines: Engines) -> None:
    await engines.until(None)
    engines.see(FAILED, FAILED, ANSWERED, FAILED, FAILED, ANSWERED)
    engines.see(UNHEARD, UNHEARD, HEARD, UNHEARD, UNHEARD)
    assert not engines.health.ill


async def test_neither_apologies_nor_transcripts_hide_a_dead_chat_model(engines: Engines) -> None:
    await engines.until(None)
    engines.see(FAILED, RECITED, HEARD, FAILED, RECITED, HEARD, FAILED)
    assert engines.health.ill


async def test_engines_that_fail_at_the_start_are_asked_again() -> None:
    engines = Engines()
    engines.dead = True
    watch = asyncio.create_task(engines.health.watch())
    await engines.until("engines do not answer: nobody there")
    assert engines.health.ill
    engines.dead = False
    await engines.until(None)
    watch.cancel()
