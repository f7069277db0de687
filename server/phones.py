"""The phone doors, as the settings ask for them."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from server.errors import PolicyError, SettingsError
from server.phone_settings import TwilioSettings, VonageSettings
from server.policy.egress import Egress
from server.runtime.admission import Admission
from server.runtime.runner import Engines
from server.settings import Settings
from server.transports import asterisk, freeswitch, phone_routes, plivo, telnyx, twilio, vonage
from server.transports.base import DoorSettings, SessionObserver
from server.transports.calls import Calls
from server.transports.manners import DOUBTFUL_ANSWERS, Manners
from server.transports.phone_routes import Carrier
from server.transports.phone_tools import PhoneTools
from server.transports.phrases import read_book
from server.transports.twilio_signature import Validator

if TYPE_CHECKING:
    import httpx2

    from server.transports.twilio_rest import TwilioRest
    from server.transports.vonage_rest import VonageRest

_log = logging.getLogger(__name__)

_WITH_TOKEN = {
    "vonage": Carrier(lambda _: vonage.VonageCodec(), vonage.answer, vonage.hang_up),
    "plivo": Carrier(lambda _: plivo.PlivoCodec(), plivo.answer, plivo.hang_up, plivo.dial),
    "telnyx": Carrier(lambda _: telnyx.TelnyxCodec(), telnyx.answer, telnyx.hang_up, telnyx.dial),
    "asterisk": Carrier(asterisk.WebSocketChannelCodec),
    "freeswitch": Carrier(lambda _: freeswitch.AudioForkCodec()),
}
_MIN_TOKEN = 16
_REST_S = 10.0
"""A caller waits in silence for a carrier's answer."""


def open_doors(
    app: FastAPI,
    settings: Settings,
    engines: Engines,
    door: DoorSettings,
    admission: Admission,
    observer: SessionObserver,
    egress: Egress,
) -> Calls:
    """Add the routes of every carrier that is set up; the calls that come over them are given back. Raises
    SettingsError for a carrier that is set up by half."""
    phone = settings.phone
    book = read_book(phone.phrases)
    manners = Manners(
        greeting=phone.greeting,
        silence_s=phone.silence_s,
        max_s=phone.max_call_s,
        resume_s=phone.resume_s,
        book=book,
    )
    # Half a second of talking over each other is lived with on a screen, not on a phone; and here we hold the sound.
    policy = replace(
        door.policy,
        interrupt_ms=phone.interrupt_ms,
        interrupt_words=phone.interrupt_words,
        pauses=True,
        doubtful_answers=DOUBTFUL_ANSWERS,
    )
    door = replace(door, policy=policy)
    tools = PhoneTools(phone.end_call, _pairs("phone.transfers", phone.transfers), book)
    calls = Calls(engines, door, manners, admission, observer, tools)
    agents = _pairs("phone.agents", phone.agents)

    def agent_of(number: str) -> str:
        return agents.get(number) or agents.get("*", "")

    auth_token, token = settings.twilio.auth_token.get_secret_value(), phone.token.get_secret_value()
    if auth_token:
        if not phone.public_url:
            raise SettingsError("twilio.auth_token is set, but phone.public_url is not: signatures cover that URL")
        validator = Validator(auth_token, _shared_keys(settings.twilio.shared_key.get_secret_value()))
        address = twilio.TwilioSettings(phone.public_url, validator)
        control = twilio_rest(settings.twilio, phone.public_url, egress) if settings.twilio.account_sid else None
        counted = partial(observer.carrier_reported, "twilio")
        app.include_router(
            twilio.router(calls, address, twilio.TwilioDoor(agent_of, control, phone.voicemail, counted))
        )
    if token:
        if len(token) < _MIN_TOKEN or not phone.public_url:
            raise SettingsError(f"phone.token needs {_MIN_TOKEN} characters or more, and phone.public_url beside it")
        rest = {"vonage": vonage_rest(settings.vonage, egress)} if settings.vonage.application_id else {}
        for name, carrier in _WITH_TOKEN.items():
            routes = phone_routes.router(
                name, carrier, calls, phone.public_url, token, agent_of, rest.get(name), wide=phone.wide
            )
            app.include_router(routes)
    _audiosocket(settings)
    return calls


