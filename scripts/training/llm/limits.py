"""What the assistant cannot do itself: it says so, offers a colleague, puts callers through."""

from __future__ import annotations

from scripts.training.llm.call import Call
from scripts.training.llm.turns import HELP, MORE, ask

OFFER = ("Shall I put you through to a colleague?", "Soll ich Sie mit einem Kollegen verbinden?")


def decline(call: Call, reason: str) -> None:
    text = call.by_language("I am sorry, I cannot help with that.", "Es tut mir leid, dabei kann ich nicht helfen.")
    if not call.has("transfer_to_human"):
        call.say(text)
        return
    call.say(f"{text} {call.by_language(*OFFER)}")
    _offered(call, reason)


def _offered(call: Call, reason: str) -> None:
    if call.chance(0.5):
        call.hear(call.by_language("(Yes|Yes please|Please do|Yes, please)(.|)", "(Ja|Ja bitte|Gerne|Ja, bitte)(.|)"))
        put_through(call, reason)
    else:
        call.hear(call.by_language("(No|No thanks|No, that's fine)(.|)", "(Nein|Nein danke|Nein, schon gut)(.|)"))
        call.say(call.by_language(f"All right. {MORE[0]}", f"In Ordnung. {MORE[1]}"))


def put_through(call: Call, reason: str) -> None:
    call.use(
        call.by_language("One moment, I will put you through.", "Einen Moment, ich verbinde Sie."),
        ("transfer_to_human", {"reason": reason}),
    )
    if call.chance(0.8):
        call.result(call.rng.choice([{"status": "transferring"}, {"status": "transferred"}, {"ok": True}]))
        call.say(call.by_language("You are being put through now.", "Sie werden jetzt verbunden."))
        call.over = call.chance(0.7)
        return
    call.result(call.rng.choice([{"status": "unavailable"}, {"error": "nobody available"}, {"status": "busy"}]))
    call.say(
        call.by_language(
            f"I am sorry, nobody is available right now. {MORE[0]}",
            f"Es tut mir leid, gerade ist niemand erreichbar. {MORE[1]}",
        )
    )


def human(call: Call) -> None:
    """A caller who wants a person gets one at once."""
    ask(
        call,
        "(can I speak to a (human|person|colleague)|I want to talk to a (real person|human)|please put me through to "
        "someone|connect me to a person|can I talk to somebody)(.|?|)",
        "(kann ich mit einem (Menschen|Mitarbeiter|Kollegen) sprechen|ich möchte mit einem Menschen sprechen|verbinden "
        "Sie mich bitte mit jemandem|ich will einen Menschen sprechen|können Sie mich verbinden)(.|?|)",
    )
    if call.has("transfer_to_human"):
        put_through(call, "caller asked for a person")
    else:
        call.say(
            call.by_language("I am sorry, I cannot put you through.", "Es tut mir leid, ich kann Sie nicht verbinden.")
        )


def annoyed(call: Call) -> None:
    ask(
        call,
        "(this is the third time I call|this is terrible|I am really angry|your service is awful|this is ridiculous|I "
        "have been waiting for an hour)(.|!|)",
        "(das ist das dritte Mal, dass ich anrufe|das ist eine Frechheit|ich bin wirklich sauer|Ihr Service ist "
        "schrecklich|das ist unmöglich|ich warte seit einer Stunde)(.|!|)",
    )
    text = call.by_language("I am sorry about that.", "Das tut mir leid.")
    if not call.has("transfer_to_human"):
        call.say(f"{text} {call.by_language(*HELP)}")
        return
    call.say(f"{text} {call.by_language(*OFFER)}")
    _offered(call, "complaint")


