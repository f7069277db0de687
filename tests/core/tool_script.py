"""A conversation by hand whose model calls tools."""

from __future__ import annotations

from server.core import events as e
from tests.core.script import Script

HOURS = e.ServerTool(
    e.Tool("get_opening_hours", "Opening hours.", {"type": "object"}),
    e.ToolPolicy(
        on_interrupt="cancel",
        filler={"en": "One moment.", "": "Moment."},
        second_filler={"en": "Still looking."},
        slow_after_s=3,
    ),
)
BOOK = e.ServerTool(e.Tool("book", "Books.", {"type": "object"}), e.ToolPolicy(on_interrupt="finish"))
CLIENTS = e.Tool("open_door", "Opens the door.", {"type": "object"})
OPEN = '{"open": "09:00"}'


class Call(Script):
    """A conversation with two server tools and one of the client's."""

    def __init__(self, **config: object) -> None:
        super().__init__(server_tools=(HOURS, BOOK), tools=(CLIENTS,), **config)

    def calls(self, response: str, *names: str, first: int = 1) -> list[e.Output]:
        said: list[e.Output] = []
        for number, name in enumerate(names, first):
            said += self.tell(e.ResponseToolCall(response, f"call_{number}", name, "{}", done=True))
        return said

    def found(self, call: str = "call_1", output: str = OPEN, **more: object) -> list[e.Output]:
        return self.tell(e.ToolFinished(call, e.ToolOutcome.OK, output, 0.1, **more))  # type: ignore[arg-type]

    def asks(self, samples: int = 24_000) -> str:
        """A question whose answer calls the opening hours and says something, a second long, before."""
        response = self.question()
        self.says(response, "One moment.", samples)
        self.calls(response, "get_opening_hours")
        self.finished(response)
        return response

    def books_and_is_cut_off(self, words: str) -> None:
        """An answer that calls the booking after these words; a sound of the caller's cuts them off."""
        response = self.question()
        self.says(response, words, samples=96_000)
        self.calls(response, "book")
        self.finished(response)
        self.speech()
        self.silence()
        self.heard("")
        self.silence(480)

    def floor(self) -> list[e.Output]:
        """What is being said ends."""
        timer = [timer for timer in self.all(e.StartTimer) if timer.kind is e.TimerKind.FLOOR][-1]
        return self.tell(e.TimerFired(timer.kind, timer.token))

    @property
    def running(self) -> list[str]:
        stopped = {output.call_id for output in self.all(e.StopTool)}
        return [run.call_id for run in self.all(e.RunTool) if run.call_id not in stopped]
