"""Runs the calls of server tools: each once, within its time, with a result that the model can read."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from server.core import events as e
from server.errors import StoreError, ToolError
from server.runtime.dictation import settled
from server.runtime.mcp_sessions import McpSessions
from server.runtime.tool_arguments import check
from server.runtime.tools import Partial, Result, RunnableTool, Toolbox, ToolCall, ToolContext

_log = logging.getLogger(__name__)

_MAX_PARTIAL = 2_000
"""Characters of partial results that one call may have spoken."""
_MAX_ERROR = 300
_FINISHING: set[asyncio.Task[None]] = set()
"""Work on calls that goes on to its end, though their session is over."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The call is over. nothing_done: it certainly had no effect, or may be done again without another one."""

    outcome: e.ToolOutcome
    output: str
    changes: dict[str, Any] = field(default_factory=dict)
    say: str = ""
    repeats: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    nothing_done: bool = False


def _failed(
    outcome: e.ToolOutcome, error: str = "internal error", *, hint: str = "", nothing_done: bool = False
) -> _Ended:
    """What the model reads of a failure: one short object, always of the same shape. The error stands last and is a
    plain one, as a small model speaks of what it read last: of a hint alone it makes opening hours."""
    said = ({"hint": hint[:_MAX_ERROR]} if hint else {}) | {"error": error[:_MAX_ERROR]}
    return _Ended(outcome, orjson.dumps(said).decode(), nothing_done=nothing_done)


def _given_up(error: ToolError) -> _Ended:
    outcome = e.ToolOutcome.UNCERTAIN if error.uncertain else e.ToolOutcome.ERROR
    return _failed(outcome, str(error), nothing_done=error.retryable)


def _finish(task: asyncio.Task[None]) -> asyncio.Task[None]:
    """The task, which goes on though nobody holds it."""
    _FINISHING.add(task)
    task.add_done_callback(_FINISHING.discard)
    return task