def payment(call: Call) -> None:
    """Card and insurance: known only when the system text says so."""
    card = call.chance(0.5)
    known = call.facts.card if card else call.facts.insurance
    if card:
        ask(
            call,
            "(do you take cards|can I pay by card|do you accept credit cards)?",
            "(kann ich mit Karte zahlen|nehmen Sie Karten|kann man mit Karte bezahlen)?",
        )
    else:
        ask(
            call,
            "(do you take my insurance|do you accept insurance|will my insurance pay)?",
            "(nehmen Sie meine Versicherung|zahlt das die Versicherung|akzeptieren Sie Versicherungen)?",
        )
    if known is None:
        decline(call, "question about insurance" if not card else "other question")
        return
    english = {
        (True, True): "Yes, you can pay by card.",
        (True, False): "No, you cannot pay by card.",
        (False, True): "Yes, we accept insurance.",
        (False, False): "No, we do not accept insurance.",
    }
    german = {
        (True, True): "Ja, Sie können mit Karte zahlen.",
        (True, False): "Nein, Kartenzahlung ist nicht möglich.",
        (False, True): "Ja, wir nehmen Versicherungen.",
        (False, False): "Nein, wir nehmen keine Versicherungen.",
    }
    text = call.by_language(english[card, known], german[card, known])
    call.say(text, "answer", (text.split(",")[0],))


def beyond(call: Call) -> None:
    """What no tool and no fact answers is declined, with a colleague offered where there is one."""
    reason, english, german = call.rng.choice(
        [
            (
                "question about a booking",
                "(when is my appointment|do I have an appointment|can you look up my booking)?",
                "(wann ist mein Termin|habe ich einen Termin|können Sie meine Buchung nachsehen)?",
            ),
            (
                "question about an order",
                "(where is my order|is my order ready|when will my order arrive)?",
                "(wo ist meine Bestellung|ist meine Bestellung fertig|wann kommt meine Bestellung)?",
            ),
            (
                "message for staff",
                "(please tell the team that I will be late|can you give the doctor a message|tell them I am running "
                "late)(.|)",
                "(bitte sagen Sie dem Team, dass ich später komme|können Sie etwas ausrichten|sagen Sie bitte, dass "
                "ich mich verspäte)(.|)",
            ),
            (
                "other question",
                "(do you have a job for me|can I bring my dog|do you sell vouchers|is there a lift)(.|?)",
                "(haben Sie eine Stelle frei|darf ich meinen Hund mitbringen|verkaufen Sie Gutscheine|gibt es einen "
                "Aufzug)(.|?)",
            ),
        ]
    )
    ask(call, english, german)
    decline(call, reason)


_WITHOUT = {
    "book": (
        "(I would like to book an appointment|can I book a table|I want to make an appointment)(.|?)",
        "(ich möchte einen Termin buchen|kann ich einen Tisch reservieren|ich brauche einen Termin)(.|?)",
    ),
    "availability": (
        "(do you have anything free on Monday|is there a free slot tomorrow)?",
        "(haben Sie am Montag etwas frei|ist morgen noch etwas frei)?",
    ),
    "hours": (
        "(when do you open|what are your opening hours|are you open on Sunday)?",
        "(wann haben Sie geöffnet|haben Sie am Sonntag offen)?",
    ),
    "price": (
        "(how much is a haircut|what does a massage cost|how much is a filling)?",
        "(was kostet ein Haarschnitt|wie viel kostet eine Massage|was kostet eine Füllung)?",
    ),
    "weather": (
        "(how is the weather|what's the weather tomorrow)?",
        "(wie wird das Wetter|wie ist das Wetter morgen)?",
    ),
    "directions": (
        "(where are you|what is your address|where can I park)?",
        "(wo sind Sie|wie ist Ihre Adresse|wo kann ich parken)?",
    ),
    "cancel": (
        "(I need to cancel my appointment|please cancel my booking on Friday)(.|)",
        "(ich möchte meinen Termin absagen|bitte sagen Sie meinen Termin am Freitag ab)(.|)",
    ),
    "move": (
        "(can you move my appointment|I need to reschedule my booking)(.|)",
        "(ich muss meinen Termin verschieben|können Sie meinen Termin verschieben)(.|)",
    ),
}


def cannot(call: Call, kind: str) -> None:
    """The tool is not listed: the request is declined, as any other that nothing answers."""
    ask(call, *_WITHOUT[kind])
    decline(call, "other question")
