"""Free times, cancelling and moving."""

from __future__ import annotations

from scripts.training.llm import clock
from scripts.training.llm.booking import book, pick_offered
from scripts.training.llm.call import Call
from scripts.training.llm.grammar import sentence
from scripts.training.llm.lexicon import SERVICES, TABLE, Service, day_words
from scripts.training.llm.turns import LOOK, MORE, a_day, ask, day_answer, fault, said_day

_WHICH_APPOINTMENT = ("Which day is your appointment?", "An welchem Tag ist Ihr Termin?")


def availability(call: Call) -> None:
    """What is free on a day; the caller may go on and book it."""
    arguments: dict[str, str] = {}
    service = call.rng.choice(SERVICES) if call.chance(0.5) else None
    day = a_day(call) if call.chance(0.85) else None
    time = clock.said(call.rng, call.language, table=service is TABLE) if day and call.chance(0.35) else None
    words = said_day(call, day) if day else ""
    at = (" um " if call.language == "de" else " at ") + time[0] if time else ""
    what = service.object(call.language) if service else ""
    ask(
        call,
        f"(do you have (anything|something|a slot) free {words}{at} {'for ' + what if what else ''}|is there (anything|"
        f"something) free {words}{at} {'for ' + what if what else ''}|are you free {words}{at} "
        f"{'for ' + what if what else ''}|what is available {words}{at} {'for ' + what if what else ''})?",
        f"(haben Sie {words}{at} (noch|) (etwas|was|einen Termin) frei {'für ' + what if what else ''}|ist {words}{at} "
        f"(noch|) (etwas|was) frei {'für ' + what if what else ''}|gibt es {words}{at} {'für ' + what if what else ''} "
        "(noch|) freie Termine)?",
        keep=at,
    )
    day = day or day_answer(call)
    if service:
        arguments["service"] = service.key
    arguments["day"] = day
    if time:
        arguments["time"] = time[1]
    call.use(call.by_language(*LOOK), ("check_availability", arguments))
    if not fault(call):
        _offer(call, service, day, time[1] if time else None)


def _offer(call: Call, service: Service | None, day: str, time: str | None) -> None:
    words = day_words(day, call.language)
    settled = {"day": day} | ({"service": service.key} if service else {})
    if time and call.chance(0.6):
        call.result(
            call.rng.choice([{"available": True}, {"available": True, "day": day, "time": time}, {"status": "free"}])
        )
        spoken = clock.spoken(time, call.language)
        text = call.by_language(
            f"Yes, {words} at {spoken} is free. Shall I book that?",
            f"Ja, {words} um {spoken} ist frei. Soll ich das buchen?",
        )
        call.say(text, "answer", (words, spoken))
        settled["time"] = time
    elif call.chance(0.12):
        call.result(call.rng.choice([{"slots": []}, {"available": False}, {"available": False, "alternatives": []}]))
        text = call.by_language(f"I am sorry, nothing is free {words}.", f"Es tut mir leid, {words} ist nichts frei.")
        call.say(text, "answer", (words,))
        return
    else:
        times = sorted(call.rng.sample([f"{hour:02d}:{minute}" for hour in range(8, 19) for minute in ("00", "30")], 2))
        call.result(
            call.rng.choice(
                [{"slots": times}, {"day": day, "slots": times}, {"available": False, "alternatives": times}]
            )
        )
        one, two = (clock.spoken(slot, call.language) for slot in times)
        text = call.by_language(
            f"{words} {one} and {two} are free. Which one suits you?",
            f"{words} sind {one} und {two} frei. Was passt Ihnen?",
        )
        call.say(sentence(text), "answer", (words, one, two))
        if call.has("book_appointment") and call.chance(0.55):
            settled["time"] = pick_offered(call, tuple(times))
            book(call, settled)
        else:
            decide_later(call)
        return
    if call.has("book_appointment") and call.chance(0.6):
        call.hear(
            call.by_language(
                "(Yes.|Yes please.|Yes, please.|Please do.|Great, yes.)", "(Ja.|Ja bitte.|Ja, bitte.|Gerne.|Ja, gerne.)"
            )
        )
        book(call, settled)
    else:
        decide_later(call)


def decide_later(call: Call) -> None:
    """The caller takes none of it."""
    call.hear(
        call.by_language(
            "(No|No thanks|I will think about it|Not now|I will call again)(.|)",
            "(Nein|Nein danke|Ich überlege es mir|Jetzt nicht|Ich melde mich noch einmal)(.|)",
        )
    )
    call.say(call.by_language(f"All right. {MORE[0]}", f"In Ordnung. {MORE[1]}"))


