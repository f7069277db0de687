"""The catalogue: what there is, what is chosen, and that only the weights that were released are run."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models import catalog, gpu
from models.base import CatalogError, VoiceError, WeightsError
from models.catalog import BUNDLED, entries, load, load_engine, profiles, resolve, verify
from models.gpu import Gpu
from models.lock import LOCK, LockedEntry, measure, read_lock, write_lock
from models.stt.faster_whisper import FasterWhisper

ROOT = BUNDLED.parents[1]


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled weights that a test may damage."""
    copy = tmp_path / "bundled"
    shutil.copytree(BUNDLED, copy)
    monkeypatch.setattr(catalog, "BUNDLED", copy)
    return copy


def put_weights(weights_dir: Path, *names: str) -> None:
    """What the fetch command leaves behind, in small."""
    locked = read_lock(weights_dir) if weights_dir.is_dir() else {}
    for name in names:
        (weights_dir / name).mkdir(parents=True)
        (weights_dir / name / "model.bin").write_bytes(name.encode() * 100)
        locked[name] = LockedEntry("0" * 40, measure(weights_dir, [f"{name}/model.bin"]))
    write_lock(weights_dir, locked)


def hub_entries(profile: str) -> list[str]:
    return [entry.name for entry in profiles()[profile].entries.values() if entry.hub]


def test_every_profile_names_one_model_of_each_kind():
    assert set(profiles()) == {"tiny", "cpu", "gpu", "gpu-large"}
    for profile in profiles().values():
        assert {kind: entry.kind for kind, entry in profile.entries.items()} == {kind: kind for kind in catalog.KINDS}
        assert profile.about


def test_every_entry_says_where_it_comes_from_and_on_what_terms():
    for entry in entries().values():
        assert (entry.bundled is None) != (entry.hub is None)
        assert entry.licence
        assert entry.about
        assert entry.size_mb > 0
        assert (entry.hub is None) == (not entry.files)
        assert entry.hub is None or entry.revision == "main" or len(entry.revision or "") == 40
        assert set(entry.languages) <= {"en", "de", "fr", "es", "it", "nl", "pl", "pt"}


def test_a_piece_of_a_long_turn_fits_the_smallest_window_of_its_whisper():
    for entry in entries().values():
        if entry.engine.endswith("FasterWhisper"):
            given = inspect.signature(FasterWhisper.load).parameters
            windows = entry.options.get("window_seconds", given["window_seconds"].default)
            assert entry.options.get("piece_seconds", given["piece_seconds"].default) + 2 < min(windows), entry.name


def test_the_bundled_weights_are_those_of_the_lock():
    resolved = resolve("tiny", Path("nowhere"))
    assert resolved.on_disk
    verify(resolved)
    size = sum(file.size for entry in read_lock(BUNDLED).values() for file in entry.files.values())
    assert size < 25_000_000
    for name, entry in read_lock(BUNDLED).items():
        megabytes = sum(file.size for file in entry.files.values()) / 1e6
        assert megabytes == pytest.approx(entries()[name].size_mb, abs=0.1), name


def test_the_tiny_profile_loads_and_every_engine_closes():
    engines = load(resolve("tiny", Path("nowhere")), threads={"stt": 1, "llm": 1}, workers={"tts": 1})
    assert {engines.vad.name, engines.stt.name, engines.llm.name, engines.tts.name} == {
        entry.name for entry in profiles()["tiny"].entries.values()
    }
    assert set(engines.stt.languages) == {"en", "de"}
    assert {voice.language for voice in engines.tts.voices} == {"en", "de"}

    async def close() -> None:
        for engine in (engines.vad, engines.stt, engines.llm, engines.tts):
            await engine.close()

    asyncio.run(close())


def test_without_batching_every_engine_serves_one_request_at_a_time_in_order(monkeypatch: pytest.MonkeyPatch):
    limits: dict[str, dict[str, int]] = {}

    def note(resolved: object, kind: str, **given: int) -> None:
        limits[kind] = given

    monkeypatch.setattr(catalog, "load_engine", note)
    load(resolve("tiny", Path("nowhere")), workers={"tts": 2}, batching=False)
    alone = {"max_batch": 1, "by_priority": False}
    assert limits == {"vad": alone, "stt": alone, "llm": alone, "tts": {**alone, "workers": 2}}


def test_an_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path):
    with pytest.raises(CatalogError, match="'huge'; known profiles: cpu, gpu, gpu-large, tiny, auto") as refused:
        resolve("huge", tmp_path)
    assert isinstance(refused.value, VoiceError)


def test_auto_takes_tiny_when_nothing_else_is_there_and_says_how_to_get_more(tmp_path: Path):
    resolved = resolve("auto", tmp_path)
    assert resolved.name == "tiny"
    assert str(tmp_path) in resolved.reason
    assert "kammerton models fetch" in resolved.reason


def test_auto_takes_cpu_when_its_weights_are_complete(tmp_path: Path):
    names = hub_entries("cpu")
    put_weights(tmp_path, *names[:-1])
    assert resolve("auto", tmp_path).name == "tiny"
    put_weights(tmp_path, names[-1])
    assert resolve("auto", tmp_path).name == "cpu"
    verify(resolve("auto", tmp_path))
    (tmp_path / names[0] / "model.bin").write_bytes(b"cut")
    assert resolve("auto", tmp_path).name == "tiny"


