"""``tools`` and ``tool_choice`` of the Realtime API (GA): functions of the client, and MCP servers that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from server.core.tools import NO_APPROVAL, Approval, McpEndpoint, Tool, ToolFilter
from server.transports.wire_fields import Fields

_MAX_TOOLS = 128
_MAX_MCP = 8
_MAX_SECRET = 8192
_MCP = "mcp"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


def read_tools(owner: Fields, *, beside_mcp: bool = False) -> tuple[Tool, ...] | None:
    """``tools``: function tools in the flat shape, each name once. beside_mcp: MCP servers may be among them."""
    wanted = owner.objects("tools", _MAX_TOOLS)
    if wanted is None:
        return None
    tools: dict[str, Tool] = {}
    for fields in wanted:
        if beside_mcp and fields.values.get("type") == _MCP:
            continue
        tool = _read_tool(fields)
        if tool.name in tools:
            fields.reject("name", f"'{tool.name}' is the name of another tool already.")
        tools[tool.name] = tool
    return tuple(tools.values())


def read_mcp(owner: Fields) -> tuple[McpEndpoint, ...] | None:
    """``tools`` of type mcp, each label once."""
    wanted = owner.objects("tools", _MAX_TOOLS)
    if wanted is None:
        return None
    servers: dict[str, McpEndpoint] = {}
    for fields in wanted:
        if fields.values.get("type") != _MCP:
            continue
        label = fields.needed("server_label", fields.text("server_label"))
        if not _NAME.fullmatch(label):
            fields.reject("server_label", "must be 1 to 64 letters, digits, '_' or '-'.")
        if label in servers:
            fields.reject("server_label", f"'{label}' is the label of another server already.")
        servers[label] = McpEndpoint(
            label,
            _mcp_url(fields),
            fields.text("authorization", _MAX_SECRET) or "",
            _mcp_headers(fields),
            _filter(fields, "allowed_tools") or ToolFilter(),
            _approval(fields),
        )
        if len(servers) > _MAX_MCP:
            owner.reject("tools", f"must have at most {_MAX_MCP} MCP servers.")
    return tuple(servers.values())


def _mcp_url(fields: Fields) -> str:
    for name in ("connector_id", "tunnel_id"):
        if fields.values.get(name) is not None:
            fields.reject(name, "is not available on this server; give 'server_url'.")
    url = fields.needed("server_url", fields.text("server_url", 2048))
    if not url.startswith(("https://", "http://")):
        fields.reject("server_url", "must begin with https:// or http://.")
    return url


def _mcp_headers(fields: Fields) -> dict[str, str]:
    headers = fields.object("headers")
    if headers is None:
        return {}
    for name, value in headers.values.items():
        if not isinstance(value, str) or len(value) > _MAX_SECRET or not value.isprintable() or not name.isascii():
            headers.reject(name, "must be a header's text.")
    return dict(headers.values)


def _filter(fields: Fields, name: str) -> ToolFilter | None:
    """Names, as an array or as ``tool_names``, and ``read_only``; None where there is nothing."""
    owner, names = fields, name
    if isinstance(fields.values.get(name), dict):
        owner, names = Fields(fields.values[name], fields.at(name)), "tool_names"
    found = owner.array(names)
    if found is not None and (len(found) > _MAX_TOOLS or not all(isinstance(entry, str) for entry in found)):
        owner.reject(names, f"must be at most {_MAX_TOOLS} names of tools.")
    if owner is fields and found is None:
        return None
    read_only = None if owner is fields else owner.flag("read_only")
    return ToolFilter(None if found is None else frozenset(found), read_only)


def _approval(fields: Fields) -> Approval:
    """``require_approval``: always, never, or which tools always and which never."""
    if not isinstance(fields.values.get("require_approval"), dict):
        never = fields.choice("require_approval", ("always", "never")) == "never"
        return NO_APPROVAL if never else Approval()
    rule = Fields(fields.values["require_approval"], fields.at("require_approval"))
    return Approval(_filter(rule, "always"), _filter(rule, "never"))


def _read_tool(fields: Fields) -> Tool:
    if fields.values.get("type") == _MCP:
        fields.reject("type", "MCP servers are connected for a whole session: give them in 'session.update'.")
    fields.needed("type", fields.choice("type", ("function",)))
    name = fields.needed("name", fields.text("name"))
    if not _NAME.fullmatch(name):
        fields.reject("name", "must be 1 to 64 letters, digits, '_' or '-'.")
    parameters = fields.object("parameters")
    if parameters is not None:
        parameters.object("properties")
    return Tool(name, fields.text("description") or "", parameters.values if parameters else _NO_PARAMETERS)


def read_tool_choice(owner: Fields) -> str | None:
    """``tool_choice``: auto, none, required, or the name of a function. Of an MCP server any tool comes to required."""
    if not isinstance(owner.values.get("tool_choice"), dict):
        return owner.choice("tool_choice", ("auto", "none", "required"))
    forced = Fields(owner.values["tool_choice"], owner.at("tool_choice"))
    kind = forced.needed("type", forced.choice("type", ("function", _MCP)))
    if kind == _MCP:
        forced.needed("server_label", forced.text("server_label", 64))
        return forced.text("name", 64) or "required"
    return forced.needed("name", forced.text("name", 64))
