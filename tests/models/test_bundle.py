"""Weights in one file for a machine without a network: what comes out is what went in, or nothing."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models import catalog
from models.base import WeightsError
from models.bundle import MANIFEST, export_bundle, import_bundle
from models.catalog import BUNDLED, resolve, verify
from models.lock import LOCK, LockedEntry, measure, read_lock, sha256, write_lock

ROOT = BUNDLED.parents[1]
NOWHERE = Path("nowhere")
VAD = "vad/silero_vad.onnx"


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.tar"
    export_bundle(resolve("tiny", NOWHERE), path, quiet)
    return path


@dataclass
class Member:
    name: str
    data: bytes
    kind: bytes = tarfile.REGTYPE
    link: str = ""


def read_tar(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return [Member(name, file.read()) for name, file in files.items() if file]


def write_tar(path: Path, members: list[Member]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size, info.type, info.linkname = len(member.data), member.kind, member.link
            tar.addfile(info, io.BytesIO(member.data))
    return path


def listing(members: list[Member], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the list that a bundle begins with."""
    found = json.loads(members[0].data)
    change(found)
    members[0].data = json.dumps(found).encode()


def refused(source: Path, weights: Path, says: str) -> None:
    """Nothing appears, neither there nor beside it."""
    before = sorted(path.relative_to(weights.parent) for path in weights.parent.rglob("*"))
    with pytest.raises(WeightsError, match=says) as error:
        import_bundle(source, weights, quiet)
    assert "\n" not in str(error.value)
    assert sorted(path.relative_to(weights.parent) for path in weights.parent.rglob("*")) == before


def test_what_was_exported_is_imported_and_is_what_then_runs(bundle: Path, tmp_path: Path):
    weights = tmp_path / "weights"
    profile, names = import_bundle(bundle, weights, quiet)
    assert profile == "tiny"
    assert names == ["receptionist-tiny", "silero-v6", "voices-tiny", "whisper-tiny"]
    resolved = resolve("tiny", weights)
    assert {model.root for model in resolved.models.values()} == {weights}
    assert resolved.on_disk
    verify(resolved)
    for model in resolved.models.values():
        assert model.path.relative_to(weights) == Path(model.entry.bundled or "")
    (weights / VAD).write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"weights/vad/silero_vad\.onnx is cut short.*kammerton models import"):
        verify(resolve("tiny", weights))
    import_bundle(bundle, weights, quiet)
    verify(resolve("tiny", weights))


def test_licences_and_model_cards_come_along(bundle: Path, tmp_path: Path):
    import_bundle(bundle, tmp_path / "w", quiet)
    for card in ("vad/LICENSE", "vad/MODEL_CARD.md", "stt/tiny/MODEL_CARD.md", "llm/tiny/MODEL_CARD.md"):
        assert (tmp_path / "w" / card).read_bytes() == (BUNDLED / card).read_bytes()
    notice = (tmp_path / "w" / "licences-tiny.txt").read_text()
    for model in resolve("tiny", NOWHERE).models.values():
        assert f"{model.entry.name} (" in notice
        assert f"licence: {model.entry.licence}" in notice


def test_the_same_weights_give_the_same_file(bundle: Path, tmp_path: Path):
    digest = export_bundle(resolve("tiny", NOWHERE), tmp_path / "again.tar", quiet)
    assert digest == sha256(bundle) == sha256(tmp_path / "again.tar")
    import_bundle(bundle, tmp_path / "w", quiet)
    assert export_bundle(resolve("tiny", tmp_path / "w"), tmp_path / "third.tar", quiet) == digest


