"""The asyncio shell of one Session: one inbox, one consumer, effects carried out, facts fed back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import numpy as np

from models import audio
from models.base import ChatModel, Synthesizer, Transcriber, VoiceActivityDetector
from server.core import events as e
from server.core.doubts import Sound
from server.core.session import Session
from server.runtime.cascade import Cascade
from server.runtime.ear import Ear
from server.runtime.formats import encode
from server.runtime.recordings import Recordings
from server.runtime.stages import StageObserver, Stopwatch, Timings
from server.runtime.timers import Timers
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import Toolbox
from server.runtime.utterances import Utterances
from server.runtime.warming import Warming
from server.runtime.work import Work

_log = logging.getLogger(__name__)

_INBOX = 256
_BUFFER_S = 900
"""Audio that a client may send before it commits by hand."""
Tap = Callable[[str, e.Input | None, Sequence[e.Output]], None]
"""Sees a session's id, what happened (None: it was opened) and what it did about it."""


class Engines(Protocol):
    """One engine of each kind, shared by all sessions."""

    @property
    def vad(self) -> VoiceActivityDetector: ...
    @property
    def stt(self) -> Transcriber: ...
    @property
    def llm(self) -> ChatModel: ...
    @property
    def tts(self) -> Synthesizer: ...


class Peer(Protocol):
    """The door, as the Runner sees it."""

    async def send(self, event: e.Event) -> None:
        """Tell the client."""
        ...

    async def clear_playout(self, item_id: str) -> None:
        """Throw away what the client has got but not played, where the door can."""
        ...

    async def pause_playout(self, paused: bool) -> None:
        """Be silent, or go on where that was. Asked only of a door whose policy says that it can."""
        ...


