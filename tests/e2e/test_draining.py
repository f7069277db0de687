"""A server that is told to end: who is on the line hears the answer to its end, and who comes is told why not."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import websockets

from scripts.phone_line.caller import begun_after, quiet_after
from scripts.phone_line.carriers import House, carrier_call
from scripts.phone_line.line import Line
from scripts.phone_line.measure import speech_bounds
from scripts.phone_line.twilio import TwilioAccount, twilio_call
from tests.e2e.conftest import Server, start
from tests.e2e.phone import RATE, audiosocket_of, understood
from tests.models.speech import speak

TOKEN = "an auth token of nobody's account"
PUBLIC = "https://voice.example.org"


@asynccontextmanager
async def house(session_s: float = 60, call_s: float = 60) -> AsyncIterator[tuple[Server, TwilioAccount, House]]:
    """A server that waits for those who are there; it must end by itself, and well."""
    server = start(
        KAMMERTON_SERVER__DRAIN_S=str(session_s),
        KAMMERTON_PHONE__DRAIN_S=str(call_s),
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__GREETING="Hello.",
        KAMMERTON_TWILIO__AUTH_TOKEN=TOKEN,
        KAMMERTON_ASTERISK__AUDIOSOCKET="127.0.0.1:0",
    )
    try:
        place = House(server.base_url, PUBLIC, "", audiosocket_of(server))
        yield server, TwilioAccount(server.base_url, PUBLIC, TOKEN), place
        server.drain.join(60)
        assert server.process.wait(60) == 0
    finally:
        server.process.kill()
        server.process.wait(60)
        server.drain.join(60)
        assert server.process.stderr is not None
        server.process.stderr.close()


async def refused(server: Server) -> tuple[dict[str, str], int]:
    """What a new client of the socket is told."""
    async with websockets.connect("ws" + server.base_url.removeprefix("http") + "/v1/realtime") as client:
        error = json.loads(await client.recv())["error"]
        return error, await closing_code(client)


async def closing_code(client: websockets.ClientConnection) -> int:
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await client.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def hung_up(line: Line) -> None:
    """Wait until the server has ended the call."""
    await line.after(10**9)


async def test_a_call_under_way_hears_its_answer_to_the_end_while_new_ones_are_told_to_call_again(server: Server):
    async with house() as (ending, account, place):
        async with twilio_call(account) as line:
            await quiet_after(line, 0)
            question = speak("Are you a real person?", rate=RATE)
            end = line.say(question, RATE) + speech_bounds(question)[1]
            await begun_after(line, 0)
            ending.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(ending.logged, "draining")
            await line.after(end)
            assert await account.ask("CA" + "1" * 32, "+49301") is None
            assert account.spoken == ["We cannot take your call just now. Please call again in a few minutes."]
            async with carrier_call(place, "audiosocket") as late:
                await hung_up(late)
                assert late.recording.heard_pcm.any()
            error, code = await refused(ending)
            assert (error["code"], code) == ("server_shutting_down", 1013)
            async with httpx2.AsyncClient(base_url=ending.base_url) as client:
                assert (await client.get("/readyz")).json() == {"status": "draining"}
                answer = await client.post("/v1/chat/completions", json={"model": "kammerton", "messages": []})
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert (await client.get("/healthz")).status_code == 200
            await quiet_after(line, end)
            assert not line.ended
        heard = line.recording.heard_pcm[end:]
    assert await understood(server, heard) & {"assistant", "person"}


async def test_who_does_not_end_by_then_is_told_the_socket_by_an_error_and_the_call_by_a_goodbye():
    async with house(session_s=0.2, call_s=1) as (server, account, _), twilio_call(account) as line:
        await quiet_after(line, 0)
        since = line.samples
        async with websockets.connect("ws" + server.base_url.removeprefix("http") + "/v1/realtime") as client:
            assert json.loads(await client.recv())["type"] == "session.created"
            server.process.send_signal(signal.SIGTERM)
            assert json.loads(await client.recv())["error"]["code"] == "server_shutting_down"
            assert await closing_code(client) == 1001
        await hung_up(line)
        assert line.recording.heard_pcm[since:].any()
    assert any('"outcome": "drained"' in line for line in server.log)


async def test_a_second_signal_ends_it_at_once():
    async with house() as (server, account, _), twilio_call(account) as line:
        await quiet_after(line, 0)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.logged, "draining")
        server.process.send_signal(signal.SIGTERM)
        await hung_up(line)
