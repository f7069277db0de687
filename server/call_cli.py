"""``kammerton call``: have Twilio ring somebody, and connect them to this server.

Source: Twilio's REST API, "Create a Call". The request leaves only if the operator has listed Twilio's host.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from server.errors import SettingsError
from server.settings import Settings, load

_NUMBER = re.compile(r"\+[1-9]\d{5,14}")
"""E.164."""


def call(
    number: Annotated[str, typer.Argument(help="Whom to call, like +4915112345678.")],
    agent: Annotated[str, typer.Option(help="Who speaks; without it whoever the settings name.")] = "",
    detect: Annotated[
        bool, typer.Option(help="Have Twilio find out whether a machine answers; people wait a moment for that.")
    ] = True,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")] = None,
) -> None:
    """Call a number over Twilio and connect it to the running server. Prints the call's id."""
    settings = load({}, config).settings
    typer.echo(asyncio.run(place(settings, number, agent, detect=detect)))


async def place(settings: Settings, number: str, agent: str = "", *, detect: bool = True) -> str:
    """The id of the call that Twilio makes. detect: whether a machine answers; it is told ``phone.voicemail``. Raises
    SettingsError when something is missing, or Twilio's host is not listed, VoiceError when Twilio does not take it."""
    from server.phones import twilio_rest
    from server.policy.egress import Egress

    twilio = settings.twilio
    needed = {
        "twilio.account_sid": twilio.account_sid,
        "twilio.auth_token": twilio.auth_token.get_secret_value(),
        "twilio.number": twilio.number,
        "phone.public_url": settings.phone.public_url,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise SettingsError(f"to call somebody, set {', '.join(missing)}")
    if not _NUMBER.fullmatch(number):
        raise SettingsError(f"{number!r} is no number like +4915112345678")
    query = f"?{urlencode({'agent': agent})}" if agent else ""
    rest = twilio_rest(twilio, settings.phone.public_url, Egress(settings.egress.hosts.split()))
    here = f"{settings.phone.public_url}/twilio"
    form: dict[str, object] = {"url": f"{here}/voice{query}"}
    if detect:
        # A machine is told nothing before it has finished its own words.
        form["machine_detection"] = "DetectMessageEnd" if settings.phone.voicemail else "Enable"
    return await rest.call(
        to=number,
        from_=twilio.number,
        status_callback=f"{here}/status",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
        **form,
    )
