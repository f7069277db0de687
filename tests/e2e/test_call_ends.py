"""Calls that nobody ends: a caller who says nothing, and one who never stops. What they hear, from a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.twilio import TwilioAccount, twilio_call
from tests.e2e.conftest import Server, start, stop
from tests.e2e.phone import understood

TOKEN = "an auth token of nobody's account"
PUBLIC = "https://voice.example.org"
LONGEST_S = 14


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A server that waits as short as it may."""
    server = start(
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__GREETING="Hello.",
        KAMMERTON_PHONE__SILENCE_S="2",
        KAMMERTON_PHONE__MAX_CALL_S=str(LONGEST_S),
        KAMMERTON_TWILIO__AUTH_TOKEN=TOKEN,
    )
    yield server
    stop(server)


async def test_a_silent_caller_is_asked_twice_and_an_endless_call_is_warned_and_both_end_with_a_goodbye(
    impatient: Server,
):
    account = TwilioAccount(impatient.base_url, PUBLIC, TOKEN)

    async def says_nothing() -> tuple[int, set[str]]:
        async with twilio_call(account) as line:
            sayings = 0
            while not line.ended and sayings < 4:  # the greeting, two questions, the goodbye
                since = line.samples
                await quiet_after(line, since)
                sayings += bool(line.recording.heard_pcm[since:].any())
            await line.after(10**9)
            return sayings, await understood(impatient, line.recording.heard_pcm)

    async def never_stops() -> tuple[float, set[str]]:
        async with twilio_call(account) as line:
            while not line.ended:
                await line.press("1")
                await line.after(line.samples + 8_000)
            return line.recording.seconds, await understood(impatient, line.recording.heard_pcm)

    (sayings, silent), (seconds, endless) = await asyncio.gather(says_nothing(), never_stops())
    assert sayings == 4
    assert {"still", "there"} & silent, silent
    assert "goodbye" in silent, silent
    assert seconds > LONGEST_S
    assert {"moment", "time"} & endless, endless
    assert "goodbye" in endless, endless

    def over() -> list[dict[str, str]]:
        return [json.loads(line) for line in list(impatient.log) if '"call over"' in line]

    async with asyncio.timeout(60):
        while len(over()) < 2:  # noqa: ASYNC110  another thread reads the log
            await asyncio.sleep(0.01)
    ends = over()
    assert sorted(end["outcome"] for end in ends) == ["expired", "silent"]
