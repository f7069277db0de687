"""Booking an appointment: ask for what is missing, read back, book after yes."""

from __future__ import annotations

from scripts.training.llm import clock
from scripts.training.llm.call import Call
from scripts.training.llm.grammar import pick, sentence
from scripts.training.llm.lexicon import SERVICES, TABLE, Service, day_words
from scripts.training.llm.turns import FAULTS, MORE, SYSTEM_FAULT, a_day, said_day

ORDER = ("service", "day", "time", "name")
_BY_KEY = {service.key: service for service in SERVICES}
_ASK = {
    "service": ("What would you like to book?", "Was möchten Sie buchen?"),
    "day": ("For which day?", "Für welchen Tag?"),
    "time": ("At what time?", "Um wie viel Uhr?"),
    "name": ("May I have your name, please?", "Wie ist Ihr Name, bitte?"),
}


def service_of(key: str) -> Service:
    return _BY_KEY[key]


class _Draft:
    """A booking in the making. known: slots heard so far, as arguments."""

    def __init__(self, call: Call, known: dict[str, str]) -> None:
        self.call = call
        self.known = known

    @property
    def table(self) -> bool:
        return self.known.get("service") == TABLE.key

    def time(self, *, with_at: bool = True) -> str:
        """Draw a time, keep what it means, give how it is said."""
        words, self.known["time"] = clock.said(self.call.rng, self.call.language, table=self.table)
        if not with_at:
            return words
        return f"um {words}" if self.call.language == "de" else f"at {words}"

    def fill(self, slot: str) -> str:
        """Draw the slot's value, give how it is said."""
        call = self.call
        if slot == "service":
            service = call.rng.choice(SERVICES) if call.chance(0.88) else TABLE
            self.known["service"] = service.key
            return service.object(call.language)
        if slot == "day":
            self.known["day"] = a_day(call)
            return said_day(call, self.known["day"])
        if slot == "time":
            return self.time()
        self.known["name"] = call.known_name = call.known_name or call.person()
        return self.known["name"]

    def missing(self) -> str | None:
        return next((slot for slot in ORDER if slot not in self.known), None)

    def values(self) -> tuple[str, ...]:
        """Service, day, time and name as they are read back."""
        language = self.call.language
        return (
            service_of(self.known["service"]).object(language),
            day_words(self.known["day"], language),
            clock.spoken(self.known["time"], language),
            self.known["name"],
        )


def book(call: Call, known: dict[str, str] | None = None) -> None:
    """The whole request. known: what is settled already (after a look at what is free); then the caller has just
    agreed to it."""
    draft = _Draft(call, dict(known or {}))
    if call.known_name:
        draft.known["name"] = call.known_name
    if known is None:
        _open(draft)
    while slot := draft.missing():
        call.say(call.by_language(*_ASK[slot]), "ask")
        _answer(draft, slot)
    _read_back(draft)
    while call.chance(0.17):
        _correct(draft)
        _read_back(draft)
    call.hear(_agreement(call))
    _commit(draft)


def _agreement(call: Call) -> str:
    return call.by_language(
        "(Yes|Yes, please|Yes, that is right|That's right|Correct|Yes, exactly|Right|Perfect|Yes please do|"
        "Sounds good|"
        "Okay)(.|)",
        "(Ja|Ja, bitte|Ja genau|Ja, das ist richtig|Richtig|Genau|Ja, stimmt|Perfekt|Stimmt so|Das passt|Okay)(.|)",
    )


def _open(draft: _Draft) -> None:
    call = draft.call
    given = [slot for slot in ORDER if call.chance({"service": 0.75, "day": 0.55, "time": 0.4, "name": 0.2}[slot])]
    if call.known_name:
        given = [slot for slot in given if slot != "name"]
    said = {slot: draft.fill(slot) for slot in given}
    what = said.get("service") or call.by_language("(an appointment|something|a slot)", "(einen Termin|etwas)")
    if "service" in said and not draft.table and call.chance(0.35):
        key = service_of(draft.known["service"])
        what = call.by_language("an appointment for {a}", "einen Termin für {a}", a=key.object(call.language))
    if draft.table and call.chance(0.3):
        what += call.by_language(" for (two|three|four|six) people", " für (zwei|drei|vier|sechs) Personen")
    when = [said[slot] for slot in ("day", "time") if slot in said]
    if call.chance(0.2):
        when.reverse()
    name = (
        call.by_language(
            "(, my name is {n}|, the name is {n}|, for {n}|, this is {n}| please, and the name is {n}| and my "
            "name is {n})",
            "(, mein Name ist {n}|, auf den Namen {n}|, hier ist {n}|, ich heiße {n}| bitte, und der Name ist "
            "{n}| und ich heiße {n})",
            n=said["name"],
        )
        if "name" in said
        else ""
    )
    slots = {"what": what, "when": " ".join(when), "name": name}
    text = pick(_OPEN_DE if call.language == "de" else _OPEN_EN, call.rng, **slots)
    call.hear(sentence(text), " ".join(said.values()))


