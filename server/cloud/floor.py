"""Who speaks now: the caller, the model, or neither, and what waits until nobody does."""

from __future__ import annotations

from collections import deque

from server.cloud.base import OWN, Command
from server.core import events as e

_BUSY = "conversation_already_has_active_response"
_ANSWER = e.CreateResponse(OWN)


class Floor:
    """One session's.

    speaking: the caller's turn is under way. due: it has ended, and the provider owes an answer by itself. protected:
    items whose speech the caller's voice does not stop. guarded: id of the response that makes such an item, "" for
    none.
    """

    def __init__(self) -> None:
        self.speaking = False
        self.due = False
        self.protected: set[str] = set()
        self.guarded = ""
        self._sayings: deque[e.Say] = deque()
        self._owed: deque[e.CreateResponse] = deque()
        self._begun: tuple[Command | None, bool] = None, False

    def see(self, event: e.Event, config: e.SessionConfig, *, protected: bool) -> None:
        """An event of the conversation. protected: it is of a response that nothing stops."""
        match event:
            case e.SpeechStarted():
                self.speaking = True
            case e.AudioCommitted():
                self.speaking = False
                self.due = config.turn_detection is not None and config.turn_detection.create_response
            case e.AudioCleared():
                self.speaking = False
            case e.TranscriptionCompleted() if not event.transcript.strip():
                # Nobody has said anything: nobody answers.
                self.due = False
            case e.ResponseCreated():
                self.due = False
                self.guarded = event.response.id if protected else ""
            case e.OutputItemAdded() if event.response_id == self.guarded:
                self.protected.add(event.item.id)
            case _:
                pass

    def began(self, command: Command | None, *, complete: bool) -> None:
        """A response in the conversation has begun. command: what it looks like the answer to, None for the provider's
        own wish. complete: the model knew all that it was told. Such an answer is the one that waits, too."""
        self._begun = command, complete
        recited = isinstance(command, e.Say) or (command is not None and _narrowed(command))
        if complete and not recited:
            self._answered()

    def _answered(self) -> None:
        self._owed = deque(command for command in self._owed if command != _ANSWER)

    def say(self, saying: e.Say) -> None:
        """These words wait for their moment."""
        self._sayings.append(saying)

    def answer(self, command: e.CreateResponse = _ANSWER) -> None:
        """A response waits for its moment."""
        self._owed.append(command)

    def report(self, words: str) -> None:
        """Tools have found something: say the words, or have the model find some, unless it is asked to anyway."""
        if words:
            self.say(e.Say(words))
        elif not self._owed:
            self.answer()

    def quiet(self) -> None:
        """The caller speaks: words that wait have lost their moment, but for those that must be heard."""
        self._sayings = deque(saying for saying in self._sayings if saying.protected)

    def stop(self) -> None:
        """Nobody wants anything of all that any more."""
        self.quiet()
        self._owed.clear()

    def next(self, *, tools_running: bool, may_say: bool) -> Command | None:
        """What there is to ask of the provider now that nobody speaks; it is taken out. Answers wait for tools, too.
        may_say: see ``Dialect``."""
        self._begun = None, False
        if self._sayings and may_say:
            return self._sayings.popleft()
        return self._owed.popleft() if self._owed and not tools_running else None

    def refused(self, command: Command, error: e.Error) -> None:
        """The provider does not do what no client asked for: what came at a bad moment waits for a better one. An
        answer that was about to begin by itself, and looked like that to this command, may have made it needless."""
        if error.code != _BUSY:
            return
        credited, complete = self._begun
        by_itself = credited is command and complete
        if by_itself:
            self._answered()
        if isinstance(command, e.Say):
            self._sayings.appendleft(command)
        elif isinstance(command, e.CreateResponse) and not (by_itself and command == _ANSWER):
            self._owed.appendleft(command)


def _narrowed(command: Command) -> bool:
    """Whether it asks for a response that is made of something else than the conversation."""
    return isinstance(command, e.CreateResponse) and command.overrides.input is not None
