"""A call over any carrier's wire but Twilio's: those that show a token."""

from __future__ import annotations

import asyncio
import json
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2
import websockets

from scripts.phone_line.asterisk import AudioSocketEnd, TcpSocket, WebSocketChannelEnd
from scripts.phone_line.freeswitch import AudioForkEnd
from scripts.phone_line.line import NO_TROUBLE, Line, Socket, Trouble
from scripts.phone_line.plivo import PlivoEnd
from scripts.phone_line.telnyx import TelnyxEnd
from scripts.phone_line.vonage import VonageEnd
from scripts.phone_line.wire import CarrierEnd

CARRIERS = ("vonage", "plivo", "telnyx", "asterisk", "audiosocket", "freeswitch")
CALLER, NUMBER = "+4915112345678", "+4930123456"


@dataclass(frozen=True, slots=True)
class House:
    """A server. audiosocket: host and port of its AudioSocket door."""

    base_url: str
    public_url: str
    token: str
    audiosocket: tuple[str, int] = ("127.0.0.1", 0)

    def local(self, url: str) -> str:
        """An address that the server gave out, as it is reached here."""
        public = "ws" + self.public_url.removeprefix("http")
        assert url.startswith(public)
        return "ws" + self.base_url.removeprefix("http") + url.removeprefix(public)


async def _voice(house: House, carrier: str, call_id: str) -> httpx2.Response:
    form = {"CallSid": call_id, "CallUUID": call_id, "uuid": call_id, "From": CALLER, "To": NUMBER}
    async with httpx2.AsyncClient(base_url=house.base_url, timeout=30) as client:
        answer = await client.post(f"/{carrier}/voice", params={"token": house.token}, data=form)
    return answer.raise_for_status()


async def _ring(house: House, carrier: str, call_id: str, wide: bool) -> tuple[CarrierEnd, str, list[str]]:
    """The end of a call that the server has been asked about, where its stream goes, and its sub-protocols."""
    if carrier == "asterisk":
        public = "ws" + house.public_url.removeprefix("http")
        query = urlencode({"token": house.token, "call": call_id})
        end = WebSocketChannelEnd(uuid.uuid4().hex, "slin16" if wide else "ulaw")
        return end, f"{public}/asterisk/stream?{query}", ["media"]
    if carrier == "freeswitch":
        public = "ws" + house.public_url.removeprefix("http")
        end = AudioForkEnd({"call": call_id, "caller": CALLER, "to": NUMBER}, 16_000 if wide else 8_000)
        return end, f"{public}/freeswitch/stream?{urlencode({'token': house.token})}", ["audio.drachtio.org"]
    answer = await _voice(house, carrier, call_id)
    if carrier == "vonage":
        (endpoint,) = json.loads(answer.text)[0]["endpoint"]
        rate = int(endpoint["content-type"].rpartition("=")[2])
        return VonageEnd(endpoint["headers"], rate), endpoint["uri"], []
    stream = next(ElementTree.fromstring(answer.text).iter("Stream"))
    if carrier == "plivo":
        return PlivoEnd(call_id, stream.get("contentType", "")), (stream.text or "").strip(), []
    return TelnyxEnd(call_id, stream.get("bidirectionalCodec", "")), stream.get("url", ""), []


@asynccontextmanager
async def carrier_call(
    house: House, carrier: str, trouble: Trouble = NO_TROUBLE, *, call_id: str = "", wide: bool = False
) -> AsyncIterator[Line]:
    """A call from its first ring to its end. carrier: one of CARRIERS. call_id: a UUID, "" for any. wide: Asterisk
    and FreeSWITCH choose 16 kHz; of others the server's settings say it."""
    call_id = call_id or str(uuid.uuid4())
    if carrier == "audiosocket":
        reader, writer = await asyncio.open_connection(*house.audiosocket)
        try:
            async with _running(AudioSocketEnd(uuid.UUID(call_id)), TcpSocket(reader, writer), trouble) as line:
                yield line
        finally:
            writer.close()
        return
    end, url, protocols = await _ring(house, carrier, call_id, wide)
    options = {"compression": None, "proxy": None, "max_size": None, "subprotocols": protocols or None}
    async with websockets.connect(house.local(url), **options) as socket, _running(end, socket, trouble) as line:
        yield line


@asynccontextmanager
async def _running(end: CarrierEnd, socket: Socket, trouble: Trouble) -> AsyncIterator[Line]:
    line = Line(end, socket, trouble)
    running = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        await line.hang_up()
        await running