_OPEN_EN = (
    "(|||Hello, |Hi, |Good morning, )(I would like to book|I'd like to book|I want to book|Can I book|Could I get|I "
    "need|Please book me|I would like|I'd like to make a booking for|Can you book) {what} {when}{name}(.| please.|, "
    "please.|)"
)
_OPEN_DE = (
    "(|||Hallo, |Guten Tag, |Guten Morgen, )(ich möchte {what} {when} buchen|ich hätte gern {what} {when}|ich "
    "brauche "
    "{what} {when}|ich würde gern {what} {when} buchen|kann ich {what} {when} buchen|{what} {when} bitte|ich möchte "
    "{what} {when}|können Sie mir {what} {when} eintragen|ich möchte {what} {when} reservieren){name}(.|, bitte.|)"
)


def _answer(draft: _Draft, slot: str) -> None:
    """The caller answers the question, now and then with the next slot as well."""
    call = draft.call
    words = draft.fill(slot)
    keep = words
    if slot == "service":
        text = call.by_language(
            "({w}(,|) please.|I would like {w}.|{w}.|I need {w}.|For {w}.)",
            "({w}(,|) bitte.|Ich möchte {w}.|{w}.|Ich brauche {w}.|Ich hätte gern {w}.)",
            w=words,
        )
        if "day" not in draft.known and call.chance(0.15):
            more = draft.fill("day")
            keep += f" {more}"
            text = f"{text.rstrip('.')} {more}."
    elif slot == "day":
        if "time" not in draft.known and call.chance(0.25):
            words += f" {draft.time()}"
            keep = words
        text = call.by_language(
            "({w}.|{w} please.|{w} would be good.|Maybe {w}.|{w})",
            "({w}.|{w} bitte.|{w} wäre gut.|Gerne {w}.|Vielleicht {w}.|{w})",
            w=words,
        )
    elif slot == "time":
        bare = words.split(" ", 1)[1]
        text = call.by_language(
            "({w}.|{b}.|{b} please.|{w} please.|{b} would be great.|Let's say {b}.)",
            "({w}.|{b}.|{b} bitte.|{w} bitte.|{w} wäre gut.|So {w}.)",
            w=words,
            b=bare,
        )
    else:
        text = call.by_language(
            "({w}.|My name is {w}.|It's {w}.|{w}, please.|I am {w}.|The name is {w}.|{w})",
            "({w}.|Mein Name ist {w}.|Ich heiße {w}.|{w}, bitte.|Ich bin {w}.|Auf den Namen {w}.|{w})",
            w=words,
        )
    call.hear(sentence(text), keep)


def _read_back(draft: _Draft) -> None:
    service, day, time, name = values = draft.values()
    call = draft.call
    call.say(
        sentence(
            call.by_language(
                f"{service} {day} at {time} for {name}, is that right?",
                f"{service} {day} um {time} für {name}, ist das richtig?",
            )
        ),
        "read-back",
        values,
    )


def _correct(draft: _Draft) -> None:
    """The caller changes one slot, in one turn or, after "no", in the next."""
    call = draft.call
    slot = call.rng.choices(["day", "time", "name", "service"], [4, 4, 2, 1])[0]
    old = draft.known[slot]
    no = call.by_language(
        "(No|Sorry, no|Not quite|Oh no|No wait)", "(Nein|Ähm nein|Nicht ganz|Nein, Entschuldigung|Moment, nein)"
    )
    if call.chance(0.2):
        call.hear(f"{no}.")
        call.say(call.by_language("I am sorry. What should I change?", "Entschuldigung. Was soll ich ändern?"), "ask")
        no = ""
    if slot == "name":
        call.known_name = None
    while draft.known[slot] == old:
        words = draft.fill(slot)
        if slot == "name" and draft.known[slot] == old:
            call.known_name = None
    bare = words.split(" ", 1)[1] if slot == "time" else words
    text = {
        "day": (
            "({w} is better|{w} instead|I meant {w}|rather {w}|better {w}|I said {w}|not that day, {w})",
            "(lieber {w}|besser {w}|ich meinte {w}|doch {w}|ich sagte {w}|{w} passt besser|nicht an dem Tag, {w})",
        ),
        "time": (
            "({w} is better|{w} instead|I meant {b}|better {w}|I said {b}|make it {b})",
            "(lieber {w}|besser {w}|ich meinte {w}|doch {w}|ich sagte {b}|{w} passt besser)",
        ),
        "name": (
            "(my name is {w}|the name is {w}|it is {w}|I said {w})",
            "(mein Name ist {w}|der Name ist {w}|ich heiße {w}|ich sagte {w})",
        ),
        "service": (
            "(I meant {w}|{w} instead|I need {w}|{w}, please)",
            "(ich meinte {w}|lieber {w}|ich brauche {w}|{w}, bitte)",
        ),
    }[slot]
    change = call.by_language(*text, w=words, b=bare)
    call.hear(sentence(f"{no}, {change}." if no else f"{change}."), words)