def test_fetched_models_come_along_with_their_revision(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    locked = {}
    for entry in resolve("cpu", here).models.values():
        if entry.entry.hub:
            (here / entry.entry.name).mkdir(parents=True)
            (here / entry.entry.name / "model.bin").write_bytes(entry.entry.name.encode() * 99)
            revision = (entry.entry.revision or "").replace("main", "a" * 40)
            locked[entry.entry.name] = LockedEntry(revision, measure(here, [f"{entry.entry.name}/model.bin"]))
    write_lock(here, locked)
    seen: dict[str, tuple[int, int]] = {}
    export_bundle(resolve("cpu", here), tmp_path / "cpu.tar", quiet)
    import_bundle(tmp_path / "cpu.tar", there, lambda file, *step: seen.update({file: step}))
    assert resolve("auto", there).name == "cpu"
    verify(resolve("cpu", there))
    assert {name: entry for name, entry in read_lock(there).items() if name != "silero-v6"} == locked
    assert all(done == size for done, size in seen.values())
    listed = read_tar(tmp_path / "cpu.tar")
    listing(listed, lambda found: found["models"]["whisper-small"].update(revision="b" * 40))
    refused(write_tar(tmp_path / "other.tar", listed), tmp_path / "w", "whisper-small in another revision")


def test_what_is_there_already_stays(bundle: Path, tmp_path: Path):
    weights = tmp_path / "w"
    (weights / "other").mkdir(parents=True)
    (weights / "other" / "model.bin").write_bytes(b"mine")
    other = LockedEntry("0" * 40, measure(weights, ["other/model.bin"]))
    write_lock(weights, {"other": other})
    import_bundle(bundle, weights, quiet)
    assert read_lock(weights)["other"] == other
    assert (weights / "other" / "model.bin").read_bytes() == b"mine"
    assert not [path for path in weights.iterdir() if path.name.startswith(".")]


def test_a_damaged_lock_does_not_stop_an_import(bundle: Path, tmp_path: Path):
    (tmp_path / LOCK).write_text("{")
    import_bundle(bundle, tmp_path, quiet)
    verify(resolve("tiny", tmp_path))


def test_an_update_that_brings_other_weights_is_not_held_up_by_an_old_import(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import_bundle(bundle, tmp_path / "w", quiet)
    newer = tmp_path / "newer"
    shutil.copytree(BUNDLED, newer)
    with (newer / VAD).open("ab") as file:
        file.write(b"newer")
    write_lock(newer, {**read_lock(newer), "silero-v6": LockedEntry(None, measure(newer, [VAD]))})
    monkeypatch.setattr(catalog, "BUNDLED", newer)
    assert resolve("tiny", tmp_path / "w").models["vad"].path == newer / VAD
    refused(bundle, tmp_path / "x", "silero-v6 in another revision")


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.0005, 0.3, 0.9, 0.99])
def test_a_bundle_that_is_cut_short_is_refused(bundle: Path, tmp_path: Path, share: float):
    content = bundle.read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path / "cut.tar", tmp_path / "w", "cut short|is no bundle")


def test_a_bundle_that_ends_between_two_files_is_refused(bundle: Path, tmp_path: Path):
    members = read_tar(bundle)
    refused(
        write_tar(tmp_path / "less.tar", members[:-1]), tmp_path / "w", f"is cut short: {members[-1].name} is missing"
    )


@pytest.mark.parametrize("which", [1, -1])
def test_an_altered_file_in_a_bundle_is_named(bundle: Path, tmp_path: Path, which: int):
    members = read_tar(bundle)
    members[which].data = members[which].data[:-1] + b"?"
    refused(write_tar(tmp_path / "a.tar", members), tmp_path / "w", f"a.tar: {members[which].name} was altered")


def test_what_is_no_bundle_is_refused(tmp_path: Path):
    refused(tmp_path / "absent.tar", tmp_path / "w", r"cannot read .*absent\.tar: No such file")
    (tmp_path / "text.tar").write_text("no tar at all" * 1000)
    refused(tmp_path / "text.tar", tmp_path / "w", "is no bundle of Kammerton")
    refused(write_tar(tmp_path / "b.tar", [Member("etc/passwd", b"x")]), tmp_path / "w", "is no bundle of Kammerton")
    refused(write_tar(tmp_path / "c.tar", [Member(MANIFEST, b"[]")]), tmp_path / "w", f"{MANIFEST} is damaged")
    refused(write_tar(tmp_path / "d.tar", [Member(MANIFEST, b"{")]), tmp_path / "w", f"{MANIFEST} is damaged")
    newer = [Member(MANIFEST, b'{"format": 99}')]
    refused(write_tar(tmp_path / "e.tar", newer), tmp_path / "w", "another version of Kammerton")
    subprocess.run(["tar", "-czf", tmp_path / "f.tar", "-C", BUNDLED, "vad"], check=True)
    refused(tmp_path / "f.tar", tmp_path / "w", "is no bundle of Kammerton")


@pytest.mark.parametrize(
    "path", ["../evil", "/evil", "vad/../../evil", "vad//x", "vad/.", "C:evil", "vad\\x", "vad/\x1b[2J", ""]
)
def test_a_path_that_leads_out_of_the_folder_is_refused(bundle: Path, tmp_path: Path, path: str):
    members = read_tar(bundle)
    listing(members, lambda found: found["texts"].update({path: next(iter(found["texts"].values()))}))
    refused(write_tar(tmp_path / "a.tar", members), tmp_path / "w", "no path below a folder")
    members = read_tar(bundle)
    listing(
        members, lambda found: found["models"]["silero-v6"]["files"].update({path: {"size": 1, "sha256": "0" * 64}})
    )
    refused(write_tar(tmp_path / "b.tar", members), tmp_path / "w", "no path below a folder")


