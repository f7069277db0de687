"""What goes out over one call's line: speech, paced and marked; thrown away, or held back and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.core.events import AudioFormat
from server.runtime.formats import decode
from server.transports.carrier import Frame, Leg
from server.transports.line_hearing import LineHearing
from server.transports.line_samples import LineSamples
from server.transports.playout import Piece, Playout


class LineSpeech:
    """``pump`` it as long as the call lasts. wire: the Session's format. hearing: is told what the caller gets to hear.
    sent: called when speech has left, or will not."""

    def __init__(self, playout: Playout, wire: AudioFormat, hearing: LineHearing, sent: Callable[[], None]) -> None:
        self.marks: dict[str, tuple[str, int]] = {}
        """Of sound that the carrier has not played yet: the item, and its samples up to there."""
        self._playout, self._wire, self._hearing, self._sent = playout, wire, hearing, sent
        self._line: tuple[Leg, LineSamples] | None = None
        self._sending = asyncio.Lock()
        self._pieces = 0

    def connect(self, leg: Leg, samples: LineSamples) -> None:
        """From now on over this connection."""
        self._line = leg, samples

    def disconnect(self) -> None:
        """Nobody is there to hear it."""
        self._line = None

    async def pump(self) -> None:
        """Send what is to be said when it is time to."""
        while True:
            piece = await self._playout.next()
            async with self._sending:
                if self._line is not None and piece.epoch == self._playout.epoch:
                    await self._send(piece, *self._line)
            self._sent()

    async def _send(self, piece: Piece, leg: Leg, samples: LineSamples) -> None:
        await leg.send(leg.codec.audio(samples.say(piece.audio)))
        if piece.epoch != self._playout.epoch:
            return  # thrown away while it was on its way: its mark would come back all the same
        self._hearing.said(decode(piece.audio, self._wire), self._playout.plays_until)
        self._pieces += 1
        name = f"{piece.item_id}:{self._pieces}"
        mark: Frame | None = leg.codec.mark(name)
        if mark is not None:
            self.marks[name] = piece.item_id, piece.end
            await leg.send(mark)

    def played(self, name: str) -> tuple[str, int] | None:
        """The carrier has come to a mark: its item, and how much of that is played. A mark that was thrown away comes
        back, too, and is not known any more."""
        mark = self.marks.pop(name, None)
        if mark is not None:
            self._playout.played(*mark)
        return mark

    async def clear(self) -> None:
        """Throw away what was not heard."""
        thrown_away = self._playout.paused
        self._playout.clear()
        if not thrown_away:
            await self._clear_line()
        self._sent()

    async def pause(self, paused: bool) -> None:
        """Be silent, or go on where that was."""
        if paused:
            frame = None if self._line is None else self._line[0].codec.clear()
            self._playout.pause(thrown_away=frame is not None)
            await self._clear_line()
        else:
            self._playout.resume()
        self._sent()

    async def _clear_line(self) -> None:
        self.marks.clear()
        frame = None if self._line is None else self._line[0].codec.clear()
        if self._line is not None and frame is not None:
            leg = self._line[0]
            async with self._sending:
                await leg.send(frame)
