"""What goes wrong around a call: a carrier that is gone, an engine that breaks, an agent that nobody knows."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from models.base import EngineError
from scripts.phone_line.asterisk import WebSocketChannelEnd
from scripts.phone_line.twilio import TwilioEnd
from server.transports.asterisk import TcpLeg, WebSocketChannelCodec
from server.transports.calls import CallState
from server.transports.carrier import Caller, Close, LineStarted
from server.transports.twilio import TwilioCodec
from tests.transports.carrier_peer import HandLeg
from tests.transports.house import Deaf, House, anybody, until


class BreakingEars(Deaf):
    """They break at the first sound."""

    async def push(self, pcm: object) -> list[float]:
        raise EngineError("ears", "they broke")


async def test_an_engine_that_breaks_ends_the_call_and_nothing_else(caplog: pytest.LogCaptureFixture):
    house = House(ears=BreakingEars())
    async with house.call() as leg:
        await leg.until(lambda said: len(said) >= 2)
        leg.tell(leg.end.media(b"\xff" * 160, 0))
        await leg.closed.wait()
        assert leg.why == (Close.FAILED, "")
    assert house.counts.closed == ["failed"]
    (failure,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (failure.message, vars(failure)["reason"]) == ("call ended", "they broke")


async def test_a_word_that_is_no_json_from_asterisk_costs_a_line_in_the_log_and_not_the_call():
    house = House()
    end = WebSocketChannelEnd("1")
    leg = HandLeg(WebSocketChannelCodec(), end)
    answering = asyncio.create_task(house.calls.answer(leg, anybody))
    leg.tell(*end.hello())
    await leg.until(lambda said: len(said) >= 2)
    leg.tell("MEDIA_XOFF", "")
    for digit in "1#":
        leg.tell(end.key(digit))
    await house.asked()
    assert house.calls.state("1") is CallState.LIVE
    leg.tell(None)
    await answering
    await until(lambda: house.counts.closed == ["completed"])


async def test_a_call_for_an_agent_that_does_not_exist_is_over_and_not_connected_again():
    house = House()

    async def for_nobody(started: LineStarted) -> Caller:
        return Caller("nobody")

    end = TwilioEnd("CA9", {})
    leg = HandLeg(TwilioCodec(), end)
    leg.tell(*end.hello())
    await house.calls.answer(leg, for_nobody)
    assert house.calls.state("CA9") is CallState.ENDED


@pytest.mark.parametrize(
    "number",
    [
        "",
        "anonymous",
        "Anonymous",
        "+266696687",
        "Restricted",
        "+7378742833",
        "sip:anonymous@anonymous.invalid",
        "None",
    ],
)
def test_those_who_hide_their_number_are_not_taken_for_one_caller(number: str):
    assert Caller("salon", number).scope == ""


def test_the_same_number_is_the_same_caller():
    scopes = [Caller("salon", number).scope for number in ("+49301", "+49301", "+49302", "sip:ward-7@clinic.example")]
    assert scopes[0] == scopes[1]
    assert len(set(scopes)) == 3
    assert all(scopes)


# ------------------------------------------------------------------------------------------- AudioSocket


async def _streams(near: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(sock=near)


@pytest.mark.parametrize("error", [TimeoutError(110, "timed out"), OSError(113, "no route to host"), ConnectionError()])
async def test_a_pbx_whose_machine_is_gone_has_left(error: OSError):
    near, far = socket.socketpair()
    with far:
        reader, writer = await _streams(near)
        leg = TcpLeg(reader, writer, asks_next=False)
        reader.set_exception(error)
        assert [frame async for frame in leg.frames()] == []
        await leg.close()


async def test_a_pbx_that_takes_nothing_is_not_waited_for():
    near, far = socket.socketpair()
    with far:
        reader, writer = await _streams(near)
        leg = TcpLeg(reader, writer, asks_next=False, goodbye_s=0.05)
        sending = asyncio.create_task(leg.send(b"\x10" * 16 * 2**20))
        async with asyncio.timeout(30):
            await asyncio.wait({sending}, timeout=0.1)
            assert not sending.done()
            await leg.close()
            await sending
        assert writer.transport.is_closing()
        assert writer.transport.get_write_buffer_size() == 0
