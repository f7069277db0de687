"""Whether an answer has said already what a tool would say next: that the call ends, or that it is handed on.

Only a sentence that surely says so counts. Who hears a goodbye twice is bored; who is hung up on without one, or handed
to a stranger without a word, is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FALLBACK = "en"
_SENTENCE = re.compile(r"[^.!?…]+[.!?…]*")


@dataclass(frozen=True, slots=True)
class _Words:
    """Of one language, as regular expressions. denied: what makes a sentence say the contrary."""

    goodbye: str
    connecting: str
    denied: str


_WORDS = {
    "en": _Words(
        r"(good)?bye|good night|take care|have a (nice|good|great|lovely|wonderful) \w+",
        r"connect(ing)? you|transfer(ring)? (you|the call|your call)|put(ting)? you through|hand(ing)? you over"
        r"|pass(ing)? you on|(you are|you're|you will be) (now )?being (connected|transferred|put through)",
        r"not|never|cannot|can't|won't|couldn't|unable|if",
    ),
    "de": _Words(
        r"wieder(hören|sehen|schauen)|tschüss?|ade|schönen (tag|abend|morgen|nachmittag)( noch)?|bis (bald|dann)",
        r"verbinde|verbinden wir|stelle (sie|ihren anruf) durch|leite (sie|ihren anruf) weiter|gebe sie weiter"
        r"|werden (jetzt |nun |gleich )?(verbunden|weitergeleitet|durchgestellt)",
        r"nicht|kein\w*|nie|kann|könnte|leider|wenn|falls",
    ),
    "es": _Words(
        r"adiós|hasta (luego|pronto|la vista)|que tenga (un )?buen\w*",
        r"(le|te|la|lo) (paso|comunico|conecto|pongo|transfiero)|(paso|transfiero) (la|su) llamada",
        r"no|nunca|si",
    ),
    "fr": _Words(
        r"au revoir|à bientôt|bonne (journée|soirée|nuit|fin de journée)|bon après-midi",
        r"(vous|te) (passe|mets en (relation|communication|contact)|transfère|connecte)|transfère votre appel",
        r"ne|n'\w+|pas|jamais|si",
    ),
    "it": _Words(
        r"arrivederci|arrivederla|buona (giornata|serata|notte)|a presto",
        r"(le|la|ti) (passo|metto in (contatto|comunicazione)|trasferisco|collego)|trasferisco la (sua )?chiamata",
        r"non|mai|se",
    ),
    "nl": _Words(
        r"tot ziens|dag hoor|fijne (dag|avond|middag)|tot (horens|snel)",
        r"verbind (u|je|jou) (\w+ ){0,3}door|verbind u|u wordt (nu )?doorverbonden",
        r"niet|geen|nooit|als",
    ),
    "pl": _Words(
        r"do (usłyszenia|widzenia|zobaczenia)|miłego (dnia|wieczoru)",
        r"łączę|przełączam|przekierowuję|połączę",
        r"nie|nigdy|jeśli",
    ),
    "pt": _Words(
        r"adeus|até (logo|breve|à próxima)|tenha (um )?bom dia|tenha (uma )?boa (tarde|noite)",
        r"(vou|estou a) (passar|transferir|ligá-l[oa]|encaminhar)|(passo|transfiro) a (sua )?chamada",
        r"não|nunca|se",
    ),
}


def says_goodbye(words: str, language: str | None) -> bool:
    """Whether these words of an answer end a call. language: ISO 639-1; English if there is none. Of a language that
    is not known here nothing is sure."""
    known = _WORDS.get(language or _FALLBACK)
    return known is not None and _says(words, known.goodbye, known.denied)


def says_connecting(words: str, language: str | None) -> bool:
    """Whether these words of an answer announce that the call is handed on. See ``says_goodbye``."""
    known = _WORDS.get(language or _FALLBACK)
    return known is not None and _says(words, known.connecting, known.denied)


def _says(words: str, wanted: str, denied: str) -> bool:
    return any(
        re.search(rf"\b(?:{wanted})\b", sentence, re.IGNORECASE)
        and not re.search(rf"\b(?:{denied})\b", sentence, re.IGNORECASE)
        for sentence in _SENTENCE.findall(words.replace("’", "'"))
        if not sentence.endswith("?")
    )
