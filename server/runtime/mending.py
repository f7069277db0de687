"""Arguments of a tool call that are not what the tool asks for: the model gets one chance to mend them."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import orjson

from models.base import ChatMessage, ChatModel, ToolCall, ToolCallDelta, ToolSpec, VoiceError
from server.runtime.tool_arguments import check
from server.runtime.work import Faulty, Work


async def mended(llm: ChatModel, work: Work, faulty: Faulty) -> str:
    """The arguments as the model gives them once it is told what was wrong, or as they were if that does not help:
    who runs the call then says so."""
    await work.thought.wait()
    call_id, name = work.calls[faulty.index]
    wanted = [tool for tool in work.generation.tools if tool.name == name]
    request = work.request()
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
        async with aclosing(llm.stream(again)) as deltas:
            async for delta in deltas:
                if isinstance(delta, ToolCallDelta) and delta.index == 0:
                    text += delta.arguments
    except VoiceError:
        return faulty.arguments
    return faulty.arguments if check(wanted[0].parameters, text).problem else text
