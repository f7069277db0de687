"""The settings that agents and their tools need; read by ``server.settings`` like all others."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from server.settings_group import Group


class AgentsSettings(Group):
    """Agents that are written in files."""

    folder: str = Field(default="", description="Folder of agent files (`name.toml`); empty for none.")
    secrets_file: Path = Field(
        default=Path("~/.config/kammerton/secrets.toml"),
        description='Secrets for agents\' tools, each line `name = "value"`.',
    )


class StoreSettings(Group):
    """What agents' sessions leave behind: facts, and which tools have run."""

    url: str = Field(
        default="sqlite:///~/.local/share/kammerton/store.db",
        description="Database: `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.",
    )


class EgressSettings(Group):
    """What may leave the machine."""

    hosts: str = Field(
        default="",
        description="Hosts that agents' tools and models may reach besides this machine: `name`, `name:port` or"
        " `*.name`, with spaces between them.",
    )
    client_mcp: bool = Field(
        default=False,
        description="Clients may name MCP servers (tools of type `mcp`) on those hosts and on this machine.",
    )
