"""``kammerton audit``: the audit log, read and verified."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from server.errors import AuditError, SettingsError
from server.settings import load

audit_app = typer.Typer(help="The audit log.", no_args_is_help=True)

FileArgument = Annotated[Path | None, typer.Argument(help="Log to read; audit.file of the settings if not given.")]
Moment = Annotated[str, typer.Option(metavar="TIME", help="As 2026-11-21 or 2026-11-21T08:00:00Z.")]


@audit_app.command()
def verify(
    file: FileArgument = None,
    holds: Annotated[
        str, typer.Option(metavar="HASH", help="A newest hash of before, kept elsewhere: its row must still be there.")
    ] = "",
) -> None:
    """Look at every row, and name the first that is not as it was written. Rows cut off at the end are found with
    --holds only."""
    from server.policy.audit import rows

    count, newest, found = 0, "", not holds
    for row in rows(_log(file)):
        count, newest = row.seq, row.hash
        found = found or row.hash == holds.lower()
    if not found:
        raise AuditError(f"{_log(file)} holds no row with the hash {holds}: rows were cut off, or all are new")
    typer.echo(f"{count} rows, each as it was written. Newest hash: {newest or 'none'}")


@audit_app.command()
def show(file: FileArgument = None, since: Moment = "", until: Moment = "") -> None:
    """Print rows as JSON lines, verified up to where they end."""
    from dataclasses import asdict

    import orjson

    from server.policy.audit import rows

    first, last = _moment("--since", since), _moment("--until", until)
    for row in rows(_log(file)):
        at = datetime.fromisoformat(row.at)
        if (first is None or at >= first) and (last is None or at < last):
            typer.echo(orjson.dumps(asdict(row)).decode())


def _log(file: Path | None) -> Path:
    return (file or load().settings.audit.file).expanduser()


def _moment(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} takes a day or a time as 2026-11-21T08:00:00Z, not {text!r}") from None
    return moment if moment.tzinfo else moment.astimezone()
