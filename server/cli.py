"""The ``kammerton`` command.

Whatever goes wrong for a reason that the user can mend is one line on standard error and exit code 2; a conversation
that breaks off is exit code 1. Each command imports what it needs.
"""

from __future__ import annotations

import errno
import importlib.metadata
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from server.audit_cli import audit_app
from server.call_cli import call
from server.errors import VoiceError
from server.keys_cli import keys_app
from server.models_cli import models_app
from server.settings import load

app = typer.Typer(
    name="kammerton",
    help="A realtime voice server of your own, behind an OpenAI-Realtime-compatible WebSocket.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
app.command()(call)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Models to run: tiny, cpu, gpu, gpu-large or auto.")
]
WeightsOption = Annotated[Path | None, typer.Option("--weights-dir", help="Folder of fetched weights.")]
AgentsOption = Annotated[str | None, typer.Option("--agents", metavar="FOLDER", help="Folder of agent files.")]


class _RefusedError(Exception):
    """One line for the user; the command ends with exit code 2."""


@app.command()
def serve(
    profile: ProfileOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[str | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    agents: AgentsOption = None,
) -> None:
    """Start the server."""
    given = {
        "agents.folder": agents,
        "profile": profile,
        "server.host": host,
        "server.port": port,
        "weights_dir": weights_dir,
    }
    settings = load({**given, "log.level": log_level}, config).settings

    from server import app as server_app
    from server.telemetry import logs

    logs.configure(settings.log)
    try:
        server_app.serve(settings)
    except OSError as error:
        where = f"{settings.server.host} port {settings.server.port}"
        reasons = {
            errno.EADDRINUSE: f"{where} is in use by another program; choose another with --port",
            errno.EACCES: f"not allowed to listen on {where}; ports from 1024 on are free to all",
            errno.EADDRNOTAVAIL: f"{settings.server.host} is no address of this machine; choose another with --host",
        }
        if isinstance(error, socket.gaierror):
            raise _RefusedError(reasons[errno.EADDRNOTAVAIL]) from None
        if error.errno not in reasons:
            raise
        raise _RefusedError(reasons[error.errno]) from None


@app.command()
def talk(
    questions: Annotated[
        list[Path] | None, typer.Argument(metavar="[QUESTION.WAV]...", help="One turn each; none: the microphone.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="WAV file for what is heard in answer.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Realtime address, ws://127.0.0.1:8080/v1/realtime if not given.")
    ] = None,
    agent: Annotated[str, typer.Option(help="Agent of the server that is to answer.")] = "",
    format: Annotated[str, typer.Option(help="Audio on the wire: pcm, ulaw or alaw.")] = "pcm",
    instructions: Annotated[str | None, typer.Option(help="System text of the session.")] = None,
    voice: Annotated[str | None, typer.Option(help="Voice by name.")] = None,
    tools: Annotated[Path | None, typer.Option(help="JSON file with a list of function tools.")] = None,
    tool_result: Annotated[
        list[str] | None, typer.Option(metavar="NAME=JSON", help="What a tool answers; may be given several times.")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="End each turn by commit instead of by silence.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Answer in text, without speech.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a turn.")] = False,
) -> None:
    """Speak to a running server and hear its answer. If it asks for a key: set KAMMERTON_AUTH__KEY."""
    from server.talk.client import DEFAULT_URL, TalkOptions, read_result, read_tools
    from server.talk.console import talk as hold_conversation
    from server.talk.wire import FORMATS, TalkError, TalkStartError

    try:
        if format not in FORMATS:
            raise TalkStartError(f"--format takes {', '.join(FORMATS)}, not {format!r}")
        options = TalkOptions(
            url=url or DEFAULT_URL,
            key=load().settings.auth.key.get_secret_value(),
            agent=agent,
            format=format,
            instructions=instructions,
            voice=voice,
            tools=read_tools(tools) if tools else (),
            tool_results=dict(read_result(result) for result in tool_result or ()),
            manual=manual,
            text=text,
        )
        answered = hold_conversation(questions or [], options, out=out, as_json=as_json)
    except TalkStartError:
        raise
    except TalkError as error:
        _complain(str(error))
        raise typer.Exit(1) from None
    if not answered:
        raise typer.Exit(1)


@app.command()
def check(
    profile: ProfileOption = None,
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
    agents: AgentsOption = None,
) -> None:
    """Show the settings and where each comes from, the models with their licences, the agents, and what would leave
    the machine."""
    from server import overview

    loaded = load({"profile": profile, "weights_dir": weights_dir, "agents.folder": agents}, config)
    sections = (
        overview.settings_table(loaded),
        overview.profile_table(loaded.settings),
        overview.agents_table(loaded.settings),
        overview.egress(loaded.settings),
    )
    typer.echo("\n\n".join(sections))


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(importlib.metadata.version("kammerton"))


def main() -> None:
    """Entry point of the ``kammerton`` command."""
    try:
        app()
    except (VoiceError, _RefusedError) as error:
        _complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(message: str) -> None:
    for line in message.splitlines():
        print("kammerton:", " ".join(line.split()), file=sys.stderr)
