"""The doors of carriers that show a token: who is connected to whom, as a carrier's requests lead there."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import httpx2
import pytest
import websockets

from scripts.phone_line.plivo import PlivoEnd
from server.errors import SettingsError
from server.settings import load
from server.transports import phone_routes, plivo
from server.transports.phone_routes import Carrier
from tests.transports.house import House
from tests.transports.http_server import serving

TOKEN = "a token of some length"
PUBLIC = "https://voice.example.org"


async def test_plivo_reaches_the_agent_of_the_number_whatever_its_name():
    wanted: list[str] = []
    agents = SimpleNamespace(cast=lambda name, *_: wanted.append(name), language=lambda name: None)
    house = House(agents=agents)
    carrier = Carrier(lambda _: plivo.PlivoCodec(), plivo.answer, plivo.hang_up, plivo.dial)
    routes = phone_routes.router("plivo", carrier, house.calls, PUBLIC, TOKEN, {"49301": "front-desk_2"}.get)
    async with serving(routes) as url, httpx2.AsyncClient(base_url=url, params={"token": TOKEN}) as client:
        answer = await client.post("/plivo/voice", data={"CallUUID": "1", "To": "49301", "From": "49302"})
        stream = ElementTree.fromstring(answer.text).find("Stream")
        assert stream is not None
        assert stream.get("extraHeaders") == "caller=49302"
        address = (stream.text or "").replace("wss://voice.example.org", f"ws{url.removeprefix('http')}")
        async with websockets.connect(address, proxy=None) as socket, asyncio.timeout(20):
            for frame in PlivoEnd("1").hello():
                await socket.send(frame)
            await socket.wait_closed()
    assert wanted == ["front-desk_2"]


@pytest.mark.parametrize("port", [65_536, 99_999])
def test_a_port_that_is_none_is_told_at_the_start(port: int):
    with pytest.raises(SettingsError, match=f"asterisk.audiosocket.*{port} is no port; allowed: 0 to 65535"):
        load({"asterisk.audiosocket": f"127.0.0.1:{port}"})
