"""What the transcriber says about a turn, as facts for the Session."""

from __future__ import annotations

import logging
import math

from models.base import Priority, Urgency, Utterance, VoiceError
from server.core import events as e

_log = logging.getLogger(__name__)


async def words_so_far(utterance: Utterance, item_id: str) -> e.TranscriptPartial | None:
    """What the growing turn says; None when the engine had no answer, which costs nothing but time."""
    try:
        transcript = await utterance.partial()
    except VoiceError as error:
        _log.debug("partial decode failed", extra={"error": str(error)})
        return None
    confidence = math.exp(transcript.avg_logprob)
    return e.TranscriptPartial(item_id, transcript.text, transcript.stable, confidence, transcript.audio_ms)


async def final_words(
    utterance: Utterance, item_id: str, revision: int, priority: Priority | Urgency
) -> e.TranscriptFinal | e.TranscriptFailed:
    """All that the turn says."""
    try:
        transcript = await utterance.final(priority)
    except VoiceError as error:
        _log.warning("transcription failed", extra={"error": str(error)})
        return e.TranscriptFailed(item_id, revision, str(error))
    return e.TranscriptFinal(
        item_id,
        revision,
        transcript.text,
        transcript.language,
        transcript.language_probability,
        tuple(e.TokenLogprob(token.text, token.logprob) for token in transcript.logprobs),
        math.exp(min(0.0, transcript.avg_logprob)),
    )
