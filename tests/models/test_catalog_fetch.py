"""Fetching weights, against a stand-in for the hub on this machine that serves the bundled models."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from models import entries
from models.base import CatalogError, WeightsError
from models.catalog import BUNDLED, load_engine, resolve, verify
from models.fetch import fetch
from models.lock import LOCK, read_lock

COMMIT = "c0ffee" * 6 + "beef"
NEWEST = "abcdef" * 6 + "0123"
LARGE = 100_000
"""From this size on, a file is announced with its SHA-256, as the hub does for what it keeps in large file storage."""

CATALOG = """
[profiles.cpu]
about = "Two models from a hub."
vad = "vad"
stt = "stt"
llm = "chat"
tts = "tts"

[entries.vad]
kind = "vad"
engine = "silero.SileroVad"
bundled = "vad/silero_vad.onnx"

[entries.stt]
kind = "stt"
engine = "faster_whisper.FasterWhisper"
bundled = "stt/tiny"

[entries.chat]
kind = "llm"
engine = "ctranslate2.CTranslate2Chat"
hub = "acme/chat"
revision = "REVISION"
files = ["*.json", "*.jinja", "model.bin"]

[entries.tts]
kind = "tts"
engine = "piper.Piper"
hub = "acme/voices"
revision = "main"
files = ["en/en_US/tiny/en_US.onnx*", "de/de_DE/tiny/de_DE.onnx*"]
""".replace("REVISION", COMMIT).replace("\nkind", '\nlicence = "x"\nlanguages = []\nsize_mb = 1\nabout = "x"\nkind')


class Hub(ThreadingHTTPServer):
    """repositories: files of each by path. faults: what to do wrong, by path. served: (path, first byte) of each
    download."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        chat = BUNDLED / "llm/tiny/ctranslate2"
        self.repositories: dict[str, dict[str, bytes]] = {
            "acme/chat": {path.name: path.read_bytes() for path in chat.iterdir()} | {"README.md": b"about"},
            "acme/voices": {
                f"{voice[:2]}/{voice}/tiny/{voice}{suffix}": (BUNDLED / "tts" / f"{voice}{suffix}").read_bytes()
                for voice in ("en_US", "de_DE", "fr_FR")
                for suffix in (".onnx", ".onnx.json")
                if voice != "fr_FR"
            }
            | {"fr/fr_FR/tiny/fr_FR.onnx": b"not asked for"},
        }
        self.faults: dict[str, str] = {}
        self.served: list[tuple[str, int]] = []
        self.hung = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        if self.server.faults.get("listing") == "hangs":
            self.server.hung.wait()
            return None
        for name, files in self.server.repositories.items():
            if path.startswith(f"api/models/{name}"):
                return self._send(200, json.dumps(self._listing(name, path)).encode(), {}, body=body)
            if path.startswith(f"{name}/resolve/"):
                commit, _, file = path.removeprefix(f"{name}/resolve/").partition("/")
                if file in files and commit in (COMMIT, NEWEST):
                    return self._file(file, files[file], commit, body=body)
        return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body=body)

    def _listing(self, name: str, path: str) -> dict[str, Any]:
        _, _, revision = path.partition("/revision/")
        siblings = []
        for file, content in self.server.repositories[name].items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            sibling: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": blob}
            if len(content) >= LARGE:
                sha = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        return {
            "id": name,
            "modelId": name,
            "sha": self.server.faults.get("commit", COMMIT if revision == COMMIT else NEWEST),
            "siblings": siblings,
            "tags": [],
        }

    def _file(self, file: str, content: bytes, commit: str, *, body: bool) -> None:
        fault = self.server.faults.get(file, "")
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        facts = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if body:
            self.server.served.append((file, first))
        if fault == "altered" and body:
            content = content[:-1] + b"?"
        if first:
            facts["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if fault == "hangs" and body:
            self.server.hung.wait()
            return None
        if fault == "breaks at once" and body:
            return self._send(200, content, facts, body=True, cut=0)
        if fault == "breaks" and body:
            del self.server.faults[file]
            return self._send(200, content, facts, body=True, cut=len(content) // 2)
        return self._send(206 if first else 200, content[first:], facts, body=body)

    def _send(self, status: int, content: bytes, facts: dict[str, str], *, body: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **facts}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, and a catalogue that has its models."""
    (tmp_path / "catalog.toml").write_text(CATALOG)
    monkeypatch.setattr(entries, "_CATALOG", tmp_path / "catalog.toml")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    caches = (entries._read, entries.entries, entries.profiles)
    for cached in caches:
        cached.cache_clear()
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.hung.set()
        server.shutdown()
        thread.join()
    for cached in caches:
        cached.cache_clear()


def quiet(*_: Any) -> None:
    pass


def test_a_fetched_profile_verifies_and_runs(hub: Hub, tmp_path: Path):
    weights = tmp_path / "weights"
    assert fetch("cpu", weights, quiet, endpoint=hub.address) == ["chat", "tts"]
    resolved = resolve("cpu", weights)
    assert resolved.models["llm"].on_disk
    assert resolved.models["tts"].on_disk
    assert load_engine(resolved, "llm").supports_tools
    chat = {path.name for path in (weights / "chat").iterdir()}
    assert "README.md" not in chat
    assert {"model.bin", "tokenizer.json", "chat_template.jinja"} <= chat
    assert {path.name for path in (weights / "tts").iterdir()} == {
        f"{voice}.onnx{suffix}" for voice in ("en_US", "de_DE") for suffix in ("", ".json")
    }
    assert {path.name for path in weights.iterdir()} == {"chat", "tts", LOCK}


def test_the_lock_holds_the_commit_and_the_hash_of_every_file(hub: Hub, tmp_path: Path):
    fetch("cpu", tmp_path / "weights", quiet, endpoint=hub.address)
    locked = read_lock(tmp_path / "weights")
    assert locked["chat"].revision == COMMIT, "the one that the catalogue names"
    assert locked["tts"].revision == NEWEST, "the one that the hub said was newest"
    voice = hub.repositories["acme/voices"]["en/en_US/tiny/en_US.onnx"]
    assert locked["tts"].files["tts/en_US.onnx"].sha256 == hashlib.sha256(voice).hexdigest()
    assert locked["tts"].files["tts/en_US.onnx"].size == len(voice)


def test_progress_grows_to_the_size_of_each_file(hub: Hub, tmp_path: Path):
    seen: dict[str, list[tuple[int, int]]] = {}
    fetch(
        "cpu",
        tmp_path / "w",
        lambda file, done, total: seen.setdefault(file, []).append((done, total)),
        endpoint=hub.address,
    )
    size = len(hub.repositories["acme/chat"]["model.bin"])
    assert seen["model.bin"][-1] == (size, size)
    assert all(steps == sorted(steps) for steps in seen.values())
    assert len(seen) == 7 + 4


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path):
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    hub.served.clear()
    assert fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address) == []
    assert hub.served == []


def test_what_an_update_of_the_catalogue_names_in_another_revision_is_fetched_anew(hub: Hub, tmp_path: Path):
    catalog = entries._CATALOG.read_text()
    entries._CATALOG.write_text(catalog.replace(COMMIT, NEWEST))
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    entries._CATALOG.write_text(catalog)
    for cached in (entries._read, entries.entries, entries.profiles):
        cached.cache_clear()
    hub.repositories["acme/chat"]["config.json"] += b"\n"
    hub.served.clear()
    assert fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address) == ["chat"]
    assert [file for file, _ in hub.served] == ["config.json"]
    assert read_lock(tmp_path / "w")["chat"].revision == COMMIT


@pytest.mark.parametrize("commit", ["../../../elsewhere", "main", ""])
def test_a_hub_whose_commit_is_none_gets_nothing_written(hub: Hub, tmp_path: Path, commit: str):
    hub.faults["commit"] = commit
    with pytest.raises(WeightsError, match="acme/chat is at no commit"):
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert hub.served == []


def test_only_what_is_damaged_is_fetched_again(hub: Hub, tmp_path: Path):
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    hub.served.clear()
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / "w/chat" / name).write_text("damaged")
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert sorted(file for file, _ in hub.served) == ["config.json", "tokenizer.json"]


@pytest.mark.parametrize("damage", ["missing", "cut short", "altered", "lock"])
def test_fetching_again_mends_what_was_damaged(hub: Hub, tmp_path: Path, damage: str):
    weights = tmp_path / "w"
    fetch("cpu", weights, quiet, endpoint=hub.address)
    path = weights / "chat" / "model.bin"
    if damage == "missing":
        path.unlink()
    elif damage == "lock":
        (weights / LOCK).write_text("{")
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + (b"?" if damage == "altered" else b""))
    assert "chat" in fetch("cpu", weights, quiet, endpoint=hub.address)
    assert path.read_bytes() == hub.repositories["acme/chat"]["model.bin"]
    assert resolve("cpu", weights).models["llm"].on_disk


@pytest.fixture
def large(hub: Hub) -> bytes:
    """Weights that take a while."""
    content = hub.repositories["acme/chat"]["model.bin"] * 22
    hub.repositories["acme/chat"]["model.bin"] = content
    return content


def test_a_download_that_breaks_goes_on_where_it_stopped(hub: Hub, large: bytes, tmp_path: Path):
    hub.faults["model.bin"] = "breaks"
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    begun = [first for file, first in hub.served if file == "model.bin"]
    assert len(begun) == 2
    assert begun[0] == 0 < begun[1] <= len(large) // 2
    assert (tmp_path / "w/chat/model.bin").read_bytes() == large


def test_a_fetch_that_is_interrupted_goes_on_where_it_stopped(hub: Hub, large: bytes, tmp_path: Path):
    def interrupt(file: str, done: int, _: int) -> None:
        if file == "model.bin" and done > 15_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("cpu", tmp_path / "w", interrupt, endpoint=hub.address)
    hub.served.clear()
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert [first >= 15_000_000 for file, first in hub.served if file == "model.bin"] == [True]
    assert (tmp_path / "w/chat/model.bin").read_bytes() == large


def test_a_file_that_is_not_what_was_announced_is_refused_and_not_kept(hub: Hub, tmp_path: Path):
    hub.faults["model.bin"] = "altered"
    with pytest.raises(WeightsError, match=r"acme/chat sent another model\.bin") as refused:
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert refused.value.retryable
    assert not (tmp_path / "w/chat/model.bin").exists()
    with pytest.raises(WeightsError):
        verify(resolve("cpu", tmp_path / "w"))
    hub.faults.clear()
    assert fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address) == ["chat", "tts"]


def test_a_repository_without_the_files_is_refused(hub: Hub, tmp_path: Path):
    hub.repositories["acme/chat"] = {"README.md": b"moved"}
    with pytest.raises(WeightsError, match="acme/chat has no file model"):
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    del hub.repositories["acme/chat"]
    with pytest.raises(WeightsError, match="could not fetch acme/chat"):
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)


def test_a_hub_that_cannot_be_reached_is_one_clear_error(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.fetch._PAUSE_S", 0.0)
    hub.faults["model.bin"] = "breaks at once"
    with pytest.raises(WeightsError, match="could not fetch acme/chat") as broken:
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert broken.value.retryable
    with pytest.raises(WeightsError, match=r"could not fetch acme/chat: .*; fetch again") as refused:
        fetch("cpu", tmp_path / "w", quiet, endpoint="http://127.0.0.1:1")
    assert refused.value.retryable


@pytest.mark.parametrize("where", ["listing", "model.bin"])
def test_a_hub_that_hangs_is_given_up(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str):
    monkeypatch.setattr("models.fetch._SILENCE_S", 0.5)
    monkeypatch.setattr("models.fetch._PAUSE_S", 0.0)
    hub.faults[where] = "hangs"
    with pytest.raises(
        WeightsError, match=r"could not fetch acme/chat: the hub said nothing for 0\.5 s; fetch again"
    ) as hung:
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert hung.value.retryable
    assert read_lock(tmp_path / "w") == {}


def test_a_disk_that_is_too_full_is_told_before_the_first_byte(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(WeightsError, match=r"the disk is too full: chat needs \d MB, and .* has 1 MB free"):
        fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    assert hub.served == []


def test_a_disk_that_fills_up_in_the_middle_keeps_what_came_to_go_on_with(hub: Hub, tmp_path: Path):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, most))  # no file may grow beyond
    try:
        with pytest.raises(WeightsError, match="could not fetch acme/chat: File too large; fetch again to go on"):
            fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert not (tmp_path / "w/chat/model.bin").exists()
    assert read_lock(tmp_path / "w") == {}
    hub.served.clear()
    assert fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address) == ["chat", "tts"]
    assert next(first for file, first in hub.served if file == "model.bin") > 0


def test_a_folder_that_cannot_be_written_to_is_one_clear_error(hub: Hub, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot write to .*file/w: Not a directory"):
        fetch("cpu", tmp_path / "file" / "w", quiet, endpoint=hub.address)


def test_texts_of_one_name_are_told_apart_by_their_folder(hub: Hub, tmp_path: Path):
    text = entries._CATALOG.read_text()
    entries._CATALOG.write_text(
        text.replace('"de/de_DE/tiny/de_DE.onnx*"', '"de/de_DE/tiny/de_DE.onnx*", "*/MODEL_CARD*"')
    )
    for voice in ("en_US", "de_DE"):
        hub.repositories["acme/voices"][f"{voice[:2]}/{voice}/tiny/MODEL_CARD"] = voice.encode()
    fetch("cpu", tmp_path / "w", quiet, endpoint=hub.address)
    for voice in ("en_US", "de_DE"):
        assert (tmp_path / "w/tts" / f"{voice[:2]}-{voice}-tiny-MODEL_CARD").read_text() == voice


def test_an_unknown_profile_is_refused(hub: Hub, tmp_path: Path):
    with pytest.raises(CatalogError, match="no profile 'huge'"):
        fetch("huge", tmp_path / "w", quiet, endpoint=hub.address)
