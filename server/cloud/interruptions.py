"""What ends an answer: the caller's voice, a key, a line that is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from server.cloud import base as b
from server.cloud.floor import Floor
from server.cloud.mirror import Mirror
from server.core import events as e
from server.runtime.runner import Peer


class Interruptions:
    """One session's. plays: the door itself plays the answers, so they are cut here. command: has the provider do
    something."""

    def __init__(
        self, mirror: Mirror, floor: Floor, peer: Peer, command: Callable[[b.Command], Awaitable[None]], *, plays: bool
    ) -> None:
        self._mirror, self._floor, self._peer, self._command, self._plays = mirror, floor, peer, command, plays

    async def spoken_over(self, clock: int) -> bool:
        """The caller speaks, and the provider ends what it is saying. clock: input samples received so far. Returns
        whether that counts: protected words go on."""
        if self._guards(clock):
            return False
        self._floor.quiet()
        await self._cut(clock)
        return True

    async def key(self, clock: int) -> None:
        """Whoever types has heard enough."""
        if not self._guards(clock):
            await self.stop(clock)

    async def stop(self, clock: int) -> None:
        """Whatever is made or played ends here."""
        self._floor.stop()
        if self._mirror.answers.active is not None:
            await self._command(e.CancelResponse(b.OWN))
        await self._cut(clock)

    def _guards(self, clock: int) -> bool:
        active = self._mirror.answers.active
        guarded = active is not None and active == self._floor.guarded
        return guarded or self._mirror.playing(self._floor.protected, clock)

    async def _cut(self, clock: int) -> None:
        """The door plays no more; the provider learns what was heard."""
        for item_id, heard_ms in self._mirror.cut(clock) if self._plays else ():
            await self._peer.clear_playout(item_id)
            await self._command(e.TruncateItem(b.OWN, item_id, 0, heard_ms))
