"""The protocol's ``mcp`` tools: servers that the client names, their lists, calls that need the client's approval.

Order of events: OpenAI Realtime (GA), MCP.
"""

from __future__ import annotations

from dataclasses import replace

from server.core import events as e
from server.core.state import State


class McpServers:
    """The MCP servers of a session, and the calls that wait for approval."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._listing: dict[str, e.McpEndpoint] = {}
        self._requests: dict[str, e.Item] = {}

    def configured(self, before: tuple[e.McpEndpoint, ...]) -> list[e.Output]:
        """session.update has named servers: what is new, or has changed, is asked for its tools."""
        wanted = self._state.config.mcp
        outputs: list[e.Output] = []
        for gone in before:
            if gone not in wanted:
                self._state.mcp_tools.pop(gone.server_label, None)
                outputs.append(e.DisconnectMcp(gone.server_label))
        for endpoint in wanted:
            if endpoint not in before:
                item_id = self._state.new_id("mcpl")
                self._listing[item_id] = endpoint
                outputs += [e.McpListInProgress(item_id), e.ConnectMcp(item_id, endpoint)]
        return outputs

    def listed(self, fact: e.McpListed) -> list[e.Output]:
        """A server has told its tools, or cannot be had. Names that are taken are left out."""
        state, endpoint = self._state, self._listing.pop(fact.item_id, None)
        if endpoint is None or endpoint not in state.config.mcp:
            return []
        label = endpoint.server_label
        taken = {tool.tool.name for tool in state.server_tools} | {tool.name for tool in state.config.tools}
        tools = tuple(
            replace(
                tool,
                server_label=label,
                approval=endpoint.approval.needed(tool.tool.name, tool.policy.read_only),
            )
            for tool in fact.tools
            if tool.tool.name not in taken
        )
        state.mcp_tools[label] = tools
        listed = tuple(tool.tool for tool in tools)
        item = e.Item(fact.item_id, e.ItemKind.MCP_LIST_TOOLS, server_label=label, tools=listed)
        previous = state.conversation.insert(item)
        outputs: list[e.Output] = [e.ItemAdded(item, previous), e.ItemDone(item, previous)]
        if not fact.error:
            return [*outputs, e.McpListCompleted(item.id)]
        message = f"The tools of MCP server '{label}' cannot be listed: {fact.error}"
        return [*outputs, e.McpListFailed(item.id), e.Error("mcp_list_tools_failed", message, "session.tools")]

    def requested(self, item: e.Item) -> None:
        """This call waits for the client's approval."""
        self._requests[item.id] = item

    def refusal(self, response: e.Item) -> str:
        """Why this mcp_approval_response cannot be taken; "" if it can be."""
        if response.approval_request_id in self._requests:
            return ""
        return f"No call waits for an answer to the approval request '{response.approval_request_id}'."

    def answered(self, response: e.Item) -> e.Item:
        """mcp_approval_response: the request that it answers, which no longer waits."""
        return self._requests.pop(response.approval_request_id)
