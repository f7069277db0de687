"""One streamed answer of a chat completions server: its chunks in, deltas out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from models.base import ChatDelta, ChatDone, TextDelta, ToolCallDelta, Usage
from models.llm.hermes import HermesParser, new_call_id
from models.llm.json_stream import JsonObjectStream
from models.llm.openai_wire import CallPiece, Chunk

_LONGEST_ID = 32
"""Of the Realtime protocol; some servers make longer ones."""


@dataclass
class _Call:
    """A call that the server has recognised. index: its place in the answer, once its name is known. text: its
    arguments so far, until then; had_text: whether there were any."""

    id: str | None
    index: int | None = None
    name: str = ""
    text: str = ""
    had_text: bool = False
    arguments: JsonObjectStream = field(default_factory=JsonObjectStream)


class Answer:
    """``feed`` every chunk, then ``finish`` once.

    Text goes through the Hermes parser: what a server lets through of thoughts and of tool calls is not spoken, and
    such a call is passed on as a call. Arguments joined are always the JSON text of an object.

    tools: whether the model was shown any; calls of an answer without are dropped. opening: text that counts as
    generated before the first chunk. known: call ids of the conversation so far, which are not used again.
    finish_reason: the server's, None before it is there. malformed: calls that had to be repaired or dropped.
    """

    def __init__(self, *, tools: bool, opening: str = "", known: Iterable[str] = ()) -> None:
        self.finish_reason: str | None = None
        self.malformed = 0
        self._tools = tools
        self._opening = opening
        self._ids = set(known)
        self._usage = Usage(0, 0)
        self._announced = 0
        self._spoken = False
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._parser = HermesParser()
        self._parsed = -1  # index of the call that the parser is reading
        self._after_call = False

    def feed(self, chunk: Chunk) -> list[ChatDelta]:
        out: list[ChatDelta] = []
        if chunk.usage is not None:
            details = chunk.usage.prompt_tokens_details
            cached = details.cached_tokens if details else None
            self._usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens, cached or 0)
        choice = chunk.choice
        if choice is None:
            return out
        if choice.delta is not None:
            words, self._opening = self._opening + choice.delta.words, ""
            self._pass_text(self._parser.feed(words), out)
            for piece in choice.delta.tool_calls or ():
                self._take(piece, out)
        self.finish_reason = choice.finish_reason or self.finish_reason
        return out

    def finish(self) -> list[ChatDelta]:
        """What was held back, then the ChatDone. Its usage is 0 where the server told none."""
        out: list[ChatDelta] = []
        self._end_text(out)
        for call in self._calls:
            closing = call.arguments.close()
            if call.index is None:
                self.malformed += 1
                continue
            self.malformed += call.had_text and call.arguments.repaired
            if closing:
                self._emit(ToolCallDelta(call.index, closing), out)
        reason = "tool_calls" if self._announced and self._tools else "stop"
        out.append(ChatDone("length" if self.finish_reason == "length" else reason, self._usage))
        return out

    # ---------------------------------------------------------------------------------------- text

    def _pass_text(self, deltas: Iterable[TextDelta | ToolCallDelta], out: list[ChatDelta]) -> None:
        for delta in deltas:
            if isinstance(delta, TextDelta):
                # The words before and behind a call must not run together.
                space = " " if self._after_call and self._spoken else ""
                self._after_call, self._spoken = False, True
                out.append(TextDelta(space + delta.text))
                continue
            if delta.name is not None:
                self._parsed = self._next_index()
            self._emit(replace(delta, index=self._parsed), out)

    def _end_text(self, out: list[ChatDelta]) -> None:
        """White space and halves of tags at the end of the text so far are dropped."""
        self._pass_text(self._parser.finish(), out)
        self.malformed += self._parser.malformed
        self._parser = HermesParser()
        self._after_call = True

    # --------------------------------------------------------------------------------------- calls

    def _take(self, piece: CallPiece, out: list[ChatDelta]) -> None:
        call = self._find(piece)
        if call is None:
            self._end_text(out)
            call = _Call(piece.id or None)
            self._calls.append(call)
            self._by_index[len(self._calls) - 1 if piece.index is None else piece.index] = call
        call.text += piece.function.arguments or ""
        call.name = call.name or piece.function.name or ""
        if not call.name:
            return
        call.had_text |= bool(call.text)
        arguments, call.text = call.arguments.feed(call.text)[0], ""
        if call.index is None:
            call.index = self._next_index()
            self._emit(ToolCallDelta(call.index, arguments, id=self._new_id(call.id), name=call.name), out)
        elif arguments:
            self._emit(ToolCallDelta(call.index, arguments), out)

    def _find(self, piece: CallPiece) -> _Call | None:
        """The call that a piece belongs to. Some servers give no index, some give every call the index 0."""
        begins = bool(piece.function.name)
        if piece.index is None:
            call = None if begins or not self._calls else self._calls[-1]
        else:
            call = self._by_index.get(piece.index)
        other = call is not None and begins and call.name and piece.id and piece.id != call.id
        return None if other else call

    def _next_index(self) -> int:
        self._announced += 1
        return self._announced - 1

    def _new_id(self, given: str | None) -> str:
        kept = given and len(given) <= _LONGEST_ID and given not in self._ids
        chosen = given if given and kept else new_call_id()
        self._ids.add(chosen)
        return chosen

    def _emit(self, delta: ToolCallDelta, out: list[ChatDelta]) -> None:
        if self._tools:
            out.append(delta)
