"""The result file: what one run of the benchmark against one server found, as JSON.

Nothing is averaged away: each turn keeps its own times, so that a report can draw distributions. Times are milliseconds
(``_ms``) or seconds (``_s``). A figure that the server does not tell, or that was not measured, is None, and never 0.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

VERSION = 1
"""Of the format. A file of another version is refused, as its fields may mean something else."""

CONDITIONS = ("clean", "phone", "noise_20", "noise_10", "noise_5")
"""Between caller and server: nothing, a phone line (300 to 3400 Hz, G.711), or noise so many dB below the speech."""


class ResultError(ValueError):
    """A file is no result file, or one of another version."""


@dataclass(slots=True)
class Machine:
    """Where the clients ran, and the server too where ``server_is_here``. gpus: their names. load: tasks that wanted a
    core in the minute before (load average); well above 0 means a busy machine, whose latencies say little."""

    cpu: str
    cores: int
    memory_gib: float
    os: str
    python: str
    load: float
    server_is_here: bool
    gpus: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Server:
    """What was measured. url: without its query, which may hold a key. hold_ms: silence after which the server ends a
    turn, None when it does not say or decides by itself. vad: the kind of turn detection, e.g. "server_vad 500 ms",
    "semantic_vad auto". settings: what else was set or told, e.g. profile, voice, reasoning effort. versions: of
    server, models and libraries, as far as known."""

    name: str
    dialect: str
    url: str
    model: str = ""
    hold_ms: float | None = None
    vad: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Tokens:
    """As the server counts them, summed over the responses of a turn or call. cached ones are part of the input."""

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        mine, theirs = asdict(self), asdict(other)
        return Tokens(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(slots=True)
class ToolCall:
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ToolScore:
    """The calls of a turn beside those expected. names: the right tools, each as often. arguments: how many of the
    ``of_arguments`` expected ones came right. whole: all of it right, and nothing besides."""

    names: bool
    arguments: int
    of_arguments: int
    whole: bool


@dataclass(slots=True)
class Interruption:
    """A sound of the caller over an answer. kind: "speech", "backchannel", "cough". meant: whether it is to stop the
    answer. stopped: whether it did. stop_ms: from its first audible sample to the last sample of the answer that a
    loudspeaker plays, None when the answer went on or was over before. answer_heard_s: how much of the answer was
    played, of ``answer_s`` that had come. heard_words: an estimate within about a word, from the share of the answer's
    sound that was played and its letters. history_words, history: what the server's history holds of it afterwards."""

    kind: str
    meant: bool
    stopped: bool
    stop_ms: float | None = None
    answer_heard_s: float = 0.0
    answer_s: float = 0.0
    answer: str = ""
    heard_words: int | None = None
    history_words: int | None = None
    history: str | None = None

    @property
    def false_alarm(self) -> bool:
        """The answer was stopped by something that was no interruption."""
        return self.stopped and not self.meant

    @property
    def missed(self) -> bool:
        """The caller wanted to be heard, and was talked over."""
        return self.meant and not self.stopped


@dataclass(slots=True)
class Turn:
    """One utterance of the caller, and what came of it.

    scenario, condition, language: what was played, of CONDITIONS, as BCP 47. call, turn: numbers from 0. reference:
    the words that were spoken. wants_answer: False for a sound that needs none (a cough, a backchannel).

    voice_to_voice_ms: from the last sample of the utterance that is speech to the first audible sample of the answer
    as a loudspeaker plays it; None when there was none, or none was due. hold_ms: the end-of-turn silence in force,
    part of it. answer_ms: the same for the answer after a tool's result, where a tool was called; equal to
    voice_to_voice_ms where the first sound is the answer. stages: ms since the end of speech, as the server tells them,
    by its own names.

    cut_off: the server ended the turn while the caller had more to say. cut_off_after: the words that were spoken until
    then, where their times are known. false_interruptions: how often an answer was stopped while the caller was silent;
    what a cough or a backchannel stops is in ``interruption``. underruns_ms: each gap in the playback of an
    answer, because its sound came too late. errors: in the caller's words or the server's.

    expected, got: tool calls. tools: how they compare; None where none was expected and none came, or in a
    task whose goal says what is right. word_errors, words:
    words inserted, deleted or replaced in the transcript, and words spoken; 0 words where there is no transcript, or no
    answer is due.
    caller_s, answer_s: seconds of audio spoken, and received.
    """

    scenario: str
    call: int
    turn: int
    condition: str
    language: str
    reference: str
    transcript: str = ""
    answer: str = ""
    wants_answer: bool = True
    voice_to_voice_ms: float | None = None
    answer_ms: float | None = None
    hold_ms: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    word_errors: int = 0
    words: int = 0
    cut_off: bool = False
    cut_off_after: str = ""
    false_interruptions: int = 0
    interruption: Interruption | None = None
    expected: list[ToolCall] = field(default_factory=list)
    got: list[ToolCall] = field(default_factory=list)
    tools: ToolScore | None = None
    tokens: Tokens | None = None
    caller_s: float = 0.0
    answer_s: float = 0.0
    underruns_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        """An answer was due, and none was heard."""
        return self.wants_answer and self.voice_to_voice_ms is None

    @property
    def beyond_hold_ms(self) -> float | None:
        """Voice to voice without the hold: what the server adds to the silence that it was told to wait for."""
        if self.voice_to_voice_ms is None or self.hold_ms is None:
            return None
        return self.voice_to_voice_ms - self.hold_ms


