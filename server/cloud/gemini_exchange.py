"""What the two sides of a Gemini Live session share: the state of its one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from server.cloud import base as b
from server.cloud import gemini_wire as wire
from server.cloud.gemini_answers import Answers
from server.cloud.gemini_caller import CallerTurns, Held, Microphone
from server.cloud.gemini_setup import GeminiOptions
from server.core import events as e
from server.core.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Typed:
    """Words for Gemini that nobody has spoken. item_id: "" for what is no item. role: user or model."""

    item_id: str
    role: str
    words: str


@dataclass(slots=True)
class Untold:
    """What waits for the next answer. results: of calls, by their id. told: Gemini has typed words that it has not
    answered."""

    typed: list[Typed] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    told: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function call that Gemini waits for, by its own id."""

    provider_id: str
    name: str


class Exchange:
    """One session's. What belongs to a connection is set anew by ``reset``."""

    def __init__(self, options: GeminiOptions, conversation_id: str, new_id: Callable[[str], str]) -> None:
        self.options, self.new_id = options, new_id
        self.config = e.SessionConfig()
        self.conversation = Conversation()
        self.caller = CallerTurns(self.conversation, new_id)
        self.answers = Answers(self.conversation, conversation_id, new_id)
        self.microphone = Microphone()
        self.handle: tuple[str, frozenset[str]] | None = None
        """Brings the conversation back to where it consisted of these items."""
        self.held = Held()
        self.reset(0)

    def reset(self, offset_ms: int) -> None:
        """A new connection stands; this much of the caller's sound went to others."""
        self.ready = False
        self.replays = False
        """Whether the conversation is to be told as soon as the session is set up."""
        self.appended: set[str] = set()
        """Ids of items that have come since the connection stands: they are told one by one."""
        self.waiting: list[b.Send] = []
        """Frames for when the session is set up."""
        self.notes: list[str] = []
        # What is not committed is heard anew; a turn that is has been sent nowhere yet.
        self.held.clear()
        self.untold = Untold()
        self.calls: dict[str, Call] = {}
        self.cancelled: dict[str, str] = {}
        """Calls that Gemini waits for no more, and what they called."""
        self.busy = False
        """Whether Gemini is in a turn: it says or plays something, or waits for results."""
        self.muted = False
        """Whether that turn is over for the client."""
        self.offset_ms = self.answered_ms = offset_ms
        self.caller.reset()
        self.answers.reset()
        self.microphone.reset(offset_ms)

    @property
    def may_say(self) -> bool:
        """See ``Dialect``. Other words than results make Gemini forget its calls."""
        return self.calls.keys() == self.untold.results.keys()

    @property
    def known(self) -> frozenset[str]:
        """Ids of the items that Gemini has been told: the others wait for the next answer."""
        typed = {one.item_id for one in self.untold.typed}
        waiting = {item.id for item in self.conversation if item.call_id in self.untold.results}
        return frozenset(item.id for item in self.conversation) - typed - waiting

    def call_off(self, call_ids: Iterable[str]) -> tuple[str, ...]:
        """Gemini does not wait for the results of these calls any more. Returns those that it waited for."""
        gone = tuple(call_id for call_id in call_ids if call_id in self.calls)
        for call_id in gone:
            self.cancelled[call_id] = self.calls.pop(call_id).name
            self.untold.results.pop(call_id, None)
        return gone

    def send(self, **message: Any) -> list[b.Step]:
        """A frame, now or when the session is set up."""
        return list(self.sent([wire.send(**message)]))

    def sent(self, frames: list[b.Send]) -> list[b.Send]:
        """The same for several."""
        if self.ready:
            return frames
        self.waiting += frames
        return []

    def begin(self, overrides: e.ResponseOverrides) -> list[b.Step]:
        """A response. The one before may still be playing: for Gemini it goes on until then."""
        ended = self.answers.finish(e.ResponseStatus.COMPLETED)
        self.answered_ms = self.microphone.position_ms
        self.caller.answered()
        return [*ended, *self.answers.begin(self.config, overrides)]

    def tell_typed(self) -> list[b.Step]:
        """Typed words that ask for no answer, where nothing would be interrupted by them."""
        free = self.ready and not (self.busy or self.caller.speaking or self.answers.active)
        if not (self.untold.typed and free and self.options.takes_typed_turns):
            return []
        typed, self.untold.typed = self.untold.typed, []
        self.untold.told = True
        return self.send(clientContent={"turns": turns(typed), "turnComplete": False})

    def trim(self) -> None:
        """A conversation that has outgrown its size loses its beginning."""
        while (oldest := self.conversation.surplus) is not None:
            self.conversation.delete(oldest)


def turns(typed: list[Typed]) -> list[dict[str, Any]]:
    """As clientContent has them."""
    return [{"role": one.role, "parts": [{"text": one.words}]} for one in typed]
