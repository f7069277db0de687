"""Calls over the wires of the other carriers: real server, real engines."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Iterator

import httpx2
import pytest
import websockets

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.carriers import CARRIERS, House, carrier_call
from tests.e2e.conftest import Server, start, stop
from tests.e2e.phone import RATE, ask, audiosocket_of, speak_over_the_answer, stopped_in, understood
from tests.models.speech import speak
from tests.transports.rest_api import RestApi, rest_api
from tests.transports.rsa import rsa_key

TOKEN = "a token of some length"
PUBLIC = "https://voice.example.org"


@pytest.fixture(scope="module")
def vonage_api() -> Iterator[RestApi]:
    """Vonage's REST API."""
    with rest_api() as api:
        api.status, api.answer = 204, ""
        yield api


@pytest.fixture(scope="module")
def switchboard(tmp_path_factory: pytest.TempPathFactory, vonage_api: RestApi) -> Iterator[tuple[Server, House]]:
    """A server that takes calls of all of them."""
    key = tmp_path_factory.mktemp("vonage") / "private.key"
    key.write_text(rsa_key()[0])
    server = start(
        KAMMERTON_LOG__LEVEL="debug",
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__TOKEN=TOKEN,
        KAMMERTON_PHONE__GREETING="Hello.",
        KAMMERTON_PHONE__TRANSFERS="human=+49302",
        KAMMERTON_VONAGE__APPLICATION_ID="aaaa-bbbb",
        KAMMERTON_VONAGE__PRIVATE_KEY=str(key),
        KAMMERTON_VONAGE__API_URL=vonage_api.url,
        KAMMERTON_ASTERISK__AUDIOSOCKET="127.0.0.1:0",
    )
    yield server, House(server.base_url, PUBLIC, TOKEN, audiosocket_of(server))
    stop(server)


async def test_a_spoken_question_is_answered_over_every_wire(switchboard: tuple[Server, House]):
    server, house = switchboard

    async def call(number: int, carrier: str, wide: bool) -> tuple[str, set[str], list[str]]:
        await asyncio.sleep(number * 0.3)
        async with carrier_call(house, carrier, wide=wide) as line:
            await quiet_after(line, 0)
            answer = await ask(line, "Are you a real person?")
            return carrier, await understood(server, answer, line.end.samples.rate), line.recording.findings

    wires = [*((carrier, False) for carrier in CARRIERS), ("asterisk", True)]
    for carrier, words, findings in await asyncio.gather(*(call(n, *wire) for n, wire in enumerate(wires))):
        assert words & {"assistant", "person"}, (carrier, words)
        assert findings == [], carrier


async def test_whoever_speaks_over_the_answer_is_listened_to_and_keys_are_taken_over_every_wire(
    switchboard: tuple[Server, House],
):
    server, house = switchboard

    async def call(number: int, carrier: str) -> tuple[str, list[str]]:
        await asyncio.sleep(number * 0.3)
        async with carrier_call(house, carrier) as line:
            await quiet_after(line, 0)
            await speak_over_the_answer(line)
            since = line.samples
            await line.press("12#")
            await quiet_after(line, since)
            assert line.recording.heard_pcm[since:].any(), carrier
            return carrier, line.recording.findings

    for carrier, findings in await asyncio.gather(*(call(*entry) for entry in enumerate(CARRIERS))):
        assert findings == [], carrier
    # Not every carrier can be told to throw sound away; what the server did is in its log.
    assert len(stopped_in(server)) == len(CARRIERS)


async def test_a_caller_who_asks_for_a_human_is_handed_on_in_the_carriers_own_way(
    switchboard: tuple[Server, House], vonage_api: RestApi
):
    server, house = switchboard
    calls = {carrier: str(uuid.uuid4()) for carrier in ("vonage", "plivo", "asterisk", "audiosocket", "freeswitch")}

    async def call(number: int, carrier: str, call_id: str) -> None:
        await asyncio.sleep(number * 0.3)
        async with carrier_call(house, carrier, call_id=call_id) as line:
            await quiet_after(line, 0)
            speech = speak("Can I speak to a real person please?", rate=RATE)
            line.say(speech, RATE)
            async with asyncio.timeout(60):
                await line.after(10**9)  # until the server has hung up

    await asyncio.gather(*(call(number, *entry) for number, entry in enumerate(calls.items())))
    connect = {"action": "connect", "endpoint": [{"type": "phone", "number": "49302"}]}
    asked = vonage_api.only()
    assert (asked.method, asked.path) == ("PUT", f"/v1/calls/{calls['vonage']}")
    assert asked.body == {"action": "transfer", "destination": {"type": "ncco", "ncco": [connect]}}
    async with httpx2.AsyncClient(base_url=server.base_url, params={"token": TOKEN}) as client:
        answer = await client.post("/plivo/voice", data={"CallUUID": calls["plivo"]})
        assert answer.text == "<Response><Dial><Number>+49302</Number></Dial></Response>"
        for carrier in ("asterisk", "audiosocket", "freeswitch"):
            next_of = f"/{carrier}/next".replace("audiosocket", "asterisk")
            answers = [await client.get(next_of, params={"call": calls[carrier]}) for _ in range(2)]
            assert [answer.text for answer in answers] == ["+49302", ""], carrier
        assert (await client.get("/asterisk/next", params={"token": "x", "call": "y"})).status_code == 403


async def test_a_webhook_whose_sender_vanishes_in_the_middle_of_it_is_no_fault(switchboard: tuple[Server, House]):
    server, _ = switchboard
    address = httpx2.URL(server.base_url)
    head = f"POST /vonage/voice?token={TOKEN.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{"
    with socket.create_connection((address.host, address.port or 80)) as sender:
        sender.sendall(head.encode())
    async with httpx2.AsyncClient(base_url=server.base_url, params={"token": TOKEN}) as client:
        assert (await client.post("/vonage/voice", content=b"x" * 70_000)).status_code == 413
    assert [entry for entry in map(json.loads, list(server.log)) if entry["level"] == "error"] == []


@pytest.mark.parametrize("carrier", [carrier for carrier in CARRIERS if carrier != "audiosocket"])
@pytest.mark.parametrize("query", ["", "?token=", "?token=another token of some length"])
async def test_without_the_token_nothing_begins(switchboard: tuple[Server, House], carrier: str, query: str):
    server, _ = switchboard
    if carrier not in ("asterisk", "freeswitch"):
        async with httpx2.AsyncClient(base_url=server.base_url) as client:
            assert (await client.post(f"/{carrier}/voice{query}")).status_code == 403
    url = "ws" + server.base_url.removeprefix("http") + f"/{carrier}/stream{query.replace(' ', '%20')}"
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, proxy=None)
    assert refused.value.response.status_code == 403
