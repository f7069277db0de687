"""An agent's answer in text: the same tools, limits and store as by voice, behind the shape of a chat model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import uuid4

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModel,
    ChatRequest,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from server.core import events as e
from server.core.tools import name_taken
from server.errors import ClientError
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import Toolbox

_LIMIT = "limit"


@dataclass(slots=True)
class _Step:
    """What the model said in one go. calls: its tool calls by index, as (id, name, arguments). say: what their results
    want to have said word for word. over: nothing more is to be said."""

    words: str = ""
    calls: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    done: ChatDone = field(default_factory=lambda: ChatDone("stop", Usage(0, 0)))
    say: str = ""
    over: bool = False

    def add(self, piece: ToolCallDelta) -> None:
        # An id of our own: some servers number the calls of each answer anew, and two calls would be one.
        call_id, name, arguments = self.calls.get(piece.index, (f"call_{uuid4().hex[:24]}", piece.name or "", ""))
        self.calls[piece.index] = call_id, name, arguments + piece.arguments


class TextAgent:
    """Answers one request after another of one session. config: what the session starts with; a hand-off changes it.
    Calls of server tools are run between the model's steps and never shown; those of the client's tools end the answer,
    as they do with a chat model.
    """

    def __init__(
        self,
        config: e.SessionConfig,
        llm: ChatModel,
        toolbox: Toolbox,
        session_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = llm.name
        self.context = llm.context
        self._config = config
        self._llm = llm
        self._facts: asyncio.Queue[e.Input] = asyncio.Queue()
        self._tools = ToolRunner(session_id, toolbox, self._facts.put, clock)

    async def warm(self, request: ChatRequest) -> None:
        """See ChatModel."""
        await self._llm.warm(self._request(request, list(request.messages), 0))

    async def close(self) -> None:
        """See ChatModel. The model behind it serves others, and stays."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """See ChatModel. Ends with one ChatDone, whose usage is that of all steps. Raises ClientError for a tool of the
        client's that has the name of one of the server's."""
        if taken := name_taken((tool.name for tool in request.tools), self._config.server_tools):
            raise ClientError("invalid_value", taken, "tools")
        messages = list(request.messages)
        used = Usage(0, 0)
        ran: list[str] = []
        try:
            while True:
                step = _Step()
                async with aclosing(self._think(self._request(request, messages, len(ran)), step)) as words:
                    async for delta in words:
                        yield delta
                used = _sum(used, step.done.usage)
                calls = {at: call for at, call in step.calls.items() if self._runs(call[1], request.tools)}
                if not calls or self._exhausted(len(ran)):
                    break
                async with aclosing(self._use(list(calls.values()), step, messages, ran)) as words:
                    async for delta in words:
                        yield delta
                if step.say:
                    yield TextDelta(step.say)
                if step.say or step.over:
                    break
            own = [call for at, call in step.calls.items() if at not in calls]
            for index, (call_id, name, arguments) in enumerate(own):
                yield ToolCallDelta(index, arguments, call_id, name)
            yield ChatDone("tool_calls" if own else "length" if step.done.finish_reason == "length" else "stop", used)
            await self._tools.told(tuple(ran))
        finally:
            self._tools.close()

    async def _use(
        self, calls: Sequence[tuple[str, str, str]], step: _Step, messages: list[ChatMessage], ran: list[str]
    ) -> AsyncGenerator[TextDelta, None]:
        """Run the calls of a step; their results are in the messages then. What they have to say comes meanwhile."""
        messages.append(ChatMessage("assistant", step.words, tuple(ToolCall(*call) for call in calls)))
        if step.words:
            yield TextDelta(" ")
        step.over = True
        async with aclosing(self._run(calls, len(ran), step.words)) as facts:
            async for fact in facts:
                if isinstance(fact, e.ToolPartial):
                    yield TextDelta(f"{fact.text} ")
                    continue
                ran.append(fact.call_id)
                messages.append(ChatMessage("tool", fact.output, tool_call_id=fact.call_id))
                self._config = replace(self._config, **fact.changes)
                step.over = step.over and fact.repeats
                if not fact.repeats:
                    step.say = f"{step.say} {fact.say}".strip()

    async def _think(self, request: ChatRequest, step: _Step) -> AsyncGenerator[TextDelta, None]:
        async with aclosing(self._llm.stream(request)) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta():
                        step.words += delta.text
                        yield delta
                    case ToolCallDelta():
                        step.add(delta)
                    case ChatDone():
                        step.done = delta

    async def _run(
        self, calls: Sequence[tuple[str, str, str]], ran: int, said: str
    ) -> AsyncGenerator[e.ToolPartial | e.ToolFinished, None]:
        """Run the calls beside each other; what they have to say as it comes, their ends among it."""
        for place, (call_id, name, arguments) in enumerate(calls):
            found = next((tool for tool in self._config.server_tools if tool.tool.name == name), None)
            free = found is not None and found.policy.unlimited
            refusal = _LIMIT if ran + place >= self._config.tool_limits.turn and not free else ""
            config = self._config
            known = ("", "", config.language, refusal, config.agent)
            self._tools.start(e.RunTool(call_id, name, arguments, *known, said=said))
        open_calls = {call_id for call_id, _, _ in calls}
        while open_calls:
            fact = await self._facts.get()
            if isinstance(fact, e.ToolFinished):
                open_calls.discard(fact.call_id)
                yield fact
            elif isinstance(fact, e.ToolPartial):
                yield fact

    def _runs(self, name: str, client_tools: Sequence[ToolSpec]) -> bool:
        """Whether the server answers calls of this name: those of its own tools, and those of tools that there are
        not."""
        server = self._config.server_tools
        return bool(server) and (
            any(one.tool.name == name for one in server) or all(tool.name != name for tool in client_tools)
        )

    def _exhausted(self, ran: int) -> bool:
        """Whether the model has been told that it has called too often."""
        return ran > self._config.tool_limits.turn

    def _request(self, request: ChatRequest, messages: list[ChatMessage], ran: int) -> ChatRequest:
        config = self._config
        own = [one.tool for one in config.server_tools]
        tools = [ToolSpec(tool.name, tool.description, tool.parameters) for tool in own]
        taken = {tool.name for tool in tools}
        return replace(
            request,
            messages=[ChatMessage("system", config.instructions), *messages],
            tools=[*tools, *(tool for tool in request.tools if tool.name not in taken)],
            # Whoever calls on and on after its last allowed call gets no further one.
            tool_choice="none" if self._exhausted(ran) else "auto" if ran else request.tool_choice,
            agent=config.agent,
        )


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(one.prompt + other.prompt, one.completion + other.completion, one.cached + other.cached)
