"""The caller's turns on their way through the transcriber: opened, decoded while they grow, decoded to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from models import audio
from models.base import Priority, Transcriber, Urgency, Utterance
from server.core import events as e
from server.core.session import Session
from server.runtime.ear import Ear
from server.runtime.formats import decode
from server.runtime.recordings import Recordings
from server.runtime.transcripts import final_words, words_so_far

_AT_ONCE = 2
"""Items with audio of their own that are heard at once; the client waits with the next."""
_PARTIAL_EVERY_S = 0.6
_HIDDEN_PARTIAL_EVERY_S = 4.0
"""Nobody sees the words: decode now and then all the same, so that a long turn has little left to do at its end."""
_PROBE_EVERY_S = 0.1
"""Somebody speaks over an answer: whether to stop it depends on the words."""


@dataclass(slots=True)
class _Decodes:
    """The decodes of one turn that are under way. urgency: that of its final one."""

    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    urgency: Urgency = field(default_factory=lambda: Urgency(Priority.PREPARED))


class Utterances:
    """The utterances of one session.

    deliver: takes what the transcriber says. spawn: starts a task that ends with the session. transcribed: told when a
    turn's words are there, with the second at which the turn fell silent, by ``clock``.
    """

    def __init__(
        self,
        session: Session,
        stt: Transcriber,
        ear: Ear,
        recordings: Recordings,
        *,
        deliver: Callable[[e.Input], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        transcribed: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self._session, self._stt = session, stt
        self._ear, self._recordings = ear, recordings
        self._deliver, self._spawn = deliver, spawn
        self._transcribed, self._clock = transcribed, clock
        self._decodes: dict[str, _Decodes] = {}
        self._brought: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether no turn is open."""
        return not self._decodes

    # ----------------------------------------------------------------------------------------- turns

    def open(self, effect: e.OpenUtterance) -> None:
        """See OpenUtterance."""
        self._ear.open(effect.item_id, self._new(), effect.start)
        self._decodes[effect.item_id] = _Decodes()
        if self._session.config.turn_detection is not None:
            self._decode(effect.item_id, self._decode_partials(effect.item_id))

    def transcribe(self, effect: e.Transcribe) -> None:
        """See Transcribe."""
        urgency = Urgency(Priority.CONFIRMED if effect.confirmed else Priority.PREPARED)
        self._decodes[effect.item_id].urgency = urgency
        self._decode(effect.item_id, self._decode_to_the_end(effect, urgency))

    def close(self, effect: e.CloseUtterance) -> None:
        """See CloseUtterance. A decode that was begun in the caller's pause is confirmed with the turn."""
        self._decodes[effect.item_id].urgency.priority = Priority.CONFIRMED
        self._ear.stop(effect.item_id)
        pcm = self._ear.slice(effect.start, effect.end)
        self._recordings.add(effect.item_id, pcm.tobytes(), pcm.itemsize)
        self._ear.drop_before(effect.end)
        self._spawn(self._retire(effect.item_id))

    def drop(self, item_id: str) -> None:
        """See DropUtterance."""
        for task in self._decodes.pop(item_id).tasks:
            task.cancel()
        self._ear.drop(item_id)

    def _new(self) -> Utterance:
        wish = self._session.config.transcription
        known = self._stt.languages
        language = wish.language if wish and wish.language in known else None
        expected = self._session.language if self._session.language in known else None
        return self._stt.open(
            language=language,
            prompt=wish.prompt if wish else None,
            keywords=wish.keywords if wish else (),
            expected=expected,
            floor=self._session.config.language_floor,
            logprobs=self._session.wants_logprobs,
        )

    def _decode(self, item_id: str, decode: Coroutine[Any, Any, None]) -> None:
        tasks = self._decodes[item_id].tasks
        task = self._spawn(decode)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _decode_partials(self, item_id: str) -> None:
        """Decode the growing turn, for as long as it grows. The engine serves these when it has nothing better to do,
        so they thin out by themselves on a busy machine."""
        utterance = self._ear.utterance(item_id)
        assert utterance is not None
        while await self._ear.grown(item_id, int(self._partial_every_s * e.INPUT_RATE)):
            if self._session.settling:
                continue
            if (words := await words_so_far(utterance, item_id)) is not None:
                await self._deliver(words)

    @property
    def _partial_every_s(self) -> float:
        if self._session.probing:
            return _PROBE_EVERY_S
        return _PARTIAL_EVERY_S if self._session.config.transcription else _HIDDEN_PARTIAL_EVERY_S

    async def _decode_to_the_end(self, effect: e.Transcribe, urgency: Urgency) -> None:
        utterance = self._ear.utterance(effect.item_id)
        assert utterance is not None
        silent_since = self._ear.arrived_at(effect.speech_end) or self._clock()
        fact = await final_words(utterance, effect.item_id, effect.revision, urgency)
        self._transcribed(silent_since)
        await self._deliver(fact)

    async def _retire(self, item_id: str) -> None:
        """Let the committed turn's last decode finish, then let go of its utterance."""
        await asyncio.gather(*self._decodes.pop(item_id).tasks)
        self._ear.drop(item_id)

    # ----------------------------------------------------------------------- audio that came with an item

    async def wait_for_room(self) -> None:
        """Wait until another item with audio of its own may come."""
        while len(self._brought) >= _AT_ONCE:
            await asyncio.wait(self._brought, return_when=asyncio.FIRST_COMPLETED)

    def hear(self, effect: e.HearAudio) -> None:
        """See HearAudio."""
        task = self._spawn(self._hear(effect))
        self._brought.add(task)
        task.add_done_callback(self._brought.discard)

    async def _hear(self, effect: e.HearAudio) -> None:
        """No turn, no partial words, the same engine."""
        wire = self._session.config.input_format
        pcm = await asyncio.to_thread(lambda: audio.resample(decode(effect.audio, wire), wire.rate, e.INPUT_RATE))
        self._recordings.add(effect.item_id, pcm.tobytes(), pcm.itemsize)
        utterance = self._new()
        utterance.push(pcm)
        try:
            await self._deliver(await final_words(utterance, effect.item_id, 0, Priority.CONFIRMED))
        finally:
            utterance.close()
