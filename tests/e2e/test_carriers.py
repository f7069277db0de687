"""Calls over the wires of the other carriers: real server, real engines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import httpx2
import pytest
import websockets

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.carriers import CARRIERS, House, carrier_call
from tests.e2e.conftest import Server, start, stop
from tests.e2e.phone import ask, speak_over_the_answer, understood

TOKEN = "a token of some length"
PUBLIC = "https://voice.example.org"


@pytest.fixture(scope="module")
def switchboard() -> Iterator[tuple[Server, House]]:
    """A server that takes calls of all of them."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = start(
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__TOKEN=TOKEN,
        KAMMERTON_PHONE__GREETING="Hello.",
        KAMMERTON_ASTERISK__AUDIOSOCKET=f"127.0.0.1:{port}",
    )
    yield server, House(server.base_url, PUBLIC, TOKEN, ("127.0.0.1", port))
    stop(server)


async def test_a_spoken_question_is_answered_over_every_wire(switchboard: tuple[Server, House]):
    server, house = switchboard

    async def call(number: int, carrier: str) -> tuple[str, set[str], list[str]]:
        await asyncio.sleep(number * 0.3)
        async with carrier_call(house, carrier) as line:
            await quiet_after(line, 0)
            answer = await ask(line, "Are you a real person?")
            return carrier, await understood(server, answer), line.recording.findings

    for carrier, words, findings in await asyncio.gather(*(call(*entry) for entry in enumerate(CARRIERS))):
        assert words & {"assistant", "person"}, (carrier, words)
        assert findings == [], carrier


async def test_whoever_speaks_over_the_answer_is_listened_to_and_keys_are_taken_over_every_wire(
    switchboard: tuple[Server, House],
):
    _, house = switchboard

    async def call(number: int, carrier: str) -> tuple[str, float | None, float, list[str]]:
        await asyncio.sleep(number * 0.3)
        async with carrier_call(house, carrier) as line:
            await quiet_after(line, 0)
            stopped, spoken = await speak_over_the_answer(line)
            await quiet_after(line, line.samples)
            since = line.samples
            await line.press("12#")
            await quiet_after(line, since)
            assert line.recording.heard_pcm[since:].any(), carrier
            return carrier, stopped, spoken, line.recording.findings

    for carrier, stopped, spoken, findings in await asyncio.gather(*(call(*entry) for entry in enumerate(CARRIERS))):
        assert stopped is not None, carrier
        assert stopped < spoken, carrier
        assert findings == [], carrier


@pytest.mark.parametrize("carrier", [carrier for carrier in CARRIERS if carrier != "audiosocket"])
@pytest.mark.parametrize("query", ["", "?token=", "?token=another token of some length"])
async def test_without_the_token_nothing_begins(switchboard: tuple[Server, House], carrier: str, query: str):
    server, _ = switchboard
    if carrier != "asterisk":
        async with httpx2.AsyncClient(base_url=server.base_url) as client:
            assert (await client.post(f"/{carrier}/voice{query}")).status_code == 403
    url = "ws" + server.base_url.removeprefix("http") + f"/{carrier}/stream{query.replace(' ', '%20')}"
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, proxy=None)
    assert refused.value.response.status_code == 403
