"""What ``kammerton check`` and ``kammerton models list`` print: plain columns, to be read or piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from models import catalog
from server.policy.egress import Egress
from server.policy.keys import Key
from server.settings import Loaded, Settings


def settings_table(loaded: Loaded) -> str:
    """Every setting with its value and where that comes from."""
    return _columns(("setting", "value", "from"), loaded.rows())


def profile_table(settings: Settings) -> str:
    """The models that would run. Raises CatalogError for an unknown profile."""
    resolved = catalog.resolve(settings.profile, settings.weights_dir)
    rows = [
        (
            kind,
            model.entry.name,
            _engine(model.entry),
            model.entry.licence,
            str(model.path) if model.on_disk else "not on disk",
        )
        for kind, model in resolved.models.items()
    ]
    heading = f"profile {resolved.name}: {resolved.reason}"
    return f"{heading}\n{_columns(('kind', 'model', 'engine', 'licence', 'weights'), rows)}"


def egress(settings: Settings) -> str:
    """What would leave the machine."""
    hosts, permits = settings.egress.hosts.split(), settings.residency.allow_cloud
    if not hosts and not permits:
        return "Nothing leaves this machine: all models run on it, and no other server is asked."
    primary = any(permit.purpose == "primary" for permit in permits)
    lines = [
        "All new sessions are served by a hosted provider." if primary else "The models of the profile run here.",
        *(f"What callers say may be sent to {permit}." for permit in permits),
    ]
    if hosts:
        who = "agents and MCP servers that clients name" if settings.egress.client_mcp else "agents"
        lines.append(f"Models and tools of {who} may be on: {', '.join(hosts)}.")
    apis = {
        settings.twilio.api_url: settings.twilio.account_sid,
        settings.vonage.api_url: settings.vonage.application_id,
    }
    if moved := [url for url, account in apis.items() if account]:
        lines.append(f"Phone calls are moved and made over {', '.join(moved)}.")
    return " ".join(lines)


def agents_table(settings: Settings) -> str:
    """The agents, looked at as when the server starts. Raises SettingsError, with a line for each fault."""
    folder = settings.agents.folder
    if not folder:
        return "There are no agents: agents.folder is empty."
    from server.casting import examine

    resolved = catalog.resolve(settings.profile, settings.weights_dir)
    if not resolved.models["tts"].on_disk:
        return f"The agents of {folder} are looked at once the weights are on disk."
    own = resolved.models["llm"].entry.name
    header = ("agent", "language", "model", "voices", "tools", "hands to")
    rows = [
        (
            name,
            agent.file.language or "any",
            agent.file.model.name if agent.file.model else own,
            " ".join(agent.file.voices.values()),
            " ".join([*agent.tools, *(f"{server.name} (MCP)" for _, server in agent.servers)]),
            " ".join(agent.file.hands_to),
        )
        for name, agent in examine(settings, resolved, Egress(settings.egress.hosts.split())).items()
    ]
    return f"agents of {folder}\n{_columns(header, rows)}"


def catalog_table(settings: Settings) -> str:
    """All profiles and their models."""
    blocks = []
    header = ("kind", "model", "engine", "size", "weights", "languages")
    for name in catalog.profiles():
        resolved = catalog.resolve(name, settings.weights_dir)
        rows = []
        for kind, model in resolved.models.items():
            entry = model.entry
            begun = "not complete" if entry.name in catalog.locked(model.root) else "not on disk"
            there = "on disk" if model.on_disk else begun
            spoken = " ".join(entry.languages) or "any"
            rows.append((kind, entry.name, _engine(entry), f"{entry.size_mb:g} MB", there, spoken))
        blocks.append(f"{name}: {resolved.about}\n{_columns(header, rows)}")
    return "\n\n".join(blocks)


def keys_table(keys: Sequence[Key], now: datetime) -> str:
    """All keys of a keys file, without anything that would open a door."""
    header = ("name", "state", "sessions", "minutes a day", "created", "expires")
    rows = [
        (
            key.name,
            key.state(now),
            "any" if key.max_sessions is None else str(key.max_sessions),
            "any" if key.audio_minutes_a_day is None else f"{key.audio_minutes_a_day:g}",
            f"{key.created:%Y-%m-%d %H:%M}",
            "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}",
        )
        for key in keys
    ]
    return _columns(header, rows)


def _engine(entry: catalog.Entry) -> str:
    name = entry.engine.partition(".")[0]
    return name if entry.available else f"{name} (not in this version)"


def _columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(header), *(tuple(" ".join(cell.split()) or "-" for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
