"""What came of a conversation: the record of each turn, from the line's log and the loudspeaker."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from benchmarks import results
from benchmarks.conversation import Conversation, Said
from benchmarks.line import Answer, Spoken
from benchmarks.tool_scoring import ANYTHING, ToolCall, score, word_errors


@dataclass(frozen=True, slots=True)
class _Window:
    """The time of one turn: from the onset of its speech to that of the next."""

    said: Said
    first: float
    last: float

    @property
    def spoken(self) -> Spoken:
        return self.said.spoken

    def holds(self, moment: float) -> bool:
        return self.first <= moment < self.last


def turns(conversation: Conversation, call: int, condition: str) -> list[results.Turn]:
    """One for each utterance that was begun, in order. call: its number in the run."""
    onsets = [said.spoken.onset for said in conversation.said]
    windows = [
        _Window(said, first, last)
        for said, first, last in zip(conversation.said, onsets, [*onsets[1:], math.inf], strict=True)
    ]
    made = [_turn(conversation, window, number, call, condition) for number, window in enumerate(windows)]
    if conversation.broken and made:
        made[-1].errors.append(conversation.broken)
    return made


def call_of(conversation: Conversation, call: int, condition: str, made: Sequence[results.Turn]) -> results.Call:
    """The record of the whole call, without its price."""
    tokens = [turn.tokens for turn in made if turn.tokens is not None]
    return results.Call(
        conversation.scenario.name,
        call,
        condition,
        round(conversation.line.elapsed_s, 2),
        conversation.completed,
        conversation.reached_in,
        reduce(add, tokens) if tokens else None,
        errors=[conversation.broken] if conversation.broken else [],
    )


def _turn(conversation: Conversation, window: _Window, number: int, call: int, condition: str) -> results.Turn:
    line, scenario = conversation.line, conversation.scenario
    utterance, spoken = window.said.utterance, window.spoken
    language = utterance.language or scenario.language
    turn = results.Turn(scenario.name, call, number, condition, language, spoken.recording.text)
    turn.wants_answer = utterance.wants_answer
    turn.hold_ms = line.ready.hold_ms
    turn.caller_s = round(len(spoken.recording.pcm) / spoken.recording.rate, 3)
    turn.errors = [window.said.error] if window.said.error else []
    turn.errors += [message for at, message in line.log.troubles if window.holds(at)]
    _judge_hearing(turn, conversation, window)
    answers = line.answers_between(spoken.end, window.last)
    _judge_answer(turn, conversation, window, answers)
    _judge_tools(turn, utterance.expected, answers, in_task=scenario.goal is not None)
    if utterance.over_s is not None and not (window.said.error or spoken.over is None):
        turn.interruption = _interruption(conversation, window)
    turn.false_interruptions = _false_interruptions(conversation, window)
    return turn


def _judge_hearing(turn: results.Turn, conversation: Conversation, window: _Window) -> None:
    log, spoken = conversation.line.log, window.spoken
    heard = [fact for at, fact in log.heard if window.holds(at)]
    turn.transcript = "".join(f"{fact.text} " if fact.final else fact.text for fact in heard).strip()
    if turn.wants_answer and heard:
        turn.word_errors, turn.words = word_errors(turn.reference, turn.transcript)
    ends = [at for at in log.turn_ends if spoken.onset < at < spoken.end]
    begun = conversation.line.answers_between(spoken.onset, spoken.end)
    early = [*ends, *(answer.began for answer in begun)]
    if early:
        turn.cut_off = True
        turn.cut_off_after = spoken.recording.said_until(min(early) - spoken.begins)


def _judge_answer(turn: results.Turn, conversation: Conversation, window: _Window, answers: list[Answer]) -> None:
    speaker, end = conversation.line.loudspeaker, window.spoken.end
    turn.answer = " ".join(answer.text.strip() for answer in answers if answer.text).strip()
    turn.answer_s = round(sum(speaker.received.get(answer.id, 0.0) for answer in answers), 3)
    starts = [start for answer in answers if (start := speaker.first_audible(answer.id)) is not None]
    if starts and turn.wants_answer:
        turn.voice_to_voice_ms = _ms(starts[0] - end)
        last = speaker.first_audible(answers[-1].id)
        turn.answer_ms = None if last is None else _ms(last - end)
    turn.stages = {name: ms for answer in answers[:1] for name, ms in answer.stages.items()}
    tokens = [answer.tokens for answer in answers if answer.tokens is not None]
    turn.tokens = reduce(add, tokens) if tokens else None
    mine = {answer.id for answer in answers}
    turn.underruns_ms = [_ms(underrun.gap_s) for underrun in speaker.underruns if underrun.answer in mine]


def _judge_tools(turn: results.Turn, expected: list[ToolCall], answers: list[Answer], *, in_task: bool) -> None:
    """In a task the goal says what is right, and the server chooses the turn: only what a turn expects is scored."""
    got = [ToolCall(asked.name, asked.arguments) for answer in answers for asked in answer.asked]
    turn.expected = [results.ToolCall(call.name, _writable(call)) for call in expected]
    turn.got = [results.ToolCall(call.name, dict(call.arguments)) for call in got]
    if expected or (got and not in_task):
        found = score(expected, got)
        turn.tools = results.ToolScore(found.names, found.arguments, found.of_arguments, found.whole)


def _writable(call: ToolCall) -> dict[str, object]:
    """Arguments for JSON: "*" is any value, as in the scenario."""
    return {key: "*" if value is ANYTHING else value for key, value in call.arguments.items()}


def _interruption(conversation: Conversation, window: _Window) -> results.Interruption:
    line, utterance, spoken = conversation.line, window.said.utterance, window.spoken
    assert spoken.over is not None
    answer = line.answers[spoken.over]
    stopped = any(name == spoken.over and window.holds(at) for at, name in line.log.flushed)
    kind = utterance.kind or ("cough" if utterance.sound else "speech")
    found = results.Interruption(kind, utterance.interrupts, stopped, answer=answer.text.strip())
    last = line.loudspeaker.last_sample(answer.id)
    if stopped and last is not None:
        found.stop_ms = _ms(last - spoken.onset)
    found.answer_s = round(line.loudspeaker.received.get(answer.id, 0.0), 3)
    found.answer_heard_s = round(line.loudspeaker.played_s(answer.id), 3)
    if found.answer_s and answer.text:
        found.heard_words = _words_within(found.answer, found.answer_heard_s / found.answer_s)
    if answer.history is not None:
        found.history, found.history_words = answer.history, len(answer.history.split())
    return found


def _words_within(text: str, share: float) -> int:
    """Words whose middle lies in this share of the text's letters."""
    return sum((word.start() + word.end()) / 2 <= share * len(text) for word in re.finditer(r"\S+", text))


def _false_interruptions(conversation: Conversation, window: _Window) -> int:
    """Answers that stopped while the caller said nothing: before the next onset, after the own end. What the caller
    stopped by going on, or by speaking over it, may be told only after these words."""
    line, spoken = conversation.line, window.spoken
    early = {answer.id for answer in line.answers_between(spoken.onset, spoken.end)}
    spared = {spoken.over, *early}
    return sum(spoken.end <= at < window.last and name not in spared for at, name in line.log.flushed)


def _ms(seconds: float) -> float:
    return round(float(seconds) * 1000, 1)
