"""The files around the code agree with it: image, compose file, licences, settings table, scripts."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from models.offline import SWITCHES
from scripts import third_party
from server.settings import Settings, field_names, load, variable

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continuation lines joined, comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


IMAGE = instructions((ROOT / "Dockerfile.gpu").read_text())
FINAL = IMAGE[max(index for index, (name, _) in enumerate(IMAGE) if name == "FROM") :]


def given(name: str, stage: list[tuple[str, str]] = FINAL) -> list[str]:
    return [arguments for instruction, arguments in stage if instruction == name]


def test_the_image_knows_only_real_instructions_and_starts_from_a_pinned_runtime_base() -> None:
    known = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL"}
    assert {name for name, _ in IMAGE} <= known | {"USER", "VOLUME", "WORKDIR"}
    assert IMAGE[0][0] == "ARG"
    assert re.fullmatch(r"CUDA_IMAGE=nvidia/cuda:12\.\d+\.\d+-runtime-ubuntu\d\d\.04", IMAGE[0][1])
    assert all(base.startswith("${CUDA_IMAGE}") for base in given("FROM", IMAGE))


def test_the_image_runs_as_nobody_special() -> None:
    [user] = given("USER")
    uid, _, gid = user.partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    behind = [name for name, _ in FINAL[FINAL.index(("USER", user)) + 1 :]]
    assert "RUN" not in behind
    assert "COPY" not in behind


def test_the_image_says_when_it_is_ready_and_ends_cleanly() -> None:
    [health] = given("HEALTHCHECK")
    assert "/readyz" in health
    assert "${KAMMERTON_SERVER__PORT}" in health
    assert json.loads(given("ENTRYPOINT")[0]) == ["tini", "--", "kammerton"]
    assert json.loads(given("CMD")[0]) == ["serve"]
    assert given("EXPOSE") == [str(Settings().server.port)]
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in given("LABEL")[0]


def test_everything_copied_into_the_image_is_in_the_repository_and_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [words for words in map(str.split, given("COPY", IMAGE)) if not words[0].startswith("--from")]
    sources = [source for words in copied for source in words[:-1]]
    assert {"pyproject.toml", "server", "models"} <= set(sources)
    assert all((ROOT / source).exists() and source in sent for source in sources)
    assert all((ROOT / file).name in sources for file in [*PROJECT["license-files"], PROJECT["readme"]])


def test_the_image_sets_real_settings_and_keeps_the_hubs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    [environment] = given("ENV")
    pairs = dict(pair.split("=", 1) for pair in environment.split())
    assert SWITCHES.items() <= pairs.items()
    for name, value in pairs.items():
        if name.startswith("KAMMERTON_"):
            monkeypatch.setenv(name, value)
    settings = load().settings
    assert (settings.server.host, settings.weights_dir, settings.log.format) == ("0.0.0.0", Path("/models"), "json")


def test_the_image_has_the_vllm_that_the_extra_names() -> None:
    [vllm] = PROJECT["optional-dependencies"]["vllm"]
    assert f'VLLM="{vllm}"' in given("ARG", IMAGE)
    assert PROJECT["optional-dependencies"]["gpu"] == ["kammerton[cuda,vllm]"]


def test_compose_reserves_a_gpu_and_mounts_weights_read_only() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = compose["services"]["kammerton"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["read_only"] is True
    assert "./weights:/models:ro" in service["volumes"]
    assert (ROOT / service["build"]["dockerfile"]).exists()
    known = {variable(name) for name in field_names()}
    assert set(service["environment"]) <= known
    written = {mount.split(":")[1] for mount in service["volumes"] if not mount.endswith(":ro")} | set(service["tmpfs"])
    assert set(json.loads(given("VOLUME")[0])) <= written


def test_no_dependency_is_unbounded() -> None:
    wanted = [*PROJECT["dependencies"], *itertools.chain.from_iterable(PROJECT["optional-dependencies"].values())]
    loose = [need for need in wanted if not need.startswith("kammerton[") and not (">=" in need and "<" in need)]
    assert loose == []


def test_every_dependency_is_held_at_a_release_that_is_allowed() -> None:
    """Mended by: scripts/lock --keep"""
    held: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9.-]+)==([^ ]+)", line):
            held.setdefault(match[1], set()).add(match[2])
    extras = PROJECT["optional-dependencies"]
    names = ["audio", "cuda", "dev", "train", "twilio", "vonage"]
    wanted = [Requirement(need) for need in [*PROJECT["dependencies"], *(n for name in names for n in extras[name])]]
    for need in wanted:
        if need.name not in ("kammerton", "torch"):
            assert held.get(need.name), need.name
            assert all(need.specifier.contains(release) for release in held[need.name]), need.name


def test_licences_of_all_dependencies_are_allowed() -> None:
    assert {package.name: third_party.refused(package) for package in third_party.packages()} == {
        package.name: [] for package in third_party.packages()
    }


def test_the_licence_page_is_current() -> None:
    """Mended by: python scripts/third_party.py"""
    written = dict(third_party.rows((ROOT / "THIRD_PARTY.md").read_text()))
    installed = {package.key: package.licence for package in third_party.packages()}
    assert installed.items() <= written.items()
    assert written["piper-tts"] == "GPL-3.0-or-later"


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+?) \|", page, re.MULTILINE))
    assert set(rows) == set(field_names())
    by_machine = {"engines.stt_threads", "engines.llm_threads", "engines.tts_workers", "weights_dir"}
    for name, value, _ in load().rows():
        if name not in by_machine:
            assert rows[name] == (f"`{value}`" if value else "empty"), name


@pytest.mark.parametrize(
    "script", ["scripts/serve", "scripts/test", "scripts/check", "scripts/lock", "scripts/environment.sh", ".ci/run"]
)
def test_scripts_are_valid_shell(script: str) -> None:
    path = ROOT / script
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False).stderr == ""
    assert path.suffix or path.stat().st_mode & 0o111
