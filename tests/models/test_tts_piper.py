"""Piper's workers: what happens when they die, hang, chatter or have too much to do."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest

import models
from models.base import CapacityError, EngineError, Pcm16, Priority, Urgency, WeightsError
from models.tts.piper import Piper
from models.tts.worker_process import WorkerProcess

BUNDLED = Path(models.__file__).parent / "bundled" / "tts"
ROOT = Path(models.__file__).parents[1]


@pytest.fixture
async def piper() -> AsyncIterator[Piper]:
    engine = await asyncio.to_thread(Piper.load, BUNDLED, name="piper")
    yield engine
    await engine.close()


async def say(piper: Piper, text: str, priority: Priority | Urgency = Priority.CONFIRMED) -> Pcm16:
    voice = piper.voice_for("", "en")
    return np.concatenate([chunk.pcm async for chunk in piper.synthesize(text, voice, priority=priority)])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - processes and threads come and go without an event of this loop
            await asyncio.sleep(0.001)


async def stopped_in(piper: Piper, text: str) -> asyncio.Task[Pcm16]:
    """A request that the (only) worker has in hand, and the worker stopped over it."""
    os.kill(piper.pids[0], signal.SIGSTOP)
    task = asyncio.create_task(say(piper, text))
    await until(lambda: piper.busy)
    return task


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_killed_worker_fails_its_request_and_the_next_one_works(piper: Piper) -> None:
    first = piper.pids[0]
    task = await stopped_in(piper, "This one will not be heard.")
    waiting = asyncio.create_task(say(piper, "This one waits and is heard."))
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineError) as lost:
        await task
    assert lost.value.retryable
    assert lost.value.engine == "piper"
    assert len(await waiting) > 10_000
    assert piper.pids != [first]
    assert ended(first)


async def test_a_worker_killed_while_it_has_nothing_to_do_costs_nobody_a_request(piper: Piper) -> None:
    for _ in range(2):
        first = piper.pids[0]
        os.kill(first, signal.SIGKILL)
        await until(lambda first=first: piper.pids not in ([first], []))
        assert len(await say(piper, f"Still here after {first}.")) > 10_000


async def test_a_worker_that_hangs_is_replaced() -> None:
    piper = Piper.load(BUNDLED, name="piper", stall_s=1.0)
    first = piper.pids[0]
    task = await stopped_in(piper, "Nobody answers.")
    with pytest.raises(EngineError) as lost:
        await task
    assert lost.value.retryable
    assert len(await say(piper, "Somebody answers.")) > 10_000
    assert ended(first)
    await piper.close()


async def test_one_of_two_workers_goes_on_when_the_other_is_lost() -> None:
    piper = Piper.load(BUNDLED, name="piper", workers=2)
    assert len(set(piper.pids)) == 2
    texts = [f"Sentence number {number} of a few." for number in range(12)]
    tasks = [asyncio.create_task(say(piper, text)) for text in texts]
    os.kill(piper.pids[0], signal.SIGKILL)
    spoken = await asyncio.gather(*tasks, return_exceptions=True)
    lost = [each for each in spoken if isinstance(each, EngineError)]
    assert len(lost) <= 1
    assert sum(isinstance(each, np.ndarray) for each in spoken) == len(texts) - len(lost)
    await until(lambda: len(piper.pids) == 2)
    await piper.close()


async def test_an_opener_that_was_spoken_before_needs_no_worker(piper: Piper) -> None:
    spoken = await say(piper, "One moment, please.")
    task = await stopped_in(piper, "Something else.")
    assert np.array_equal(await say(piper, "One moment, please."), spoken)
    assert not task.done()
    os.kill(piper.pids[0], signal.SIGCONT)
    assert len(await task) > 10_000


async def test_too_many_waiting_texts_are_refused_at_once() -> None:
    piper = Piper.load(BUNDLED, name="piper", max_waiting=2)
    running = await stopped_in(piper, "I am being spoken.")
    waiting = [asyncio.create_task(say(piper, f"I wait at place {place}.")) for place in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(CapacityError):
        await say(piper, "I do not fit.")
    os.kill(piper.pids[0], signal.SIGCONT)
    assert all(len(pcm) > 10_000 for pcm in await asyncio.gather(running, *waiting))
    assert len(await say(piper, "Now I fit.")) > 10_000
    await piper.close()


async def test_confirmed_turns_are_spoken_before_prepared_ones(piper: Piper) -> None:
    order: list[str] = []

    async def note(name: str, text: str, priority: Priority) -> None:
        await say(piper, text, priority)
        order.append(name)

    running = await stopped_in(piper, "The first one is under way.")
    later = [
        asyncio.create_task(note("background", "Nobody waits for this.", Priority.BACKGROUND)),
        asyncio.create_task(note("prepared", "This may be needed soon.", Priority.PREPARED)),
        asyncio.create_task(note("confirmed", "This is needed now.", Priority.CONFIRMED)),
    ]
    await asyncio.sleep(0)
    os.kill(piper.pids[0], signal.SIGCONT)
    await asyncio.gather(running, *later)
    assert order == ["confirmed", "prepared", "background"]


async def test_a_prepared_text_that_is_confirmed_while_it_waits_is_spoken_first(piper: Piper) -> None:
    order: list[str] = []
    urgency = Urgency(Priority.PREPARED)

    async def note(name: str, text: str, priority: Priority | Urgency) -> None:
        await say(piper, text, priority)
        order.append(name)

    running = await stopped_in(piper, "The first one is still under way.")
    later = [
        asyncio.create_task(note("prepared", "This may be needed later.", Priority.PREPARED)),
        asyncio.create_task(note("adopted", "This was needed just now.", urgency)),
    ]
    await asyncio.sleep(0)
    urgency.priority = Priority.CONFIRMED
    os.kill(piper.pids[0], signal.SIGCONT)
    await asyncio.gather(running, *later)
    assert order == ["adopted", "prepared"]


async def test_a_long_text_lets_others_in_between_its_sentences(piper: Piper) -> None:
    order: list[str] = []

    async def note(name: str, text: str) -> None:
        await say(piper, text)
        order.append(name)

    running = await stopped_in(piper, "The first one is under way.")
    long = asyncio.create_task(note("long", "This sentence has many brothers. " * 20))
    short = asyncio.create_task(note("short", "I am only a short one."))
    await asyncio.sleep(0)
    os.kill(piper.pids[0], signal.SIGCONT)
    await asyncio.gather(running, long, short)
    assert order == ["short", "long"]


async def test_a_listener_who_does_not_listen_is_not_spoken_to_for_ever(piper: Piper) -> None:
    stream = piper.synthesize("This sentence has many brothers. " * 60, piper.voice_for("", "en"))
    await anext(stream)
    await until(lambda: any(job.parked for job in piper._pool._jobs))
    # Two minutes of speech: the worker rests now, and has all its time for this one.
    assert len(await say(piper, "I am somebody else.")) > 10_000
    assert not piper.busy
    rest = [len(chunk.pcm) async for chunk in stream]
    assert sum(rest) > 22_050 * 60


async def test_closing_ends_processes_and_threads_and_fails_what_is_under_way() -> None:
    threads = set(threading.enumerate())
    piper = Piper.load(BUNDLED, name="piper", workers=2)
    pids = piper.pids
    task = asyncio.create_task(say(piper, "This sentence has many brothers. " * 50))
    await until(lambda: piper.busy)
    await piper.close()
    await piper.close()
    with pytest.raises(EngineError):
        await task
    with pytest.raises(EngineError):
        await say(piper, "Too late.")
    assert all(ended(pid) for pid in pids)
    assert {thread for thread in set(threading.enumerate()) - threads if "piper" in thread.name} == set()


def test_workers_end_when_the_server_is_killed() -> None:
    program = (
        "import pathlib, sys, time; from models.tts.piper import Piper;"
        "piper = Piper.load(pathlib.Path(sys.argv[1]), name='piper', workers=2);"
        "print(*piper.pids, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(BUNDLED)], cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout
        watched = [os.pidfd_open(int(pid)) for pid in server.stdout.readline().split()]
        server.kill()
    assert len(watched) == 2
    for pidfd in watched:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(60_000), "a worker outlived its server"
        os.close(pidfd)


def test_the_server_process_imports_neither_piper_nor_an_inference_library() -> None:
    program = (
        "import asyncio, pathlib, sys; from models.tts.piper import Piper;"
        "piper = Piper.load(pathlib.Path(sys.argv[1]), name='piper'); asyncio.run(piper.close());"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(BUNDLED)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=240
    )
    assert not {"piper", "onnxruntime", "onnx", "torch"} & set(done.stdout.split())


async def test_what_libraries_print_goes_to_the_log_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    noisy = "import sys\nprint('chatter on output', flush=True)\nprint('chatter on error', file=sys.stderr)\n"
    (tmp_path / "sitecustomize.py").write_text(noisy)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    piper = Piper.load(BUNDLED, name="piper")
    assert len(await say(piper, "I am well.")) > 10_000
    await piper.close()
    assert {"chatter on output", "chatter on error"} <= {
        record.getMessage().removeprefix("speech worker: ") for record in caplog.records
    }


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess("models.tts.piper_worker", [BUNDLED / "en_US.onnx"], "piper", lambda: None)
    yield process
    process.reap()


def speak(number: int, text: str, voice: str = "en_US") -> dict[str, object]:
    return {"op": "speak", "id": number, "voice": voice, "text": text, "speed": 1.0, "step": 0}


def answer(worker: WorkerProcess) -> list[str]:
    """What the worker says to one request, by kind."""
    said = [worker.receive(60).header["op"]]
    while said[-1] == "audio":
        said.append(worker.receive(60).header["op"])
    return said


def test_a_worker_stops_within_a_sentence_when_nobody_wants_the_rest(worker: WorkerProcess) -> None:
    text = "this is one long sentence that nobody wants to hear to its end"
    os.kill(worker.pid, signal.SIGSTOP)
    worker.send(speak(1, text))
    worker.send({"op": "cancel", "id": 1})
    worker.send(speak(2, text))
    worker.send({"op": "cancel", "id": 1})
    os.kill(worker.pid, signal.SIGCONT)
    assert answer(worker) == ["audio", "done"]
    # A cancel that comes too late is for a request that is over, and touches no other.
    assert len(answer(worker)) > 10


def test_a_request_that_cannot_be_served_is_answered_and_the_worker_lives(worker: WorkerProcess) -> None:
    worker.send(speak(1, "Hello.", voice="nobody"))
    assert answer(worker) == ["error"]
    worker.send(speak(2, "Hello."))
    assert answer(worker)[-1] == "done"
    assert worker.alive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("en_US.onnx", "en_US.onnx.json"):
        copyfile(BUNDLED / name, tmp_path / name)
    return tmp_path


def test_missing_or_damaged_files_are_named(folder: Path) -> None:
    whole = (folder / "en_US.onnx").read_bytes()
    with pytest.raises(WeightsError, match="nowhere"):
        Piper.load(folder / "nowhere", name="piper")
    (folder / "en_US.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"en_US\.onnx: "):
        Piper.load(folder, name="piper")
    (folder / "en_US.onnx").write_bytes(whole)
    for wrong in ("", "[]", "{}", '{"audio": 3}', "\xff"):
        (folder / "en_US.onnx.json").write_bytes(wrong.encode("latin-1"))
        with pytest.raises(WeightsError, match=r"en_US\.onnx\.json: "):
            Piper.load(folder, name="piper")
    (folder / "en_US.onnx.json").unlink()
    with pytest.raises(WeightsError, match=r"en_US\.onnx\.json: it is missing"):
        Piper.load(folder, name="piper")


async def test_weights_that_vanish_fail_requests_at_once_until_they_are_back(folder: Path) -> None:
    piper = Piper.load(folder, name="piper")
    task = await stopped_in(piper, "This one will not be heard.")
    waiting = asyncio.create_task(say(piper, "Nor will this one."))
    await asyncio.sleep(0)
    (folder / "en_US.onnx").rename(folder / "gone")
    os.kill(piper.pids[0], signal.SIGKILL)
    for each in (task, waiting):
        with pytest.raises(EngineError):
            await each
    with pytest.raises(EngineError, match=r"en_US\.onnx"):
        await say(piper, "And this one is refused.")
    (folder / "gone").rename(folder / "en_US.onnx")
    await until(lambda: piper.pids)
    assert len(await say(piper, "Back again.")) > 10_000
    await piper.close()


async def test_nobody_speaks_on_for_a_listener_whose_text_has_failed(folder: Path) -> None:
    piper = Piper.load(folder, name="piper")
    stream = piper.synthesize("This sentence has many brothers. " * 60, piper.voice_for("", "en"))
    await anext(stream)
    await until(lambda: any(job.parked for job in piper._pool._jobs))  # the rest waits for the listener
    (folder / "en_US.onnx").rename(folder / "gone")
    os.kill(piper.pids[0], signal.SIGKILL)
    await until(lambda: not piper._pool._jobs)  # no new worker comes up
    with pytest.raises(EngineError):
        async for _ in stream:
            pass
    assert piper._pool._waiting == []
    await piper.close()


async def test_a_voice_of_another_engine_is_refused(piper: Piper, folder: Path) -> None:
    other = Piper.load(folder, name="other")
    stranger = next(voice for voice in piper.voices if voice not in other.voices)
    with pytest.raises(ValueError, match=stranger.name):
        await anext(other.synthesize("Hello.", stranger))
    await other.close()
