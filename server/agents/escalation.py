"""Going to a human: when, by what an agent's ``[escalation]`` table says, and the tool that does it.

The tool is one like any other, so that each call of it is written down, told to the client and run once; what the table
sets off is a call of it that the model has not made.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

import orjson

from models.base import ChatMessage, ChatRequest, ToolCallDelta, ToolSpec
from server.agents.files import EscalationEntry, in_order
from server.agents.hearing import Heard
from server.core.tools import ToolPolicy
from server.runtime.announcements import says_connecting
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

TOOL = "transfer_to_human"
_MAX_REASON = 300


class Trigger(StrEnum):
    """What has set it off."""

    MODEL = "model"
    WORDS = "words"
    FAILURES = "failures"
    MISUNDERSTANDINGS = "misunderstandings"
    LIMIT = "limit"


class TransferToHuman:
    """See RunnableTool. entries: of all agents that have the table, by name."""

    # The bundled model was trained with this description.
    spec = ToolSpec(
        TOOL,
        "Transfer the call to a human colleague.",
        {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]},
    )
    # Asking twice does no harm, and who has been told once may ask again.
    policy = ToolPolicy(on_interrupt="finish", safe=True, unlimited=True)

    def __init__(self, entries: Mapping[str, EscalationEntry]) -> None:
        self._entries = entries

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool. Where there is a call that can be handed on, it is; elsewhere the client is told."""
        entry = self._entries[context.agent]
        transferred = context.transfer(entry.to)
        reason = str(call.arguments["reason"])[:_MAX_REASON]
        trigger = Trigger(reason) if reason in set(Trigger) else Trigger.MODEL
        fact = {"agent": context.agent, "to": entry.to or None, "trigger": trigger.value, "reason": reason}
        say = in_order(entry.say if transferred else entry.elsewhere or entry.say, context.language)
        value = {"status": "transferring" if transferred else "a human has been asked for"}
        # Where nobody is called, the agent's words may have promised what does not come: its file has the last word.
        said = transferred and says_connecting(call.said, context.language)
        yield Result(value, say=say, repeats=said, facts={"escalation": {**fact, "transferred": transferred}})


class Watch:
    """Of one session: whether what is asked of the model is for a human instead. entries: see TransferToHuman.

    What has been done already is read from the conversation: an answer may be prepared more than once, and thrown away.
    """

    def __init__(self, entries: Mapping[str, EscalationEntry], heard: Heard) -> None:
        self._entries = entries
        self._heard = heard
        self._unclear: set[int] = set()

    def shown(self, request: ChatRequest) -> ChatRequest:
        """The request as the model is to see it."""
        entry = self._entries.get(request.agent)
        if entry is None or entry.by_model:
            return request
        tools = [tool for tool in request.tools if tool.name != TOOL]
        return replace(request, tools=tools, tool_choice=request.tool_choice if tools else "auto")

    def due(self, request: ChatRequest, failures: int, limit: str | None) -> Trigger | None:
        """Why the caller goes to a human now. failures: of the model in a row. limit: of the session, if one is
        reached."""
        entry = self._entries.get(request.agent)
        if entry is None or request.tool_choice == "none" or all(tool.name != TOOL for tool in request.tools):
            return None
        turns = [at for at, message in enumerate(request.messages) if message.role == "user"]
        done = [at for at, message in enumerate(request.messages) if any(c.name == TOOL for c in message.tool_calls)]
        if turns and done and done[-1] > turns[-1]:
            return None
        if turns and _said(entry.words, request.messages[turns[-1]].text):
            return Trigger.WORDS
        if done:
            return None
        if entry.limits and limit:
            return Trigger.LIMIT
        if entry.failures and max(failures, _failed(request.messages)) >= entry.failures:
            return Trigger.FAILURES
        last = request.messages[turns[-1]].text if turns else ""
        return (
            Trigger.MISUNDERSTANDINGS if self._misunderstood(entry, request.earlier_turns + len(turns), last) else None
        )

    def _misunderstood(self, entry: EscalationEntry, turns: int, words: str) -> bool:
        if entry.misunderstandings is None or self._heard.sure(words) >= entry.min_confidence:
            return False
        # A turn may be prepared more than once: it counts by its place.
        self._unclear.add(turns)
        return all(turns - back in self._unclear for back in range(entry.misunderstandings))


def called(trigger: Trigger) -> ToolCallDelta:
    """The call, as if the model had made it."""
    return ToolCallDelta(0, orjson.dumps({"reason": trigger.value}).decode(), name=TOOL)


def _said(words: Sequence[str], text: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words)


def _failed(messages: Sequence[ChatMessage]) -> int:
    """Calls of tools that failed in a row, if the last thing that happened is one."""
    if not messages or messages[-1].role != "tool":
        return 0
    count = 0
    for message in reversed(messages):
        if message.role == "tool":
            if not _is_error(message.text):
                break
            count += 1
    return count


def _is_error(output: str) -> bool:
    """Whether this is what is told of a call that failed: an object with an error, and a hint at most."""
    try:
        told = orjson.loads(output)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and "error" in told and told.keys() <= {"error", "hint"}
