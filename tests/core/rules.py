"""The promises of the protocol, checked on every output of a Session."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.core import events as e


@dataclass
class _Item:
    kind: str
    text: str = ""
    closed: bool = False


@dataclass
class _Response:
    default: bool
    items: dict[str, _Item] = field(default_factory=dict)
    done: bool = False


class Rules:
    """Feed every list of outputs to ``see``; it fails on the first broken promise."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.responses: dict[str, _Response] = {}
        self.spoken: dict[str, str] = {}
        self.sent: dict[str, int] = {}
        self.prepared: str | None = None
        self.working: set[str] = set()
        self.stopped: set[str] = set()
        self.utterances: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.tools: dict[str, str] = {}
        self.timers: list[e.StartTimer] = []
        self.paused = False
        self.errors: list[e.Error] = []

    def see(self, outputs: list[e.Output]) -> None:
        for output in outputs:
            self._effect(output)
            self._conversation(output)
            self._response(output)
            if isinstance(output, e.Error):
                self.errors.append(output)
        active = [r for r in self.responses.values() if r.default and not r.done]
        assert len(active) <= 1, "two active responses on the default conversation"

    def told(self, fact: e.Input) -> None:
        """What the Session is about to hear."""
        if isinstance(fact, e.ToolFinished) and self.tools.get(fact.call_id) == "running":
            self.tools[fact.call_id] = "finished"

    def _effect(self, output: e.Output) -> None:
        match output:
            case e.PrepareResponse():
                assert self.prepared is None, "two prepared responses"
                self.prepared = output.generation.response_id
                self.working.add(self.prepared)
            case e.AdoptResponse():
                assert output.response_id == self.prepared
                self.prepared = None
            case e.StartResponse():
                assert output.generation.response_id not in self.working - self.stopped
                assert output.generation.response_id in self.responses, "work for an invisible response"
                self.working.add(output.generation.response_id)
                self.stopped.discard(output.generation.response_id)
            case e.StopResponse():
                self.stopped.add(output.response_id)
                if output.response_id == self.prepared:
                    self.prepared = None
            case e.RunTool():
                assert output.call_id not in self.tools, "a call run twice"
                approved = output.response_id == ""
                assert approved or output.response_id in self.responses, "a tool run for an answer that is not out"
                self.tools[output.call_id] = "running"
            case e.StopTool():
                assert self.tools[output.call_id] == "running"
                self.tools[output.call_id] = "stopped"
            case e.ToolsTold():
                for call_id in output.call_ids:
                    assert self.tools[call_id] == "finished", "told what was not known, or twice"
                    self.tools[call_id] = "told"
            case e.StartTimer():
                assert output.after_ms > 0
                self.timers.append(output)
            case e.PausePlayout():
                assert output.paused is not self.paused, "paused or resumed twice"
                self.paused = output.paused
            case e.OpenUtterance():
                assert output.item_id not in self.utterances
                self.utterances[output.item_id] = "open"
            case e.Transcribe():
                assert self.utterances[output.item_id] == "open"
                assert output.speech_end <= output.end
                self.asked.append((output.item_id, output.revision))
            case e.HearAudio():
                assert output.item_id in self.order
                self.asked.append((output.item_id, 0))
            case e.CloseUtterance() | e.DropUtterance():
                assert self.utterances[output.item_id] == "open"
                self.utterances[output.item_id] = "over"
            case _:
                pass

    def _conversation(self, output: e.Output) -> None:
        match output:
            case e.ItemAdded():
                assert output.item.id not in self.order
                index = 0 if output.previous_item_id is None else self.order.index(output.previous_item_id) + 1
                self.order.insert(index, output.item.id)
            case e.ItemDeleted():
                self.order.remove(output.item_id)
            case _:
                pass

    def _response(self, output: e.Output) -> None:
        match output:
            case e.ResponseCreated():
                assert output.response.id not in self.responses, "created twice"
                assert output.response.status is e.ResponseStatus.IN_PROGRESS
                self.responses[output.response.id] = _Response(output.response.conversation != "")
            case e.OutputItemAdded():
                response = self._live(output.response_id)
                assert output.output_index == len(response.items)
                assert all(item.closed for item in response.items.values()), "an item opened inside another"
                response.items[output.item.id] = _Item(output.item.kind)
            case e.OutputTranscriptDelta() | e.OutputTextDelta() | e.FunctionArgumentsDelta() | e.McpArgumentsDelta():
                self._part(output).text += output.delta
                self.spoken[output.item_id] = self._part(output).text
            case e.OutputAudioDelta():
                assert output.start == self.sent.get(output.item_id, 0), "a gap in the audio"
                self._part(output)
                self.sent[output.item_id] = output.start + output.samples
            case e.OutputTranscriptDone():
                assert self._part(output).text == output.transcript
            case e.OutputTextDone():
                assert self._part(output).text == output.text
            case e.FunctionArgumentsDone() | e.McpArgumentsDone():
                assert self._part(output).text == output.arguments
            case e.OutputItemDone():
                item = self._live(output.response_id).items[output.item.id]
                assert not item.closed, "an item closed twice"
                assert output.item.status is not e.ItemStatus.IN_PROGRESS
                item.closed = True
            case e.ResponseDone():
                response = self._live(output.response.id)
                assert all(item.closed for item in response.items.values()), "done before its items"
                assert [item.id for item in output.response.output] == list(response.items)
                response.done = True
            case _:
                pass

    def _live(self, response_id: str) -> _Response:
        assert response_id in self.responses, "an event before response.created"
        assert not self.responses[response_id].done, "an event after response.done"
        return self.responses[response_id]

    def _part(self, output: e.Output) -> _Item:
        item = self._live(output.response_id).items[output.item_id]  # type: ignore[union-attr]
        assert not item.closed, "a delta after the item was done"
        return item
