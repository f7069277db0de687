"""Speech workers and the work that waits for them.

One thread a worker: it starts the process, gives it one piece of speech at a time, hands on what comes back, and starts
a new process when the old one dies. The most urgent piece goes first, and of equals the one whose text has been spoken
least of, so that a long answer never keeps a new one waiting for more than a sentence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from models.base import CapacityError, EngineError, Priority, SpeechChunk, SpokenWord, Urgency, Voice, priority_of
from models.tts.frames import Frame
from models.tts.worker_process import WorkerProcess

# How much speech may lie ready before the rest of a text is made: the listener may yet interrupt.
_AHEAD_S = 5.0
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0

Delivery = SpeechChunk | EngineError | None
"""A piece of audio, what went wrong, or None at the end."""


@dataclass(eq=False, slots=True)
class Job:
    """A text on its way. deliver is called from worker threads. step: the next piece; start: the sample at which it
    starts. samples: made so far; unread: of these, not yet taken."""

    id: int
    text: str
    voice: Voice
    speed: float
    priority: Priority | Urgency
    deliver: Callable[[Delivery], None]
    step: int = 0
    start: int = 0
    samples: int = 0
    unread: int = 0
    parked: bool = False
    over: bool = False
    process: WorkerProcess | None = None

    @property
    def rank(self) -> tuple[Priority, int, int]:
        """What goes first is smaller."""
        return priority_of(self.priority), self.step, self.id


class WorkerPool:
    """Several processes of one kind, started by ``start``. module: what they run. paths: their arguments.

    max_waiting: texts that may wait for a worker. stall_s: a worker that is silent for so long is killed.
    """

    def __init__(
        self, engine: str, module: str, paths: Sequence[Path], *, workers: int, max_waiting: int, stall_s: float
    ) -> None:
        self._engine = engine
        self._module = module
        self._paths = tuple(paths)
        self._max_waiting = max_waiting
        self._stall_s = stall_s
        self._changed = threading.Condition()
        self._ids = count()
        self._waiting: list[Job] = []
        self._jobs: set[Job] = set()
        self._processes: set[WorkerProcess] = set()
        self._failure: EngineError | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{engine}-{index}", daemon=True) for index in range(workers)
        ]

    @property
    def pids(self) -> list[int]:
        """The processes that are up now."""
        with self._changed:
            return [process.pid for process in self._processes]

    @property
    def busy(self) -> int:
        """How many texts a worker has in hand now."""
        with self._changed:
            return sum(job.process is not None for job in self._jobs)

    def start(self) -> None:
        """Start all workers and wait until they are ready. Raises WeightsError or EngineError; then none is left."""
        for thread in self._threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._failure or len(self._processes) == len(self._threads))
            failure = self._failure
        if failure:
            self.close()
            raise failure

    def submit(
        self, text: str, voice: Voice, speed: float, priority: Priority | Urgency, deliver: Callable[[Delivery], None]
    ) -> Job:
        """Have a text spoken. Raises CapacityError when too many wait, EngineError when no worker can be started."""
        with self._changed:
            if self._closed:
                raise EngineError(self._engine, "the speech engine is closed")
            if self._failure and not self._processes:
                raise EngineError(self._engine, f"no speech worker is up ({self._failure})", retryable=True)
            if len(self._waiting) >= self._max_waiting:
                raise CapacityError(f"{len(self._waiting)} texts wait to be spoken")
            job = Job(next(self._ids), text, voice, speed, priority, deliver)
            self._jobs.add(job)
            self._wait_in_line(job)
        return job

    def taken(self, job: Job, samples: int) -> None:
        """The listener has taken so many samples: time for more, perhaps."""
        with self._changed:
            job.unread -= samples
            if job.parked and not job.over and job.unread < _AHEAD_S * job.voice.sample_rate:
                job.parked = False
                self._wait_in_line(job)

    def cancel(self, job: Job) -> None:
        """Nobody wants the rest. Does nothing when the job is over."""
        with self._changed:
            if job.over:
                return
            self._finish(job)
            if job.process is not None:
                try:
                    job.process.send({"op": "cancel", "id": job.id})
                except OSError:
                    return  # The worker died with this job in hand; its own thread sees to that.

    def close(self) -> None:
        """End all workers; jobs that are not over fail. Blocks until nothing is left."""
        with self._changed:
            self._closed = True
            for job in list(self._jobs):
                self._finish(job, EngineError(self._engine, "the speech engine was closed"))
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    # ------------------------------------------------------------------ inside, with _changed held

    def _wait_in_line(self, job: Job) -> None:
        self._waiting.append(job)
        self._changed.notify()

    def _finish(self, job: Job, *outcome: Delivery) -> None:
        job.over = True
        self._jobs.discard(job)
        if job in self._waiting:
            self._waiting.remove(job)
        for each in outcome:
            job.deliver(each)

    # ------------------------------------------------------------------------ the worker's thread

    def _run(self) -> None:
        failures = 0
        while not self._closed:
            try:
                process = WorkerProcess(self._module, self._paths, self._engine, self._notify)
            except EngineError as error:
                self._give_up_waiting(error)
                answered = False
            else:
                with self._changed:
                    self._failure = None
                    self._processes.add(process)
                    self._changed.notify_all()
                answered = self._serve(process)
                with self._changed:
                    self._processes.discard(process)
                process.reap()
            failures = 0 if answered else failures + 1
            delay = 0.0 if failures < 2 else min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (failures - 2))
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=delay)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _give_up_waiting(self, error: EngineError) -> None:
        with self._changed:
            self._failure = error
            if not self._processes:
                for job in list(self._jobs):
                    self._finish(job, EngineError(self._engine, str(error), retryable=True))
            self._changed.notify_all()

    def _serve(self, process: WorkerProcess) -> bool:
        """Give the process work until it dies or the pool is closed; whether it answered anything."""
        answered = False
        while (job := self._take(process)) is not None:
            try:
                self._speak(process, job)
                answered = True
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError; ValueError: no frame.
                process.kill()
                with self._changed:
                    job.process = None
                    if not job.over:
                        lost = EngineError(self._engine, f"the speech worker was lost ({error})", retryable=True)
                        self._finish(job, lost)
                return answered
        return answered

    def _take(self, process: WorkerProcess) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not process.alive or self._waiting)
            if self._closed or not process.alive:
                return None
            job = min(self._waiting, key=lambda job: job.rank)
            self._waiting.remove(job)
            job.process = process
            return job

    def _speak(self, process: WorkerProcess, job: Job) -> None:
        """One piece of the job's text."""
        request = {"id": job.id, "voice": job.voice.name, "text": job.text, "speed": job.speed, "step": job.step}
        process.send({"op": "speak", **request})
        while True:
            frame = process.receive(self._stall_s)
            if frame.header["op"] == "audio":
                self._deliver(job, frame)
                continue
            with self._changed:
                job.process = None
                if not job.over:
                    self._go_on(job, frame)
            return

    def _deliver(self, job: Job, frame: Frame) -> None:
        pcm = np.frombuffer(frame.payload, "<i2")
        words = tuple(SpokenWord(text_end, job.start + end) for text_end, end in frame.header["words"])
        with self._changed:
            if not job.over:
                job.samples += len(pcm)
                job.unread += len(pcm)
                job.deliver(SpeechChunk(pcm, job.voice.sample_rate, words))

    def _go_on(self, job: Job, frame: Frame) -> None:
        if frame.header["op"] == "error":
            self._finish(job, EngineError(self._engine, f"the text could not be spoken: {frame.header['reason']}"))
        elif frame.header["last"]:
            self._finish(job, None)
        else:
            job.step += 1
            job.start = job.samples
            job.parked = job.unread >= _AHEAD_S * job.voice.sample_rate
            if not job.parked:
                self._wait_in_line(job)
