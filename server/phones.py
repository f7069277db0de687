"""The phone doors, as the settings ask for them."""

from __future__ import annotations

from dataclasses import replace

from fastapi import FastAPI

from server.errors import SettingsError
from server.runtime.admission import Admission
from server.runtime.runner import Engines
from server.settings import Settings
from server.transports import twilio
from server.transports.base import DoorSettings, SessionObserver
from server.transports.calls import Calls
from server.transports.manners import Manners, phrases
from server.transports.twilio_signature import Validator


def open_doors(
    app: FastAPI,
    settings: Settings,
    engines: Engines,
    door: DoorSettings,
    admission: Admission,
    observer: SessionObserver,
) -> Calls:
    """Add the routes of every carrier that is set up; the calls that come over them are given back. Raises
    SettingsError for a carrier that is set up by half."""
    phone = settings.phone
    manners = Manners(
        greeting=phone.greeting, silence_s=phone.silence_s, max_s=phone.max_call_s, resume_s=phone.resume_s
    )
    # Half a second of talking over each other is lived with on a screen, not on a phone.
    door = replace(door, policy=replace(door.policy, interrupt_ms=phone.interrupt_ms))
    calls = Calls(engines, door, manners, admission, observer)
    token = settings.twilio.auth_token.get_secret_value()
    if token:
        if not settings.twilio.public_url:
            raise SettingsError(
                "twilio.auth_token is set, but twilio.public_url is not: signatures cover the URL that Twilio was given"
            )
        validator = Validator(token, _shared_keys(settings.twilio.shared_key.get_secret_value()))
        app.include_router(
            twilio.router(
                calls, twilio.TwilioSettings(settings.twilio.public_url, validator), phrases(door.config.language)
            )
        )
    return calls


def _shared_keys(text: str) -> dict[str, str]:
    name, colon, secret = text.partition(":")
    if text and not (name and colon and secret):
        raise SettingsError("twilio.shared_key is not written as id:secret")
    return {name: secret} if text else {}
