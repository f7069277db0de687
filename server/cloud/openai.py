"""The OpenAI Realtime API (GA), and Azure OpenAI, which speaks the same behind another address.

A refused key or model looks like a connection at OpenAI (101, then an ``error``, then close code 3000 or 4000), and is
an HTTP status at Azure.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import urlencode

import orjson
import pybase64

from server.cloud import base as b
from server.cloud.openai_events import Reader
from server.cloud.openai_session import (
    Wishes,
    item_object,
    recital,
    response_object,
    session_object,
    turn_detection,
)
from server.core import events as e

_log = logging.getLogger(__name__)

_OWN = "kammerton_"
"""Begins the event ids of what was not the client's wish."""
_REMEMBERED = 512
_FATAL = frozenset(
    (
        *("invalid_api_key", "missing_model", "invalid_model", "model_not_found", "beta_api_shape_disabled"),
        *("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "account_deactivated"),
    )
)
"""Error codes that another connection would meet, too."""
_EXPIRED = "session_expired"
_NO_KEY, _BAD_SHAPE = 3000, 4000
_TRY_AGAIN = frozenset((408, 409, 425, 429))


@dataclass(frozen=True, slots=True)
class Service:
    """Where a provider is and how it is asked. name: openai or azure. url: the API's base, ``wss://HOST/v1`` or the
    like. model: at Azure the deployment. max_session_s: when to move on to a fresh session; the service ends them after
    60 minutes."""

    name: str
    url: str
    key: str = field(repr=False)
    model: str
    wishes: Wishes = field(default_factory=Wishes)
    max_session_s: float = 3300.0

    def address(self) -> b.Address:
        """The Realtime URL, and the header that the key goes into."""
        url = f"{self.url.rstrip('/')}/realtime?{urlencode({'model': self.model})}"
        headers = {"api-key": self.key} if self.name == "azure" else {"Authorization": f"Bearer {self.key}"}
        return b.Address(url, headers)


class _Update(Enum):
    """Why a ``session.update`` is sent: it opens a connection, a change was asked for, or for protected words."""

    OPENING = auto()
    CHANGE = auto()
    GUARD = auto()


class OpenAIDialect:
    """See ``Dialect``. conversation_id: what the session's one conversation is called towards the client."""

    def __init__(self, service: Service, conversation_id: str) -> None:
        self._service = service
        self._conversation_id = conversation_id
        self._numbers = itertools.count()
        self._config = e.SessionConfig()
        self._reader = Reader(self._config, conversation_id, 0)
        self._updates: deque[tuple[str, _Update]] = deque()
        self._commands: dict[str, b.Command] = {}
        self._replayed: set[str] = set()
        self._protecting: e.Say | None = None
        self._protected = ""

    @property
    def max_session_s(self) -> float:
        """See ``Dialect``."""
        return self._service.max_session_s

    @property
    def may_say(self) -> bool:
        """See ``Dialect``."""
        return True

    def silence_ms(self, turns: e.TurnDetection) -> int | None:
        """See ``Dialect``. The end that is told holds the silence that was waited for, as long as that is known."""
        return turns.silence_duration_ms if turns.kind == "server_vad" else None

    @property
    def holds_back(self) -> bool:
        """See ``Dialect``."""
        return False

    def address(self) -> b.Address:
        """See ``Dialect``."""
        return self._service.address()

    # ---------------------------------------------------------------------------------------- asking

    def open(self, start: b.Start) -> list[b.Step]:
        """See ``Dialect``: everything is set by one ``session.update``, and the items follow."""
        self._config = start.config
        self._reader = Reader(start.config, self._conversation_id, start.offset_ms)
        self._updates.clear()
        self._commands.clear()
        self._protecting, self._protected = None, ""
        self._replayed = {item.id for item in start.items}
        steps = [self._update(session_object(start.config, self._service.wishes), _Update.OPENING)]
        return [*steps, *(self._send("conversation.item.create", item=item_object(item)) for item in start.items)]

    def configure(self, config: e.SessionConfig, event_id: str | None) -> list[b.Step]:
        """See ``Dialect``."""
        self._config = self._reader.config = config
        return [self._update(session_object(config, self._service.wishes), _Update.CHANGE)]

    def _update(self, session: dict[str, Any], why: _Update) -> b.Send:
        event_id = self._new_id()
        self._updates.append((event_id, why))
        return self._send("session.update", event_id, session=session)

    def _interruptible(self, wanted: bool) -> list[b.Step]:
        """Whether the caller's voice ends what is being said."""
        turns = self._config.turn_detection
        if turns is None or not turns.interrupt_response:
            return []
        detection = turn_detection(turns, protected=not wanted)
        return [self._update({"type": "realtime", "audio": {"input": {"turn_detection": detection}}}, _Update.GUARD)]

    def hear(self, audio: bytes, wire: e.AudioFormat) -> list[b.Send]:
        """See ``Dialect``. The provider takes all formats that clients here may send."""
        body = b'{"type":"input_audio_buffer.append","audio":"' + pybase64.b64encode(audio) + b'"}'
        return [b.Send(body.decode())]

    def tell(self, command: b.Command) -> list[b.Step]:
        """See ``Dialect``."""
        match command:
            case e.CreateItem():
                after = {} if command.previous_item_id is None else {"previous_item_id": command.previous_item_id}
                item = item_object(command.item, command.audio)
                return [self._asked(command, "conversation.item.create", item=item, **after)]
            case e.DeleteItem():
                return [self._asked(command, "conversation.item.delete", item_id=command.item_id)]
            case e.TruncateItem():
                where = {"content_index": command.content_index, "audio_end_ms": command.audio_end_ms}
                return [self._asked(command, "conversation.item.truncate", item_id=command.item_id, **where)]
            case e.CommitAudio():
                return [self._asked(command, "input_audio_buffer.commit")]
            case e.ClearAudio():
                return [self._asked(command, "input_audio_buffer.clear")]
            case e.CancelResponse():
                which = {} if command.response_id is None else {"response_id": command.response_id}
                return [self._asked(command, "response.cancel", **which)]
            case e.CreateResponse():
                return [self._asked(command, "response.create", response=response_object(command.overrides))]
            case e.Say():
                guard = self._interruptible(False) if command.protected else []
                self._protecting = command if command.protected else None
                return [*guard, self._asked(command, "response.create", response=recital(command.text))]

    def _asked(self, command: b.Command, kind: str, **fields: Any) -> b.Send:
        event_id = self._new_id()
        self._commands[event_id] = command
        if len(self._commands) > _REMEMBERED:
            del self._commands[next(iter(self._commands))]
        return self._send(kind, event_id, **fields)

    def _send(self, kind: str, event_id: str = "", **fields: Any) -> b.Send:
        named = {"event_id": event_id} if event_id else {}
        return b.Send(orjson.dumps({"type": kind, **named, **fields}, default=dict).decode())

    def _new_id(self) -> str:
        return f"{_OWN}{next(self._numbers)}"

    # --------------------------------------------------------------------------------------- reading

    def read(self, frame: b.Frame) -> list[b.Step]:
        """See ``Dialect``."""
        try:
            event = orjson.loads(frame)
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            _log.warning("bad provider frame", extra={"reason": "no JSON object"})
            return []
        match event.get("type"):
            case "session.created":
                return []
            case "session.updated":
                return self._updated()
            case "error":
                error = event.get("error")
                return self._error(error if isinstance(error, dict) else {})
            case "conversation.item.added" | "conversation.item.done" if self._is_replay(event):
                return []
            case _:
                told = self._reader.read(event)
                return [] if told is None else [told, *self._unguarded(told)]

    def _is_replay(self, event: Mapping[str, Any]) -> bool:
        item = event.get("item")
        return isinstance(item, dict) and item.get("id") in self._replayed

    def _updated(self) -> list[b.Step]:
        if not self._updates:
            return []
        answers: dict[_Update, list[b.Step]] = {_Update.OPENING: [b.Opened()], _Update.CHANGE: [b.Configured()]}
        return answers.get(self._updates.popleft()[1], [])

    def _unguarded(self, event: e.Event) -> list[b.Step]:
        """Protected words are made: the caller's voice counts again."""
        if isinstance(event, e.ResponseCreated) and self._protecting is not None and event.response.conversation:
            self._protecting, self._protected = None, event.response.id
        elif isinstance(event, e.ResponseDone) and event.response.id == self._protected:
            self._protected = ""
            return self._interruptible(True)
        return []

    def _error(self, error: Mapping[str, Any]) -> list[b.Step]:
        code, message = str(error.get("code") or error.get("type") or "provider_error"), str(error.get("message") or "")
        if code in _FATAL:
            return [b.Ended(False, f"the provider refuses: {code}", code)]
        if code == _EXPIRED:
            return [b.Ended(True, "the provider's session has expired")]
        told = e.Error(code, self._without_key(message), _text(error.get("param")), None, str(error.get("type") or ""))
        event_id = error.get("event_id")
        if self._updates and (event_id == self._updates[0][0] or (not event_id and _about_session(told.param))):
            return self._update_refused(told)
        command = self._commands.pop(event_id, None) if isinstance(event_id, str) else None
        return [told] if command is None else [b.Refused(command, told)]

    def _update_refused(self, error: e.Error) -> list[b.Step]:
        _, why = self._updates.popleft()
        if why is _Update.CHANGE:
            return [b.ConfigRefused(error)]
        if why is _Update.GUARD:
            _log.warning("provider lets protected words be interrupted", extra={"code": error.code})
            return []
        # Without its instructions and tools this would be somebody else's session.
        _log.error("provider refused the session", extra={"code": error.code, "param": error.param})
        return [b.Ended(False, f"the provider refuses the session: {error.message}", error.code)]

    def _without_key(self, text: str) -> str:
        return text.replace(self._service.key, "***") if self._service.key else text

    def closed(self, code: int, reason: str) -> b.Ended:
        """See ``Dialect``. The reason is ``<error type>.<code>`` where the service closes on purpose."""
        fatal = code in (_NO_KEY, _BAD_SHAPE) or reason.rpartition(".")[2] in _FATAL
        return b.Ended(not fatal, f"the provider closed the connection: {code} {self._without_key(reason)}".rstrip())

    def rejected(self, status: int, body: str) -> b.Ended:
        """See ``Dialect``."""
        if status == 0:
            return b.Ended(True, f"the provider cannot be reached: {self._without_key(body)}")
        retryable = status >= 500 or status in _TRY_AGAIN
        return b.Ended(retryable, f"the provider answers with HTTP status {status}", _code(status))


def _code(status: int) -> str:
    return "invalid_api_key" if status in (401, 403) else "provider_unavailable"


def _about_session(param: str | None) -> bool:
    return param is not None and param.startswith("session")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
