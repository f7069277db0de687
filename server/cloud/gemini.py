"""Gemini Live (BidiGenerateContent) as a ``Dialect``: its turns and answers in the events of the Realtime API.

The mapping is in docs/cloud.md, with what Gemini cannot do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from server.cloud import base as b
from server.cloud import gemini_setup as terms
from server.cloud import gemini_wire as frames
from server.cloud.gemini_caller import HEARD_RATE
from server.cloud.gemini_client import ClientSide, context_update
from server.cloud.gemini_exchange import Exchange
from server.cloud.gemini_model import ModelSide
from server.cloud.gemini_setup import GeminiOptions
from server.core import events as e

_log = logging.getLogger(__name__)

_NOT_FOUND, _TIMEOUT, _TOO_MANY = 404, 408, 429


class GeminiDialect:
    """See ``Dialect``. conversation_id: what the session's one conversation is called towards the client. new_id: makes
    an id from a prefix."""

    def __init__(self, options: GeminiOptions, conversation_id: str, new_id: Callable[[str], str]) -> None:
        self._options = options
        self._exchange = Exchange(options, conversation_id, new_id)
        self._client = ClientSide(self._exchange)
        self._model = ModelSide(self._exchange)
        self._resuming = False

    @property
    def max_session_s(self) -> float:
        """See ``Dialect``."""
        return self._options.session_s

    @property
    def may_say(self) -> bool:
        """See ``Dialect``."""
        return self._exchange.may_say

    def silence_ms(self, turns: e.TurnDetection) -> int | None:
        """See ``Dialect``. Gemini says nothing of a turn's end but by answering."""
        return None

    @property
    def holds_back(self) -> bool:
        """See ``Dialect``."""
        return bool(self._exchange.untold.typed or self._exchange.untold.results)

    def address(self) -> b.Address:
        """See ``Dialect``."""
        return b.Address(*self._options.address())

    def open(self, start: b.Start) -> list[b.Step]:
        """See ``Dialect``. Resumed by handle where that brings the whole conversation back; else it is told again."""
        exchange = self._exchange
        exchange.reset(start.offset_ms)
        exchange.config = start.config
        for item in list(exchange.conversation):
            exchange.conversation.delete(item.id)
        for item in start.items:
            exchange.conversation.insert(item)
        exchange.notes = terms.notes_of(start.items)
        setup = terms.setup(self._options, start.config, exchange.notes)
        handle = exchange.handle
        self._resuming = handle is not None and handle[1].issuperset(item.id for item in start.items)
        if handle is not None and self._resuming:
            setup["sessionResumption"] = {"handle": handle[0]}
        else:
            exchange.handle = None
            exchange.replays = bool(terms.history(start.items))
            setup["sessionResumption"] = {}
            if exchange.replays and not self._options.takes_typed_turns:
                setup["historyConfig"] = {"initialHistoryInClientContent": True}
        return [frames.send(setup=setup)]

    def configure(self, config: e.SessionConfig, event_id: str | None) -> list[b.Step]:
        """See ``Dialect``. What cannot be changed within a connection is in force from the next one on, which is made
        at once."""
        exchange = self._exchange
        wrong = terms.problem(config)
        if wrong is not None:
            field, message = wrong
            return [b.ConfigRefused(e.Error("invalid_value", message, field, event_id))]
        before = terms.setup(self._options, exchange.config, exchange.notes)
        after = terms.setup(self._options, config, exchange.notes)
        exchange.config = config
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        if not changed:
            return [b.Configured()]
        if self._options.takes_updates and changed <= {"systemInstruction", "tools"}:
            return [*context_update(exchange, changed), b.Configured()]
        return [b.Configured(), b.Reopen()]

    def hear(self, audio: bytes, wire: e.AudioFormat) -> list[b.Send]:
        """See ``Dialect``. What a client commits by hand is kept until it is to be answered: Gemini forgets nothing."""
        exchange = self._exchange
        pieces = exchange.microphone.push(audio, wire)
        if exchange.config.turn_detection is None:
            exchange.held.add(pieces)
            return []
        return exchange.sent([frames.audio_frame(piece, HEARD_RATE) for piece in pieces])

    def tell(self, command: b.Command) -> list[b.Step]:
        """See ``Dialect``."""
        return self._client.tell(command)

    def read(self, frame: b.Frame) -> list[b.Step]:
        """See ``Dialect``."""
        message = frames.parse(frame)
        if "setupComplete" in message and not self._exchange.ready:
            return [*self._set_up(), *self._model.read(message)]
        return self._model.read(message)

    def _set_up(self) -> list[b.Step]:
        exchange = self._exchange
        exchange.ready = True
        steps: list[b.Step] = [b.Opened()]
        if exchange.replays:
            exchange.replays = False
            history = terms.history(item for item in exchange.conversation if item.id not in exchange.appended)
            # With historyConfig the turn that it ends with is history; without, an end would ask for an answer.
            ends = not self._options.takes_typed_turns
            steps.append(frames.send(clientContent={"turns": history, "turnComplete": ends}))
        waiting, exchange.waiting = exchange.waiting, []
        return [*steps, *waiting, *exchange.tell_typed()]

    def closed(self, code: int, reason: str) -> b.Ended:
        """See ``Dialect``. A handle that is not taken is not tried again."""
        _log.debug("connection closed", extra={"code": code})
        opening = not self._exchange.ready
        refused = opening and self._resuming
        if refused:
            self._exchange.handle = None
        return frames.ended(reason, self._options.key, new=opening and not refused, resumed=refused)

    def rejected(self, status: int, body: str) -> b.Ended:
        """See ``Dialect``."""
        told = frames.ended(f"HTTP {status}: {body}", self._options.key, new=True)
        if told.retryable and 400 <= status < 500 and status not in (_TIMEOUT, _TOO_MANY):
            code = "model_not_found" if status == _NOT_FOUND else "invalid_api_key"
            return b.Ended(False, told.reason, code)
        return told