def test_auto_takes_gpu_first_but_only_with_engines_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_weights(tmp_path, *hub_entries("cpu"), *(set(hub_entries("gpu")) - set(hub_entries("cpu"))))
    monkeypatch.setattr(catalog.Entry, "available", True)
    monkeypatch.setattr(gpu, "find_gpus", lambda: [Gpu("large", 80_000, 80_000)])
    assert resolve("auto", tmp_path).name == "gpu"
    monkeypatch.setattr(catalog.Entry, "available", property(lambda entry: entry.name not in hub_entries("gpu")[1:2]))
    assert resolve("auto", tmp_path).name == "cpu"


def test_auto_passes_over_a_profile_that_the_gpu_is_too_small_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_weights(tmp_path, *hub_entries("gpu"))
    monkeypatch.setattr(gpu, "find_gpus", lambda: [Gpu("small", 8_000, 8_000)])
    resolved = resolve("auto", tmp_path)
    assert resolved.name == "tiny"
    assert "small has 8,000 of 8,000 MB free" in resolved.reason


def test_auto_takes_the_largest_that_is_on_disk_and_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_weights(tmp_path, *hub_entries("gpu"), *(set(hub_entries("gpu-large")) - set(hub_entries("gpu"))))
    for memory, takes in ((80_000, "gpu-large"), (24_000, "gpu"), (8_000, "tiny")):
        monkeypatch.setattr(gpu, "find_gpus", lambda memory=memory: [Gpu("some", memory, memory)])
        assert resolve("auto", tmp_path).name == takes


@pytest.mark.parametrize("profile", ["cpu", "gpu", "gpu-large"])
def test_weights_that_were_never_fetched_are_refused_with_the_command_that_gets_them(tmp_path: Path, profile: str):
    resolved = resolve(profile, tmp_path)
    assert not resolved.on_disk
    for attempt in (lambda: verify(resolved), lambda: load(resolved)):
        with pytest.raises(WeightsError, match=f"kammerton models fetch {profile}") as refused:
            attempt()
        assert refused.value.engine == hub_entries(profile)[0]


def test_an_engine_that_this_version_lacks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_weights(tmp_path, *hub_entries("gpu"))
    monkeypatch.setattr(catalog.Entry, "available", False)
    with pytest.raises(CatalogError, match=r"has no engine vllm\.Vllm"):
        load_engine(resolve("gpu", tmp_path), "llm")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is cut short: 1000 of"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "was altered"),
        (lambda path: path.write_bytes(path.read_bytes() + b"?"), "was altered"),
        (lambda path: (path.unlink(), path.mkdir()), "is cut short|cannot be read|was altered"),
    ],
)
def test_damaged_bundled_weights_are_named_with_the_remedy(bundled: Path, damage: Callable[[Path], object], says: str):
    damage(bundled / "llm/tiny/ctranslate2/model.bin")
    with pytest.raises(WeightsError, match=says) as refused:
        verify(resolve("tiny", Path("nowhere")))
    assert str(bundled / "llm/tiny/ctranslate2/model.bin") in str(refused.value)
    assert "git checkout -- models/bundled/llm/tiny/ctranslate2/model.bin" in str(refused.value)
    assert refused.value.engine == "receptionist-tiny"


def test_damaged_fetched_weights_are_named_with_the_remedy(tmp_path: Path):
    put_weights(tmp_path, *hub_entries("cpu"))
    verify(resolve("cpu", tmp_path))
    path = tmp_path / hub_entries("cpu")[1] / "model.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(WeightsError, match=r"was altered.*kammerton models fetch cpu") as refused:
        verify(resolve("cpu", tmp_path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"silero-v6": {}}', '{"silero-v6": {"revision": null, "files": [1]}}'])
def test_a_damaged_lock_is_named(bundled: Path, content: str):
    (bundled / LOCK).write_text(content)
    with pytest.raises(WeightsError, match=r"models\.lock is damaged.*git checkout -- models/bundled/models\.lock"):
        resolve("tiny", Path("nowhere"))


def test_a_lost_lock_is_no_licence_to_run_anything(bundled: Path):
    (bundled / LOCK).unlink()
    with pytest.raises(WeightsError, match="missing"):
        verify(resolve("tiny", Path("nowhere")))


def test_the_lock_script_writes_the_lock_that_is_committed(tmp_path: Path):
    for part in ("models", "scripts"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "training"))
    (tmp_path / "models/bundled" / LOCK).unlink()
    subprocess.run([sys.executable, "scripts/lock_models.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "models/bundled" / LOCK).read_text() == (BUNDLED / LOCK).read_text()


def test_nothing_heavy_is_imported_by_looking_at_the_catalogue():
    script = (
        "import sys; from pathlib import Path; from models import catalog, fetch;"
        "catalog.verify(catalog.resolve('auto', Path('nowhere')));"
        "[entry.available for entry in catalog.entries().values()];"
        "heavy = {'ctranslate2', 'onnxruntime', 'faster_whisper', 'tokenizers', 'piper', 'huggingface_hub', 'torch'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
