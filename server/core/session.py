"""The conversation's state machine: Inputs in, Outputs out; no I/O, no clock, no tasks.

``handle`` is synchronous and total: any Input in any state has a defined answer. Each branch names the Realtime
event that it answers. Late facts name a response, turn or revision that is no longer current and are ignored: that
is the only staleness check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from server.core import events as e
from server.core.conversation import ROOT, Conversation, with_text
from server.core.doubts import Sound
from server.core.hearing import Hearing
from server.core.pause import Pause
from server.core.playout import Ledger
from server.core.responses import Responses
from server.core.state import State
from server.core.tools import name_taken
from server.core.turns import TurnPolicy

_TRUNCATE_SLACK_MS = 100
"""Clients that count playback by the clock may name an end this far behind the true one; it is clamped."""
_KEYPAD = "Keypad: "
"""How typed keys read to the model."""


class Session:
    """One conversation. ``new_id(prefix)`` makes ids; ``marks`` says that the door reports what was played."""

    def __init__(
        self,
        session_id: str,
        config: e.SessionConfig,
        new_id: Callable[[str], str],
        *,
        policy: TurnPolicy | None = None,
        marks: bool = False,
    ) -> None:
        self.id = session_id
        self._state = State(config, new_id, Ledger(marks=marks), new_id("conv"))
        self._responses = Responses(self._state)
        policy = policy or TurnPolicy()
        self._pause, self._pauses = Pause(self._state, self._responses), policy.pauses
        self._hearing = Hearing(self._state, policy, self._responses, self._pause)
        self._handlers: dict[type, Callable[[Any], list[e.Output]]] = {
            e.UpdateSession: self._update_session,
            e.InvalidEvent: self._invalid_event,
            e.CreateItem: self._create_item,
            e.RetrieveItem: self._retrieve_item,
            e.DeleteItem: self._delete_item,
            e.TruncateItem: self._truncate_item,
            e.Played: self._played,
            e.Say: self._responses.say,
            e.KeyPressed: self._key_pressed,
            e.KeysTyped: self._keys_typed,
            e.LineLost: self._line_lost,
            e.CommitAudio: self._hearing.commit,
            e.ClearAudio: self._hearing.clear,
            e.SpeechProbability: self._hearing.probability,
            e.InputClock: self._hearing.clock,
            e.IdleTimeout: self._hearing.idle_timeout,
            e.TranscriptPartial: self._hearing.partial,
            e.TranscriptFinal: self._hearing.final,
            e.TranscriptFailed: self._hearing.failed,
            e.CreateResponse: self._responses.create,
            e.CancelResponse: self._responses.cancel,
            e.ResponseText: self._responses.fact,
            e.ResponseAudio: self._responses.fact,
            e.ResponseToolCall: self._responses.fact,
            e.ResponseFinished: self._responses.fact,
            e.ResponseFailed: self._responses.fact,
            e.ToolPartial: self._responses.reports.partial,
            e.ToolFinished: self._responses.reports.finished,
            e.McpListed: self._responses.reports.tools.mcp.listed,
            e.TimerFired: self._responses.reports.timer,
            e.ContextExceeded: self._responses.fact,
        }

    def open(self) -> list[e.Output]:
        """The connection stands: session.created."""
        return [e.SessionCreated(self.id, self.config)]

    def handle(self, fact: e.Input) -> list[e.Output]:
        """Answer one Input. Never raises for anything a client or an engine may say. A conversation that has outgrown
        its size loses its oldest items, and the client is told."""
        outputs = self._handlers[type(fact)](fact)
        if self._pauses:
            outputs += self._pause.follow(contested=self._hearing.contested)
        outputs += self._responses.reports.go_on(caller_speaks=not self._hearing.idle)
        while (oldest := self._state.conversation.surplus) is not None:
            outputs += self._delete(oldest)
        return outputs

    @property
    def config(self) -> e.SessionConfig:
        """The effective configuration."""
        return self._state.config

    @property
    def language(self) -> str | None:
        """The language of the call, ISO 639-1; None when unknown."""
        return self._state.spoken_language

    @property
    def conversation(self) -> Conversation:
        """The default conversation, to look at."""
        return self._state.conversation

    @property
    def conversation_id(self) -> str:
        """The id of the default conversation."""
        return self._state.conversation_id

    @property
    def wants_logprobs(self) -> bool:
        """Whether log probabilities of transcripts are of use: to the client, or to the turn detection."""
        detection = self.config.turn_detection
        return self.config.logprobs or (detection is not None and detection.kind == "semantic_vad")

    @property
    def settling(self) -> bool:
        """Whether a hold is running, so that InputClock is of use."""
        return self._hearing.settling

    @property
    def probing(self) -> bool:
        """Whether somebody speaks over an answer, so that it is urgent what is said."""
        return self._hearing.probing

    @property
    def sound(self) -> Sound:
        """What is on the caller's side of the line now, as far as anybody knows."""
        return self._hearing.sound

    @property
    def idle(self) -> bool:
        """Whether nobody speaks: no turn is under way, no answer is made or played."""
        return self._hearing.idle and not self._responses.audible

    # ------------------------------------------------------------------------------------ session

    def _update_session(self, fact: e.UpdateSession) -> list[e.Output]:
        """session.update"""
        state = self._state
        new = replace(state.config, **fact.changes)
        # Only of tools that the client names now: one that it has may have lost its name to an agent since.
        if taken := name_taken((tool.name for tool in fact.changes.get("tools", ())), state.server_tools):
            return [e.Error("invalid_value", taken, "session.tools", fact.event_id)]
        if state.spoke and new.voice != state.config.voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            return [e.Error("cannot_update_voice", message, "session.audio.output.voice", fact.event_id)]
        before, state.config = state.config, new
        outputs = self._hearing.detection_off() if new.turn_detection is None else []
        outputs.append(e.SessionUpdated(self.id, new))
        return [*outputs, *self._responses.reports.tools.mcp.configured(before.mcp)]

    def _invalid_event(self, fact: e.InvalidEvent) -> list[e.Output]:
        return [e.Error(fact.code, fact.message, fact.param, fact.event_id)]

    def _played(self, fact: e.Played) -> list[e.Output]:
        self._state.ledger.play(fact.item_id, fact.samples)
        return []

    # ------------------------------------------------------------------------------------- phones

    def _key_pressed(self, fact: e.KeyPressed) -> list[e.Output]:
        return self._responses.barge_in()

    def _keys_typed(self, fact: e.KeysTyped) -> list[e.Output]:
        """Keys are words: an item of the caller, which is answered."""
        content = (e.ContentPart("input_text", f"{_KEYPAD}{fact.keys}"),)
        item = e.Item(self._state.new_id("item"), e.ItemKind.MESSAGE, role="user", content=content)
        previous = self._state.conversation.insert(item)
        return [e.ItemAdded(item, previous), e.ItemDone(item, previous), *self._responses.answer(item.id, None)]

    def _line_lost(self, fact: e.LineLost) -> list[e.Output]:
        return self._responses.stop()

    # --------------------------------------------------------------------------------------- items

    def _create_item(self, fact: e.CreateItem) -> list[e.Output]:
        """conversation.item.create"""
        conversation = self._state.conversation
        item = fact.item if fact.item.id else replace(fact.item, id=self._state.new_id("item"))
        if item.id in conversation:
            message = f"An item with id '{item.id}' already exists in this conversation."
            return [e.Error("item_create_duplicate_item_id", message, "item.id", fact.event_id)]
        after = fact.previous_item_id
        if after is not None and after != ROOT and after not in conversation:
            message = f"The previous item '{after}' does not exist: give an existing item's id, 'root' or nothing."
            return [e.Error("invalid_value", message, "previous_item_id", fact.event_id)]
        if item.kind is e.ItemKind.MCP_APPROVAL_RESPONSE:
            refusal = self._responses.reports.tools.mcp.refusal(item)
            if refusal:
                return [e.Error("invalid_value", refusal, "item.approval_request_id", fact.event_id)]
            return self._answer_approval(item, after)
        previous = conversation.insert(item, after)
        if item.kind is e.ItemKind.FUNCTION_CALL_OUTPUT and self._responses.reports.tools.ran(item.call_id):
            self._state.disowned.add(item.id)
        heard = [] if fact.audio is None else self._hearing.brought(item, fact.audio)
        return [e.ItemAdded(item, previous), e.ItemDone(item, previous), *heard]

    def _answer_approval(self, item: e.Item, after: str | None) -> list[e.Output]:
        """An item of type mcp_approval_response."""
        request = self._responses.reports.tools.mcp.answered(item)
        item = replace(item, call_id=request.call_id, name=request.name, arguments=request.arguments)
        previous = self._state.conversation.insert(item, after)
        answered = self._responses.reports.tools.approved(request, item)
        return [e.ItemAdded(item, previous), e.ItemDone(item, previous), *answered]

    def _retrieve_item(self, fact: e.RetrieveItem) -> list[e.Output]:
        """conversation.item.retrieve"""
        if fact.item_id not in self._state.conversation:
            return self._unknown_item("retriev", fact)
        return [e.ItemRetrieved(self._state.conversation[fact.item_id])]

    def _delete_item(self, fact: e.DeleteItem) -> list[e.Output]:
        """conversation.item.delete"""
        if fact.item_id not in self._state.conversation:
            return self._unknown_item("delet", fact)
        return self._delete(fact.item_id)

    def _delete(self, item_id: str) -> list[e.Output]:
        self._state.conversation.delete(item_id)
        self._state.truncated.discard(item_id)
        self._state.disowned.discard(item_id)
        return [e.DropAudio(item_id), e.ItemDeleted(item_id)]

    def _truncate_item(self, fact: e.TruncateItem) -> list[e.Output]:
        """conversation.item.truncate: the client knows what was played; the item keeps the words up to there."""
        state = self._state
        if fact.item_id not in state.conversation:
            return self._unknown_item("truncat", fact)
        sent = state.ledger.sent(fact.item_id)
        if sent is None:
            message = f"Item '{fact.item_id}' is no assistant message with audio; only those can be truncated."
            return [e.Error("invalid_value", message, "item_id", fact.event_id)]
        if fact.content_index != 0:
            message = f"Item '{fact.item_id}' has one content part: 'content_index' is 0, not {fact.content_index}."
            return [e.Error("invalid_value", message, "content_index", fact.event_id)]
        rate = state.ledger.rate(fact.item_id)
        length_ms = -(-sent * 1000 // rate)
        if fact.audio_end_ms > length_ms + _TRUNCATE_SLACK_MS:
            message = f"Audio content of {length_ms}ms is already shorter than {fact.audio_end_ms}ms"
            return [e.Error("invalid_value", message, "audio_end_ms", fact.event_id)]
        end = min(sent, fact.audio_end_ms * rate // 1000)
        state.ledger.truncate(fact.item_id, end)
        state.ledger.stopped(fact.item_id, state.clock)
        state.truncated.add(fact.item_id)
        item = state.conversation[fact.item_id]
        if item.content:
            state.conversation.update(with_text(item, state.heard_text(item)))
        return [
            e.DropAudio(fact.item_id, end),
            e.ItemTruncated(fact.item_id, fact.content_index, fact.audio_end_ms),
        ]

    def _unknown_item(self, stem: str, fact: e.RetrieveItem | e.DeleteItem | e.TruncateItem) -> list[e.Output]:
        message = f"Error {stem}ing item: the item with id '{fact.item_id}' does not exist in this conversation."
        return [e.Error(f"item_{stem}e_invalid_item_id", message, "item_id", fact.event_id)]
