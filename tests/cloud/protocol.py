"""What holds for the events of any session, whatever a provider sends."""

from __future__ import annotations

from collections.abc import Iterable

from server.core import events as e

_DELTAS = (e.OutputAudioDelta, e.OutputTranscriptDelta, e.OutputTextDelta, e.FunctionArgumentsDelta)
_PART_DONE = (e.OutputAudioDone, e.OutputTranscriptDone, e.OutputTextDone, e.ContentPartDone, e.FunctionArgumentsDone)


class Order:
    """Sees events one by one; raises AssertionError at the first that breaks the protocol's order."""

    def __init__(self) -> None:
        self._created: set[str] = set()
        self._done: set[str] = set()
        self._added: set[str] = set()
        self._ever: set[str] = set()
        self._output: dict[str, str] = {}
        self._closing: set[str] = set()
        self._closed: set[str] = set()
        self._words: dict[str, str] = {}
        self._heard: set[str] = set()
        self._committed: set[str] = set()
        self._transcribed: set[str] = set()
        self._position: dict[str, int] = {}

    @property
    def open(self) -> set[str]:
        """Ids of responses that are not done."""
        return self._created - self._done

    def knows(self, items: Iterable[e.Item]) -> None:
        """Items that were told before."""
        self._added |= {item.id for item in items}

    def see(self, events: Iterable[object]) -> None:
        """The next events."""
        for event in events:
            self._response(event)
            self._item(event)
            self._turn(event)

    def _response(self, event: object) -> None:
        match event:
            case e.ResponseCreated():
                assert not self.open
                assert event.response.id not in self._created
                self._created.add(event.response.id)
            case e.ResponseDone():
                assert event.response.id in self.open
                assert event.response.status is not e.ResponseStatus.IN_PROGRESS
                assert event.response.usage is not None
                mine = {item for item, response in self._output.items() if response == event.response.id}
                assert mine == {item.id for item in event.response.output}
                assert mine <= self._closed
                self._done.add(event.response.id)

    def _item(self, event: object) -> None:
        match event:
            case e.OutputItemAdded():
                assert event.response_id in self.open
                assert event.item.id not in self._output
                self._output[event.item.id] = event.response_id
            case e.OutputItemDone():
                assert event.item.id in self._output
                assert event.item.id not in self._closed
                self._closed.add(event.item.id)
                self._words_agree(event.item)
            case e.ItemAdded():
                assert event.item.id not in self._added
                assert event.previous_item_id is None or event.previous_item_id in self._added
                self._added.add(event.item.id)
                self._ever.add(event.item.id)
            case e.ItemDeleted():
                self._added.remove(event.item_id)
            case e.ItemDone():
                # An item may be deleted while it is spoken: its events end all the same.
                assert event.item.id in self._ever
            case _ if isinstance(event, _DELTAS):
                assert self._output[event.item_id] in self.open
                assert event.item_id not in self._closing | self._closed
                self._delta(event)
            case _ if isinstance(event, _PART_DONE):
                assert event.item_id in self._output
                assert event.item_id not in self._closed
                self._closing.add(event.item_id)

    def _delta(self, event: object) -> None:
        match event:
            case e.OutputAudioDelta():
                assert event.start == self._position.get(event.item_id, 0)
                assert event.samples > 0
                self._position[event.item_id] = event.start + event.samples
            case e.OutputTranscriptDelta() | e.OutputTextDelta() | e.FunctionArgumentsDelta():
                self._words[event.item_id] = self._words.get(event.item_id, "") + event.delta

    def _words_agree(self, item: e.Item) -> None:
        told = item.arguments if item.kind is e.ItemKind.FUNCTION_CALL else "".join(p.text or "" for p in item.content)
        assert self._words.get(item.id, "") == told

    def _turn(self, event: object) -> None:
        match event:
            case e.SpeechStarted():
                assert event.item_id not in self._heard
                self._heard.add(event.item_id)
            case e.SpeechStopped():
                assert event.item_id in self._heard - self._committed
            case e.AudioCommitted():
                assert event.item_id not in self._committed
                self._committed.add(event.item_id)
            case e.TranscriptionDelta():
                assert event.item_id in self._heard | self._committed
                assert event.item_id not in self._transcribed
            case e.TranscriptionCompleted():
                assert event.item_id in self._committed - self._transcribed
                self._transcribed.add(event.item_id)
