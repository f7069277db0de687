"""From a Generation to words, speech and function calls: chat model, segmenter, synthesizer, one after the other.

Everything made is told to the Session as facts. A prepared response is thought through to its end, but only its first
segment is spoken until it is adopted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from uuid import uuid4

from models.base import (
    ChatDelta,
    ChatDone,
    ChatModel,
    ContextError,
    EngineError,
    Pcm16,
    Synthesizer,
    TextDelta,
    ToolCallDelta,
    Usage,
    Voice,
    VoiceError,
)
from server.core import events as e
from server.core.segmenter import Segment, Segmenter
from server.runtime.formats import encode
from server.runtime.mending import mended
from server.runtime.mouth import Mouth
from server.runtime.tool_arguments import check
from server.runtime.work import CallEnd, Faulty, Words, Work

_log = logging.getLogger(__name__)

Deliver = Callable[[e.Input], Awaitable[None]]
StageReached = Callable[[str, str], None]
"""Called with a response's id and the stage that it has just reached: llm_first_token, first_segment,
tts_first_audio."""


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
        stream = _recited(generation.script) if generation.script is not None else self._llm.stream(work.request())
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta():
                        self._reached(generation.response_id, "llm_first_token")
                        work.worded = work.worded or not delta.text.isspace()
                        # Words behind a call wait for it: they are a new message, and it comes first.
                        if work.calls:
                            self._end_call(work)
                            work.spoken.put_nowait(Words(delta.text))
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
        for entry in [Faulty(index, text, problem)] if problem else pieces:
            work.spoken.put_nowait(entry)
        work.spoken.put_nowait(CallEnd(index))

    async def _speak(self, work: Work) -> None:
        """Carry out the queue in order: segments become audio, calls become facts once the words before them are
        spoken."""
        generation = work.generation
        mouth = Mouth(self._voice(generation), generation.output_format)
        first = True
        while (entry := await work.spoken.get()) is not None:
            match entry:
                case Segment():
                    if not first:
                        await work.adopted.wait()
                    first = False
                    await self._speak_segment(work, mouth, entry)
                case Words():
                    await self._deliver(e.ResponseText(generation.response_id, entry.text))
                case ToolCallDelta():
                    mouth.new_message()
                    await self._deliver(work.call_fact(entry.index, entry.arguments))
                case Faulty():
                    mouth.new_message()
                    await self._deliver(work.call_fact(entry.index, await mended(self._llm, work, entry)))
                case CallEnd():
                    await self._deliver(work.call_fact(entry.index, "", done=True))

    def _voice(self, generation: e.Generation) -> Voice:
        """The session's voice as long as it speaks the language; else the one set for that, else any that does."""
        wanted, language = generation.voice, generation.language
        voice = self._tts.voice_for(wanted, language)
        if voice.name.lower() == wanted.lower() or not generation.house_voice:
            return voice
        return self._tts.voice_for(generation.house_voice, language)

    async def _speak_segment(self, work: Work, mouth: Mouth, segment: Segment) -> None:
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

    async def _say(self, work: Work, mouth: Mouth, said: tuple[Pcm16, tuple[e.SpokenTo, ...]]) -> None:
        pcm, words = said
        if len(pcm):
            response_id = work.generation.response_id
            self._reached(response_id, "tts_first_audio")
            await self._deliver(
                e.ResponseAudio(response_id, encode(pcm, work.generation.output_format), len(pcm), words)
            )


async def _recited(script: str) -> AsyncGenerator[ChatDelta, None]:
    """Given words, as if a model had said them."""
    yield TextDelta(script)
    yield ChatDone("stop", Usage(0, 0))
