"""Who comes in, and with what: keys, client secrets, servers without keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.events import SessionConfig
from server.errors import AccessError, CapacityError
from server.policy.access import Access
from server.policy.keys import KeyFile, Keys
from server.policy.secrets import Secrets

CONFIG = SessionConfig(instructions="Speak like a pirate.")


class House:
    """A server's access, with a clock that the test moves."""

    def __init__(self, folder: Path, max_secrets: int = 100, max_bytes: int = 10_000) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
        self.file = KeyFile(folder / "keys.json")
        keys = Keys(self.file.path, clock=lambda: datetime.fromtimestamp(self.now, UTC))
        self.secrets = Secrets(max_secrets, max_bytes, clock=lambda: self.now)
        self.access = Access(keys, self.secrets, clock=lambda: self.now)

    def secret(self, token: str | None, seconds: int = 600, size: int = 10) -> str:
        return self.access.http(token).issue(CONFIG, seconds, size)[0]

    def refusal(self, token: str | None, *, http: bool = False) -> str:
        with pytest.raises(AccessError) as refused:
            (self.access.http if http else self.access.realtime)(token)
        return refused.value.reason


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_without_keys_anybody_comes_in_with_anything(house: House) -> None:
    assert house.access.open
    for token in (None, "", "sk-none", "ek_not-made-here"):
        assert house.access.realtime(token).config is None
        assert house.access.http(token).config is None


def test_the_first_key_closes_an_open_server(house: House) -> None:
    early = house.secret(None)
    token = house.file.create("phone")
    assert not house.access.open
    assert house.access.http(token).issuer == house.access.realtime(token).issuer
    assert house.refusal(None) == house.refusal("", http=True) == "key_missing"
    assert house.refusal("sk-none") == house.refusal("ek_not-made-here") == "key_unknown"
    assert house.refusal(early) == "key_unknown"


def test_a_secret_brings_its_session_and_opens_several(house: House) -> None:
    secret = house.secret(house.file.create("phone"))
    assert secret.startswith("ek_")
    assert [house.access.realtime(secret).config for _ in range(3)] == [CONFIG] * 3


@pytest.mark.parametrize("closed", [True, False])
def test_a_secret_opens_nothing_but_the_socket(house: House, closed: bool) -> None:
    token = house.file.create("phone") if closed else None
    assert house.refusal(house.secret(token), http=True) == "secret_scope"


@pytest.mark.parametrize("closed", [True, False])
def test_a_secret_ends_by_itself_and_says_so(house: House, closed: bool) -> None:
    token = house.file.create("phone") if closed else None
    secret, expires_at = house.access.http(token).issue(CONFIG, 30, 10)
    assert expires_at == house.now + 30
    house.now += 29
    assert house.access.realtime(secret).config == CONFIG
    house.now += 1
    assert house.refusal(secret) == "secret_expired"


def test_a_secret_is_worth_no_more_than_its_key(house: House) -> None:
    lasting = house.file.create("phone")
    secret = house.secret(lasting)
    house.file.revoke("phone")
    assert house.refusal(secret) == house.refusal(lasting) == "key_revoked"


def test_a_key_and_its_secrets_share_its_limits(house: House) -> None:
    token = house.file.create("phone", max_sessions=1, audio_minutes_a_day=1)
    other = house.file.create("page", max_sessions=1)
    by_secret, by_key = house.access.realtime(house.secret(token)), house.access.realtime(token)
    with by_secret.session():
        with pytest.raises(CapacityError), by_key.session():
            pass
        with house.access.realtime(other).session():
            pass
    by_secret.spoken(61.0)
    with pytest.raises(CapacityError):
        by_key.heard(0.0)


def test_secrets_are_bounded_in_number(tmp_path: Path) -> None:
    house = House(tmp_path, max_secrets=3)
    first = [house.secret(None, seconds=10), house.secret(None, seconds=60), house.secret(None, seconds=60)]
    with pytest.raises(CapacityError):
        house.secret(None)
    assert house.access.realtime(first[0]).config == CONFIG
    house.now += 10
    late = house.secret(None)
    assert [house.access.realtime(secret).config for secret in (*first[1:], late)] == [CONFIG] * 3
    with pytest.raises(CapacityError):
        house.secret(None)


def test_secrets_are_bounded_in_size(tmp_path: Path) -> None:
    house = House(tmp_path, max_bytes=100)
    house.secret(None, seconds=10, size=60)
    with pytest.raises(CapacityError):
        house.secret(None, size=41)
    house.secret(None, size=40)
    house.now += 10
    house.secret(None, size=60)
    with pytest.raises(CapacityError):
        house.secret(None, size=1)


def test_secrets_are_kept_as_hashes_only(house: House) -> None:
    secret = house.secret(house.file.create("phone"))
    kept = house.secrets.find(secret)
    assert kept is not None
    assert secret not in repr(vars(house.secrets))
