"""A scenario, played on a line: who speaks when. What came of it is judged afterwards (``judgement``)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from benchmarks.dialects.base import Asked
from benchmarks.line import Answer, Line, LineError, Spoken
from benchmarks.scenario import Scenario, Utterance
from benchmarks.tool_scoring import ToolCall, score

_PATIENCE_S = 30.0
"""A caller who hears nothing for so long after speaking gives up on the turn."""
_SETTLE_S = 1.5
"""After a sound that wants no answer: long enough for one to begin all the same."""
NO_ANSWER = "no answer"
_TRANSCRIPT_S = 2.0
_USAGE_S = 1.0


@dataclass(slots=True)
class Said:
    """A turn that was played. error: why it ended without an answer."""

    utterance: Utterance
    spoken: Spoken
    error: str = ""


@dataclass(slots=True)
class Conversation:
    """``play`` fills ``said``. broken: why the call ended early. completed: whether the scenario's goal was reached."""

    line: Line
    scenario: Scenario
    said: list[Said] = field(default_factory=list)
    broken: str = ""

    @property
    def completed(self) -> bool | None:
        """None where the scenario has no goal."""
        return None if self.scenario.goal is None else self.reached_in is not None

    @property
    def reached_in(self) -> int | None:
        """In which turn, counted from 1, the goal's tool was called as it should be."""
        goal = self.scenario.goal
        for number, said in enumerate(self.said, 1):
            until = self.said[number].spoken.onset if number < len(self.said) else float("inf")
            for asked in self._asked(said.spoken.onset, until):
                if goal is not None and score([goal], [ToolCall(asked.name, asked.arguments)]).whole:
                    return number
        return None

    async def play(self) -> None:
        """Say all that is to be said, each at its time."""
        left = list(range(len(self.scenario.turns)))
        try:
            while left and not self.completed and len(self.said) < self.scenario.max_turns:
                number = self._next(left)
                if number is None:
                    break
                left.remove(number)
                following = min(left, default=None)
                over_next = following is not None and self.scenario.turns[following].over_s is not None
                await self._turn(number, over_next)
            await self._quiet(0.0)
            await self._counted()
        except LineError as error:
            self.broken = str(error)
        except TimeoutError:
            self.broken = "the server did not come to an end"

    def _next(self, left: list[int]) -> int | None:
        """The first turn whose condition the last answer meets, or else the first that has none."""
        last = self._last_answer()
        turns = self.scenario.turns
        for number in left:
            pattern = turns[number].when
            if pattern is not None and re.search(pattern, last):
                return number
        return next((number for number in left if turns[number].when is None), None)

    def _last_answer(self) -> str:
        since = self.said[-1].spoken.onset if self.said else 0.0
        return " ".join(answer.text for answer in self.line.answers_between(since, float("inf")))

    async def _turn(self, number: int, over_next: bool) -> None:
        utterance, recording = self.scenario.turns[number], self.scenario.recordings[number]
        late = ""
        if utterance.over_s is not None:
            late = await self._over(utterance.over_s)
        else:
            await self._quiet(utterance.pause_s)
        said = Said(utterance, self.line.say(recording), late)
        self.said.append(said)
        try:
            if not utterance.wants_answer:
                await self._unanswered(said.spoken)
            elif over_next:
                await self._first_sound(said.spoken)
            else:
                await self._answered(said.spoken)
        except TimeoutError:
            said.error = said.error or NO_ANSWER

    async def _answered(self, spoken: Spoken) -> None:
        """Until there is an answer that asks for no tool, and what was heard is told."""
        done = 0
        while True:
            answers = await self._settled(spoken, done)
            done = len(answers)
            if not answers[-1].asked or answers[-1].cancelled:
                break
            await self._give_results(answers[-1].asked)
        try:
            await self.line.until(lambda: any(at >= spoken.onset for at, _ in self.line.log.heard), _TRANSCRIPT_S)
        except TimeoutError:
            return

    async def _settled(self, spoken: Spoken, done: int) -> list[Answer]:
        """The answers since the end of speech, when there are more than ``done`` and the last is whole."""

        def settled() -> bool:
            answers = self.line.answers_between(spoken.end, float("inf"))
            return len(answers) > done and answers[-1].ended is not None

        await self.line.until(settled, self._patience(spoken))
        return self.line.answers_between(spoken.end, float("inf"))

    async def _first_sound(self, spoken: Spoken) -> None:
        """Until the answer is heard that is to be spoken over; tools that come before are served."""
        done = 0
        while True:
            await self.line.until(
                lambda: self._audible(spoken) is not None or self._tool_due(spoken), self._patience(spoken)
            )
            if self._audible(spoken) is not None:
                return
            answers = await self._settled(spoken, done)
            done = len(answers)
            await self._give_results(answers[-1].asked)

    def _tool_due(self, spoken: Spoken) -> bool:
        answers = self.line.answers_between(spoken.end, float("inf"))
        return bool(answers) and answers[-1].ended is not None and bool(answers[-1].asked)

    def _audible(self, spoken: Spoken) -> float | None:
        """When the first sound of an answer to it is played."""
        for answer in self.line.answers_between(spoken.end, float("inf")):
            at = self.line.loudspeaker.first_audible(answer.id)
            if at is not None:
                return at
        return None

    async def _over(self, after_s: float) -> str:
        """Wait for the right moment of the answer to the turn before; what is wrong if it is over by then."""
        begun = self._audible(self.said[-1].spoken)
        if begun is None:
            return "there was no answer to speak over"
        await self._sleep_until(begun + after_s)
        playing = self.line.loudspeaker.free_at > self.line.clock()
        if not playing and all(answer.ended is not None for answer in self.line.answers.values()):
            return "the answer was over before this was spoken"
        return ""

    async def _unanswered(self, spoken: Spoken) -> None:
        """Until the answer that goes on is over, and for a while after, and until an answer that nobody wanted is."""
        await self._sleep_until(spoken.end + _SETTLE_S)
        await self._quiet(0.0)

    async def _quiet(self, pause_s: float) -> None:
        """Until the server has said all, it has been played, and the caller has thought."""
        while True:
            await self.line.until(
                lambda: all(answer.ended is not None for answer in self.line.answers.values()), _PATIENCE_S
            )
            until = self.line.loudspeaker.free_at + pause_s
            if until <= self.line.clock():
                return
            await self._sleep_until(until)

    async def _counted(self) -> None:
        """Until the last answer's tokens are told, which may come when it has been played; some servers never do."""
        answers = list(self.line.answers.values())
        try:
            await self.line.until(lambda: not answers or answers[-1].tokens is not None, _USAGE_S)
        except TimeoutError:
            return

    async def _give_results(self, asked: list[Asked]) -> None:
        mine = [(each, self.scenario.result(each.name)) for each in asked if each.by_client]
        if mine:
            await self.line.send(self.line.dialect.results(mine))

    def _asked(self, first: float, last: float) -> list[Asked]:
        return [asked for answer in self.line.answers_between(first, last) for asked in answer.asked]

    def _patience(self, spoken: Spoken) -> float:
        return max(0.0, spoken.end - self.line.clock()) + _PATIENCE_S

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.line.clock()))
