"""One turn of one caller, growing: which pieces to decode, what is settled, what was said so far."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from models.base import EngineError, Pcm16, Priority, TokenLogprob, Transcript, Urgency
from models.stt.decoding import Language, ListenRequest, Said, Workers, say
from models.stt.features import SAMPLE_RATE
from models.stt.pieces import VAD_FRAME, Piece
from models.stt.text import Hypothesis, Tokens, agreed, hypothesis, join, with_logprobs

Result = TypeVar("Result")

_ENOUGH = 1.0
"""Seconds of speech in a piece from which on its decode settles anything, words or language."""
_SURE = 0.9
"""Language probability from which on the language of a turn is not asked for again."""
_NEW_SPEECH = 0.6
"""Seconds of speech that a decode must have heard beyond the one before to confirm it. On the bundled model 0.2 s
settled a word too early in 18 % of the utterances, 0.6 s in 2 %. A pause is not speech: over it the model makes up the
same word twice."""
_STEP = 10 * SAMPLE_RATE
"""Long audio is listened to in steps of this length, and other callers in between."""
_AT_ONCE = 4
"""Pieces of one turn that may wait for the model: a long recording stands in the queue like any other caller."""
_TAIL = 3 * VAD_FRAME
"""Samples of silence behind the last word that a decode must have seen for more silence to change nothing."""


class WhisperUtterance:
    """All methods belong to one event loop. A call that a later one has overtaken settles nothing any more."""

    def __init__(
        self,
        workers: Workers,
        language: str | None,
        prompt: Tokens,
        expected: str | None = None,
        floor: float = 0.0,
        logprobs: bool = False,
    ) -> None:
        self._workers, self._prompt, self._logprobs = workers, prompt, logprobs
        self._expected, self._floor = expected, floor
        self._hearing = workers.hearing()
        self._language = language
        self._pushed = 0
        self._listened = 0
        self._calls = 0
        self._closed = False
        self._under_way: set[asyncio.Future[Any]] = set()
        self._complete: list[Said] = []
        self._given = ""
        self._begin_piece()

    def _begin_piece(self) -> None:
        """The growing piece is another one: nothing of it is settled."""
        self._settled: Tokens = ()
        self._settled_to = 0
        self._before = Hypothesis()
        self._before_speech = 0.0
        self._last: Said | None = None

    def push(self, pcm: Pcm16) -> None:
        """Append 16 kHz samples."""
        for start in range(0, len(pcm), _STEP):
            self._hearing.inbox.append(pcm[start : start + _STEP].copy())
        self._pushed += len(pcm)

    async def partial(self) -> Transcript:
        """Decode what is there with spare capacity. Advances the stable prefix.

        Raises CapacityError when too many requests wait, EngineError when the model fails or the utterance is closed.
        """
        said, position, current = await self._hear(Priority.PARTIAL)
        if not current:
            return self._transcript(said, self._given, self._given, position)
        text = self._join(said)
        self._given = self._join(said[:-1], self._settle(said[-1]))
        return self._transcript(said, text, self._given, position)

    async def final(self, priority: Priority | Urgency = Priority.CONFIRMED) -> Transcript:
        """Decode everything pushed so far as if the turn ended here. Raises as partial() does."""
        said, position, _ = await self._hear(priority)
        text = self._join(said)
        if not text.startswith(self._given):  # a partial decode that started later was faster and settled other words
            text = self._given
        return self._transcript(said, text, text, position)

    def close(self) -> None:
        """Drop the utterance; decodes under way are abandoned: they raise EngineError."""
        self._closed = True
        for future in self._under_way:
            future.cancel()

    # ------------------------------------------------------------------------------ decoding

    async def _hear(self, priority: Priority | Urgency) -> tuple[list[Said], int, bool]:
        """Every piece of the turn, up to which sample, and whether no later call has been made meanwhile."""
        self._calls += 1
        call, position = self._calls, self._pushed
        while position - self._listened > _STEP:
            self._listened += _STEP
            await self._listen(self._listened, priority)
        pieces = await self._listen(position, priority)
        before = list(self._complete)
        new = [piece for piece in pieces if piece.number >= len(before)]
        said = [*before, *await self._unless_closed(self._decode(new, self._settled, priority))]
        current = call == self._calls
        if current:
            self._remember(said)
        return said, position, current

    async def _listen(self, position: int, priority: Priority | Urgency) -> list[Piece]:
        self._listened = max(self._listened, position)
        request = ListenRequest(self._hearing, position, self._settled_to, len(self._complete))
        return await self._unless_closed(self._workers.listen.submit(request, priority))

    async def _decode(self, pieces: list[Piece], settled: Tokens, priority: Priority | Urgency) -> list[Said]:
        """settled: tokens that the first of the pieces starts with."""
        prefixes = [settled] + [()] * len(pieces)
        said: list[Said] = []
        language = self._language
        while language is None and len(pieces) - len(said) > 1:
            one = await self._say(pieces[len(said)], None, prefixes[len(said)], priority)
            said.append(one)
            language = one.language
        rest = zip(pieces[len(said) :], prefixes[len(said) :], strict=False)
        room = asyncio.Semaphore(_AT_ONCE)

        async def in_turn(piece: Piece, prefix: Tokens) -> Said:
            async with room:
                return await self._say(piece, language, prefix, priority)

        return [*said, *await asyncio.gather(*(in_turn(piece, prefix) for piece, prefix in rest))]

    async def _say(self, piece: Piece, language: str | None, prefix: Tokens, priority: Priority | Urgency) -> Said:
        last = self._last
        if last is not None and last.number == piece.number and last.tokens[: len(prefix)] == prefix:
            heard_all = last.end == piece.end or last.end >= piece.heard_to + _TAIL
            if heard_all:
                return last
        wanted = Language(language, self._expected, self._floor)
        return await say(
            self._workers,
            piece,
            language=wanted,
            prompt=self._prompt,
            prefix=prefix,
            priority=priority,
            logprobs=self._logprobs,
        )

    async def _unless_closed(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise self._gone()
        future = asyncio.ensure_future(work)
        self._under_way.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and task is not None and not task.cancelling():  # by close(), not by the caller
                raise self._gone() from None
            raise
        finally:
            self._under_way.discard(future)

    def _gone(self) -> EngineError:
        return EngineError(self._workers.name, "the utterance is closed")

    # -------------------------------------------------------------------------------- memory

    def _remember(self, said: list[Said]) -> None:
        if len(said) - 1 > len(self._complete):
            self._begin_piece()
        self._complete, self._last = said[:-1], said[-1]
        heard = next((one for one in said if one.language is not None), None)
        if self._language is None and heard is not None:
            sure = heard.language_probability >= _SURE and heard.speech_seconds >= _ENOUGH
            if sure or heard.number < self._last.number:
                self._language = heard.language

    def _settle(self, growing: Said) -> Said:
        """Compare the growing piece with its decode before; what is settled of it."""
        if growing.language is None:
            return growing
        tokenizer = self._workers.tokenizer(growing.language)
        if growing.speech_seconds >= _ENOUGH and growing.speech_seconds - self._before_speech >= _NEW_SPEECH:
            now = hypothesis(growing.tokens, tokenizer)
            tokens = agreed(self._before, now)
            if len(tokens) > len(self._settled) and self._language is not None:
                self._settled, self._settled_to = tokens, growing.end
            self._before, self._before_speech = now, growing.speech_seconds
        return replace(growing, text=tokenizer.decode(list(self._settled)).strip())

    def _join(self, said: list[Said], *more: Said) -> str:
        language = next((one.language for one in said if one.language), self._language)
        return join([one.text for one in (*said, *more)], language or "")

    def _transcript(self, said: list[Said], text: str, stable: str, position: int) -> Transcript:
        heard = [one for one in said if one.language is not None]
        tokens = sum(len(one.tokens) for one in heard)
        return Transcript(
            text=text,
            stable=stable,
            language=self._language or (heard[0].language if heard else None) or "",
            language_probability=heard[0].language_probability if heard else 0.0,
            avg_logprob=sum(one.avg_logprob * len(one.tokens) for one in heard) / tokens if tokens and text else 0.0,
            audio_ms=position * 1000 // SAMPLE_RATE,
            logprobs=tuple(self._token_logprobs(heard)) if self._logprobs and text == self._join(said) else (),
        )

    def _token_logprobs(self, heard: list[Said]) -> Iterator[TokenLogprob]:
        for one in heard:
            yield from with_logprobs(one.tokens, one.logprobs, self._workers.tokenizer(one.language or ""))
