"""What the provider and the client have said to each other, as far as this side must know it: the conversation, for the
next connection; the responses under way; how much of the speech was heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from server.cloud.answers import Answers
from server.core import events as e
from server.core.conversation import ROOT, Conversation, with_text
from server.core.playout import Ledger
from server.runtime.recordings import Recordings

_MAX_ITEMS = 400
_MAX_CHARACTERS = 60_000
"""Of the conversation, its end: what a new connection is told. About half of the smallest context that is on offer."""
_NO_WORDS = 3


class Mirror:
    """One session's. marks: the door is told what was played."""

    def __init__(self, *, marks: bool) -> None:
        self.conversation = Conversation()
        self.answers = Answers()
        self.recordings = Recordings()
        self.wordless: set[str] = set()
        """Ids of the caller's turns whose words are yet to come."""
        self._ledger = Ledger(marks=marks)

    @property
    def awaits_words(self) -> bool:
        """Whether the words of a turn may still come. Where several have none, nobody writes them down."""
        return 0 < len(self.wordless) < _NO_WORDS

    def see(self, event: e.Event, clock: int, *, first: bool = False) -> None:
        """The session has this to tell. clock: input samples received so far. first: the item was put before all."""
        self.answers.see(event)
        match event:
            case e.ItemAdded() | e.ItemDone():
                self._keep(event.item, ROOT if first else event.previous_item_id)
            case e.OutputItemDone() if event.item.id in self.conversation:
                # A call that is run must be in a replay, or its result would have nothing to belong to.
                self._keep(event.item, None)
            case e.ItemDeleted():
                self._forget(event.item_id)
            case e.ItemTruncated():
                self._truncate(event.item_id, event.audio_end_ms)
            case e.TranscriptionCompleted():
                self.wordless.discard(event.item_id)
                self._say(event.item_id, event.transcript)
            case e.TranscriptionFailed():
                self.wordless.discard(event.item_id)
            case e.OutputAudioDelta():
                wire = self.answers.format(event.response_id)
                self._ledger.send(event.item_id, wire.rate, event.samples, (), clock)
                self.recordings.add(event.item_id, event.audio, wire.width)
            case _:
                pass

    def _keep(self, item: e.Item, previous: str | None) -> None:
        if item.id not in self.conversation:
            # A connection may know less than the whole conversation: then what it knows nothing before is the newest.
            known = previous is not None and (previous == ROOT or previous in self.conversation)
            self.conversation.insert(item, previous if known else None)
            if any(part.kind == "input_audio" and part.text is None for part in item.content):
                self.wordless.add(item.id)
        elif all(part.text is not None for part in item.content):
            self.conversation.update(item)
        while (oldest := self.conversation.surplus) is not None:
            self._forget(oldest)

    def _forget(self, item_id: str) -> None:
        self.wordless.discard(item_id)
        self.recordings.drop(item_id)
        if item_id in self.conversation:
            self.conversation.delete(item_id)

    def _say(self, item_id: str, words: str) -> None:
        if item_id in self.conversation and self.conversation[item_id].content:
            self.conversation.update(with_text(self.conversation[item_id], words))

    def _truncate(self, item_id: str, end_ms: int) -> None:
        """The words that were heard are the share of them that the sound heard is of all: providers tell no times of
        words."""
        sent = self._ledger.sent(item_id)
        if not sent or item_id not in self.conversation:
            return
        heard = min(sent, end_ms * self._ledger.rate(item_id) // 1000)
        self._ledger.truncate(item_id, heard)
        self.recordings.cut(item_id, heard)
        item = self.conversation[item_id]
        if item.content and item.content[0].text:
            words = item.content[0].text
            cut = words[: len(words) * heard // sent]
            # A word that was cut in two was not heard.
            kept = cut if len(cut) == len(words) or words[len(cut)].isspace() else cut.rpartition(" ")[0]
            self.conversation.update(with_text(item, kept.rstrip()))

    # ---------------------------------------------------------------------------------------- playout

    def play(self, item_id: str, samples: int) -> None:
        """The door says that this much of the item was played."""
        self._ledger.play(item_id, samples)

    def cut(self, clock: int) -> list[tuple[str, int]]:
        """Playback stops now: the items that were still playing, and how many ms of each were heard."""
        items = self._ledger.interrupt(clock)
        return [(i, (self._ledger.heard(i, clock) or 0) * 1000 // self._ledger.rate(i)) for i in items]

    def playing(self, item_ids: Iterable[str], clock: int) -> bool:
        """Whether one of these is not heard to its end."""
        return any((self._ledger.heard(i, clock) or 0) < (self._ledger.sent(i) or 0) for i in item_ids)

    # ----------------------------------------------------------------------------------------- replay

    def replay(self) -> list[e.Item]:
        """The conversation as far as it can be told again, as text: its end, if it is long."""
        kept: list[e.Item] = []
        room = _MAX_CHARACTERS
        for item in reversed(list(self.conversation)):
            told = _as_text(item)
            if told is None:
                continue
            room -= sum(len(part.text or "") for part in told.content) + len(told.arguments) + len(told.output)
            if room < 0 or len(kept) == _MAX_ITEMS:
                break
            kept.append(told)
        calls = {item.call_id for item in kept if item.kind is e.ItemKind.FUNCTION_CALL}
        # A result whose call was cut off with the beginning would be refused.
        return [
            item for item in reversed(kept) if item.kind is not e.ItemKind.FUNCTION_CALL_OUTPUT or item.call_id in calls
        ]

    def placed(self, event: e.Event) -> e.Event:
        """The event with the item before it by the whole conversation, of which a connection may know a part only."""
        if isinstance(event, e.ItemAdded | e.ItemDone) and event.item.id in self.conversation:
            return replace(event, previous_item_id=self.conversation.previous_id(event.item.id))
        if isinstance(event, e.AudioCommitted) and event.item_id not in self.conversation:
            return replace(event, previous_item_id=self.conversation.last_id)
        return event

    def retrieved(self, fact: e.RetrieveItem) -> e.Event:
        """The answer to ``conversation.item.retrieve``."""
        if fact.item_id in self.conversation:
            return e.ItemRetrieved(self.conversation[fact.item_id])
        message = f"Error retrieving item: the item with id '{fact.item_id}' does not exist in this conversation."
        return e.Error("item_retrieve_invalid_item_id", message, "item_id", fact.event_id)

    def last_words(self) -> str:
        """The id of the caller's last item, "" when there is none."""
        return next((item.id for item in reversed(list(self.conversation)) if item.role == "user"), "")


def _as_text(item: e.Item) -> e.Item | None:
    """None for what cannot be told again: sound without words, a call that was cut off, things of MCP."""
    if item.kind is e.ItemKind.FUNCTION_CALL:
        return item if item.status is e.ItemStatus.COMPLETED else None
    if item.kind is e.ItemKind.FUNCTION_CALL_OUTPUT:
        return item
    if item.kind is not e.ItemKind.MESSAGE:
        return None
    kind = "output_text" if item.role == "assistant" else "input_text"
    parts = tuple(e.ContentPart(kind, part.text) for part in item.content if part.text)
    return replace(item, content=parts) if parts else None
