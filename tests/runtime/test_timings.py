"""What is kept of how long a call's answers took."""

from __future__ import annotations

from server.core import events as e
from tests.runtime.engines import ScriptedChat
from tests.runtime.session import call


async def test_of_answers_that_nobody_asks_about_the_last_one_alone_is_kept():
    config = e.SessionConfig(turn_detection=None)
    async with call(ScriptedChat("Yes, we are."), config) as (runner, client):
        for number in (1, 2):
            await runner.receive(e.CreateResponse(None))
            await client.until(e.ResponseDone, number)
        first, last = [event.response.id for event in client.events if isinstance(event, e.ResponseDone)]
        assert runner.timings(first) is None
        kept = runner.timings(last)
        assert kept is not None
        assert "tts_first_audio" in kept.reached
