"""The playout ledger: of everything said, how much has been heard, and which words that covers."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from server.core.events import INPUT_RATE, SpokenTo


@dataclass(slots=True)
class _Track:
    """One item's speech. starts_at: input position at which the peer began to play it, pauses left out."""

    rate: int
    starts_at: int
    sent: int = 0
    words: list[SpokenTo] = field(default_factory=list)
    played: int | None = None
    frozen: int | None = None


class Ledger:
    """Samples sent and samples heard, per item, counted at the item's output rate.

    What was heard is known from the peer's marks where it sends any (``marks=True``); elsewhere it is estimated:
    the peer plays in real time, one item after the other, and the caller's own audio is the clock.
    """

    def __init__(self, *, marks: bool = False) -> None:
        self._marks = marks
        self._tracks: dict[str, _Track] = {}
        self._silent: set[str] = set()
        self._free_at = 0
        self._held_at: int | None = None
        self._pauses = 0

    def send(self, item_id: str, rate: int, samples: int, words: tuple[SpokenTo, ...], clock: int) -> int:
        """Book a piece of audio sent at input position ``clock``; return where it starts in the item's audio."""
        track = self._tracks.get(item_id)
        if track is None:
            track = self._tracks[item_id] = _Track(rate, max(self._playing_to(clock), self._free_at))
        start = track.sent
        track.sent += samples
        track.words.extend(words)
        self._free_at = track.starts_at + track.sent * INPUT_RATE // rate
        return start

    def play(self, item_id: str, samples: int) -> None:
        """The peer says that it has played the item up to ``samples``. Unknown items and steps back are ignored."""
        track = self._tracks.get(item_id)
        if track is not None and track.frozen is None:
            track.played = min(track.sent, max(track.played or 0, samples))

    def interrupt(self, clock: int) -> list[str]:
        """Playback stops now: fix what was heard of all that was still playing. Returns those items, oldest first."""
        cut, clock = [], self._playing_to(clock)
        for item_id, track in self._tracks.items():
            heard = self._heard(track, clock)
            if track.frozen is None and heard < track.sent:
                track.frozen = heard
                cut.append(item_id)
        self._free_at = clock
        return cut

    def playing(self, clock: int) -> bool:
        """Whether the peer is still playing at input position ``clock``, by the estimate."""
        return self._playing_to(clock) < self._free_at

    def remaining(self, clock: int) -> int:
        """Input samples until the peer has played all that was sent, by the estimate."""
        return max(0, self._free_at - self._playing_to(clock))

    @property
    def held(self) -> bool:
        """Whether playback stands still."""
        return self._held_at is not None

    def hold(self, clock: int) -> None:
        """Playback stands still from input position ``clock`` on."""
        self._held_at = self._playing_to(clock)

    def release(self, clock: int) -> None:
        """Playback goes on where it was."""
        if self._held_at is not None:
            self._pauses, self._held_at = clock - self._held_at, None

    def _playing_to(self, clock: int) -> int:
        """Input position ``clock`` as playback counts it, pauses left out."""
        playing = clock - self._pauses
        return playing if self._held_at is None else min(playing, self._held_at)

    def truncate(self, item_id: str, samples: int) -> None:
        """The peer says that playback of the item ended at ``samples``; it knows better than any estimate."""
        track = self._tracks[item_id]
        track.frozen = min(track.sent, samples)

    def stopped(self, item_id: str, clock: int) -> None:
        """The peer no longer plays the item at input position ``clock``. If it was the last one that was sent, nothing
        is playing any more."""
        if item_id == next(reversed(self._tracks), None):
            self._free_at = min(self._free_at, self._playing_to(clock))

    def fall_silent(self, item_id: str) -> None:
        """No more of the item will be sent, though its text may go on."""
        self._silent.add(item_id)

    def sent(self, item_id: str) -> int | None:
        """Samples sent of the item; None if it was never spoken."""
        track = self._tracks.get(item_id)
        return None if track is None else track.sent

    def rate(self, item_id: str) -> int:
        """Output rate of a spoken item, in samples per second."""
        return self._tracks[item_id].rate

    def heard(self, item_id: str, clock: int) -> int | None:
        """Samples heard of the item by input position ``clock``; None if it was never spoken."""
        track = self._tracks.get(item_id)
        return None if track is None else self._heard(track, self._playing_to(clock))

    def cut_text(self, item_id: str) -> int | None:
        """Length of the heard text of an item whose playback was cut, or whose speech ended before its text; None if
        neither happened."""
        track = self._tracks.get(item_id)
        if item_id not in self._silent and (track is None or track.frozen is None):
            return None
        if track is None:
            return 0
        heard = track.sent if track.frozen is None else track.frozen
        heard_words = bisect_right(track.words, heard, key=lambda word: word.end)
        return track.words[heard_words - 1].text_end if heard_words else 0

    def _heard(self, track: _Track, clock: int) -> int:
        if track.frozen is not None:
            return track.frozen
        if self._marks or track.played is not None:
            return track.played or 0
        return max(0, min(track.sent, (clock - track.starts_at) * track.rate // INPUT_RATE))
