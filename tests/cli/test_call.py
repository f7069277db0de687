"""`kammerton call` before a stand-in for Twilio's REST API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.call_cli import place
from server.errors import SettingsError, VoiceError
from server.settings import load
from tests.transports.rest_api import RestApi, rest_api

GIVEN = {
    "twilio.account_sid": "AC1",
    "twilio.auth_token": "secret",
    "twilio.number": "+4930123456",
    "phone.public_url": "https://voice.example.org",
}


@pytest.fixture
def api() -> Iterator[RestApi]:
    with rest_api() as api:
        api.status = 201
        yield api


async def test_twilio_is_asked_to_call_and_to_connect_the_call_here(api: RestApi):
    settings = load({**GIVEN, "twilio.api_url": api.url}).settings
    assert await place(settings, "+4915112345678", "reception") == "CA1"
    asked = api.only()
    assert (asked.path, asked.user) == ("/2010-04-01/Accounts/AC1/Calls.json", "AC1:secret")
    assert asked.body == {
        "To": "+4915112345678",
        "From": "+4930123456",
        "Url": "https://voice.example.org/twilio/voice?agent=reception",
        "MachineDetection": "Enable",
        "StatusCallback": "https://voice.example.org/twilio/status",
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
    }


@pytest.mark.parametrize(
    ("voicemail", "detect", "asked_for"),
    [("Please call us back.", True, "DetectMessageEnd"), ("Please call us back.", False, None)],
)
async def test_a_machine_is_waited_for_only_if_it_is_to_be_told_something(
    api: RestApi, voicemail: str, detect: bool, asked_for: str | None
):
    settings = load({**GIVEN, "twilio.api_url": api.url, "phone.voicemail": voicemail}).settings
    await place(settings, "+4915112345678", detect=detect)
    assert api.only().body.get("MachineDetection") == asked_for


async def test_what_twilio_refuses_is_told(api: RestApi):
    api.status, api.answer = 400, '{"message": "no such number", "code": 21211}'
    settings = load({**GIVEN, "twilio.api_url": api.url}).settings
    with pytest.raises(VoiceError, match=r"status 400.*no such number"):
        await place(settings, "+4915112345678")


async def test_nothing_leaves_for_a_host_that_is_not_listed():
    with pytest.raises(SettingsError, match=r"api\.twilio\.com:443 is not among"):
        await place(load(GIVEN).settings, "+4915112345678")


@pytest.mark.parametrize("name", sorted(GIVEN))
async def test_what_is_missing_is_named(name: str):
    with pytest.raises(SettingsError, match=name):
        await place(load({**GIVEN, name: ""}).settings, "+4915112345678")


async def test_what_is_no_number_is_not_called():
    with pytest.raises(SettingsError, match="'112' is no number"):
        await place(load(GIVEN).settings, "112")
