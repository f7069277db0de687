"""What Twilio reports of calls and streams: into the log and the metrics, each report once.

Source: Twilio's pages on the status callbacks of calls and of ``<Stream>``.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

_STREAM = ("stream-started", "stream-stopped", "stream-error")
_CALL = ("queued", "initiated", "ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled")
_BAD = {"stream-error", "busy", "no-answer", "failed"}
_REMEMBERED = 4096


class Reports:
    """counted: told each report's word, one of a fixed few."""

    def __init__(self, counted: Callable[[str], None]) -> None:
        self._counted = counted
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def take(self, fields: Mapping[str, str]) -> str:
        """Why it is refused, "" if it is not."""
        call, word = fields.get("CallSid", ""), fields.get("StreamEvent") or fields.get("CallStatus", "")
        if not call:
            return "no CallSid"
        if word not in (*_STREAM, *_CALL):
            return "neither StreamEvent nor CallStatus is one that there is"
        times = (fields.get(name, "") for name in ("StreamSid", "Timestamp", "SequenceNumber"))
        key = (call, word, *times)
        if key in self._seen:
            return "this was reported before"
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._counted(word)
        _log.log(
            logging.WARNING if word in _BAD else logging.INFO,
            "twilio report",
            extra={
                "call": call,
                "report": word,
                "seconds": fields.get("CallDuration"),
                "error": fields.get("StreamError"),
                "code": fields.get("ErrorCode"),
                "sip": fields.get("SipResponseCode"),
                "answered_by": fields.get("AnsweredBy"),
            },
        )
        return ""
