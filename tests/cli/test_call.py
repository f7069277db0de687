"""`kammerton call` before a stand-in for Twilio's REST API."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from server.call_cli import place
from server.errors import PolicyError, SettingsError, VoiceError
from server.settings import load
from tests.transports.http_server import serving

GIVEN = {
    "twilio.account_sid": "AC1",
    "twilio.auth_token": "secret",
    "twilio.number": "+4930123456",
    "phone.public_url": "https://voice.example.org",
}


class RestApi:
    """Takes calls and keeps what it was asked; ``status`` is its answer."""

    def __init__(self) -> None:
        self.routes = APIRouter()
        self.routes.post("/2010-04-01/Accounts/AC1/Calls.json")(self.create)
        self.asked: list[dict[str, Any]] = []
        self.status = 201

    async def create(self, request: Request) -> Response:
        form = await request.form()
        self.asked.append({**form, "auth": request.headers["authorization"]})
        return JSONResponse({"sid": "CA1", "message": "no such number"}, self.status)


async def test_twilio_is_asked_to_call_and_to_connect_the_call_here():
    api = RestApi()
    async with serving(api.routes) as url:
        settings = load({**GIVEN, "twilio.api_url": url}).settings
        assert await place(settings, "+4915112345678", "reception") == "CA1"
    (asked,) = api.asked
    assert asked == {
        "To": "+4915112345678",
        "From": "+4930123456",
        "Url": "https://voice.example.org/twilio/voice?agent=reception",
        "auth": "Basic " + base64.b64encode(b"AC1:secret").decode(),
    }


async def test_what_twilio_refuses_is_told():
    api = RestApi()
    api.status = 400
    async with serving(api.routes) as url:
        settings = load({**GIVEN, "twilio.api_url": url}).settings
        with pytest.raises(VoiceError, match=r"status 400.*no such number"):
            await place(settings, "+4915112345678")


async def test_nothing_leaves_for_a_host_that_is_not_listed():
    with pytest.raises(PolicyError, match=r"api\.twilio\.com:443 is not among"):
        await place(load(GIVEN).settings, "+4915112345678")


@pytest.mark.parametrize("name", sorted(GIVEN))
async def test_what_is_missing_is_named(name: str):
    with pytest.raises(SettingsError, match=name):
        await place(load({**GIVEN, name: ""}).settings, "+4915112345678")


async def test_what_is_no_number_is_not_called():
    with pytest.raises(SettingsError, match="'112' is no number"):
        await place(load(GIVEN).settings, "112")