@pytest.mark.parametrize("path", ["models.lock", "other/model.bin", VAD])
def test_a_list_that_reaches_for_what_is_not_its_own_is_refused(bundle: Path, tmp_path: Path, path: str):
    members = read_tar(bundle)
    listing(members, lambda found: found["texts"].update({path: {"size": 1, "sha256": "0" * 64}}))
    refused(write_tar(tmp_path / "a.tar", members), tmp_path / "w", "is damaged: .*(no text|none of its models|twice)")


@pytest.mark.parametrize(
    "wrong",
    [
        Member("../evil", b"x"),
        Member("/evil", b"x"),
        Member(VAD, b"", tarfile.SYMTYPE, "/etc/passwd"),
        Member(VAD, b"", tarfile.LNKTYPE, "/etc/passwd"),
        Member(VAD, b"", tarfile.CHRTYPE),
        Member(VAD, b"", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.kind.decode()}",
)
def test_a_member_that_is_not_the_one_listed_is_refused(bundle: Path, tmp_path: Path, wrong: Member):
    members = read_tar(bundle)
    at = next(index for index, member in enumerate(members) if member.name == VAD)
    refused(write_tar(tmp_path / "a.tar", [*members[:at], wrong]), tmp_path / "w", "in the place of " + VAD)
    refused(write_tar(tmp_path / "b.tar", [*members, wrong]), tmp_path / "w", "which it does not list")


def test_a_model_that_this_version_does_not_know_is_refused(bundle: Path, tmp_path: Path):
    members = read_tar(bundle)
    listing(members, lambda found: found["models"].update({"gpt-9": {"revision": None, "files": {}}}))
    refused(write_tar(tmp_path / "a.tar", members), tmp_path / "w", "holds 'gpt-9', which this version")
    members = read_tar(bundle)
    listing(members, lambda found: found.update(profile="huge"))
    refused(write_tar(tmp_path / "c.tar", members), tmp_path / "w", "a profile that this version")
    members = read_tar(bundle)
    listing(members, lambda found: found["models"]["silero-v6"]["files"][VAD].update(sha256="0" * 64))
    refused(write_tar(tmp_path / "b.tar", members), tmp_path / "w", "silero-v6 in another revision")


def test_damaged_weights_are_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(BUNDLED, tmp_path / "bundled")
    monkeypatch.setattr(catalog, "BUNDLED", tmp_path / "bundled")
    target, vad = tmp_path / "out.tar", tmp_path / "bundled" / VAD
    whole = vad.read_bytes()
    for content, says in ((whole[:-1] + b"?", "was altered"), (whole[:-1], "is cut short")):
        vad.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"silero_vad\.onnx {says}.*kammerton models verify"):
            export_bundle(resolve("tiny", NOWHERE), target, quiet)
        assert {path.name for path in tmp_path.iterdir()} == {"bundled"}
    vad.write_bytes(whole)
    with pytest.raises(WeightsError, match="kammerton models fetch cpu"):
        export_bundle(resolve("cpu", NOWHERE), target, quiet)


def test_an_export_does_not_write_over_a_file(bundle: Path):
    before = bundle.stat()
    with pytest.raises(WeightsError, match="is there already"):
        export_bundle(resolve("tiny", NOWHERE), bundle, quiet)
    assert bundle.stat().st_mtime_ns == before.st_mtime_ns


def small_files(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, with a limit that no file may grow beyond: a write fails in the middle, as on a full disk."""
    limited = ["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh"]
    command = [*limited, sys.executable, "-m", "server", "models", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert [says in line for line in done.stderr.splitlines() if line.startswith("kammerton: ")] == [True], done.stderr


def test_a_write_that_fails_in_the_middle_leaves_nothing(bundle: Path, tmp_path: Path):
    one_line(small_files("import", bundle, "--weights-dir", tmp_path / "w"), "cannot write to")
    one_line(small_files("export", tmp_path / "x.tar", "--profile", "tiny"), "cannot write")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_full_is_told_before_anything_is_written(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3_000_000))
    refused(bundle, tmp_path / "w", r"the disk is too full: tiny\.tar needs 1\d MB, and .*w has 3 MB free")
    with pytest.raises(WeightsError, match="the disk is too full"):
        export_bundle(resolve("tiny", NOWHERE), tmp_path / "x.tar", quiet)
    assert list(tmp_path.iterdir()) == []


def test_an_import_that_is_interrupted_leaves_nothing(bundle: Path, tmp_path: Path):
    def interrupt(file: str, done: int, total: int) -> None:
        if file == VAD and done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_bundle(bundle, tmp_path / "w", interrupt)
    assert list(tmp_path.iterdir()) == []
