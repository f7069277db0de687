"""What the server does in a call besides answering: sentences of its own, asking a silent caller, ending the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sized
from contextlib import suppress

from server.core import events as e
from server.core.doubts import Sound
from server.transports.manners import PROMPTS, WARNING_S, Manners
from server.transports.phrases import Phrases
from server.transports.playout import Playout

_UNHEARD_S = 5.0
"""How long a mark is waited for that should have come."""
_LEAVE_S = 1.5
"""After the last words, before the call ends."""
_LEAVE_AT_MOST_S = 30.0
_LOOK_S = 0.1
"""How often a sound is asked about whether it has become words."""
_SETTLE_S = 0.05
"""How long after a sound an answer to it may take to be begun."""


class Courtesy:
    """One call's. receive: tells the Session. marks: of sound that the carrier has not played yet; None where it does
    not say. hang_up: ends the call, with one word for how. sound: what the caller's side of the line
    holds now."""

    def __init__(
        self,
        manners: Manners,
        phrases: Callable[[], Phrases],
        playout: Playout,
        marks: Sized | None,
        receive: Callable[[e.Input], Awaitable[None]],
        hang_up: Callable[[str], None],
        sound: Callable[[], Sound],
        clock: Callable[[], float],
    ) -> None:
        self._manners, self._phrases = manners, phrases
        self._playout, self._marks = playout, marks
        self._receive, self._hang_up, self._sound, self._clock = receive, hang_up, sound, clock
        self._making: set[str] = set()
        self._sayings = 0
        self._prompts = 0
        self._sounded = False
        self._stirred = self._settled = clock()
        self._news = asyncio.Event()

    # ---------------------------------------------------------------------------------- what happens

    def see(self, event: e.Event) -> None:
        """What the client of another door would be told."""
        match event:
            case e.ResponseCreated():
                self._making.add(event.response.id)
                self._begun()
                self.stir()
            case e.ResponseDone():
                self._making.discard(event.response.id)
                self.stir()
            case e.SpeechStarted() | e.SpeechStopped():
                self._news.set()
            case _:
                pass

    def _begun(self) -> None:
        """An answer of the model means that the caller has said something."""
        if self._sayings:
            self._sayings -= 1
        else:
            self._prompts = 0

    def stir(self) -> None:
        """Something has happened that the caller's silence counts from."""
        self._stirred = self._clock()
        self._news.set()

    def sent(self) -> None:
        """Some of the speech has left, or was thrown away."""
        self._news.set()

    # ------------------------------------------------------------------------------------- words

    async def say(self, words: str, *, protected: bool = False) -> None:
        """Words of the door's own."""
        self._sayings += 1
        await self._receive(e.Say(words, protected))

    async def farewell(self, words: str, outcome: str) -> None:
        """Say this, and end the call when it was heard."""
        await self.say(words, protected=True)
        await self._until_heard()
        self._hang_up(outcome)

    async def until_said(self) -> None:
        """Until everything was heard that is being said, and a moment longer. Noise on the line holds nobody up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_AT_MOST_S):
                await self._until_silent(_LEAVE_S)

    async def mind_silence(self) -> None:
        """Ask a caller who says nothing, twice; then end the call."""
        while True:
            await self._until_silent(self._manners.silence_s)
            if self._prompts >= PROMPTS:
                await self.farewell(self._phrases().goodbye, "silent")
                return
            self._prompts += 1
            await self.say(self._phrases().still_there)

    async def mind_time(self) -> None:
        """End the longest call, after a warning."""
        await self._end_after(self._manners.max_s, "expired")

    async def finish(self, seconds: float) -> None:
        """End the call when so much more time has passed, after a warning: the server goes down."""
        await self._end_after(seconds, "drained")

    async def _end_after(self, seconds: float, outcome: str) -> None:
        minute = seconds >= 2 * WARNING_S
        left = WARNING_S if minute else seconds / 4
        await asyncio.sleep(seconds - left)
        await self.say(self._phrases().one_minute if minute else self._phrases().moment, protected=True)
        await asyncio.sleep(left)
        await self.farewell(self._phrases().time_is_up, outcome)

    # ----------------------------------------------------------------------------------- waiting

    @property
    def _quiet(self) -> bool:
        """Whether all that was said has been heard."""
        return not (self._making or self._marks) and self._playout.empty

    def _listen(self) -> bool:
        """Whether somebody may be speaking. Words break the silence; music, noise and what nobody has understood yet
        do not."""
        sound = self._sound()
        if sound is Sound.WORDS:
            self._stirred = self._clock()
        elif sound is Sound.NOTHING and self._sounded:
            self._settled = self._clock() + _SETTLE_S
        self._sounded = sound is not Sound.NOTHING
        return self._sounded

    async def _until_heard(self) -> None:
        """Until all that is being said has reached the caller, or should have."""
        while self._making or not self._playout.empty:
            await self._wait(None)
        until = self._playout.plays_until + (0 if self._marks is None else _UNHEARD_S)
        while (self._marks or self._marks is None) and (left := until - self._clock()) > 0:
            await self._wait(left)

    async def _until_silent(self, seconds: float) -> None:
        while True:
            left = None
            if self._listen():
                left = _LOOK_S
            elif self._quiet:
                silent = max(self._stirred, self._playout.plays_until) + seconds
                left = max(silent, self._settled) - self._clock()
                if left <= 0:
                    return
            await self._wait(left)

    async def _wait(self, seconds: float | None) -> None:
        """For news, and for so long at most."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
