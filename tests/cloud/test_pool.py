"""Connections that are made ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from server.cloud.base import Address, Frame
from server.cloud.link import DialError, Incoming, Link, Lost, Pool

HERE, THERE = Address("wss://a.example/"), Address("wss://b.example/")


class Socket:
    """open: until somebody closes it. incoming: what it will receive."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.sent: list[Frame] = []
        self.incoming: asyncio.Queue[Frame | Exception] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.stuck = self.aborted = False

    @property
    def transport(self) -> Any:
        return self

    def abort(self) -> None:
        self.aborted, self.close_code = True, 1006
        self.closed.set()
        self.incoming.put_nowait(ConnectionError())

    async def send(self, message: Frame) -> None:
        if self.stuck:
            await self.closed.wait()
            raise ConnectionError("closed")
        self.sent.append(message)

    async def recv(self) -> Frame:
        what = await self.incoming.get()
        if isinstance(what, Exception):
            raise what
        return what

    async def close(self) -> None:
        if self.close_code is None:
            self.close_code = 1000
        self.closed.set()
        self.incoming.put_nowait(ConnectionError())


class Dialled:
    """Makes sockets. made: those so far, with their URLs. asked: how often. hold: until it is set none is made. now:
    the time."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Socket]] = []
        self.now = 0.0
        self.fails = False
        self.hold: asyncio.Event | None = None
        self.asked = 0

    async def __call__(self, url: str, headers: Mapping[str, str]) -> Socket:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.fails:
            raise DialError(503, "")
        self.made.append((url, Socket()))
        return self.made[-1][1]

    async def settled(self) -> None:
        """Let all that is under way happen."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_spare_is_ready_before_it_is_asked_for_and_made_anew():
    dial = Dialled()
    pool = Pool(dial)
    pool.prepare(HERE)
    await dial.settled()
    spare = dial.made[0][1]
    assert await pool.take(HERE) is spare
    await dial.settled()
    assert len(dial.made) == 2
    await pool.close()
    assert dial.made[1][1].closed.is_set()
    assert not spare.closed.is_set()


@pytest.mark.parametrize("why", ["old", "closed", "elsewhere"])
async def test_a_spare_that_is_of_no_use_is_let_go(why: str):
    dial = Dialled()
    pool = Pool(dial, age_s=60, clock=lambda: dial.now)
    pool.prepare(THERE if why == "elsewhere" else HERE)
    await dial.settled()
    spare = dial.made[0][1]
    dial.now = 61.0 if why == "old" else 1.0
    if why == "closed":
        spare.close_code = 1001
    taken = await pool.take(HERE)
    assert taken is not spare
    await dial.settled()
    assert spare.closed.is_set()
    await pool.close()


async def test_none_is_made_ahead_for_a_provider_that_is_only_fallen_back_on():
    dial = Dialled()
    pool = Pool(dial, spares=0)
    pool.prepare(HERE)
    await dial.settled()
    assert not dial.made
    await pool.take(HERE)
    assert len(dial.made) == 1
    await pool.close()


async def test_calls_that_come_at_once_do_not_queue_for_one_handshake():
    dial = Dialled()
    dial.hold = asyncio.Event()
    pool = Pool(dial)
    pool.prepare(HERE)
    calls = [asyncio.create_task(pool.take(HERE)) for _ in range(4)]
    await dial.settled()
    # The spare that is being made is for one of them; the others' handshakes are under way beside it.
    assert dial.asked == 4
    dial.hold.set()
    assert len({id(socket) for socket in await asyncio.gather(*calls)}) == 4
    await pool.close()


async def test_who_needs_one_is_told_why_there_is_none():
    dial = Dialled()
    dial.fails = True
    pool = Pool(dial)
    pool.prepare(HERE)
    await dial.settled()
    with pytest.raises(DialError):
        await pool.take(HERE)
    await pool.close()


async def test_a_provider_that_takes_nothing_holds_the_caller_back_and_is_hung_up_on():
    socket, told = Socket(), asyncio.Queue[Incoming | Lost]()
    socket.stuck = True
    link = Link(socket, told.put, stalled_s=0.05)
    for _ in range(300):
        link.send("sound")
    waiting = asyncio.create_task(link.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    async with asyncio.timeout(60):
        await waiting
        assert isinstance(await told.get(), Lost)
    await link.close()


async def test_what_waits_for_a_provider_is_bounded():
    socket, told = Socket(), asyncio.Queue[Incoming | Lost]()
    socket.stuck = True
    link = Link(socket, told.put)
    while not socket.aborted:
        link.send("a command")
    async with asyncio.timeout(60):
        assert isinstance(await told.get(), Lost)
    await link.close()


async def test_frames_go_and_come_in_order_and_the_end_is_the_last():
    socket, told = Socket(), asyncio.Queue[Incoming | Lost]()
    link = Link(socket, told.put)
    for frame in ("a", "b", b"c"):
        link.send(frame)
        socket.incoming.put_nowait(frame)
    socket.close_code, socket.close_reason = 3000, "no"
    socket.incoming.put_nowait(ConnectionError())
    got = [await told.get() for _ in range(4)]
    assert [item.frame for item in got if isinstance(item, Incoming)] == ["a", "b", b"c"]
    assert isinstance(got[-1], Lost)
    assert (got[-1].code, got[-1].reason) == (3000, "no")
    await link.close()
