"""Settings of a conversation: whose turn it is, who answers, and how much of the machine that takes."""

from __future__ import annotations

import os

from pydantic import Field

from server.settings_group import Group


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TurnSettings(Group):
    """How the end of a turn is met."""

    prepare: bool = Field(
        default=True, description="Prepare the answer inside the hold, while the caller's turn may still go on."
    )
    soft_end_ms: int = Field(
        default=96, ge=32, le=2000, description="Silence after which an answer is prepared, in ms."
    )
    max_prepares: int = Field(
        default=3, ge=0, le=20, description="Answers prepared and thrown away in one turn before waiting for its end."
    )
    interrupt_ms: int = Field(
        default=160, ge=64, le=2000, description="Speech that it takes to stop an answer, in ms; less is a click."
    )
    interrupt_words: int = Field(
        default=1,
        ge=0,
        le=10,
        description="Words that it takes to stop an answer, `mm-hm` and the like not counted; 0: any speech does.",
    )


class AgentSettings(Group):
    """What a session starts with until its client says otherwise."""

    instructions: str = Field(
        default="You are a friendly phone assistant. Answer in short sentences.",
        description="System text of a new session.",
    )
    voice: str = Field(default="", description="Voice by name; empty takes the first that speaks the language.")
    language: str = Field(
        default="en", pattern=r"^([a-z]{2,3})?$", description="Language expected first, ISO 639; empty for none."
    )
    language_floor: float = Field(
        default=0.7, ge=0, le=1, description="How sure another language must be heard for a call to change over to it."
    )
    voices: str = Field(
        default="",
        pattern=r"^([a-z]{2,3}=\S+(\s+[a-z]{2,3}=\S+)*)?$",
        description="Voices of languages that `agent.voice` does not speak, as `de=NAME fr=NAME`.",
    )

    def voice_by_language(self) -> dict[str, str]:
        """``voices`` by language."""
        pairs = (pair.partition("=") for pair in self.voices.split())
        return {language: name for language, _, name in pairs}


_APOLOGY = "Said when an engine gave up on an answer; empty for nothing."


class ApologySettings(Group):
    """What is said when an engine gave up on an answer, by the language of the call. A call in another language gets
    the failed response only."""

    de: str = Field(default="Entschuldigung, da ist etwas schiefgegangen. Bitte noch einmal.", description=_APOLOGY)
    en: str = Field(default="Sorry, something went wrong. Please say that again.", description=_APOLOGY)
    es: str = Field(default="Perdone, algo ha fallado. Por favor, repítalo.", description=_APOLOGY)
    fr: str = Field(default="Pardon, quelque chose n'a pas marché. Répétez, s'il vous plaît.", description=_APOLOGY)
    it: str = Field(default="Mi scusi, qualcosa è andato storto. Ripeta, per favore.", description=_APOLOGY)
    nl: str = Field(default="Sorry, er ging iets mis. Zeg het nog eens, alstublieft.", description=_APOLOGY)
    pl: str = Field(default="Przepraszam, coś poszło nie tak. Proszę powtórzyć.", description=_APOLOGY)
    pt: str = Field(default="Desculpe, algo correu mal. Repita, por favor.", description=_APOLOGY)


class EngineSettings(Group):
    """How much of the machine each engine takes. The defaults follow from the number of cores."""

    stt_threads: int = Field(
        default_factory=lambda: max(1, min(4, _cores() // 2)), ge=1, le=256, description="Threads of the transcriber."
    )
    llm_threads: int = Field(
        default_factory=lambda: max(1, min(8, _cores() // 2)),
        ge=1,
        le=256,
        description="Threads of a chat model that runs in the server's process.",
    )
    tts_workers: int = Field(
        default_factory=lambda: max(1, min(4, _cores() // 4)), ge=1, le=64, description="Speech worker processes."
    )
    batching: bool = Field(
        default=True,
        description="Run requests of several callers together, urgent first; off serves one by one, to compare.",
    )
