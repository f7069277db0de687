"""Settings: where values come from, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import SettingsError
from server.settings import Settings, field_names, load, variable


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("KAMMERTON_")]:
        monkeypatch.delenv(name)


def toml(folder: Path, text: str) -> Path:
    path = folder / "kammerton.toml"
    path.write_text(text)
    return path


def test_nothing_given_is_the_defaults() -> None:
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.profile == "auto"
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("127.0.0.1", 8080)


def test_each_source_outranks_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, 'profile = "cpu"\n[server]\nport = 1000\nhost = "10.0.0.1"\nmax_sessions = 5\n')
    monkeypatch.setenv("KAMMERTON_SERVER__PORT", "2000")
    monkeypatch.setenv("KAMMERTON_SERVER__HOST", "10.0.0.2")
    loaded = load({"server.port": 3000, "server.host": None}, file)
    server = loaded.settings.server
    assert (server.max_sessions, server.host, server.port) == (5, "10.0.0.2", 3000)
    assert loaded.origins["server.max_sessions"] == f"file {file}"
    assert loaded.origins["server.host"] == "environment"
    assert loaded.origins["server.port"] == "command line"
    assert loaded.origins["turns.prepare"] == "default"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMMERTON_CONFIG", str(toml(tmp_path, "[log]\npii = true\n")))
    assert load().settings.log.pii is True


def test_a_whole_group_may_be_given_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMMERTON_TURNS", '{"soft_end_ms": 64, "prepare": false}')
    loaded = load()
    assert (loaded.settings.turns.soft_end_ms, loaded.settings.turns.prepare) == (64, False)
    assert loaded.origins["turns.soft_end_ms"] == "environment"


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, _ in load().rows():
        monkeypatch.setenv(variable(name), value)
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"environment"}


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1  # type: ignore[misc]


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"weights_dir": "~/weights"}).settings.weights_dir == tmp_path / "weights"


def test_variables_that_a_container_platform_sets_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMMERTON_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("KAMMERTON_PORT_8080_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("KAMMERTON_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KAMMERTON_SERVICE_PORT_HTTP", "8080")
    assert load().settings == Settings()


@pytest.mark.parametrize(
    ("name", "value", "hints"),
    [
        ("KAMMERTON_PROFIL", "tiny", ["KAMMERTON_PROFIL ", "KAMMERTON_PROFILE"]),
        ("KAMMERTON_SERVER__PROT", "1", ["KAMMERTON_SERVER__PROT ", "KAMMERTON_SERVER__PORT"]),
        ("KAMMERTON_SERVER__PORT", "http", ["server.port", "environment", "'http'"]),
        ("KAMMERTON_SERVER__PORT", "70000", ["server.port", "environment", "65535"]),
        ("KAMMERTON_LOG__LEVEL", "loud", ["log.level", "'warning'"]),
        ("KAMMERTON_TURNS", "{", ["environment", "turns"]),
        ("KAMMERTON_TURNS", '{"soft_start_ms": 1}', ["turns.soft_start_ms", "turns.soft_end_ms"]),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, hints: list[str]) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert all(hint in str(caught.value) for hint in hints), str(caught.value)


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("[server]\nprot = 1\n", ["server.prot", "server.port"]),
        ("[sever]\nport = 1\n", ["sever.port", "server.port"]),
        ("port = 1\n", ["port", "server.port"]),
        ("server = 1\n", ["server is no setting"]),
        ("[server\n", ["not valid TOML"]),
        ('[turns]\nprepare = "maybe"\n', ["turns.prepare", "file", "maybe"]),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, hints: list[str]) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(config=file)
    assert all(hint in str(caught.value) for hint in [*hints, str(file)]), str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: No such file"):
        load(config=tmp_path / "nowhere.toml")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"server\.port .*turns\.soft_end_ms"):
        load({"server.port": -1, "turns.soft_end_ms": 1})


@pytest.mark.parametrize("password", ["hunter2", "hunter2@home2", "two hunter2"])
def test_a_wrong_address_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("KAMMERTON_CLOUD__AZURE__URL", f"https://user:{password}@azure.example/openai/v1")
    with pytest.raises(SettingsError, match=r"cloud\.azure\.url .*azure\.example") as error:
        load()
    assert not any(part in str(error.value) for part in ("hunter2", "home2"))


def test_rows_name_every_setting_once() -> None:
    names = [name for name, _, _ in load().rows()]
    assert names == list(field_names())
    assert len(set(names)) == len(names)
