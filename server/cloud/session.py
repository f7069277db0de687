"""One session at a provider: what follows from each thing that the client, the door, a tool or the provider says."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from models.base import EngineError
from server.cloud import base as b
from server.cloud.commands import Commands, refused_change, refused_response
from server.cloud.floor import Floor
from server.cloud.heard import Heard
from server.cloud.interruptions import Interruptions
from server.cloud.mirror import Mirror
from server.cloud.remote_tools import RemoteTools
from server.cloud.turn_times import TurnTimes
from server.cloud.uplink import Uplink
from server.core import events as e
from server.core.conversation import ROOT
from server.core.tools import in_language
from server.runtime.live import SessionPlan
from server.runtime.runner import Peer

_log = logging.getLogger(__name__)

_KEYPAD = "Keypad: "
"""How typed keys read to the model."""
_LOST = "connection_lost"
_PASSED_ON = e.DeleteItem | e.TruncateItem | e.CommitAudio | e.ClearAudio | e.CreateResponse | e.CancelResponse


class RemoteSession:
    """All that is decided in it, one thing after the other: nothing here runs beside anything else.

    config: in force, as far as it is not refused. renew: the connection is to be replaced, once nobody speaks.
    """

    def __init__(
        self,
        plan: SessionPlan,
        peer: Peer,
        provider: str,
        dialect: b.Dialect,
        uplink: Uplink,
        heard: Heard,
        tools: RemoteTools,
        times: TurnTimes,
    ) -> None:
        self._plan, self._peer, self._provider, self._dialect = plan, peer, provider, dialect
        self._uplink, self._heard, self._tools, self._times = uplink, heard, tools, times
        self.config = plan.config
        self.renew = False
        self._mirror = Mirror(marks=plan.marks)
        self._commands = Commands()
        self._who = {"session": plan.id, "provider": provider}
        self._reopen = self._sorry = self._opened = False
        self._floor = Floor()
        self._interruptions = Interruptions(self._mirror, self._floor, peer, self._command, plays=plan.plays)

    # ----------------------------------------------------------------------------------- what it is at

    @property
    def speaking(self) -> bool:
        """Whether the caller's turn is under way, as far as the provider has told."""
        return self._floor.speaking

    @property
    def caller_may_speak(self) -> bool:
        """Whether what the caller sends now may belong to a turn that the provider must hear as a whole. Without a
        connection that will stay, nobody can tell."""
        return self._floor.speaking or self.config.turn_detection is None or self._reopen or not self._uplink.up

    @property
    def owed(self) -> bool:
        """Whether the provider has to say something: it was asked to open the session, or for an answer."""
        return not self._opened or self._answering or self._floor.due

    def audio(self, item_id: str) -> bytes | None:
        """The samples of an item's audio, as they were on the wire."""
        return self._mirror.recordings.get(item_id)

    # ------------------------------------------------------------------------- the client and the door

    async def begin(self) -> None:
        """Have a connection. Raises EngineError when there is none to be had."""
        await self._tell(e.SessionCreated(self._plan.id, self.config))
        await self._reach()

    def hear(self, samples: bytes, wire: e.AudioFormat) -> None:
        """Sound of the caller, on to the provider."""
        for step in self._dialect.hear(samples, wire):
            self._uplink.send(step.frame)

    async def input(self, fact: e.Input) -> None:
        """A command, or a fact that the door or a tool knows."""
        self._tap(fact, [])
        match fact:
            case e.UpdateSession():
                await self._update(fact)
            case e.CreateItem():
                await self._command(replace(fact, item=self._named(fact.item)))
            case e.CreateResponse() if refusal := refused_response(fact, self.config):
                await self._tell(refusal)
            case e.CreateResponse() if self._tools.running:
                self._floor.answer(fact)
            case _ if isinstance(fact, _PASSED_ON):
                await self._command(fact)
            case e.RetrieveItem():
                await self._tell(self._mirror.retrieved(fact))
            case e.InvalidEvent():
                await self._tell(e.Error(fact.code, fact.message, fact.param, fact.event_id))
            case e.Say():
                self._floor.say(fact)
            case e.Played():
                self._mirror.play(fact.item_id, fact.samples)
            case e.KeyPressed():
                await self._interruptions.key(self._heard.position)
            case e.LineLost():
                await self._interruptions.stop(self._heard.position)
            case e.KeysTyped():
                content = (e.ContentPart("input_text", f"{_KEYPAD}{fact.keys}"),)
                await self._add(e.Item("", e.ItemKind.MESSAGE, role="user", content=content))
                self._floor.answer()
            case e.ToolPartial():
                self._say_meanwhile(fact.text)
            case e.TimerFired():
                self._say_meanwhile(self._tools.slow(fact.token, self.config.language))
            case e.ToolFinished():
                await self._tool_finished(fact)
            case _:
                _log.debug("a fact that nobody needs here", extra={"fact": type(fact).__name__})

    async def _update(self, fact: e.UpdateSession) -> None:
        refusal = refused_change(fact, self.config)
        if refusal is None:
            await self._configure(fact)
        else:
            await self._tell(refusal)

    async def _configure(self, fact: e.UpdateSession, *, told: bool = True) -> None:
        self._commands.configuring(self.config, fact, told=told)
        self.config = replace(self.config, **fact.changes)
        await self.do(self._dialect.configure(self.config, fact.event_id))

    async def _command(self, command: b.Command) -> None:
        self._commands.sent(command)
        self._times.sent(command)
        await self.do(self._dialect.tell(command))

    async def _add(self, item: e.Item) -> None:
        await self._command(e.CreateItem(b.OWN, self._named(item), None))

    def _named(self, item: e.Item) -> e.Item:
        return item if item.id else replace(item, id=self._plan.new_id("item"))

    def _tap(self, fact: e.Input | None, outputs: list[e.Output]) -> None:
        for tap in self._plan.taps:
            tap(self._plan.id, fact, outputs)

    # ----------------------------------------------------------------------------- the provider says

    async def do(self, steps: Iterable[b.Step]) -> None:
        """Carry them out in order."""
        for step in steps:
            match step:
                case b.Send():
                    self._uplink.send(step.frame)
                case b.Opened():
                    self._opened = True
                    _log.info("provider ready", extra=self._who)
                case b.Configured():
                    if self._commands.configured():
                        await self._tell(e.SessionUpdated(self._plan.id, self.config))
                case b.ConfigRefused():
                    self.config, event_id = self._commands.config_refused(self.config)
                    await self._tell(replace(step.error, event_id=event_id))
                case b.Reopen():
                    self.renew = self._reopen = True
                case b.GoingAway():
                    _log.info("provider going away", extra={**self._who, "left_s": round(step.left_s, 1)})
                    self.renew = True
                case b.ToolsCancelled():
                    self._tools.cancel(step.call_ids)
                case b.Refused():
                    await self._refused(step)
                case e.Error() if (command := self._commands.blamed(step)) is not None:
                    await self._refused(b.Refused(command, step))
                case b.Ended():
                    await self.ended(step)
                    return
                case _:
                    await self._event(step)

    async def _event(self, event: e.Event) -> None:
        """An event of the conversation: what follows from it here, and then the client."""
        answered = self._commands.answered(event)
        self._times.see(event, answered, self.config)
        first = isinstance(answered, e.CreateItem) and answered.previous_item_id == ROOT
        self._mirror.see(event, self._heard.position, first=first)
        if isinstance(event, e.ResponseCreated) and event.response.conversation:
            self._floor.began(answered, complete=not (self._commands.telling or self._dialect.holds_back))
        event = self._mirror.placed(event)
        guarded = isinstance(event, e.ResponseCreated) and self._commands.protected(event.response.id)
        self._floor.see(event, self.config, protected=guarded)
        match event:
            case e.SpeechStarted():
                self._heard.begin(event.audio_start_ms)
                await self._spoken_over()
            case e.SpeechStopped():
                self._heard.end(event.audio_end_ms)
            case e.AudioCommitted():
                self._mirror.recordings.add(event.item_id, self._heard.take(), self.config.input_format.width)
                self._tools.new_turn()
            case e.AudioCleared():
                self._heard.clear()
            case e.OutputItemDone() if event.item.kind is e.ItemKind.FUNCTION_CALL:
                if event.item.status is e.ItemStatus.COMPLETED:
                    said = self._mirror.answers.words(event.response_id)
                    self._tools.called(event.response_id, event.item, self._mirror.last_words(), self.config, said)
            case e.ResponseCreated():
                self._tools.response_began()
            case e.ResponseDone():
                await self._tools.told(self._tools.response_done(event.response))
                if self.config.modality == "audio":
                    self._say_meanwhile(self._tools.meanwhile(event.response, self.config.language))
                self._apologise(event.response)
                if event.response.status is not e.ResponseStatus.FAILED:
                    self._uplink.proven()
            case _:
                pass
        hidden = isinstance(event, e.TranscriptionDelta | e.TranscriptionCompleted | e.TranscriptionFailed)
        if self.config.transcription is not None or not hidden:
            await self._tell(event)

    async def _tell(self, event: e.Event) -> None:
        self._tap(None, [event])
        await self._peer.send(event)

    async def _refused(self, refusal: b.Refused) -> None:
        command, error = refusal.command, refusal.error
        self._commands.refused(command)
        if not isinstance(command, e.Say) and command.event_id != b.OWN:
            await self._tell(replace(error, event_id=command.event_id))
            return
        self._floor.refused(command, error)
        _log.warning("provider refused", extra={**self._who, "what": type(command).__name__, "code": error.code})

    # ------------------------------------------------------------------------------------------ tools

    async def _spoken_over(self) -> None:
        turns = self.config.turn_detection
        if (
            turns is None
            or not turns.interrupt_response
            or not await self._interruptions.spoken_over(self._heard.position)
        ):
            return
        for item in self._tools.interrupt():
            await self._add(item)

    def _say_meanwhile(self, words: str) -> None:
        """While a tool runs. A provider that cannot say them then says them not at all: later they mean nothing."""
        if words and self._dialect.may_say:
            self._floor.say(e.Say(words))

    async def _tool_finished(self, fact: e.ToolFinished) -> None:
        item = self._tools.finished(fact)
        if item is None:
            return
        if fact.changes:
            await self._configure(e.UpdateSession(b.OWN, fact.changes), told=False)
        await self._add(item)

    async def go_on(self) -> None:
        """Do what was put off until nobody speaks."""
        report = self._tools.report()
        if report is not None and (report.say or not report.quiet):
            self._floor.report(report.say)
        if self._floor.speaking or self._answering:
            return
        command = self._floor.next(tools_running=self._tools.running, may_say=self._dialect.may_say)
        if command is not None:
            await self._command(command)
        elif self.renew and self._quiet:
            await self._renewed()

    @property
    def _answering(self) -> bool:
        """Whether the provider is making an answer, or was asked to."""
        return self._commands.asked or self._mirror.answers.active is not None

    @property
    def _quiet(self) -> bool:
        """Whether a new connection would lose nothing."""
        waiting = self._tools.running or self._commands.waiting or self._mirror.awaits_words or self._floor.due
        manual = self.config.turn_detection is None and not self._heard.empty
        return not (waiting or manual)

    # ------------------------------------------------------------------------------------ connections

    async def _reach(self) -> None:
        """Have a connection, and go on there. Raises EngineError when there is none to be had."""
        ended = await self._uplink.connect()
        if ended is not None:
            await self._give_up(ended)
        await self._open()

    async def _renewed(self) -> None:
        """Move on to a fresh connection, between two turns, once there is one. What was asked for and needs one waits
        for it: nothing that comes after it may go to the old one."""
        if not self._reopen and not self._uplink.ahead():
            return
        self.renew = False
        if await self._uplink.attempt() is None:
            _log.info("moved on to a fresh connection", extra=self._who)
            await self._open()
        self._reopen = False

    async def _open(self) -> None:
        start = b.Start(self.config, self._mirror.replay(), self._heard.kept_from_ms)
        self._opened = False
        await self.do(self._dialect.open(start))
        for samples in self._heard.again(self.config.input_format):
            self.hear(samples, self.config.input_format)

    async def ended(self, ended: b.Ended) -> None:
        """The connection is over: what was under way fails, and the session goes on over the next one."""
        _log.warning("connection over", extra={**self._who, "reason": ended.reason, "retryable": ended.retryable})
        self._uplink.drop()
        failed = self._mirror.answers.fail(_LOST, "The connection to the model was lost; ask again.")
        lost_words = self._mirror.last_words() in self._mirror.wordless
        unheard = [e.TranscriptionFailed(item_id, "the connection was lost") for item_id in self._mirror.wordless]
        for event in (*failed, *unheard):
            await self._event(event)
        if not ended.retryable:
            await self._give_up(ended)
        self._floor.speaking = False
        for event in self._commands.lost(self._mirror.conversation):
            await self._event(event)
        if self._commands.configured_all():
            await self._tell(e.SessionUpdated(self._plan.id, self.config))
        await self._reach()
        for command in self._commands.again():
            await self._command(command)
        if self._floor.due and lost_words:
            self._apologise(None)
        elif self._floor.due:
            self._floor.answer()
        self._floor.due = False

    def _apologise(self, response: e.ResponseView | None) -> None:
        """The caller waits for an answer in vain: this one has failed (None: it was never begun). Who fails at the
        apology, too, is not asked for another one."""
        failed = response is None or response.status is e.ResponseStatus.FAILED
        apology = in_language(self.config.apologies, self.config.language)
        if failed and not self._sorry and apology and self.config.modality == "audio":
            self._floor.say(e.Say(apology))
        self._sorry = failed

    async def _give_up(self, ended: b.Ended) -> None:
        await self._tell(e.Error(ended.code, ended.reason, type="server_error"))
        raise EngineError(self._provider, f"{self._provider}: {ended.reason}", retryable=ended.retryable)