def _commit(draft: _Draft) -> None:
    call = draft.call
    call.use(
        call.by_language("One moment, I will book that for you.", "Einen Moment, ich buche das für Sie."),
        ("book_appointment", {slot: draft.known[slot] for slot in ORDER}),
    )
    outcome = call.rng.choices(["booked", "taken", "closed", "fault"], [80, 10, 4, 6])[0]
    if outcome == "booked":
        _booked(draft)
    elif outcome == "taken":
        _taken(draft)
    elif outcome == "closed":
        call.result(call.rng.choice([{"status": "closed", "day": draft.known["day"]}, {"error": "closed"}]))
        day = day_words(draft.known["day"], call.language)
        text = call.by_language("I am sorry, we are closed {d}.", "Es tut mir leid, {d} haben wir geschlossen.", d=day)
        call.say(text, "answer", (day,))
    else:
        call.result(call.rng.choice(FAULTS))
        call.say(call.by_language(*SYSTEM_FAULT), "answer")


def _booked(draft: _Draft) -> None:
    call, known = draft.call, draft.known
    shape = call.rng.choice(["full", "status", "ok", "id"])
    if shape == "full":
        call.result({"status": "booked", "day": known["day"], "time": known["time"]})
    elif shape == "status":
        call.result({"status": "confirmed"})
    elif shape == "ok":
        call.result({"ok": True})
    else:
        call.result({"status": "booked", "id": call.rng.randint(100, 999)})
    day, time = day_words(known["day"], call.language), clock.spoken(known["time"], call.language)
    call.say(
        call.by_language(
            f"Your booking {day} at {time} is confirmed. {MORE[0]}",
            f"Ihre Buchung {day} um {time} ist bestätigt. {MORE[1]}",
        ),
        "answer",
        (day, time),
    )


def _taken(draft: _Draft) -> None:
    """The slot is gone: offer the others; the caller takes one, which is read back."""
    call = draft.call
    one, two = sorted(call.rng.sample([f"{hour:02d}:{minute}" for hour in range(9, 19) for minute in ("00", "30")], 2))
    key = call.rng.choice(["alternatives", "slots"])
    call.result({"status": "taken", key: [one, two]})
    values = clock.spoken(one, call.language), clock.spoken(two, call.language)
    call.say(
        call.by_language(
            "I am sorry, that time is taken. {a} or {b} is still free. Which one suits you?",
            "Es tut mir leid, diese Zeit ist vergeben. {a} oder {b} ist noch frei. Was passt Ihnen?",
            a=sentence(values[0]),
            b=values[1],
        ),
        "answer",
        values,
    )
    draft.known["time"] = pick_offered(call, (one, two))
    _read_back(draft)
    call.hear(_agreement(call))
    call.use(
        call.by_language("One moment, I will book that for you.", "Einen Moment, ich buche das für Sie."),
        ("book_appointment", {slot: draft.known[slot] for slot in ORDER}),
    )
    _booked(draft)


def pick_offered(call: Call, times: tuple[str, ...]) -> str:
    """The caller takes one of the offered times, by saying it or its place in the list; gives HH:MM."""
    at = call.rng.randrange(len(times))
    time = times[at]
    words = clock.spoken(time, call.language).removesuffix(" pm").removesuffix(" am")
    if len(times) == 2 and call.chance(0.3):
        text = call.by_language(
            f"The {('first', 'second')[at]} one(.| please.)", f"(Das|Der) {('erste', 'zweite')[at]}(.| bitte.)"
        )
    else:
        text = call.by_language(
            "({w}.|{w} please.|{w} is fine.|I take {w}.)", "({w}.|{w} bitte.|{w} passt.|Ich nehme {w}.)", w=words
        )
    call.hear(sentence(text), words)
    return time
