"""Calls of server-run tools: which are running, which results the caller has not been told, what an interruption
ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from server.core import events as e
from server.core.generations import takes_server_tools
from server.core.mcp import McpServers
from server.core.response import CUT_SHORT, Response
from server.core.state import State
from server.core.tools import in_language

_CALLS = {e.ItemKind.FUNCTION_CALL, e.ItemKind.MCP_CALL, e.ItemKind.MCP_APPROVAL_REQUEST}


@dataclass(slots=True)
class _Call:
    """One call. late: the conversation has gone on without it. item_id: of the mcp_call that its
    outcome belongs to; the outcome of any other call is an item of its own. unopened: that mcp_call, as long as the
    client has not been told of it."""

    call_id: str
    response_id: str
    policy: e.ToolPolicy
    result: e.ToolFinished | None = None
    late: bool = False
    item_id: str = ""
    unopened: e.Item | None = None


class ToolCalls:
    """All calls that a Session has under way or not told of.

    yields: the answer under way also called tools of the client, which goes on itself when it has their results.
    overrides: what the answer that called them was made with; the one that reports them is made alike.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.mcp = McpServers(state)
        self._calls: dict[str, _Call] = {}
        self._untold: dict[str, str] = {}
        self._facts: dict[str, Any] = {}
        self._to_tell_with: list[str] = []
        self._told_by: dict[str, list[str]] = {}
        self._run: set[str] = set()
        self._in_turn = 0
        self._in_session = 0
        self._slow = 0
        self.yields = False
        self.overrides = e.ResponseOverrides()

    # --------------------------------------------------------------------------------- what there is

    def _runs(self, name: str, client_tools: tuple[e.Tool, ...]) -> bool:
        """Whether the server answers calls of this name: those of its own tools, and, if it has any, those of tools
        that do not exist."""
        tools = self._state.server_tools
        return bool(tools) and (
            any(tool.tool.name == name for tool in tools) or all(tool.name != name for tool in client_tools)
        )

    def ran(self, call_id: str) -> bool:
        """Whether this was ever a call of the server's."""
        return call_id in self._run

    def awaits(self, call_id: str) -> bool:
        """Whether the answer under way waits for this call."""
        call = self._calls.get(call_id)
        return call is not None and call.result is None and not call.late

    @property
    def running(self) -> bool:
        """Whether the answer under way waits for a tool."""
        return any(call.result is None and not call.late for call in self._calls.values())

    @property
    def reportable(self) -> bool:
        """Whether there are results that the caller should be told now."""
        return bool(self._untold) and not self.running and not self.yields

    @property
    def script(self) -> str:
        """The words that the results want to have spoken; "" when the model finds them."""
        return " ".join(say for say in self._untold.values() if say)

    @property
    def exhausted(self) -> bool:
        """Whether no more calls are allowed in this turn."""
        limits = self._state.config.tool_limits
        return self._in_turn >= limits.turn or self._in_session >= limits.session

    # ------------------------------------------------------------------------------- a call's life

    def find(self, name: str) -> e.ServerTool | None:
        """The server tool of this name."""
        return next((tool for tool in self._state.server_tools if tool.tool.name == name), None)

    def in_item(self, fact: e.ToolFinished) -> bool:
        """Whether this is the outcome of an mcp_call that is waited for."""
        call = self._calls.get(fact.call_id)
        return call is not None and bool(call.item_id) and call.result is None

    def called(self, response: Response, outputs: list[e.Output]) -> list[e.Output]:
        """The model has called a tool, in a turn that is committed. outputs: what the client was told of the call; it
        is complete when its item is."""
        overrides = response.overrides
        if response.waiting_call is not None:
            return self._begin(response.waiting_call, response.id, overrides)
        for output in outputs:
            if isinstance(output, e.OutputItemDone) and output.item.kind is e.ItemKind.MCP_APPROVAL_REQUEST:
                self.mcp.requested(output.item)
        item = next((output.item for output in reversed(outputs) if isinstance(output, e.OutputItemDone)), None)
        if item is None or item.kind is not e.ItemKind.FUNCTION_CALL or not takes_server_tools(overrides):
            return []
        if self._runs(item.name, self._state.config.tools if overrides.tools is None else overrides.tools):
            return self._begin(item, response.id, overrides, response.words)
        self.yields = True
        return []

    def ahead(self, response: Response, fact: e.ResponseFact) -> list[e.Output]:
        """A fact has to wait for the MCP call before it. If it completes another one, that is run all the same."""
        if not isinstance(fact, e.ResponseToolCall) or not fact.done or fact.call_id in self._run:
            return []
        tool = self.find(fact.name)
        if tool is None or not tool.server_label or tool.approval:
            return []
        pieces = (held for held in response.held if isinstance(held, e.ResponseToolCall))
        arguments = "".join(piece.arguments for piece in pieces if piece.call_id == fact.call_id) or "{}"
        item = e.Item("", e.ItemKind.MCP_CALL, call_id=fact.call_id, name=fact.name, arguments=arguments)
        return self._begin(replace(item, server_label=tool.server_label), response.id, response.overrides)

    def early(self, item: e.Item | None) -> e.ToolFinished | None:
        """The outcome of the MCP call that has just become this item, if it is known already. Given once."""
        call = self._calls.get(item.call_id) if item else None
        if call is None:
            return None
        result, call.result = call.result, None
        return result

    def approved(self, request: e.Item, answer: e.Item) -> list[e.Output]:
        """The client has answered an approval request."""
        if not answer.approve:
            self._untold[request.call_id] = ""
            return []
        state = self._state
        item = replace(
            request,
            id=state.new_id("mcp"),
            kind=e.ItemKind.MCP_CALL,
            status=e.ItemStatus.IN_PROGRESS,
            approval_request_id=request.id,
        )
        added = e.ItemAdded(item, state.conversation.insert(item))
        return [added, e.McpCallInProgress(item.id, 0), *self._begin(item, "", self.overrides)]

    def _begin(self, item: e.Item, response_id: str, overrides: e.ResponseOverrides, said: str = "") -> list[e.Output]:
        state = self._state
        if item.call_id in self._run:
            call = self._calls.get(item.call_id)
            if call is not None and call.unopened is not None:
                call.item_id, call.unopened = item.id, None
            return []
        found = self.find(item.name)
        policy = found.policy if found else e.ToolPolicy()
        refusal = "limit" if self.exhausted and not policy.unlimited else ""
        self._in_turn += not policy.unlimited
        self._in_session += not policy.unlimited
        outputs: list[e.Output] = []
        if policy.second_filler and not self.running:
            self._slow += 1
            outputs.append(e.StartTimer(e.TimerKind.SLOW_TOOL, self._slow, round(policy.slow_after_s * 1000)))
        self.overrides = overrides
        in_item = item.kind is e.ItemKind.MCP_CALL
        unopened = item if in_item and not item.id else None
        item_id = item.id if in_item else ""
        self._calls[item.call_id] = _Call(item.call_id, response_id, policy, item_id=item_id, unopened=unopened)
        self._run.add(item.call_id)
        label = found.server_label if found else ""
        known = (self._turn_id(), state.spoken_language, refusal, state.config.agent, label, said)
        return [e.RunTool(item.call_id, item.name, item.arguments, response_id, *known), *outputs]

    def finished(self, fact: e.ToolFinished, active_id: str | None) -> list[e.Output]:
        """A tool has its result. It becomes an item once the response that called it is complete."""
        call = self._calls.get(fact.call_id)
        if call is None or call.result is not None:
            return []
        call.result = fact
        if call.item_id:
            return self._keep(call)
        return [] if call.response_id == active_id else self._keep(call)

    def reports(self, response_id: str) -> bool:
        """Whether this response tells the caller what tools have found."""
        return bool(self._told_by.get(response_id))

    def settle(self, response: e.ResponseView) -> list[e.Output]:
        """A response is over: the results of its calls become items, and the ones that it reported are told."""
        outputs: list[e.Output] = []
        told = self._told_by.pop(response.id, [])
        made = {item.kind for item in response.output}
        if told and e.ItemKind.MESSAGE in made:
            outputs.append(e.ToolsTold(tuple(told)))
        elif made & _CALLS:
            # It only asked for more: what comes of that is told together with this.
            self._to_tell_with += told
        elif response.reason == "turn_detected":
            # Nothing of it was heard: it is still to be told.
            self._untold.update(dict.fromkeys(told, ""))
        for call in list(self._calls.values()):
            if call.response_id == response.id and call.result is not None:
                outputs += self._keep(call)
        return outputs

    def reported_by(self, response_id: str) -> Mapping[str, Any]:
        """This response's context holds all results so far. What the client is told with it."""
        facts, self._facts = self._facts, {}
        if self._untold:
            self._told_by[response_id] = [*self._to_tell_with, *self._untold]
            self._to_tell_with.clear()
            self._untold.clear()
        return facts

    def interrupt(self) -> list[e.Output]:
        """The answer was cut short: end the calls that are of no use without it, let the others finish late."""
        outputs: list[e.Output] = []
        for call in list(self._calls.values()):
            if call.late or call.result is not None:
                continue
            if call.policy.cancels:
                del self._calls[call.call_id]
                outputs.append(e.StopTool(call.call_id))
                outputs += self._outcome(call, "", CUT_SHORT)
            call.late = True
        self.yields = False
        return outputs

    def new_turn(self) -> None:
        """The caller has asked something else: what still runs is reported when it comes."""
        for call in self._calls.values():
            call.late = True
        self._in_turn = 0
        self.yields = False
        self.overrides = e.ResponseOverrides()

    def slow(self, token: int, language: str | None) -> str:
        """The timer of the second filler has run out; what to say now, "" for nothing."""
        if token != self._slow:
            return ""
        waiting = [call for call in self._calls.values() if call.result is None and not call.late]
        return next((text for call in waiting if (text := in_language(call.policy.second_filler, language))), "")

    # ------------------------------------------------------------------------------------- internals

    def _keep(self, call: _Call) -> list[e.Output]:
        del self._calls[call.call_id]
        result = call.result
        assert result is not None
        if result.changes:
            self._state.config = replace(self._state.config, **result.changes)
        told: list[e.Output] = []
        if result.repeats and not call.late:
            told.append(e.ToolsTold((call.call_id,)))
        else:
            self._untold[call.call_id] = result.say
        self._facts |= result.facts
        good = result.outcome in (e.ToolOutcome.OK, e.ToolOutcome.REPEATED)
        return [*self._outcome(call, *((result.output, "") if good else ("", result.output))), *told]

    def _outcome(self, call: _Call, output: str, error: str) -> list[e.Output]:
        """What came of a call, where the model will find it."""
        if call.item_id:
            return self._into_item(call, output, error)
        if call.unopened is None:
            return self._item(call.call_id, output or error)
        # Its response ended before it came to be told of.
        state, status = self._state, e.ItemStatus.INCOMPLETE if error else e.ItemStatus.COMPLETED
        item = replace(call.unopened, id=state.new_id("mcp"), status=status, output=output, error=error)
        previous = state.conversation.insert(item)
        return [e.ItemAdded(item, previous), e.ItemDone(item, previous)]

    def _into_item(self, call: _Call, output: str, error: str) -> list[e.Output]:
        """An mcp_call outside of any response ends here; within one, or behind it, it has ended."""
        conversation = self._state.conversation
        if call.item_id not in conversation:
            return []
        item = conversation[call.item_id]
        ended = item.status is not e.ItemStatus.IN_PROGRESS
        status = e.ItemStatus.INCOMPLETE if error else e.ItemStatus.COMPLETED
        item = replace(item, status=status, output=output, error=error)
        conversation.update(item)
        if ended:
            return []
        told = e.McpCallFailed(item.id, 0) if error else e.McpCallCompleted(item.id, 0)
        return [told, e.ItemDone(item, conversation.previous_id(item.id))]

    def _item(self, call_id: str, output: str) -> list[e.Output]:
        state = self._state
        item = e.Item(state.new_id("item"), e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=call_id, output=output)
        previous = state.conversation.insert(item)
        return [e.ItemAdded(item, previous), e.ItemDone(item, previous)]

    def _turn_id(self) -> str:
        """The caller's last item."""
        return next((item.id for item in reversed(list(self._state.conversation)) if item.role == "user"), "")
