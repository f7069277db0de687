"""What keys have used outlives the server, and nothing that happens to the file keeps a caller out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.errors import CapacityError
from server.policy.access import Access
from server.policy.keys import KeyFile, Keys
from server.policy.secrets import Secrets
from server.policy.usage import Usage, UsageFile

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400


class House:
    """A server that can be started again and again, with a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.now = NOON
        self.keys = KeyFile(folder / "keys.json")
        self.file = UsageFile(self.keys.path)

    def start(self) -> Access:
        known = Keys(self.keys.path, clock=lambda: datetime.fromtimestamp(self.now, UTC))
        return Access(known, Secrets(), UsageFile(self.keys.path).read(), clock=lambda: self.now)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_restarted_server_knows_what_was_used_on_the_same_day(house: House) -> None:
    token = house.keys.create("phone", audio_minutes_a_day=1)
    access = house.start()
    access.http(token).heard(40)
    house.file.write(access.used)
    again = house.start()
    again.http(token).heard(20)
    with pytest.raises(CapacityError):
        again.http(token).heard(1)
    house.file.write(again.used)
    house.now += DAY
    house.start().http(token).heard(59)


def test_use_is_remembered_over_a_run_in_which_the_key_did_not_come(house: House) -> None:
    token = house.keys.create("phone", audio_minutes_a_day=1)
    access = house.start()
    access.http(token).heard(60)
    house.file.write(access.used)
    house.file.write(house.start().used)
    with pytest.raises(CapacityError):
        house.start().http(token).heard(1)


def test_keys_without_a_limit_are_not_written_about(house: House) -> None:
    token = house.keys.create("phone")
    access = house.start()
    access.http(token).heard(40)
    assert access.used.seconds == {}


def test_only_the_owner_reads_it_and_only_changes_are_written(house: House) -> None:
    usage = Usage(day=3, seconds={"a": 1.5})
    house.file.write(usage)
    assert house.file.path.stat().st_mode & 0o777 == 0o600
    written = house.file.path.stat().st_ino
    house.file.write(usage)
    assert house.file.path.stat().st_ino == written
    assert UsageFile(house.keys.path).read() == usage


@pytest.mark.parametrize("content", ["", "{", '{"day": "x"}', '{"days": 1}'])
def test_a_damaged_file_counts_as_none(house: House, content: str, caplog: pytest.LogCaptureFixture) -> None:
    house.file.path.write_text(content)
    assert UsageFile(house.keys.path).read() == Usage()
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    UsageFile(tmp_path / "missing" / "keys.json").write(Usage(day=1, seconds={"a": 1.5}))
    assert "cannot be written" in caplog.text


def test_a_server_without_keys_needs_no_folder_for_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path / "missing")
    house.file.write(house.start().used)
    assert caplog.records == []
    assert not house.file.path.parent.exists()
