"""From a Generation to words, speech and function calls: chat model, segmenter, synthesizer, one after the other.

Everything made is told to the Session as facts. A prepared response is thought through to its end, but only its first
segment is spoken until it is adopted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import uuid4

import orjson

from models import audio
from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModel,
    ChatRequest,
    ContextError,
    EngineError,
    Pcm16,
    Priority,
    SpeechChunk,
    Synthesizer,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Urgency,
    Usage,
    Voice,
    VoiceError,
)
from server.core import events as e
from server.core.segmenter import Segment, Segmenter
from server.runtime.formats import encode
from server.runtime.tool_arguments import check

_log = logging.getLogger(__name__)

Deliver = Callable[[e.Input], Awaitable[None]]
StageReached = Callable[[str, str], None]
"""Called with a response's id and the stage that it has just reached: llm_first_token, first_segment,
tts_first_audio."""


@dataclass(frozen=True, slots=True)
class _Words:
    """Text of a message that follows a function call: shown only when the call before it is out."""

    text: str


@dataclass(frozen=True, slots=True)
class _CallEnd:
    """The arguments of the call with this index are complete."""

    index: int


@dataclass(frozen=True, slots=True)
class _Faulty:
    """The arguments of this call are not what its tool asks for: the model gets one chance to mend them."""

    index: int
    arguments: str
    problem: str


_Entry = Segment | _Words | ToolCallDelta | _CallEnd | _Faulty


@dataclass(slots=True)
class Work:
    """One response in the making."""

    generation: e.Generation
    adopted: asyncio.Event = field(default_factory=asyncio.Event)
    urgency: Urgency = field(default_factory=lambda: Urgency(Priority.PREPARED))
    spoken: asyncio.Queue[_Entry | None] = field(default_factory=asyncio.Queue)
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    incomplete: str | None = None
    mute: bool = False
    calls: dict[int, tuple[str, str]] = field(default_factory=dict)
    call: list[ToolCallDelta] = field(default_factory=list)
    worded: bool = False
    thought: asyncio.Event = field(default_factory=asyncio.Event)

    def adopt(self) -> None:
        """The response is wanted: speak all of it, and wait for the engines no longer than any other answer."""
        self.urgency.priority = Priority.CONFIRMED
        self.adopted.set()


class Cascade:
    """Makes responses out of a chat model and a synthesizer. One per session; the engines are shared."""

    def __init__(self, llm: ChatModel, tts: Synthesizer, deliver: Deliver, reached: StageReached) -> None:
        self._llm = llm
        self._tts = tts
        self._deliver = deliver
        self._reached = reached
        self._call_ids: set[str] = set()

    async def run(self, work: Work) -> None:
        """Make the response to its end, or to its failure. Cancelling this stops both engines."""
        response_id = work.generation.response_id
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._think(work))
                group.create_task(self._speak(work))
        except* VoiceError as failures:
            error = failures.exceptions[0]
            if isinstance(error, ContextError):
                await self._deliver(e.ContextExceeded(response_id, str(error), error.tokens))
            else:
                code = "engine_error" if isinstance(error, EngineError) else "server_overloaded"
                await self._deliver(e.ResponseFailed(response_id, code, str(error), work.mute))
        else:
            usage = e.TokenUsage(
                input_text=work.usage.prompt, cached=work.usage.cached, output_text=work.usage.completion
            )
            await self._deliver(e.ResponseFinished(response_id, usage, work.incomplete))

    async def _think(self, work: Work) -> None:
        generation = work.generation
        spoken = generation.modality == "audio"
        segmenter = Segmenter()
        stream = _recited(generation.script) if generation.script is not None else self._llm.stream(_request(work))
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta():
                        self._reached(generation.response_id, "llm_first_token")
                        work.worded = work.worded or not delta.text.isspace()
                        # Words behind a call wait for it: they are a new message, and it comes first.
                        if work.calls:
                            self._end_call(work)
                            work.spoken.put_nowait(_Words(delta.text))
                        else:
                            await self._deliver(e.ResponseText(generation.response_id, delta.text))
                        if spoken:
                            self._queue(work, segmenter.push(delta.text))
                    case ToolCallDelta() if generation.tool_choice == "none":
                        _log.debug("the model calls a tool though it may not")
                    case ToolCallDelta():
                        self._reached(generation.response_id, "llm_first_token")
                        if spoken:
                            self._queue(work, segmenter.flush())
                            segmenter = Segmenter()
                        if delta.index not in work.calls:
                            if work.calls and not generation.parallel_tool_calls:
                                continue
                            await self._fill(work, delta.name or "")
                            self._end_call(work)
                            work.calls[delta.index] = (self._unique(delta.id), delta.name or "")
                        work.call.append(delta)
                    case ChatDone():
                        work.usage = delta.usage
                        work.incomplete = "max_output_tokens" if delta.finish_reason == "length" else None
        # A call that the token limit cut off stays open: the Session closes it as incomplete.
        if work.incomplete is None:
            self._end_call(work)
        for piece in work.call:
            work.spoken.put_nowait(piece)
        work.thought.set()
        if spoken:
            self._queue(work, segmenter.flush())
        work.spoken.put_nowait(None)

    def _queue(self, work: Work, segments: list[Segment]) -> None:
        for segment in segments:
            self._reached(work.generation.response_id, "first_segment")
            work.spoken.put_nowait(segment)

    async def _fill(self, work: Work, name: str) -> None:
        """The model calls a tool without a word to the caller: say what is set down for that."""
        filler = work.generation.fillers.get(name, "")
        if filler and not work.worded and work.generation.modality == "audio":
            work.worded = True
            await self._deliver(e.ResponseText(work.generation.response_id, filler))
            segmenter = Segmenter()
            self._queue(work, [*segmenter.push(filler), *segmenter.flush()])

    def _unique(self, call_id: str | None) -> str:
        """A call's id in this session: some servers number the calls of each answer anew."""
        if not call_id or call_id in self._call_ids:
            call_id = f"call_{uuid4().hex[:24]}"
        self._call_ids.add(call_id)
        return call_id

    def _end_call(self, work: Work) -> None:
        """The call's arguments are complete: hand them on as they came, unless they are not what the tool asks for."""
        if not work.call:
            return
        pieces, work.call = work.call, []
        index = pieces[0].index
        tool = next((tool for tool in work.generation.tools if tool.name == work.calls[index][1]), None)
        text = "".join(piece.arguments for piece in pieces)
        problem = check(tool.parameters, text).problem if tool else ""
        for entry in [_Faulty(index, text, problem)] if problem else pieces:
            work.spoken.put_nowait(entry)
        work.spoken.put_nowait(_CallEnd(index))

    async def _speak(self, work: Work) -> None:
        """Carry out the queue in order: segments become audio, calls become facts once the words before them are
        spoken."""
        generation = work.generation
        mouth = _Mouth(self._voice(generation), generation.output_format)
        first = True
        while (entry := await work.spoken.get()) is not None:
            match entry:
                case Segment():
                    if not first:
                        await work.adopted.wait()
                    first = False
                    await self._speak_segment(work, mouth, entry)
                case _Words():
                    await self._deliver(e.ResponseText(generation.response_id, entry.text))
                case ToolCallDelta():
                    mouth.new_message()
                    await self._deliver(_call_fact(work, entry.index, entry.arguments))
                case _Faulty():
                    mouth.new_message()
                    await self._deliver(_call_fact(work, entry.index, await self._mended(work, entry)))
                case _CallEnd():
                    await self._deliver(_call_fact(work, entry.index, "", done=True))

    def _voice(self, generation: e.Generation) -> Voice:
        """The session's voice as long as it speaks the language; else the one set for that, else any that does."""
        wanted, language = generation.voice, generation.language
        voice = self._tts.voice_for(wanted, language)
        if voice.name.lower() == wanted.lower() or not generation.house_voice:
            return voice
        return self._tts.voice_for(generation.house_voice, language)

    async def _mended(self, work: Work, faulty: _Faulty) -> str:
        """The arguments as the model gives them once it is told what was wrong, or as they were if that does not help:
        who runs the call then says so."""
        await work.thought.wait()
        call_id, name = work.calls[faulty.index]
        wanted = [tool for tool in work.generation.tools if tool.name == name]
        request = _request(work)
        told = orjson.dumps({"error": "invalid arguments", "hint": faulty.problem}).decode()
        shown = faulty.arguments if check({}, faulty.arguments).problem == "" else "{}"
        again = replace(
            request,
            messages=[
                *request.messages,
                ChatMessage("assistant", "", (ToolCall(call_id, name, shown or "{}"),)),
                ChatMessage("tool", told, tool_call_id=call_id),
            ],
            tools=[ToolSpec(tool.name, tool.description, tool.parameters) for tool in wanted],
            tool_choice=name,
        )
        text = ""
        try:
            async with aclosing(self._llm.stream(again)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, ToolCallDelta) and delta.index == 0:
                        text += delta.arguments
        except VoiceError:
            return faulty.arguments
        return faulty.arguments if check(wanted[0].parameters, text).problem else text

    async def _speak_segment(self, work: Work, mouth: _Mouth, segment: Segment) -> None:
        generation = work.generation
        mouth.start(segment)
        stream = self._tts.synthesize(segment.text, mouth.voice, speed=generation.speed, priority=work.urgency)
        try:
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    await self._say(work, mouth, mouth.say(chunk))
        except VoiceError:
            work.mute = True
            raise
        await self._say(work, mouth, mouth.end())

    async def _say(self, work: Work, mouth: _Mouth, said: tuple[Pcm16, tuple[e.SpokenTo, ...]]) -> None:
        pcm, words = said
        if len(pcm):
            response_id = work.generation.response_id
            self._reached(response_id, "tts_first_audio")
            await self._deliver(
                e.ResponseAudio(response_id, encode(pcm, work.generation.output_format), len(pcm), words)
            )


