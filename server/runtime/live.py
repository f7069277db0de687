"""What a door gets when it begins a session: who runs it, with models on this machine or at a hosted provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from server.core import events as e
from server.core.doubts import Sound
from server.core.session import Session
from server.core.turns import TurnPolicy
from server.runtime.admission import HERE, Place
from server.runtime.runner import Engines, Peer, Runner, Tap
from server.runtime.stages import StageObserver, Timings
from server.runtime.tools import Toolbox


class LiveSession(Protocol):
    """One conversation that goes on, as its door sees it. ``Runner`` is one, whose models are here."""

    @property
    def position(self) -> int:
        """Input samples received so far, on the 16 kHz input clock."""
        ...

    @property
    def config(self) -> e.SessionConfig:
        """The effective configuration."""
        ...

    @property
    def sound(self) -> Sound:
        """What is on the caller's side of the line now, as far as anybody knows."""
        ...

    @property
    def served_by(self) -> str:
        """Name of the hosted provider whose models answer; "" if they are this machine's."""
        ...

    async def run(self) -> None:
        """Hold the conversation until cancelled. Raises EngineError when it cannot go on, and else for bugs only."""
        ...

    async def append(self, samples: bytes, event_id: str | None = None) -> None:
        """Audio of the caller, in the session's input format. Returns when there is room for more."""
        ...

    async def receive(self, fact: e.Input) -> None:
        """A client's command, or a fact that the door knows. Returns once it is carried out."""
        ...

    def audio(self, item: e.Item) -> bytes | None:
        """The samples of an item's audio as they are on the wire; None if none are kept."""
        ...

    def timings(self, response_id: str) -> Timings | None:
        """The stages of the response that ended last: known while the door is told that it is done."""
        ...


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """All that a door has decided about a session that is to begin.

    new_id: makes ids, from a prefix. plays: the door itself plays the answers to the caller (a phone), so what was
    heard of them is known here; elsewhere the client says it. marks: it is told what was played (``Played``).
    agent: name of the agent that was asked for, "" for the settings' own. door: the door's name, for records.
    place: where there is room for it. stays: what its caller says may not leave this machine, whatever is allowed.
    """

    id: str
    config: e.SessionConfig
    policy: TurnPolicy
    engines: Engines
    observer: StageObserver
    new_id: Callable[[str], str]
    taps: Sequence[Tap] = ()
    toolbox: Toolbox = field(default_factory=Toolbox)
    plays: bool = False
    marks: bool = False
    agent: str = ""
    door: str = ""
    place: Place = HERE
    stays: bool = False


StartSession = Callable[[SessionPlan, Peer], LiveSession]
"""Begins a session; it is the caller's to ``run``."""


def start_here(plan: SessionPlan, peer: Peer) -> LiveSession:
    """A session whose models are this machine's own."""
    session = Session(plan.id, plan.config, plan.new_id, policy=plan.policy, marks=plan.marks)
    return Runner(session, plan.engines, peer, plan.observer, plan.taps, toolbox=plan.toolbox)
