"""Server-run tools of a session whose model is elsewhere: run here, their results sent there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from server.core import events as e
from server.core.response import CUT_SHORT
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import Toolbox


@dataclass(slots=True)
class _Step:
    """The calls of one response. running: ids of those without a result. yields: the client has calls to answer, too,
    and goes on itself."""

    running: dict[str, e.ServerTool | None] = field(default_factory=dict)
    ended: bool = False
    yields: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a response's calls are there. say: words that they want to have said as they are. yields: see
    above."""

    say: str
    yields: bool


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
        self._steps: dict[str, _Step] = {}
        self._says: list[str] = []
        self._untold: list[str] = []
        self._in_turn = self._in_session = 0

    @property
    def running(self) -> bool:
        """Whether a result is waited for."""
        return any(step.running for step in self._steps.values())

    def called(self, response_id: str, item: e.Item, turn_id: str, config: e.SessionConfig) -> None:
        """The model has called a tool: run it, if it is one of the server's."""
        step = self._steps.setdefault(response_id, _Step())
        tool = next((tool for tool in config.server_tools if tool.tool.name == item.name), None)
        if tool is None and (not config.server_tools or any(own.name == item.name for own in config.tools)):
            step.yields = True
            return
        limits = config.tool_limits
        exhausted = self._in_turn >= limits.turn or self._in_session >= limits.session
        counts = tool is None or not tool.policy.unlimited
        refusal = "limit" if exhausted and counts else ""
        self._in_turn += counts
        self._in_session += counts
        step.running[item.call_id] = tool
        known = (response_id, turn_id, config.language, refusal, config.agent)
        effect = e.RunTool(item.call_id, item.name, item.arguments, *known)
        self._runner.start(effect)

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
        if fact.say:
            self._says.append(fact.say)
        return e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=fact.call_id, output=fact.output)

    def response_done(self, response: e.ResponseView) -> tuple[str, ...]:
        """The response makes no more calls. Returns the calls whose results it has told the caller."""
        if response.id in self._steps:
            self._steps[response.id].ended = True
        elif response.status is e.ResponseStatus.COMPLETED and any(
            item.kind is e.ItemKind.MESSAGE for item in response.output
        ):
            told, self._untold = tuple(self._untold), []
            return told
        return ()

    def report(self) -> Report | None:
        """What there is to tell, once all calls of a response that is done have their results; given once."""
        complete = [key for key, step in self._steps.items() if step.ended and not step.running]
        if not complete or self.running:
            return None
        steps = [self._steps.pop(key) for key in complete]
        say, self._says = " ".join(self._says), []
        return Report(say, any(step.yields for step in steps))

    async def told(self, call_ids: tuple[str, ...]) -> None:
        """The caller knows the outcome of these calls."""
        await self._runner.told(call_ids)

    def interrupt(self) -> list[e.Item]:
        """The caller speaks meanwhile: calls that are of no use then are ended; what the model reads of them. The
        others are reported when they have ended."""
        cut = []
        for key, step in list(self._steps.items()):
            if not step.running:
                continue
            for call_id, tool in list(step.running.items()):
                if tool is None or tool.policy.cancels:
                    del step.running[call_id]
                    self._runner.stop(call_id)
                    cut.append(e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=call_id, output=CUT_SHORT))
            if not step.running:
                del self._steps[key]
        return cut

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """The provider does not want these results."""
        for step in self._steps.values():
            for call_id in step.running.keys() & set(call_ids):
                del step.running[call_id]
                self._runner.stop(call_id)

    def close(self) -> None:
        """The session is over."""
        self._runner.close()
