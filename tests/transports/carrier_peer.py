"""A carrier's connection driven by hand: frames go in, and what the server sends is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from scripts.phone_line.wire import CarrierEnd, Command
from server.transports.carrier import CarrierCodec, Close, Frame


class HandLeg:
    """See ``Leg``. ``end`` is the carrier's side of the same wire; ``commands`` is what the server has said so far.
    ``why``: the connection was closed first."""

    def __init__(self, codec: CarrierCodec, end: CarrierEnd) -> None:
        self.codec = codec
        self.end = end
        self.closed = asyncio.Event()
        self.why: tuple[Close, str] | None = None
        self.commands: list[Command] = []
        self._incoming: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._changed = asyncio.Condition()

    async def frames(self) -> AsyncIterator[Frame]:
        while (frame := await self._incoming.get()) is not None:
            yield frame

    async def send(self, frame: Frame) -> None:
        async with self._changed:
            self.commands += self.end.read(frame)
            self._changed.notify_all()

    async def close(self, why: Close = Close.OVER, reason: str = "") -> None:
        self.why = self.why or (why, reason)
        self.closed.set()
        self._incoming.put_nowait(None)

    def tell(self, *frames: Frame | None) -> None:
        """The carrier sends; None: it leaves."""
        for frame in frames:
            self._incoming.put_nowait(frame)

    async def until(self, said: Callable[[list[Command]], bool]) -> None:
        """Wait until the server has said enough."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: said(self.commands))

    def of(self, kind: type[Command]) -> list[Command]:
        return [command for command in self.commands if isinstance(command, kind)]