class _Mouth:
    """Brings a voice's audio to the client's format, and its word times to the message's clock."""

    def __init__(self, voice: Voice, output_format: e.AudioFormat) -> None:
        self.voice = voice
        self._format = output_format
        self._said = 0
        self._offset = 0
        self._start = 0
        self._resampler = audio.Resampler(voice.sample_rate, output_format.rate)

    def new_message(self) -> None:
        """A function call ends the message; the next words begin another."""
        self._said = 0

    def start(self, segment: Segment) -> None:
        """The next audio is this segment's."""
        self._start = self._said
        self._offset = segment.start
        self._resampler.reset()

    def say(self, chunk: SpeechChunk) -> tuple[Pcm16, tuple[e.SpokenTo, ...]]:
        """A chunk at the client's rate, and which words end in it."""
        ends = tuple(
            e.SpokenTo(self._offset + word.text_end, self._start + word.end * self._format.rate // chunk.sample_rate)
            for word in chunk.words
        )
        return self._count(self._resampler.push(chunk.pcm)), ends

    def end(self) -> tuple[Pcm16, tuple[e.SpokenTo, ...]]:
        """The segment is over: what the filter still holds."""
        return self._count(self._resampler.flush()), ()

    def _count(self, pcm: Pcm16) -> Pcm16:
        self._said += len(pcm)
        return pcm


async def _recited(script: str) -> AsyncGenerator[ChatDelta, None]:
    """Given words, as if a model had said them."""
    yield TextDelta(script)
    yield ChatDone("stop", Usage(0, 0))


def _call_fact(work: Work, index: int, arguments: str, *, done: bool = False) -> e.ResponseToolCall:
    call_id, name = work.calls[index]
    return e.ResponseToolCall(work.generation.response_id, call_id, name, arguments, done)


def _request(work: Work) -> ChatRequest:
    generation = work.generation
    messages = [
        ChatMessage(
            role=message.role,
            text=message.text,
            tool_calls=tuple(ToolCall(call.call_id, call.name, call.arguments) for call in message.calls),
            tool_call_id=message.call_id or None,
        )
        for message in generation.messages
    ]
    return ChatRequest(
        messages=messages,
        tools=[ToolSpec(tool.name, tool.description, tool.parameters) for tool in generation.tools],
        tool_choice=generation.tool_choice,
        max_tokens=generation.max_output_tokens,
        temperature=generation.temperature,
        priority=work.urgency,
        agent=generation.agent,
        earlier_turns=generation.earlier_turns,
    )
