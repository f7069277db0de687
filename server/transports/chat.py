"""The door for chat clients, over the same chat model as the calls: POST /v1/chat/completions."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.params import Depends

from models.base import ChatDone, ChatModel, TextDelta, ToolCallDelta
from server.transports.auth import caller_scope
from server.transports.chat_wire import ChatWish, Completion, read_chat
from server.transports.rest import ApiRoute, EventStream, event, read_json, while_connected
from server.transports.wire import new_id

_DONE = b"data: [DONE]\n\n"


def router(
    llm: ChatModel,
    guards: Sequence[Depends] = (),
    agent: Callable[[str, str], ChatModel | None] = lambda name, caller: None,
) -> APIRouter:
    """guards: what must let a request pass before it is read. agent: the agent of a name, for a caller ("" for one who
    is not named); None where there is none of this name."""
    routes = APIRouter(route_class=ApiRoute, dependencies=list(guards))

    @routes.post("/v1/chat/completions")
    async def create_completion(request: Request) -> Response:
        """An answer to a conversation, whole or as server-sent events."""
        wish = read_chat(await read_json(request), llm.name)
        model = agent(wish.model, caller_scope(request, wish.user)) or llm
        completion = Completion(new_id("chatcmpl").replace("_", "-"), wish.model, int(time.time()))
        if wish.stream:
            return EventStream(_events(model, wish, completion))
        await while_connected(request.receive, _complete(model, wish, completion))
        return Response(orjson.dumps(completion.whole()), media_type="application/json")

    return routes


async def _complete(llm: ChatModel, wish: ChatWish, completion: Completion) -> None:
    async with aclosing(_deltas(llm, wish, completion)) as deltas:
        async for _ in deltas:
            pass


async def _events(llm: ChatModel, wish: ChatWish, completion: Completion) -> AsyncGenerator[bytes, None]:
    """The chunks of an answer. The first waits for the model, so that its refusal can still be an HTTP status."""
    start = event(completion.chunk({"role": "assistant", "content": ""}))
    async with aclosing(_deltas(llm, wish, completion)) as deltas:
        async for delta in deltas:
            yield start + event(completion.chunk(delta))
            start = b""
    yield start + event(completion.chunk({}, completion.finish_reason))
    if wish.include_usage:
        yield event(completion.usage_chunk())
    yield _DONE


async def _deltas(llm: ChatModel, wish: ChatWish, completion: Completion) -> AsyncGenerator[dict[str, Any], None]:
    """The ``delta`` of each chunk; what is said is gathered in the completion as well."""
    stops = StopSequences(wish.stop)
    async with aclosing(llm.stream(wish.request)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta():
                    text = stops.push(delta.text)
                case ToolCallDelta():
                    if wish.parallel or delta.index == 0:
                        yield completion.add_call(delta)
                    continue
                case ChatDone():
                    text = stops.flush()
                    completion.finish_reason, completion.usage = delta.finish_reason, delta.usage
            if text:
                completion.text += text
                yield {"content": text}
            if stops.reached:
                return


class StopSequences:
    """Lets text through up to the first of the sequences, which may arrive in pieces."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self.reached = False
        self._sequences = sequences
        self._held = ""

    def push(self, text: str) -> str:
        """More text; what of it is sure to be before any sequence."""
        text = self._held + text
        ends = [place for place in (text.find(sequence) for sequence in self._sequences) if place >= 0]
        if ends:
            self.reached, self._held = True, ""
            return text[: min(ends)]
        begun = max((_overlap(text, sequence) for sequence in self._sequences), default=0)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def flush(self) -> str:
        """The text is over: what was held back because a sequence might have begun."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str) -> int:
    """Length of the longest end of the text with which the sequence begins."""
    return next((size for size in range(len(sequence) - 1, 0, -1) if text.endswith(sequence[:size])), 0)
