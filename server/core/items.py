"""What a conversation is made of. Names follow the OpenAI Realtime API (GA)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from server.core.tools import Tool


class ItemKind(StrEnum):
    MESSAGE = "message"
    FUNCTION_CALL = "function_call"
    FUNCTION_CALL_OUTPUT = "function_call_output"
    MCP_LIST_TOOLS = "mcp_list_tools"
    MCP_CALL = "mcp_call"
    MCP_APPROVAL_REQUEST = "mcp_approval_request"
    MCP_APPROVAL_RESPONSE = "mcp_approval_response"


class ItemStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part of a message. kind: input_text, input_audio, output_text or output_audio.

    text: the words; for audio its transcript, None while not known. Samples are held by the Runner.
    """

    kind: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the conversation. role, content: messages; call_id, name, arguments: function calls;
    call_id, output: function call outputs. server_label: all that begins with mcp; it has name and arguments where it
    is about a call, whose outcome is output or error; an answer to an approval request has both of the request. tools:
    mcp_list_tools."""

    id: str
    kind: ItemKind
    status: ItemStatus = ItemStatus.COMPLETED
    role: str = ""
    content: tuple[ContentPart, ...] = ()
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    server_label: str = ""
    tools: tuple[Tool, ...] = ()
    error: str = ""
    approval_request_id: str = ""
    approve: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """One message of what the chat model gets to read. role: system, user, assistant or tool."""

    role: str
    text: str
    calls: tuple[Item, ...] = ()
    call_id: str = ""
