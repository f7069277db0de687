"""`kammerton keys` as a user types it, and what `kammerton serve` wants before other machines may connect."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.policy.keys import KeyFile, Keys
from tests.cli.test_command import command, refused


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def keys(file: KeyFile, *arguments: object) -> subprocess.CompletedProcess[str]:
    return command("keys", *arguments, KAMMERTON_AUTH__KEYS_FILE=str(file.path))


def test_a_key_is_printed_once_and_is_one(file: KeyFile) -> None:
    done = keys(file, "create", "phone", "--sessions", 2, "--minutes", 30, "--expires", "90d")
    assert (done.returncode, done.stderr) == (0, "")
    key = Keys(file.path).find(done.stdout.strip())
    assert (key.name, key.max_sessions, key.audio_minutes_a_day) == ("phone", 2, 30)
    assert key.expires is not None
    assert abs(key.expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    listed = keys(file, "list")
    assert listed.returncode == 0
    assert done.stdout.strip() not in listed.stdout
    assert key.sha256 not in listed.stdout


def test_the_list_says_how_each_key_stands(file: KeyFile) -> None:
    file.create("phone")
    file.create("old", expires=datetime(2020, 1, 2, tzinfo=UTC), now=datetime(2020, 1, 1, tzinfo=UTC))
    file.create("page", max_sessions=4, audio_minutes_a_day=7.5)
    assert keys(file, "revoke", "phone").returncode == 0
    rows = [line.split() for line in keys(file, "list").stdout.splitlines()]
    assert {row[0]: row[1:4] for row in rows[1:]} == {
        "phone": ["revoked", "any", "any"],
        "old": ["expired", "any", "any"],
        "page": ["active", "4", "7.5"],
    }


@pytest.mark.parametrize(
    ("when", "moment"),
    [
        ("2199-01-31", datetime(2199, 1, 31, tzinfo=UTC)),
        ("2199-01-31T12:30+02:00", datetime(2199, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_key_may_end_at_a_date(file: KeyFile, when: str, moment: datetime) -> None:
    assert keys(file, "create", "phone", "--expires", when).returncode == 0
    assert file.read()[0].expires == moment


def test_what_cannot_be_done_is_one_line(file: KeyFile) -> None:
    refused(keys(file, "create", "a b"), "name", "a b")
    refused(keys(file, "create", "phone", "--sessions", 0), "max_sessions", "1")
    refused(keys(file, "create", "phone", "--expires", "soon"), "--expires", "soon", "90d")
    refused(keys(file, "create", "phone", "--expires", "2020-01-01"), "past")
    refused(keys(file, "revoke", "phone"), "no key phone")
    assert not file.path.exists()
    file.create("phone")
    refused(keys(file, "create", "phone"), "phone", "revoke")
    file.path.write_text("{")
    refused(keys(file, "list"), str(file.path), "damaged")
    refused(keys(KeyFile(file.path / "below.json"), "create", "phone"), "keys.json")


def serve(file: KeyFile, **environment: str) -> subprocess.CompletedProcess[str]:
    names = {"KAMMERTON_SERVER__HOST": "0.0.0.0", "KAMMERTON_AUTH__KEYS_FILE": str(file.path), **environment}
    return command("serve", "--profile", "tiny", "--port", 0, **names)


def test_a_server_that_others_can_reach_wants_a_key(file: KeyFile) -> None:
    refused(serve(file), "0.0.0.0", "kammerton keys create", "auth.allow_open")
    file.create("phone")
    file.revoke("phone")
    refused(serve(file), "no key")
    refused(serve(file, KAMMERTON_SERVER__HOST="::"), "::", "no key")
    refused(serve(file, KAMMERTON_TLS__ALLOW_PLAINTEXT="true"), "no key")


def test_a_server_that_others_can_reach_wants_tls(file: KeyFile) -> None:
    file.create("phone")
    refused(serve(file), "0.0.0.0", "tls.certificate", "tls.allow_plaintext")
    refused(serve(file, KAMMERTON_AUTH__ALLOW_OPEN="true"), "tls.allow_plaintext")


def test_tls_files_that_cannot_be_used_are_named(file: KeyFile, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    file.create("phone")
    refused(serve(file, KAMMERTON_TLS__CERTIFICATE=str(tmp_path / "none.pem")), "none.pem", "No such file")
    refused(serve(file, KAMMERTON_TLS__CERTIFICATE=str(text), KAMMERTON_TLS__KEY=str(text)), "text.pem")
    refused(serve(file, KAMMERTON_TLS__KEY=str(text)), "tls.key", "tls.certificate")
    locked = ["-keyout", tmp_path / "locked.pem", "-out", tmp_path / "certificate.pem", "-passout", "pass:secret"]
    ask = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=localhost", *locked]
    subprocess.run(ask, check=True, capture_output=True, timeout=240)
    files = {"CERTIFICATE": "certificate.pem", "KEY": "locked.pem"}
    given = {f"KAMMERTON_TLS__{name}": str(tmp_path / path) for name, path in files.items()}
    refused(serve(file, **given), "locked.pem")


def test_a_damaged_keys_file_stops_the_start(file: KeyFile) -> None:
    file.path.write_text('{"keys": 7}')
    refused(serve(file, KAMMERTON_SERVER__HOST="127.0.0.1"), str(file.path), "damaged")


def test_a_key_is_never_shown(file: KeyFile) -> None:
    short, long = "too-short-key", "a key that is long enough"
    done = serve(file, KAMMERTON_AUTH__KEY=short)
    refused(done, "auth.key", "16 characters")
    assert short not in done.stderr
    shown = command("check", "--profile", "tiny", KAMMERTON_AUTH__KEY=long)
    assert shown.returncode == 0
    assert "auth.key" in shown.stdout
    assert long not in shown.stdout