class ToolRunner:
    """The calls of one session. ``deliver`` takes the facts: ToolPartial, and one ToolFinished for each call that is
    not stopped."""

    def __init__(
        self,
        session_id: str,
        toolbox: Toolbox,
        deliver: Callable[[e.Input], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._session_id = session_id
        self._toolbox = toolbox
        self._deliver = deliver
        self._clock = clock
        self.mcp = McpSessions(toolbox.mcp, deliver)
        self._closed = False
        self._tasks: dict[str, tuple[asyncio.Task[None], bool]] = {}
        self._deeds: dict[str, asyncio.Future[str]] = {}
        self._of_calls: dict[str, str] = {}

    def start(self, effect: e.RunTool) -> None:
        """Run the call beside everything else."""
        tools = self.mcp.tools(effect.server_label) if effect.server_label else self._toolbox.of(effect.agent)
        tool = tools.get(effect.name)
        finishes = tool is not None and not tool.policy.cancels
        task = asyncio.create_task(self._run(effect, tools))
        self._tasks[effect.call_id] = task, finishes
        task.add_done_callback(lambda _: self._tasks.pop(effect.call_id, None))

    def stop(self, call_id: str) -> None:
        """Nobody waits for this call any more."""
        if call_id in self._tasks:
            self._tasks[call_id][0].cancel()

    async def told(self, call_ids: tuple[str, ...]) -> None:
        """The caller knows the outcome of these calls: the same words from now on ask for a new deed."""
        for call_id in call_ids:
            deed = self._of_calls.pop(call_id, None)
            if deed is not None:
                with suppress(StoreError):
                    await self._toolbox.ledger.told(deed)

    def close(self) -> None:
        """The session is over. What has to be finished is finished, and written down for the next one."""
        self._closed = True
        self.mcp.close()
        for task, finishes in self._tasks.values():
            if not finishes:
                task.cancel()
        if self._tasks:
            _finish(asyncio.create_task(self._end([task for task, _ in self._tasks.values()])))
        else:
            self._toolbox.over()

    async def _end(self, calls: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(calls)
        self._toolbox.over()

    async def _run(self, effect: e.RunTool, tools: Mapping[str, RunnableTool]) -> None:
        started = self._clock()
        try:
            ended = await self._attempt(effect, tools)
        except StoreError as error:
            _log.warning("a call could not be written down", extra={"error": str(error)})
            ended = _failed(e.ToolOutcome.ERROR, "the server could not write the call down, so it was not made")
        await self._tell(
            e.ToolFinished(
                effect.call_id,
                ended.outcome,
                ended.output,
                self._clock() - started,
                ended.changes,
                ended.say,
                ended.repeats,
                ended.facts,
            )
        )

    async def _tell(self, fact: e.Input) -> None:
        if not self._closed:
            await self._deliver(fact)

    async def _attempt(self, effect: e.RunTool, tools: Mapping[str, RunnableTool]) -> _Ended:
        if effect.refusal:
            return _failed(e.ToolOutcome.LIMIT, hint="Too many calls: answer without calling a tool.")
        tool = tools.get(effect.name)
        if tool is None:
            known = ", ".join(sorted(tools))
            return _failed(e.ToolOutcome.UNKNOWN_TOOL, hint=f"There is no such tool; there are: {known}")
        arguments = check(tool.spec.parameters, effect.arguments)
        if arguments.problem:
            return _failed(e.ToolOutcome.INVALID_ARGUMENTS, hint=f"Invalid arguments: {arguments.problem}")
        values = settled(tool.spec.parameters, arguments.values)
        toolbox, safe = self._toolbox, tool.policy.safe
        deed = self._deed_of(effect, safe, orjson.dumps(values, option=orjson.OPT_SORT_KEYS))
        if deed in self._deeds:
            return await self._same(self._deeds[deed])
        done = self._deeds[deed] = asyncio.get_running_loop().create_future()
        try:
            # A lookup has a name of its own already.
            key = deed if safe else await toolbox.ledger.key(deed)
            call = ToolCall(effect.call_id, effect.name, values, key, effect.response_id, effect.turn_id, effect.said)
            ended = await self._begun(deed, call, self._context(effect), tool)
            done.set_result(ended.output)
            return ended
        finally:
            done.cancel()
            del self._deeds[deed]

    def _context(self, effect: e.RunTool) -> ToolContext:
        toolbox = self._toolbox
        scope = toolbox.scope or self._session_id
        around = (effect.agent, effect.language, toolbox.state, toolbox.transfer)
        return ToolContext(self._session_id, scope, *around)

    async def _begun(self, deed: str, call: ToolCall, context: ToolContext, tool: RunnableTool) -> _Ended:
        """The outcome of a deed: of an earlier one that is the same, or of this one once it is done."""
        earlier = await self._toolbox.ledger.begin(deed, call, context)
        if earlier is not None and earlier.output is not None:
            self._of_calls[call.call_id] = deed
            return _Ended(e.ToolOutcome.REPEATED, earlier.output)
        if earlier is not None and not tool.policy.safe:
            hint = "It was begun before, and nobody knows whether it happened."
            return _failed(e.ToolOutcome.UNCERTAIN, hint=hint)
        return await self._done(deed, call, context, tool)

    async def _same(self, deed: asyncio.Future[str]) -> _Ended:
        """The very same deed is being done by another call."""
        await asyncio.wait([deed])
        if deed.cancelled():
            return _failed(e.ToolOutcome.ERROR, "cancelled")
        return _Ended(e.ToolOutcome.REPEATED, deed.result())

    def _deed_of(self, effect: e.RunTool, safe: bool, arguments: bytes) -> str:
        """A lookup is itself only; any other call is the same deed as one with the same words, until that was told."""
        scope = self._toolbox.scope or self._session_id
        what = self._session_id.encode() + effect.call_id.encode() if safe else arguments
        return hashlib.sha256(b"\0".join([scope.encode(), effect.name.encode(), what])).hexdigest()

    async def _done(self, deed: str, call: ToolCall, context: ToolContext, tool: RunnableTool) -> _Ended:
        """Do it, and write down what came of it."""
        started = self._clock()
        try:
            ended = await self._bounded(call, context, tool)
        except asyncio.CancelledError:
            # One that declares it leaves nothing behind. Of any other nobody knows: it stays written down as begun.
            if tool.policy.cancels:
                with suppress(StoreError):
                    await self._toolbox.ledger.abandon(deed)
            raise
        # It has happened now: whoever stops the call does not stop that from being written down.
        writing = asyncio.create_task(self._write_down(deed, call, ended, self._clock() - started))
        await asyncio.shield(_finish(writing))
        return ended

    async def _write_down(self, deed: str, call: ToolCall, ended: _Ended, seconds: float) -> None:
        ledger = self._toolbox.ledger
        try:
            if ended.nothing_done:
                await ledger.abandon(deed)
            else:
                await ledger.finish(deed, ended.outcome.value, ended.output, seconds)
                self._of_calls[call.call_id] = deed
        except StoreError as error:
            # What came of it is known all the same, and told. Asked again, nobody will know, and it is not done twice.
            _log.error("the outcome of a call could not be written down", extra={"error": str(error)})

    async def _bounded(self, call: ToolCall, context: ToolContext, tool: RunnableTool) -> _Ended:
        attempts = 2 if tool.policy.safe else 1
        try:
            async with asyncio.timeout(tool.policy.timeout_s):
                for attempt in range(attempts):
                    try:
                        return await self._once(call, context, tool)
                    except ToolError as error:
                        if not (error.retryable or error.uncertain) or attempt == attempts - 1:
                            return _given_up(error)
        except TimeoutError:
            return _failed(e.ToolOutcome.TIMEOUT, "timeout")
        except Exception:
            _log.exception("a tool failed", extra={"tool": call.name})
        return _failed(e.ToolOutcome.ERROR)

    async def _once(self, call: ToolCall, context: ToolContext, tool: RunnableTool) -> _Ended:
        spoken, result = 0, None
        # Tools are generators; closing one at once is how it is cancelled.
        stream = cast(AsyncGenerator[Partial | Result, None], tool.run(call, context))
        async with aclosing(stream):
            async for part in stream:
                if isinstance(part, Result):
                    result = part
                    break
                if isinstance(part, Partial) and spoken < _MAX_PARTIAL:
                    text = part.text[: _MAX_PARTIAL - spoken]
                    spoken += len(text)
                    await self._tell(e.ToolPartial(call.call_id, text))
        if result is None:
            return _failed(e.ToolOutcome.BAD_RESULT, hint="The tool gave no result.")
        return _encoded(result, tool.policy.result_limit_bytes)


def _encoded(result: Result, limit: int) -> _Ended:
    try:
        raw = result.value.encode() if isinstance(result.value, str) else orjson.dumps(result.value)
    except (TypeError, UnicodeEncodeError):
        return _failed(e.ToolOutcome.BAD_RESULT, hint="The tool gave a result that cannot be read.")
    if len(raw) > limit:
        hint = f"The result had {len(raw)} bytes; ask for less."
        return _failed(e.ToolOutcome.TOO_LARGE, hint=hint)
    return _Ended(e.ToolOutcome.OK, raw.decode(), dict(result.changes), result.say, result.repeats, result.facts)
