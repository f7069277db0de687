"""The audit log: what is written is chained, what is altered is found, and what cannot be written is not done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import AuditError
from server.policy.audit import Audit, rows

NOW = datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC)


def written(path: Path, count: int = 3) -> bytes:
    async def write() -> None:
        log = Audit(path, now=lambda: NOW)
        for number in range(count):
            await log.record("cloud.session", f"sess_{number}", provider="azure", attempt=number)
        log.close()

    asyncio.run(write())
    return path.read_bytes()


def test_rows_come_back_in_order_with_what_was_recorded(tmp_path: Path) -> None:
    written(tmp_path / "log")
    found = list(rows(tmp_path / "log"))
    assert [row.seq for row in found] == [1, 2, 3]
    assert found[1].action == "cloud.session"
    assert found[1].object == "sess_1"
    assert found[1].fields == {"provider": "azure", "attempt": 1}
    assert found[1].at == "2030-01-02T03:04:05.678Z"
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_a_later_start_goes_on_with_the_chain(tmp_path: Path) -> None:
    first = written(tmp_path / "log", 2)
    both = written(tmp_path / "log", 1)
    assert both.startswith(first)
    assert [row.seq for row in rows(tmp_path / "log")] == [1, 2, 3]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_byte_can_be_altered(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("audit") / "log"
    content = bytearray(written(path))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(AuditError, match=rf"row {bytes(content[:place]).count(10) + 1}:"):
        list(rows(path))


@pytest.mark.parametrize("kept", [(0, 2), (1, 2), (1, 0, 2), (0, 0, 1, 2)])
def test_rows_taken_out_moved_or_put_in_are_found(tmp_path: Path, kept: tuple[int, ...]) -> None:
    lines = (written(tmp_path / "log")).splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join(lines[number] for number in kept))
    with pytest.raises(AuditError, match="missing, were put in, or are in another order"):
        list(rows(tmp_path / "log"))
    with pytest.raises(AuditError, match="row"):
        Audit(tmp_path / "log")


def test_what_a_power_cut_left_of_a_row_is_dropped_and_said(tmp_path: Path) -> None:
    content = written(tmp_path / "log")
    (tmp_path / "log").write_bytes(content + b'{"action":"cloud.ses')
    with pytest.raises(AuditError, match="row 4: it has no end"):
        list(rows(tmp_path / "log"))
    Audit(tmp_path / "log").close()
    last = list(rows(tmp_path / "log"))[-1]
    assert last.action == "audit.recovered"
    assert last.fields == {"bytes": 20}


def test_a_log_has_one_writer(tmp_path: Path) -> None:
    log = Audit(tmp_path / "log")
    with pytest.raises(AuditError, match="in use by another server"):
        Audit(tmp_path / "log")
    log.close()
    Audit(tmp_path / "log").close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match="cannot be written"):
        Audit(tmp_path / "file" / "log")
    with pytest.raises(AuditError, match="is no file"):
        Audit(Path("/dev/full"))


async def test_rows_of_many_tasks_do_not_mix(tmp_path: Path) -> None:
    log = Audit(tmp_path / "log")
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(log.record("key.created", str(number)))
    log.close()
    assert {row.object for row in rows(tmp_path / "log")} == {str(number) for number in range(50)}


async def test_a_caller_who_hangs_up_while_a_row_is_written_does_not_fork_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Audit(tmp_path / "log")
    syncing, go_on, sync = threading.Event(), threading.Event(), os.fsync

    def slow(file: int) -> None:
        syncing.set()
        go_on.wait(20)
        sync(file)

    monkeypatch.setattr(os, "fsync", slow)
    first = asyncio.create_task(log.record("cloud.session", "a"))
    await asyncio.to_thread(syncing.wait, 20)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(log.record("cloud.session", "b"))
    # The second row's thread has its chance to begin while the first one's is still at work.
    await asyncio.wait([second], timeout=0.05)
    go_on.set()
    await second
    log.close()
    assert [row.object for row in rows(tmp_path / "log")] == ["a", "b"]


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced"])
async def test_a_log_that_is_taken_away_under_the_server_takes_no_more_rows(tmp_path: Path, what: str) -> None:
    path = tmp_path / "log"
    log = Audit(path)
    await log.record("cloud.session", "a")
    if what == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "log.1")
    if what == "replaced":
        path.touch()
    with pytest.raises(AuditError, match="moved, deleted or replaced"):
        await log.record("cloud.session", "b")
    log.close()


async def test_a_closed_log_takes_no_rows(tmp_path: Path) -> None:
    log = Audit(tmp_path / "log")
    log.close()
    log.close()
    with pytest.raises(AuditError, match="is closed"):
        await log.record("cloud.session", "a")


_FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from server.errors import AuditError
from server.policy.audit import Audit

async def main():
    log = Audit(Path(sys.argv[1]))
    await log.record("cloud.session", "a")
    limit = Path(sys.argv[1]).stat().st_size + 10
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        await log.record("cloud.session", "b")
    except AuditError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await log.record("cloud.session", "c")
    log.close()

asyncio.run(main())
"""


def test_a_row_that_does_not_fit_on_the_disk_is_refused_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path / "log")], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout
    assert [row.object for row in rows(tmp_path / "log")] == ["a", "c"]


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "audit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_verifies_shows_and_names_the_first_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = written(path)
    good = audit("verify", str(path))
    assert good.returncode == 0
    assert good.stdout.startswith("3 rows")
    assert list(rows(path))[-1].hash in good.stdout
    assert audit("show", str(path), "--since", "2030-01-02").stdout.count("\n") == 3
    assert audit("show", str(path), "--until", "2030-01-02T03:04:05Z").stdout == ""
    path.write_bytes(content.replace(b"sess_1", b"sess_7"))
    bad = audit("verify", str(path))
    assert bad.returncode == 2
    assert "row 2: it was altered" in bad.stderr
    wrong = audit("show", str(path), "--since", "soon")
    assert wrong.returncode == 2
    assert "--since" in wrong.stderr


def test_rows_cut_off_at_the_end_are_found_by_a_hash_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = written(path)
    kept = list(rows(path))[-1].hash
    assert audit("verify", str(path), "--holds", kept).returncode == 0
    path.write_bytes(content[: content[:-1].rindex(b"\n") + 1])
    assert audit("verify", str(path)).returncode == 0
    cut = audit("verify", str(path), "--holds", kept)
    assert cut.returncode == 2
    assert kept in cut.stderr