@asynccontextmanager
async def running(calls: Calls, settings: Settings) -> AsyncIterator[None]:
    """AudioSocket connections are taken as long as this lasts; then all calls end."""
    where, agents = _audiosocket(settings), _pairs("phone.agents", settings.phone.agents)
    listener = (
        None
        if where is None
        else await asterisk.listen(
            calls, *where, agents.get("*", ""), asks_next=bool(settings.phone.token.get_secret_value())
        )
    )
    if listener is not None:
        host, port = listener.sockets[0].getsockname()[:2]
        _log.info("listening for AudioSocket", extra={"host": host, "port": port})
    try:
        yield
    finally:
        if listener is not None:
            listener.close()
        await calls.close()


def twilio_rest(settings: TwilioSettings, public_url: str, egress: Egress) -> TwilioRest:
    """Twilio's REST API. Raises SettingsError when its package is not installed, or its host not listed."""
    with _needed("twilio.account_sid", "twilio"):
        from server.transports.twilio_rest import TwilioRest
    client = _client("twilio.account_sid", settings.api_url, egress)
    token = settings.auth_token.get_secret_value()
    return TwilioRest(settings.account_sid, token, settings.api_url, public_url, client)


def vonage_rest(settings: VonageSettings, egress: Egress) -> VonageRest:
    """Vonage's REST API. Raises SettingsError as ``twilio_rest`` does, and for a key that cannot be used."""
    with _needed("vonage.application_id", "vonage"):
        from server.transports.vonage_rest import VonageRest
    client = _client("vonage.application_id", settings.api_url, egress)
    try:
        key = Path(settings.private_key).expanduser().read_text()
        return VonageRest(settings.application_id, key, settings.number, settings.api_url, client)
    except (OSError, ValueError) as error:
        raise SettingsError(f"vonage.private_key {settings.private_key!r} cannot be used: {error}") from None


@contextmanager
def _needed(setting: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        what = f"{setting} is set, but {error.name} is not installed"
        raise SettingsError(f"{what}: pip install 'kammerton[{extra}]'") from None


def _client(setting: str, api_url: str, egress: Egress) -> Callable[[], httpx2.AsyncClient]:
    try:
        egress.check(api_url)
    except PolicyError as error:
        raise SettingsError(f"{setting} is set, but the REST API may not be asked: {error}") from None
    return lambda: egress.client(timeout=_REST_S)


def _audiosocket(settings: Settings) -> tuple[str, int] | None:
    """Host and port. Raises SettingsError for an address that others can reach: AudioSocket knows no secrets."""
    host, _, port = settings.asterisk.audiosocket.rpartition(":")
    if not port:
        return None
    try:
        own = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        own = host == "localhost"
    if not own and not settings.auth.allow_open:
        raise SettingsError(
            f"asterisk.audiosocket {settings.asterisk.audiosocket} can be reached from other machines, and AudioSocket"
            " has no keys: take 127.0.0.1, or let everybody in with auth.allow_open = true"
        )
    return host.strip("[]"), int(port)


def _pairs(name: str, text: str) -> dict[str, str]:
    """``key=value`` with spaces between. Raises SettingsError."""
    pairs = [entry.partition("=")[::2] for entry in text.split()]
    if not all(key and value for key, value in pairs):
        raise SettingsError(f"{name} is not written as KEY=VALUE, with spaces between the pairs")
    return dict(pairs)


def _shared_keys(text: str) -> dict[str, str]:
    name, colon, secret = text.partition(":")
    if text and not (name and colon and secret):
        raise SettingsError("twilio.shared_key is not written as id:secret")
    return {name: secret} if text else {}
