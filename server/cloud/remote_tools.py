"""Server-run tools of a session whose model is elsewhere: run here, their results sent there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field

from server.core import events as e
from server.core.response import CUT_SHORT
from server.core.tools import in_language
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import Toolbox


@dataclass(slots=True)
class _Step:
    """The calls of one response. running: ids of those without a result. yields: the client has calls to answer, too,
    and goes on itself. repeats: all results so far say what the response has said itself."""

    running: dict[str, e.ServerTool | None] = field(default_factory=dict)
    ended: bool = False
    yields: bool = False
    repeats: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a response's calls are there. say: words that they want to have said as they are. quiet: no
    others are needed: the client goes on itself, or the response has said all."""

    say: str
    quiet: bool


class RemoteTools:
    """The calls of one session."""

    def __init__(
        self,
        session_id: str,
        toolbox: Toolbox,
        deliver: Callable[[e.Input], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._runner = ToolRunner(session_id, toolbox, deliver, clock)
        self._deliver = deliver
        self._steps: dict[str, _Step] = {}
        self._run: set[str] = set()
        self._alarms: dict[int, tuple[str, asyncio.Task[None]]] = {}
        self._says: list[str] = []
        self._untold: list[str] = []
        self._telling: tuple[str, ...] = ()
        self._in_turn = self._in_session = 0

    @property
    def running(self) -> bool:
        """Whether a result is waited for."""
        return any(step.running for step in self._steps.values())

    def called(self, response_id: str, item: e.Item, turn_id: str, config: e.SessionConfig, said: str = "") -> None:
        """The model has called a tool: run it, if it is one of the server's. A call that is told again is run once.
        said: words of the response before."""
        if item.id in self._run:
            return
        self._run.add(item.id)
        step = self._steps.setdefault(response_id, _Step())
        tool = next((tool for tool in config.server_tools if tool.tool.name == item.name), None)
        if tool is None and (not config.server_tools or any(own.name == item.name for own in config.tools)):
            step.yields = True
            return
        policy = e.ToolPolicy() if tool is None else tool.policy
        limits = config.tool_limits
        exhausted = self._in_turn >= limits.turn or self._in_session >= limits.session
        refusal = "limit" if exhausted and not policy.unlimited else ""
        self._in_turn += not policy.unlimited
        self._in_session += not policy.unlimited
        if policy.second_filler and not self.running:
            self._watch(item.call_id, policy.slow_after_s)
        step.running[item.call_id] = tool
        known = (turn_id, config.language, refusal, config.agent)
        self._runner.start(e.RunTool(item.call_id, item.name, item.arguments, response_id, *known, said=said))

    def _watch(self, call_id: str, delay_s: float) -> None:
        token = len(self._run)

        async def remind() -> None:
            await asyncio.sleep(delay_s)
            await self._deliver(e.TimerFired(e.TimerKind.SLOW_TOOL, token))

        self._alarms[token] = call_id, asyncio.create_task(remind())

    def slow(self, token: int, language: str | None) -> str:
        """A call takes its time: what to say of that, "" for nothing."""
        call_id, _ = self._alarms.pop(token)
        waited_for = {key: tool for step in self._steps.values() for key, tool in step.running.items()}
        tool = waited_for.get(call_id)
        return in_language(tool.policy.second_filler, language) if tool else ""

    def meanwhile(self, response: e.ResponseView, language: str | None) -> str:
        """What to say while the calls of a response that is done are run, if the model has found no words itself; ""
        for nothing."""
        step = self._steps.get(response.id)
        if step is None or any(item.kind is e.ItemKind.MESSAGE for item in response.output):
            return ""
        texts = (in_language(tool.policy.filler, language) for tool in step.running.values() if tool is not None)
        return next(filter(None, texts), "")

    def new_turn(self) -> None:
        """The caller has asked something."""
        self._in_turn = 0

    def finished(self, fact: e.ToolFinished) -> e.Item | None:
        """A call is over: the item that says so; None when nobody waits for it any more."""
        step = next((step for step in self._steps.values() if fact.call_id in step.running), None)
        if step is None:
            return None
        del step.running[fact.call_id]
        self._untold.append(fact.call_id)
        step.repeats = step.repeats and fact.repeats
        if fact.say and not fact.repeats:
            self._says.append(fact.say)
        return e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=fact.call_id, output=fact.output)

    def response_began(self) -> None:
        """What it is made of are the results so far, and none that come while it is spoken."""
        self._telling = tuple(self._untold)

    def response_done(self, response: e.ResponseView) -> tuple[str, ...]:
        """The response makes no more calls. Returns the calls whose results it has told the caller."""
        if response.id in self._steps:
            self._steps[response.id].ended = True
        elif response.status is e.ResponseStatus.COMPLETED and any(
            item.kind is e.ItemKind.MESSAGE for item in response.output
        ):
            self._untold = [call_id for call_id in self._untold if call_id not in self._telling]
            return self._telling
        return ()

    def report(self) -> Report | None:
        """What there is to tell, once all calls of a response that is done have their results; given once."""
        complete = [key for key, step in self._steps.items() if step.ended and not step.running]
        if not complete or self.running:
            return None
        steps = [self._steps.pop(key) for key in complete]
        say, self._says = " ".join(self._says), []
        return Report(say, any(step.yields for step in steps) or all(step.repeats for step in steps))

    async def told(self, call_ids: tuple[str, ...]) -> None:
        """The caller knows the outcome of these calls."""
        await self._runner.told(call_ids)

    def interrupt(self) -> list[e.Item]:
        """The caller speaks meanwhile: calls that are of no use then are ended; what the model reads of them. The
        others are reported when they have ended."""
        ended = self._end({call_id for step in self._steps.values() for call_id in step.running})
        kind = e.ItemKind.FUNCTION_CALL_OUTPUT
        return [e.Item("", kind, call_id=call_id, output=CUT_SHORT) for call_id in ended]

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """The provider does not wait for these results any more, as the caller speaks. The same as ``interrupt``, but
        that the model knows."""
        self._end(call_ids)

    def _end(self, call_ids: Container[str]) -> list[str]:
        """End those of these calls that the caller's voice ends. Returns them. Of a response without any other call
        there is nothing to report."""
        ended: list[str] = []
        for key, step in list(self._steps.items()):
            before = len(ended)
            for call_id, tool in list(step.running.items()):
                if call_id in call_ids and (tool is None or tool.policy.cancels):
                    del step.running[call_id]
                    self._runner.stop(call_id)
                    ended.append(call_id)
            if len(ended) > before and not step.running:
                del self._steps[key]
        if not self._steps:
            self._says.clear()
        return ended

    def close(self) -> None:
        """The session is over."""
        self._runner.close()
        for _, alarm in self._alarms.values():
            alarm.cancel()
