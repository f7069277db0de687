"""``kammerton keys``: make, show and revoke the keys of the keys file."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from server.errors import SettingsError
from server.policy.keys import KeyFile
from server.settings import load

keys_app = typer.Typer(help="The keys that clients come in with.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
FileOption = Annotated[Path | None, typer.Option("--keys-file", help="Where the keys are kept.")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, '.', '_', '-'.")],
    sessions: Annotated[
        int | None, typer.Option(help="Sessions at once; without it as many as the server has.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of audio a day; without it no limit.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="30m, 12h, 90d, or a date like 2030-01-31; without it never.")
    ] = None,
    config: ConfigOption = None,
    keys_file: FileOption = None,
) -> None:
    """Make a key and print it, once: only its hash is kept. A running server takes it at once."""
    until = None if expires is None else _moment(expires)
    typer.echo(_file(keys_file, config).create(name, expires=until, max_sessions=sessions, audio_minutes_a_day=minutes))


@keys_app.command("list")
def list_keys(config: ConfigOption = None, keys_file: FileOption = None) -> None:
    """Show all keys: name, state, limits, dates. Their texts are not known."""
    from server.overview import keys_table

    typer.echo(keys_table(_file(keys_file, config).read(), datetime.now(UTC)))


@keys_app.command("revoke")
def revoke_key(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    config: ConfigOption = None,
    keys_file: FileOption = None,
) -> None:
    """Let a key open nothing from now on. Sessions that are open go on."""
    _file(keys_file, config).revoke(name)


def _file(path: Path | None, config: Path | None) -> KeyFile:
    return KeyFile(load({"auth.keys_file": path}, config).settings.auth.keys_file)


def _moment(text: str) -> datetime:
    """A time from now, or a date, of UTC where it names no zone. Raises SettingsError."""
    if span := re.fullmatch(r"([1-9]\d{0,5})([mhd])", text):
        return datetime.now(UTC).replace(microsecond=0) + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--expires takes a time like 12h or 90d, or a date like 2030-01-31, not {text}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