class Runner:
    """Runs one Session: ``run`` until cancelled; ``append`` and ``receive`` come from the door's reader."""

    def __init__(
        self,
        session: Session,
        engines: Engines,
        peer: Peer,
        observer: StageObserver,
        taps: Sequence[Tap] = (),
        clock: Callable[[], float] = time.monotonic,
        toolbox: Toolbox | None = None,
    ) -> None:
        self._session = session
        self._peer = peer
        self._taps = taps
        self._clock = clock
        self._inbox: asyncio.Queue[e.Input | asyncio.Event] = asyncio.Queue(_INBOX)
        self._ear = Ear(engines.vad)
        self._stopwatch = Stopwatch(self._clock, observer)
        self._cascade = Cascade(engines.llm, engines.tts, self._inbox.put, self._stopwatch.reached)
        self._work: dict[str, tuple[Work, asyncio.Task[None]]] = {}
        self._recordings = Recordings()
        self._timings: tuple[str, Timings] | None = None
        self._group = asyncio.TaskGroup()
        self._utterances = Utterances(
            session,
            engines.stt,
            self._ear,
            self._recordings,
            deliver=self._inbox.put,
            spawn=self._spawn,
            transcribed=self._stopwatch.transcribed,
            clock=clock,
        )
        self._warming = Warming(engines.llm, self._spawn)
        self._timers = Timers(self._inbox.put)
        self._tools = ToolRunner(session.id, toolbox or Toolbox(), self._inbox.put, clock)

    # ------------------------------------------------------------------------------------- the door

    @property
    def position(self) -> int:
        """Input samples received so far."""
        return self._ear.position

    @property
    def config(self) -> e.SessionConfig:
        """The session's effective configuration."""
        return self._session.config

    @property
    def sound(self) -> Sound:
        """What is on the caller's side of the line now, as far as anybody knows."""
        return self._session.sound

    @property
    def served_by(self) -> str:
        """See ``LiveSession``."""
        return ""

    async def append(self, samples: bytes, event_id: str | None = None) -> None:
        """Audio of the caller, in the session's input format. Returns when there is room for more."""
        session = self._session
        wire = session.config.input_format
        held = self._ear.kept + len(samples) // wire.width * e.INPUT_RATE // wire.rate
        if session.config.turn_detection is None and held > _BUFFER_S * e.INPUT_RATE:
            message = f"The input audio buffer holds at most {_BUFFER_S // 60} minutes: commit or clear it."
            await self.receive(e.InvalidEvent(event_id, "input_audio_buffer_full", message, "audio"))
            return
        await self._ear.receive(samples, wire, self._clock(), patient=session.idle)
        if session.settling:
            await self._inbox.put(e.InputClock(self._ear.position))

    async def receive(self, fact: e.Input) -> None:
        """A client command. Returns once it is carried out, and the client has been told: what follows it finds it in
        force, and who does not listen does not get ahead."""
        if isinstance(fact, e.CreateItem) and fact.audio is not None:
            await self._utterances.wait_for_room()
        done = asyncio.Event()
        await self._inbox.put(fact)
        await self._inbox.put(done)
        await done.wait()

    def audio(self, item: e.Item) -> bytes | None:
        """The samples of an item's audio as they are on the wire: a caller's turn in the input format, an answer in
        the format it was spoken in. None if none are kept."""
        kept = self._recordings.get(item.id)
        if kept is None or item.role == "assistant":
            return kept
        wire = self._session.config.input_format
        pcm = audio.resample(np.frombuffer(kept, np.int16), e.INPUT_RATE, wire.rate)
        return encode(pcm, wire)

    def timings(self, response_id: str) -> Timings | None:
        """The stages of the response that ended last; not every door asks for them, so no more are kept."""
        return self._timings[1] if self._timings is not None and self._timings[0] == response_id else None

    # ----------------------------------------------------------------------------------- the consumer

    async def run(self) -> None:
        """Consume the inbox until cancelled. Raises, in a group, what ``Ear.judge`` raises, and for bugs; what other
        engines raise becomes facts."""
        try:
            async with self._group:
                self._spawn(self._judge())
                await self._carry_out(self._tapped(None, self._session.open()))
                while True:
                    self._warming.follow(self._session.config)
                    fact = await self._inbox.get()
                    if isinstance(fact, asyncio.Event):
                        fact.set()
                        continue
                    await self._carry_out(self._tapped(fact, self._session.handle(fact)))
        finally:
            self._tools.close()
            self._timers.close()
            self._ear.close()

    def _tapped(self, fact: e.Input | None, outputs: list[e.Output]) -> list[e.Output]:
        for tap in self._taps:
            tap(self._session.id, fact, outputs)
        return outputs

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(work)

    async def _carry_out(self, outputs: Sequence[e.Output]) -> None:
        for output in outputs:
            match output:
                case e.OpenUtterance():
                    self._utterances.open(output)
                case e.Transcribe():
                    self._utterances.transcribe(output)
                case e.CloseUtterance():
                    self._utterances.close(output)
                case e.DropUtterance():
                    self._utterances.drop(output.item_id)
                case e.HearAudio():
                    self._utterances.hear(output)
                case e.StartIdleTimer():
                    self._timers.start("idle", output.after_ms, e.IdleTimeout())
                case e.StartTimer():
                    self._timers.start(output.kind, output.after_ms, e.TimerFired(output.kind, output.token))
                case e.RunTool():
                    self._tools.start(output)
                case e.StopTool():
                    self._tools.stop(output.call_id)
                case e.ConnectMcp():
                    self._tools.mcp.connect(output)
                case e.DisconnectMcp():
                    self._tools.mcp.disconnect(output.server_label)
                case e.ToolsTold():
                    self._spawn(self._tools.told(output.call_ids))
                case e.PrepareResponse():
                    self._start(output.generation, prepared=True)
                case e.StartResponse():
                    self._start(output.generation, prepared=False)
                case e.AdoptResponse():
                    self._adopt(output.response_id)
                case e.StopResponse():
                    self._stop_work(output.response_id)
                case e.ClearPlayout():
                    await self._peer.clear_playout(output.item_id)
                case e.PausePlayout():
                    await self._peer.pause_playout(output.paused)
                case e.DropAudio():
                    self._drop_audio(output)
                case _:
                    self._note(output)
                    await self._peer.send(output)

    def _note(self, event: e.Event) -> None:
        match event:
            case e.OutputAudioDelta():
                if event.samples:
                    self._recordings.add(event.item_id, event.audio, len(event.audio) // event.samples)
            case e.AudioCleared():
                self._ear.drop_before(self._ear.position)
            case e.ResponseCreated():
                self._stopwatch.reached(event.response.id, "response_created")
            case e.ResponseDone():
                timings = self._stopwatch.end(event.response.id)
                self._timings = (event.response.id, timings) if timings is not None else None
                if not event.response.conversation:
                    # Nobody can ask for these items again.
                    for item in event.response.output:
                        self._recordings.drop(item.id)
            case _:
                pass

    # ---------------------------------------------------------------------------------------- hearing

    async def _judge(self) -> None:
        while True:
            wanted = self._session.config.turn_detection is not None
            for fact in await self._ear.judge(wanted):
                await self._inbox.put(fact)
            if wanted and self._utterances.idle:
                self._ear.forget_idle()

    def _drop_audio(self, effect: e.DropAudio) -> None:
        if effect.end is None:
            self._recordings.drop(effect.item_id)
        else:
            self._recordings.cut(effect.item_id, effect.end)

    # --------------------------------------------------------------------------------------- speaking

    def _start(self, generation: e.Generation, *, prepared: bool) -> None:
        if generation.script is None:
            self._warming.stop()
        work = Work(generation)
        if not prepared:
            work.adopt()
        self._stopwatch.begin(generation.response_id, prepared=prepared)
        task = self._spawn(self._cascade.run(work))
        self._work[generation.response_id] = work, task
        task.add_done_callback(lambda _: self._ended(generation.response_id, task))

    def _ended(self, response_id: str, task: asyncio.Task[None]) -> None:
        """Its response may have been started anew already."""
        if response_id in self._work and self._work[response_id][1] is task:
            del self._work[response_id]

    def _adopt(self, response_id: str) -> None:
        self._stopwatch.adopted()
        # A short answer, or a call without words, may be complete before the hold is over.
        if response_id in self._work:
            self._work[response_id][0].adopt()

    def _stop_work(self, response_id: str) -> None:
        self._stopwatch.drop(response_id)
        if response_id in self._work:
            self._work.pop(response_id)[1].cancel()
