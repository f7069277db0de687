"""Twilio's REST API: the requests that it gets, to the letter, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from server.errors import SettingsError, VoiceError
from server.phone_settings import TwilioSettings
from server.phones import twilio_rest
from server.policy.egress import Egress
from server.transports.twilio_rest import TwilioRest
from tests.transports.rest_api import RestApi, rest_api

PUBLIC = "https://voice.example.org"
IRELAND = "https://api.dublin.ie1.twilio.com"


@pytest.fixture
def api() -> Iterator[RestApi]:
    with rest_api() as api:
        yield api


def rest(api: RestApi, timeout_s: float = 10.0) -> TwilioRest:
    return TwilioRest("AC1", "secret", api.url, PUBLIC, lambda: Egress().client(timeout=timeout_s))


async def test_a_call_is_handed_on_by_new_twiml(api: RestApi):
    await rest(api).transfer("CA1", "+4930&2")
    asked = api.only()
    assert (asked.method, asked.path) == ("POST", "/2010-04-01/Accounts/AC1/Calls/CA1.json")
    assert asked.body == {"Twiml": f'<Response><Dial action="{PUBLIC}/twilio/dialled">+4930&amp;2</Dial></Response>'}
    assert asked.user == "AC1:secret"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_call_is_ended_by_its_status(api: RestApi):
    await rest(api).hang_up("CA1")
    assert api.only().path == "/2010-04-01/Accounts/AC1/Calls/CA1.json"
    assert api.only().body == {"Status": "completed"}


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (401, '{"code": 20003, "message": "Authenticate", "status": 401}', "status 401.*Authenticate"),
        (404, '{"code": 20404, "message": "was not found", "status": 404}', "status 404.*was not found"),
        (503, "<html>no gateway</html>", "status 503"),
        (302, "", "status 302"),
        (200, "<html>hotel network</html>", "cannot be read"),
    ],
)
async def test_what_twilio_does_not_do_is_told(api: RestApi, status: int, answer: str, reason: str):
    api.status, api.answer = status, answer
    with pytest.raises(VoiceError, match=reason):
        await rest(api).transfer("CA1", "+49302")


async def test_nobody_waits_for_ever_for_an_answer(api: RestApi):
    api.silent = True
    with pytest.raises(VoiceError, match="cannot be reached: ReadTimeout"):
        await rest(api, timeout_s=0.5).hang_up("CA1")


async def test_an_answer_that_cannot_be_unpacked_is_told(api: RestApi):
    api.answer, api.coding = "no gzip", "gzip"
    with pytest.raises(VoiceError, match="Twilio cannot be reached"):
        await rest(api).hang_up("CA1")


async def test_a_machine_that_is_not_there_is_told():
    gone = TwilioRest("AC1", "secret", "http://127.0.0.1:1", PUBLIC, lambda: Egress().client())
    with pytest.raises(VoiceError, match="cannot be reached"):
        await gone.hang_up("CA1")


async def test_requests_go_to_the_region_of_the_account():
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"sid": "CA1"})

    through = httpx2.MockTransport(answer)
    client = TwilioRest("AC1", "secret", IRELAND, PUBLIC, lambda: httpx2.AsyncClient(transport=through))
    await client.hang_up("CA1")
    assert str(asked[0].url) == f"{IRELAND}/2010-04-01/Accounts/AC1/Calls/CA1.json"


async def test_a_host_that_is_not_listed_is_told_before_the_first_call():
    settings = TwilioSettings(account_sid="AC1", api_url=IRELAND)
    with pytest.raises(
        SettingsError, match=r"api\.dublin\.ie1\.twilio\.com:443 is not among the hosts of egress\.hosts"
    ):
        twilio_rest(settings, PUBLIC, Egress(["api.twilio.com"]))
    assert twilio_rest(settings, PUBLIC, Egress(["api.dublin.ie1.twilio.com"])) is not None


async def test_without_its_package_what_to_install_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.delitem(sys.modules, "server.transports.twilio_rest")
    monkeypatch.setitem(sys.modules, "twilio.rest", None)
    with pytest.raises(SettingsError, match=r"pip install 'kammerton\[twilio\]'"):
        twilio_rest(TwilioSettings(account_sid="AC1"), PUBLIC, Egress(["api.twilio.com"]))
