"""Keys: kept as hashes, found by their text, gone when they are revoked or their time is over."""

from __future__ import annotations

import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.errors import AccessError, SettingsError
from server.policy.keys import KeyFile, Keys

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "folder" / "keys.json")


def refusal(keys: Keys, token: str | None) -> str:
    with pytest.raises(AccessError) as refused:
        keys.find(token)
    assert refused.value.code == "invalid_api_key"
    assert not token or token not in str(refused.value)
    return refused.value.reason


def test_only_its_owner_reads_the_file_and_nobody_reads_a_key_from_it(file: KeyFile) -> None:
    file.path.parent.mkdir()
    file.path.write_text('{"keys": []}')
    file.path.chmod(0o666)
    token = file.create("phone")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert token not in file.path.read_text()
    assert token.removeprefix("kammerton_") not in file.path.read_text()
    assert [path.name for path in file.path.parent.iterdir()] == ["keys.json"]


def test_a_key_is_found_by_its_text_alone(file: KeyFile) -> None:
    phone, page = file.create("phone"), file.create("page")
    keys = Keys(file.path)
    assert (keys.find(phone).name, keys.find(page).name) == ("phone", "page")
    assert refusal(keys, None) == refusal(keys, "") == "key_missing"
    assert refusal(keys, phone[:-1]) == refusal(keys, phone + "x") == refusal(keys, phone.swapcase()) == "key_unknown"
    assert refusal(keys, file.read()[0].sha256) == "key_unknown"
    assert refusal(keys, "\udc80 \xff") == "key_unknown"


def test_no_two_keys_are_alike(file: KeyFile) -> None:
    tokens = [file.create(f"key{number}") for number in range(20)]
    assert len(set(tokens)) == 20
    assert all(token.isascii() and len(token) == len("kammerton_") + 43 for token in tokens)


def test_a_running_server_sees_each_change_of_the_file(file: KeyFile) -> None:
    keys = Keys(file.path)
    assert not keys.configured
    assert not keys.usable
    token = file.create("phone")
    assert keys.configured
    assert keys.find(token).name == "phone"
    file.revoke("phone")
    assert refusal(keys, token) == "key_revoked"
    assert not keys.usable


def test_a_key_ends_when_its_time_is_over(file: KeyFile) -> None:
    clock = Clock()
    token = file.create("phone", expires=NOON + timedelta(hours=1), now=NOON)
    keys = Keys(file.path, clock=clock)
    assert keys.find(token).name == "phone"
    clock.now += timedelta(hours=1)
    assert refusal(keys, token) == "key_expired"


def test_a_server_that_asked_for_keys_is_never_open_again(file: KeyFile) -> None:
    token = file.create("phone")
    keys = Keys(file.path)
    file.revoke("phone")
    assert keys.configured
    assert Keys(file.path).configured
    file.path.unlink()
    assert keys.configured
    assert refusal(keys, token) == "key_unknown"


def test_keys_known_so_far_stay_when_the_file_is_damaged_later(file: KeyFile) -> None:
    token = file.create("phone")
    keys = Keys(file.path)
    whole = file.path.read_text()
    file.path.write_text(whole[:-9])
    assert keys.find(token).name == "phone"
    file.path.write_text(whole.replace("phone", "tablet"))
    assert keys.find(token).name == "tablet"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"key": []}',
        '{"keys": [{"name": "a"}]}',
        '{"keys": [{"name": "a b", "sha256": "' + "0" * 64 + '", "created": "2030-01-01T00:00:00Z"}]}',
        '{"keys": [{"name": "a", "sha256": "' + "0" * 64 + '", "created": "2030-01-01T00:00:00"}]}',
        '{"keys": [{"name": "a", "sha256": "' + "G" * 64 + '", "created": "2030-01-01T00:00:00Z"}]}',
    ],
)
def test_a_damaged_file_is_named_at_the_start(file: KeyFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text)
    for use in (lambda: Keys(file.path), lambda: file.create("phone"), lambda: file.revoke("phone")):
        with pytest.raises(SettingsError, match=r"keys\.json"):
            use()
    assert file.path.read_text() == text


def test_the_key_of_a_setting_opens_as_well(file: KeyFile) -> None:
    keys = Keys(file.path, "a key that somebody chose")
    assert keys.configured
    assert keys.usable
    assert keys.find("a key that somebody chose").name == "auth.key"
    token = file.create("phone")
    assert keys.find(token).name == "phone"
    assert refusal(keys, "a key that somebody guessed") == "key_unknown"


def test_a_name_is_free_again_once_its_key_is_revoked(file: KeyFile) -> None:
    first = file.create("phone")
    with pytest.raises(SettingsError, match="active key phone already"):
        file.create("phone")
    file.revoke("phone")
    second = file.create("phone")
    keys = Keys(file.path)
    assert keys.find(second).name == "phone"
    assert refusal(keys, first) == "key_unknown"


def test_revoking_again_changes_nothing_and_revoking_nobody_is_an_error(file: KeyFile) -> None:
    file.create("phone")
    file.revoke("phone", NOON)
    file.revoke("phone", NOON + timedelta(days=1))
    assert file.read()[0].revoked == NOON
    with pytest.raises(SettingsError, match=r"no key fone.*phone"):
        file.revoke("fone")


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("", {}),
        ("a b", {}),
        ("a/b", {}),
        ("x" * 65, {}),
        ("phone", {"max_sessions": 0}),
        ("phone", {"audio_minutes_a_day": 0}),
        ("phone", {"expires": NOON - timedelta(seconds=1)}),
    ],
)
def test_what_makes_no_key_leaves_no_file(file: KeyFile, name: str, limits: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        file.create(name, **limits, now=NOON)  # type: ignore[arg-type]
    assert not file.path.exists()


def test_of_keys_made_at_the_same_time_none_is_lost(file: KeyFile) -> None:
    makers = [threading.Thread(target=file.create, args=(f"key{number}",)) for number in range(12)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert {key.name for key in file.read()} == {f"key{number}" for number in range(12)}


def test_limits_are_kept_with_the_key(file: KeyFile) -> None:
    token = file.create("phone", max_sessions=3, audio_minutes_a_day=90.5, expires=NOON + timedelta(days=1), now=NOON)
    key = Keys(file.path, clock=lambda: NOON).find(token)
    assert (key.max_sessions, key.audio_minutes_a_day, key.expires) == (3, 90.5, NOON + timedelta(days=1))
    assert json.loads(file.path.read_text())["keys"][0]["max_sessions"] == 3
