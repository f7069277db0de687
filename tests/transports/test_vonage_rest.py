"""Vonage's REST API: the requests that it gets, to the letter, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from server.errors import SettingsError, VoiceError
from server.phone_settings import VonageSettings
from server.phones import vonage_rest
from server.policy.egress import Egress
from server.transports.vonage_rest import VonageRest
from tests.transports.rest_api import RestApi, rest_api
from tests.transports.rsa import rsa_key


@pytest.fixture
def api() -> Iterator[RestApi]:
    with rest_api() as api:
        api.status, api.answer = 204, ""
        yield api


def rest(api: RestApi, number: str = "") -> VonageRest:
    return VonageRest("aaaa-bbbb", rsa_key()[0], number, api.url, lambda: Egress().client())


async def test_a_call_is_handed_on_by_a_new_ncco(api: RestApi):
    await rest(api, "+4930123456").transfer("63f61863/../x", "+49302")
    asked = api.only()
    assert (asked.method, asked.path) == ("PUT", "/v1/calls/63f61863%2F..%2Fx")
    connect = {"action": "connect", "endpoint": [{"type": "phone", "number": "49302"}], "from": "4930123456"}
    assert asked.body == {"action": "transfer", "destination": {"type": "ncco", "ncco": [connect]}}


async def test_a_call_is_ended_by_an_action(api: RestApi):
    await rest(api).hang_up("63f61863")
    assert api.only().body == {"action": "hangup"}


async def test_each_request_is_signed_by_the_applications_key_for_a_minute(api: RestApi):
    await rest(api).hang_up("1")
    await rest(api).hang_up("2")
    tokens = [asked.headers["authorization"].removeprefix("Bearer ") for asked in api.asked]
    first, second = (jwt.decode(token, rsa_key()[1], algorithms=["RS256"]) for token in tokens)
    assert first["application_id"] == "aaaa-bbbb"
    assert first["exp"] - first["iat"] == 60
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_what_vonage_does_not_do_is_told(api: RestApi, status: int):
    api.status, api.answer = status, '{"title": "no"}'
    with pytest.raises(VoiceError, match=f"status {status}.*no"):
        await rest(api).transfer("1", "+49302")


async def test_an_answer_that_cannot_be_unpacked_is_told(api: RestApi):
    api.status, api.answer, api.coding = 200, "no gzip", "gzip"
    with pytest.raises(VoiceError, match="Vonage cannot be reached"):
        await rest(api).transfer("1", "+49302")


def test_a_key_that_cannot_be_used_is_told_before_the_first_call(tmp_path: Path):
    file = tmp_path / "private.key"
    settings = VonageSettings(application_id="a", private_key=str(file), api_url="http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"vonage\.private_key .* cannot be used"):
        vonage_rest(settings, Egress())
    file.write_text("not a key")
    with pytest.raises(SettingsError, match=r"vonage\.private_key .* cannot be used"):
        vonage_rest(settings, Egress())
    file.write_text(rsa_key()[0])
    assert vonage_rest(settings, Egress()) is not None


def test_a_host_that_is_not_listed_is_told_before_the_first_call():
    with pytest.raises(SettingsError, match=r"vonage\.application_id is set.*api\.nexmo\.com:443 is not among"):
        vonage_rest(VonageSettings(application_id="a"), Egress())
