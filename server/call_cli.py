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

from server.errors import SettingsError, VoiceError
from server.settings import Settings, load

_NUMBER = re.compile(r"\+[1-9]\d{5,14}")
"""E.164."""


def call(
    number: Annotated[str, typer.Argument(help="Whom to call, like +4915112345678.")],
    agent: Annotated[str, typer.Option(help="Who speaks; without it whoever the settings name.")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")] = None,
) -> None:
    """Call a number over Twilio and connect it to the running server. Prints the call's id."""
    settings = load({}, config).settings
    typer.echo(asyncio.run(place(settings, number, agent)))


async def place(settings: Settings, number: str, agent: str = "") -> str:
    """The id of the call that Twilio makes. Raises SettingsError when something is missing, PolicyError when Twilio's
    host is not listed, VoiceError when Twilio does not take it."""
    import httpx2

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
    form = {"To": number, "From": twilio.number, "Url": f"{settings.phone.public_url}/twilio/voice{query}"}
    auth = (twilio.account_sid, twilio.auth_token.get_secret_value())
    url = f"{twilio.api_url}/2010-04-01/Accounts/{twilio.account_sid}/Calls.json"
    async with Egress(settings.egress.hosts.split()).client(auth=auth) as client:
        try:
            answer = await client.post(url, data=form)
        except httpx2.TransportError as error:
            raise VoiceError(f"Twilio cannot be reached: {error}") from None
    if answer.status_code != 201:
        raise VoiceError(f"Twilio does not make the call: status {answer.status_code}, {answer.text[:200]}")
    return str(answer.json()["sid"])
