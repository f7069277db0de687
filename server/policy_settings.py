"""Settings of the audit log."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from server.settings_group import Group


class AuditSettings(Group):
    """The audit log."""

    file: Path = Field(
        default=Path("~/.local/share/kammerton/audit.jsonl"),
        description="Audit log: rows chained by hash, for `kammerton audit verify`.",
    )