@dataclass(slots=True)
class Call:
    """One scenario from hello to hang-up. completed: whether the task was done, None where the scenario has none.
    turns_to_completion: turns of the caller until then. cost: in the currency of the price table; None where it has no
    price for the model. gpu_cost: seconds of the call times the own GPU's price, where that was given."""

    scenario: str
    call: int
    condition: str
    duration_s: float
    completed: bool | None = None
    turns_to_completion: int | None = None
    tokens: Tokens | None = None
    cost: float | None = None
    gpu_cost: float | None = None
    currency: str = ""
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Percentiles:
    """Of ``count`` values, in ms; None without any."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(slots=True)
class Level:
    """``callers`` at once, in real time. held: whether the limit was kept. underruns: gaps in playback, in turns.
    server_cores, client_cores: CPU seconds a second; gpu, gpu_memory_gib: share of the GPU's time, and memory,
    None where unknown. machine_busy: share of all cores that worked, everything on the machine included.
    microphone_late_ms: p95 of how much later than due the clients sent their audio; tens of milliseconds mean that the
    clients, and not the server, were at their end. bound: what gave out first, in words; empty where nothing did.
    """

    callers: int
    turns: int
    lost: int
    underruns: int
    held: bool
    voice_to_voice_ms: Percentiles = field(default_factory=Percentiles)
    beyond_hold_ms: Percentiles = field(default_factory=Percentiles)
    stages_p95_ms: dict[str, float] = field(default_factory=dict)
    server_cores: float | None = None
    client_cores: float | None = None
    machine_busy: float | None = None
    gpu: float | None = None
    gpu_memory_gib: float | None = None
    memory_mb: float | None = None
    microphone_late_ms: float | None = None
    bound: str = ""
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Density:
    """The ramp. most: the largest number of callers that kept the limit, 0 if none did. limit_ms: p95 of
    beyond-the-hold voice to voice (of all voice to voice where the hold is unknown). per_gpu: ``most`` by
    the GPUs used, None without one."""

    limit_ms: float
    most: int
    bound: str
    per_gpu: float | None = None
    levels: list[Level] = field(default_factory=list)


@dataclass(slots=True)
class Results:
    """A whole run. name: of the file, and of the column in a report. command: exactly as typed, to run it again.
    date: ISO 8601 with the zone. commit: of this repository. scenarios: their titles by name. notes: whatever limits
    what the numbers say, in full sentences."""

    name: str
    date: str
    command: str
    machine: Machine
    server: Server
    commit: str = ""
    turns: list[Turn] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    density: Density | None = None
    scenarios: dict[str, str] = field(default_factory=dict)
    prices_of: str = ""
    notes: list[str] = field(default_factory=list)
    version: int = VERSION


_results = TypeAdapter(Results)


def write(results: Results, path: Path) -> None:
    """Put them in a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Results:
    """Raises ResultError, naming the file and the first field that is wrong; OSError."""
    try:
        content = json.loads(path.read_text())
        version = content["version"]
    except (ValueError, TypeError, KeyError):
        raise ResultError(f"{path} is no result file: it must be JSON with a field 'version'") from None
    if version != VERSION:
        raise ResultError(f"{path} has version {version} of the result format; this program reads version {VERSION}")
    try:
        return _results.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"])
        raise ResultError(f"{path}: {field_name}: {first['msg']}") from None
