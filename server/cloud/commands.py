"""What was asked of the provider and not answered yet: a lost connection must lose none of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, replace
from types import UnionType

from server.cloud.base import Command
from server.core import events as e
from server.core.tools import name_taken

_BLAMED: tuple[tuple[str, type | UnionType], ...] = (
    ("item_create", e.CreateItem),
    ("item_delete", e.DeleteItem),
    ("item_truncate", e.TruncateItem),
    ("input_audio_buffer_commit", e.CommitAudio),
    ("conversation_already_has_active_response", e.CreateResponse | e.Say),
    ("response.", e.CreateResponse | e.Say),
    ("item.", e.CreateItem),
)
"""How codes and fields of errors begin, and which command can be meant."""


@dataclass(frozen=True, slots=True)
class _Update:
    """One change of the configuration under way. before: in force until then. told: the client waits for it."""

    before: e.SessionConfig
    fact: e.UpdateSession
    told: bool


class Commands:
    """One session's."""

    def __init__(self) -> None:
        self._updates: deque[_Update] = deque()
        self._open: list[Command] = []
        self._again: list[Command] = []
        self._protected: set[str] = set()

    # ----------------------------------------------------------------------------------- configuration

    def configuring(self, before: e.SessionConfig, fact: e.UpdateSession, *, told: bool) -> None:
        """A change was asked for."""
        self._updates.append(_Update(before, fact, told))

    def configured(self) -> bool:
        """The oldest change is in force. Returns whether the client waits for that."""
        return self._updates.popleft().told if self._updates else False

    def configured_all(self) -> bool:
        """A new connection begins with all changes. Returns whether the client waits for one of them."""
        told = any(update.told for update in self._updates)
        self._updates.clear()
        return told

    def config_refused(self, config: e.SessionConfig) -> tuple[e.SessionConfig, str | None]:
        """The oldest change is not in force: what is, with those behind it; and the client event that asked for it."""
        if not self._updates:
            return config, None
        refused = self._updates.popleft()
        config, later = refused.before, list(self._updates)
        self._updates.clear()
        for update in later:
            self._updates.append(replace(update, before=config))
            config = replace(config, **update.fact.changes)
        return config, refused.fact.event_id

    # ---------------------------------------------------------------------------------------- commands

    @property
    def asked(self) -> bool:
        """Whether a response was asked for that has not begun."""
        return any(isinstance(command, e.CreateResponse | e.Say) for command in self._open)

    @property
    def waiting(self) -> bool:
        """Whether anything is not answered."""
        return bool(self._open or self._updates)

    def sent(self, command: Command) -> None:
        """It is on its way. Cancelling needs no answer: without a connection there is nothing to cancel."""
        if not isinstance(command, e.CancelResponse | e.ClearAudio):
            self._open.append(command)

    @property
    def telling(self) -> bool:
        """Whether items are on their way to the conversation."""
        return any(isinstance(command, e.CreateItem) for command in self._open)

    def answered(self, event: e.Event) -> Command | None:
        """The provider has done something. Returns the command that it looks like the answer to."""
        answered = next((command for command in self._open if _answers(event, command)), None)
        if answered is not None:
            self._open.remove(answered)
        if isinstance(answered, e.Say) and answered.protected and isinstance(event, e.ResponseCreated):
            self._protected.add(event.response.id)
        return answered

    def blamed(self, error: e.Error) -> Command | None:
        """What an error is about that does not say it: the oldest command of the kind that its code or field names."""
        names = (error.code, error.param or "")
        kinds = [kind for start, kind in _BLAMED if any(name.startswith(start) for name in names)]
        return next((command for command in self._open if any(isinstance(command, kind) for kind in kinds)), None)

    def protected(self, response_id: str) -> bool:
        """Whether this response says words that nothing stops."""
        return response_id in self._protected

    def refused(self, command: Command) -> None:
        """The provider does not do it."""
        if command in self._open:
            self._open.remove(command)

    def lost(self, conversation: Container[str]) -> list[e.Event]:
        """The connection is gone. Returns what is true without a provider, too: items that are to be deleted or cut
        are."""
        told: list[e.Event] = []
        self._again = []
        for command in self._open:
            match command:
                case e.DeleteItem() if command.item_id in conversation:
                    told.append(e.ItemDeleted(command.item_id))
                case e.TruncateItem() if command.item_id in conversation:
                    told.append(e.ItemTruncated(command.item_id, command.content_index, command.audio_end_ms))
                case _:
                    self._again.append(command)
        self._open.clear()
        return told

    def again(self) -> list[Command]:
        """What is to be asked of the next connection."""
        again, self._again = self._again, []
        return again


def _answers(event: e.Event, command: Command) -> bool:
    match event, command:
        case e.ItemAdded(), e.CreateItem():
            return event.item.id == command.item.id
        case e.ItemDeleted(), e.DeleteItem():
            return event.item_id == command.item_id
        case e.ItemTruncated(), e.TruncateItem():
            return event.item_id == command.item_id
        case e.AudioCommitted(), e.CommitAudio():
            return True
        case e.ResponseCreated(), e.CreateResponse():
            return command.overrides.conversation == "auto" or not event.response.conversation
        case e.ResponseCreated(), e.Say():
            return bool(event.response.conversation)
        case _:
            return False


def refused_change(fact: e.UpdateSession, config: e.SessionConfig) -> e.Error | None:
    """What is wrong with a client's change of the configuration before any provider sees it."""
    message = name_taken((tool.name for tool in fact.changes.get("tools", ())), config.server_tools)
    if not message and fact.changes.get("mcp"):
        message = "This session's model is a hosted one; tools of type 'mcp' are not available to it."
    return e.Error("invalid_value", message, "session.tools", fact.event_id) if message else None


def refused_response(fact: e.CreateResponse, config: e.SessionConfig) -> e.Error | None:
    """What is wrong with a response that a client asks for before any provider sees it."""
    taken = name_taken((tool.name for tool in fact.overrides.tools or ()), config.server_tools)
    return e.Error("invalid_value", taken, "response.tools", fact.event_id) if taken else None