def cancel(call: Call) -> None:
    """Cancelling is confirmed first."""
    day = a_day(call) if call.chance(0.75) else None
    words = said_day(call, day) if day else ""
    named = not call.known_name and call.chance(0.15)
    if named:
        call.known_name = call.person()
    who = (
        call.by_language(
            "(, my name is {n}|, this is {n})", "(, mein Name ist {n}|, hier ist {n})", n=call.known_name or ""
        )
        if named
        else ""
    )
    ask(
        call,
        "(I would like to cancel|I need to cancel|please cancel|can you cancel|I want to cancel|I have to cancel) my "
        f"(appointment|booking) {words}{who}(.|)",
        f"(ich möchte meinen Termin {words} absagen|ich muss meinen Termin {words} absagen|bitte sagen Sie meinen "
        f"Termin {words} ab|ich möchte meinen Termin {words} stornieren|ich kann {words} nicht kommen und möchte "
        f"meinen Termin absagen){who}(.|)",
    )
    day = day or day_answer(call, _WHICH_APPOINTMENT)
    words = day_words(day, call.language)
    call.say(
        call.by_language(f"Shall I cancel your appointment {words}?", f"Soll ich Ihren Termin {words} absagen?"),
        "read-back",
        (words,),
    )
    if call.chance(0.12):
        call.hear(
            call.by_language(
                "(No|No, leave it|No, I changed my mind|Oh no, keep it)(.|)",
                "(Nein|Nein, doch nicht|Nein, ich habe es mir anders überlegt|Nein, lassen Sie es)(.|)",
            )
        )
        call.say(
            call.by_language(
                f"All right, I will not cancel it. {MORE[0]}", f"In Ordnung, ich sage ihn nicht ab. {MORE[1]}"
            )
        )
        return
    call.hear(
        call.by_language(
            "(Yes|Yes, please|Yes please cancel it|That's right|Please do|Correct)(.|)",
            "(Ja|Ja, bitte|Ja genau|Richtig|Ja, bitte absagen|Genau)(.|)",
        )
    )
    name = {"name": call.known_name} if call.known_name else {}
    call.use(
        call.by_language("One moment, I will cancel that for you.", "Einen Moment, ich sage das für Sie ab."),
        ("cancel_appointment", name | {"day": day}),
    )
    if fault(call):
        return
    if call.chance(0.08):
        call.result(call.rng.choice([{"error": "not found"}, {"status": "not found"}]))
        call.say(
            call.by_language(
                f"I am sorry, I cannot find an appointment {words}.",
                f"Es tut mir leid, ich finde {words} keinen Termin.",
            ),
            "answer",
            (words,),
        )
        return
    call.result(call.rng.choice([{"status": "cancelled"}, {"status": "cancelled", "day": day}, {"ok": True}]))
    call.say(
        call.by_language(
            f"Your appointment {words} is cancelled. {MORE[0]}", f"Ihr Termin {words} ist abgesagt. {MORE[1]}"
        ),
        "answer",
        (words,),
    )


def move(call: Call) -> None:
    """Moving calls at once when both days are known."""
    old, new = call.rng.sample(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), 2)
    if call.chance(0.08):
        new = "tomorrow"
    given = call.rng.choices(["both", "old", "new", "none"], [50, 16, 16, 18])[0]
    english, german = day_words(old, "en").removeprefix("on "), day_words(old, "de").removeprefix("am ")
    to_en, to_de = day_words(new, "en").removeprefix("on "), day_words(new, "de").removeprefix("am ")
    start = (
        "(I would like to|I need to|can I|can you|I want to|please) (move|reschedule|change) my (appointment|booking)"
    )
    texts = {
        "both": (
            f"({start} from {english} to {to_en}|{start} on {english} to {to_en}|my appointment is on {english}, can I "
            f"come {day_words(new, 'en')} instead)",
            f"(ich möchte meinen Termin von {german} auf {to_de} verschieben|können Sie meinen Termin von {german} auf "
            f"{to_de} verschieben|ich muss meinen Termin am {german} auf {to_de} verschieben|ich habe "
            f"{day_words(old, 'de')} einen Termin, kann ich ihn auf {to_de} verschieben)",
        ),
        "old": (
            f"{start} {day_words(old, 'en')}",
            f"ich (möchte|muss) meinen Termin {day_words(old, 'de')} verschieben",
        ),
        "new": (f"{start} to {to_en}", f"ich (möchte|muss) meinen Termin auf {to_de} verschieben"),
        "none": (start, "ich (möchte|muss) meinen Termin verschieben"),
    }[given]
    ask(call, f"{texts[0]}(.|)", f"{texts[1]}(.|)")
    if given in ("new", "none"):
        old = day_answer(call, _WHICH_APPOINTMENT, near=False)
    if given in ("old", "none"):
        new = old
        while new == old:
            mark, state = len(call.turns), call.last
            new = day_answer(
                call, ("To which day would you like to move it?", "Auf welchen Tag möchten Sie ihn verschieben?")
            )
            if new == old:
                del call.turns[mark:]
                call.last = state
    call.use(
        call.by_language("One moment, I will move that for you.", "Einen Moment, ich verschiebe das für Sie."),
        ("move_appointment", {"from_day": old, "to_day": new}),
    )
    if fault(call):
        return
    words = (
        day_words(new, "en").removeprefix("on ") if call.language == "en" else day_words(new, "de").removeprefix("am ")
    )
    if call.chance(0.07):
        call.result(call.rng.choice([{"error": "not found"}, {"status": "not found"}]))
        old_words = day_words(old, call.language)
        call.say(
            call.by_language(
                f"I am sorry, I cannot find an appointment {old_words}.",
                f"Es tut mir leid, ich finde {old_words} keinen Termin.",
            ),
            "answer",
            (old_words,),
        )
        return
    call.result(call.rng.choice([{"status": "moved"}, {"status": "moved", "to_day": new}, {"ok": True}]))
    call.say(
        call.by_language(
            f"Your appointment is moved to {words}. {MORE[0]}", f"Ihr Termin ist auf {words} verschoben. {MORE[1]}"
        ),
        "answer",
        (words,),
    )
