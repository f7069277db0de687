"""The responses that the client sees under way, so that they can be ended cleanly when their provider is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from server.core import events as e


@dataclass(slots=True)
class _Output:
    """One item of a response. part: audio or text while its content part is open, "" else. closed: its part has been
    open before, or it has none."""

    index: int
    item: e.Item
    part: str = ""
    text: str = ""
    speaking: bool = False
    done: bool = False


@dataclass(slots=True)
class _Answer:
    view: e.ResponseView
    outputs: dict[str, _Output] = field(default_factory=dict)


class Answers:
    """What ``see`` was shown of all responses that are not done."""

    def __init__(self) -> None:
        self._open: dict[str, _Answer] = {}

    @property
    def active(self) -> str | None:
        """The id of the response under way in the conversation; None when there is none."""
        return next((key for key, answer in self._open.items() if answer.view.conversation), None)

    def format(self, response_id: str) -> e.AudioFormat:
        """What the response is spoken in."""
        answer = self._open.get(response_id)
        return e.AudioFormat.PCM if answer is None else answer.view.output_format

    def words(self, response_id: str) -> str:
        """What the response has said, or written, so far."""
        answer = self._open.get(response_id)
        return " ".join(output.text for output in answer.outputs.values() if output.text) if answer else ""

    def see(self, event: e.Event) -> None:
        """The client is told this."""
        match event:
            case e.ResponseCreated():
                self._open[event.response.id] = _Answer(event.response)
            case e.ResponseDone():
                self._open.pop(event.response.id, None)
            case e.OutputItemAdded() if event.response_id in self._open:
                self._open[event.response_id].outputs[event.item.id] = _Output(event.output_index, event.item)
            case e.OutputItemDone() if output := self._output(event.response_id, event.item.id):
                output.item, output.done = event.item, True
            case e.ContentPartAdded() if output := self._output(event.response_id, event.item_id):
                output.part, output.speaking = event.kind, event.kind == "audio"
            case e.ContentPartDone() if output := self._output(event.response_id, event.item_id):
                output.part, output.text = "", event.text
            case e.OutputAudioDone() if output := self._output(event.response_id, event.item_id):
                output.speaking = False
            case e.OutputTextDelta() | e.OutputTranscriptDelta() if output := self._output(
                event.response_id, event.item_id
            ):
                output.text += event.delta
            case _:
                pass

    def _output(self, response_id: str, item_id: str) -> _Output | None:
        answer = self._open.get(response_id)
        return answer.outputs.get(item_id) if answer else None

    def fail(self, code: str, message: str) -> list[e.Event]:
        """The end of all of them, in protocol order: parts, items, ``response.done`` with status failed."""
        events: list[e.Event] = []
        for answer in self._open.values():
            items = []
            for output in sorted(answer.outputs.values(), key=lambda output: output.index):
                if not output.done:
                    events += _end(answer.view, output)
                items.append(output.item)
            failed = replace(
                answer.view,
                status=e.ResponseStatus.FAILED,
                output=tuple(items),
                error_code=code,
                error_message=message,
                usage=e.TokenUsage(),
            )
            events.append(e.ResponseDone(failed))
        self._open.clear()
        return events


def _end(view: e.ResponseView, output: _Output) -> list[e.Event]:
    """The item as far as it came. A function call that is cut off must not look complete: its arguments stay open."""
    where = (view.id, output.item.id, output.index)
    events: list[e.Event] = []
    if output.part == "audio":
        events += [e.OutputAudioDone(*where)] if output.speaking else []
        events.append(e.OutputTranscriptDone(*where, output.text))
    elif output.part:
        events.append(e.OutputTextDone(*where, output.text))
    if output.part:
        events.append(e.ContentPartDone(*where, output.part, output.text))
    content = output.item.content
    if output.part or output.text:
        content = (e.ContentPart("output_audio" if view.modality == "audio" else "output_text", output.text),)
    output.item = replace(output.item, status=e.ItemStatus.INCOMPLETE, content=content)
    if view.conversation:
        # Where it stands in the conversation is for its mirror to say.
        events.append(e.ItemDone(output.item, None))
    events.append(e.OutputItemDone(view.id, output.index, output.item))
    return events
