"""Which providers may be used is the operator's word alone."""

from __future__ import annotations

import subprocess
import sys
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr

from server.cloud_settings import AzureSettings, CloudSettings, OpenAISettings, Permit, ResidencySettings
from server.errors import SettingsError
from server.hosted import providers
from server.overview import egress as told
from server.overview import settings_table
from server.policy.egress import Egress, PolicyError
from server.settings import Loaded, Settings, field_names, load
from tests.cloud.provider import KEY, sent_to
from tests.cloud.stand_in import providing

FALLBACK = Permit(provider="openai", host="api.openai.com", region="us", purpose="fallback")
OPENAI = OpenAISettings(key=SecretStr(KEY))


def settings(*permits: Permit, **cloud: Any) -> Settings:
    return Settings(residency=ResidencySettings(allow_cloud=permits), cloud=CloudSettings(**cloud))


def test_an_allowed_provider_is_there_for_its_purpose():
    known = providers(settings(FALLBACK, openai=OPENAI))
    assert known.primary is None
    assert [provider.permit for provider in known.fallbacks] == [FALLBACK]


@pytest.mark.parametrize(
    ("permits", "cloud", "message"),
    [
        ((FALLBACK,), {}, r"names openai, but cloud\.openai\.key is not set"),
        ((FALLBACK,), {"openai": OpenAISettings(key=SecretStr(KEY), url="wss://evil.example/v1")}, r"on evil\.example"),
        (
            (FALLBACK.model_copy(update={"host": "10.0.0.1"}),),
            {"openai": OpenAISettings(key=SecretStr(KEY), url="ws://10.0.0.1/v1")},
            "wss://",
        ),
        ((FALLBACK.model_copy(update={"purpose": "primary"}),) * 2, {"openai": OPENAI}, "two primary"),
        (
            (FALLBACK.model_copy(update={"provider": "azure"}),),
            {"azure": AzureSettings(url="wss://api.openai.com/openai/v1", key=SecretStr(KEY))},
            r"cloud\.azure\.deployment is not set",
        ),
    ],
)
def test_one_that_is_not_set_up_or_elsewhere_than_allowed_is_refused_in_one_line(
    permits: tuple[Permit, ...], cloud: dict[str, Any], message: str
):
    with pytest.raises(SettingsError, match=message) as error:
        providers(settings(*permits, **cloud))
    assert "\n" not in str(error.value)
    assert KEY not in str(error.value)


def test_what_may_leave_is_shown_and_no_key_is(monkeypatch: pytest.MonkeyPatch):
    for name, value in sent_to("wss://api.openai.com/v1", region="us").items():
        if not name.endswith("REGION"):
            monkeypatch.setenv(name, value)
    loaded = load()
    assert "What callers say may be sent to openai at api.openai.com (here) as primary." in told(loaded.settings)
    assert KEY not in settings_table(loaded)
    everything = Loaded(settings(openai=OPENAI), dict.fromkeys(field_names(), "default"))
    assert KEY not in settings_table(everything)


def test_without_a_word_of_the_operator_the_code_is_not_even_there():
    script = "import sys, server.app; print([name for name in sys.modules if 'cloud' in name or 'hosted' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['server.cloud_settings']"


# ----------------------------------------------------------------------------------------- sockets


@pytest.mark.parametrize("url", ["wss://api.openai.com/v1", "ws://10.0.0.1/", "http://127.0.0.1/", "wss://"])
async def test_a_websocket_goes_to_listed_hosts_only_and_encrypted(url: str):
    with pytest.raises(PolicyError):
        await Egress(["10.0.0.1"], "residency.allow_cloud").websocket(url, {})


async def test_a_websocket_is_not_led_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1")
    async with providing() as provider:
        connection = await Egress().websocket(provider.url, {"api-key": KEY})
        await connection.close()
        provider.refuses = HTTPStatus.FOUND
        with pytest.raises(Exception, match="302"):
            await Egress().websocket(provider.url, {})
        assert provider.attempts == 2
