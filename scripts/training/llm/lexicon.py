"""The words of the simulated world: services, days, places, names."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """key: the argument of the tools. german: the noun; feminine: its gender."""

    key: str
    german: str
    feminine: bool = True

    @property
    def english(self) -> str:
        return f"{'an' if self.key[0] in 'aeiou' or self.key.startswith('x-') else 'a'} {self.key}"

    @property
    def nominative(self) -> str:
        return f"{'eine' if self.feminine else 'ein'} {self.german}"

    @property
    def accusative(self) -> str:
        return f"{'eine' if self.feminine else 'einen'} {self.german}"

    def object(self, language: str) -> str:
        """ "a haircut", "einen Haarschnitt"."""
        return self.accusative if language == "de" else self.english

    def subject(self, language: str) -> str:
        """ "a haircut", "ein Haarschnitt"."""
        return self.nominative if language == "de" else self.english


SERVICES = (
    Service("haircut", "Haarschnitt", False),
    Service("beard trim", "Bartschnitt", False),
    Service("colouring", "Färbung"),
    Service("massage", "Massage"),
    Service("facial", "Gesichtsbehandlung"),
    Service("manicure", "Maniküre"),
    Service("pedicure", "Pediküre"),
    Service("dental cleaning", "Zahnreinigung"),
    Service("filling", "Füllung"),
    Service("x-ray", "Röntgenaufnahme"),
    Service("eye test", "Sehtest", False),
    Service("hearing test", "Hörtest", False),
    Service("blood test", "Bluttest", False),
    Service("vaccination", "Impfung"),
    Service("physiotherapy", "Physiotherapie"),
    Service("consultation", "Beratung"),
    Service("check-up", "Untersuchung"),
    Service("viewing", "Besichtigung"),
    Service("repair", "Reparatur"),
    Service("test drive", "Probefahrt"),
    Service("table", "Tisch", False),
)
TABLE = SERVICES[-1]

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DE_DAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
WEEKDAYS = {
    "en": dict(zip(DAYS, (day.capitalize() for day in DAYS), strict=True)),
    "de": dict(zip(DAYS, _DE_DAYS, strict=True)),
}
NEAR = {"en": {"today": "today", "tomorrow": "tomorrow"}, "de": {"today": "heute", "tomorrow": "morgen"}}


def day_words(day: str, language: str) -> str:
    """ "on Friday", "am Freitag", "today", "morgen"."""
    if day in NEAR[language]:
        return NEAR[language][day]
    return f"{'am' if language == 'de' else 'on'} {WEEKDAYS[language][day]}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BUSINESSES = tuple(
    name.replace("_", " ")
    for name in _words(
        "Salon_Bella Salon_Luna Studio_Nord Casa_Verde Villa_Rosa Restaurant_Olive Bistro_Linde Café_Sommer "
        "Tierklinik_West Zahnarztpraxis_Berger Praxis_Sonnental Optik_Keller Green_Garden_Clinic Hair_Brothers "
        "Barber_Brown Physio_Plus Vital_Studio Dental_Park Garage_Miller Heim_und_Haus"
    )
)
ASSISTANTS = _words("Anna Emma Lisa Lena Max Nora Mia Sam Alex Kim")
CITIES = _words(
    "Berlin Hamburg Munich Cologne Frankfurt Stuttgart Leipzig Dresden Bremen Vienna Zurich London Leeds Bristol "
    "Dublin Boston Chicago Denver Paris Lyon Madrid Milan Rome Prague Warsaw Oslo"
)
STREETS = tuple(
    name.replace("_", " ")
    for name in _words(
        "Hauptstraße Bahnhofstraße Gartenweg Lindenallee Bergstraße Schulstraße Marktplatz Church_Street Main_Street "
        "Station_Road Garden_Lane Market_Square Hill_Road River_Street"
    )
)

FIRST = _words(
    "Anna Ben Clara David Elena Felix Greta Hugo Irene Jonas Karla Lukas Maria Martin Nina Oscar Paula Peter Robert "
    "Robin Sofia Thomas Vera Walter Zoe Bruno Laura Julia Emma Paul Lena Tim Sarah Tom Lisa Jan Eva Mark Nora Leo Ida "
    "Max Mia Simon Helen James Mary John Alice Henry Lucy George Emily Jack Grace Oliver Sophie Daniel Rachel Adam "
    "Chloe Samuel Hannah Michael Susan Kevin Karen Brian Linda Steven Julian Marie Stefan Sabine Andreas Monika Jürgen "
    "Heike Wolfgang Ute Dieter Petra Uwe Anja Ralf Silke Torsten Birgit Bernd Katrin Mehmet Ayşe Ali Fatma Ivan Olga "
    "Pedro Carmen Luca Giulia Pierre Amelie Kofi Amina Chen Mei Ravi Priya"
)
LAST = _words(
    "Weber Becker Fischer Schmidt Meyer Keller Berger Frank Wilson Taylor Brown Miller Garcia Rossi Novak Dubois "
    "Jansen Larsen Hansen Müller Schneider Wagner Hoffmann Schulz Koch Bauer Richter Klein Wolf Schröder Neumann "
    "Schwarz Braun Zimmermann Krüger Hofmann Hartmann Lange Werner Krause Lehmann Köhler Maier Huber Kaiser Fuchs "
    "Peters Lang Scholz Möller Weiß Jung Hahn Vogel Roth Smith Jones Williams Davies Evans Johnson Roberts Walker "
    "Wright Robinson Thompson White Hughes Edwards Green Hall Wood Harris Lewis Martin Clark Turner Hill Moore Cooper "
    "Ward Morris King Baker Kowalski Nowak Silva Santos Moreau Petit Romano Ricci Yilmaz Demir Kaya Popescu Horvat "
    "Nielsen Berg Lindqvist Okafor Singh Patel Nguyen Kim Chen"
)
UNSEEN_FIRST = _words("Dorian Philippa Ottilie Raymond Gesine Cormac Selma Lorenz Bettina Nigel")
UNSEEN_LAST = _words("Abernathy Brinkmann Castellan Drosten Falkenberg Goodwin Hollister Mertens Pruitt Wendland")
_ONSETS = _words("B D F G H J K L M N P R S T V W Z Br Fr Kr St Tr Sch Ch")
_INNER = _words("b d f g k l ll m n nn r rt s ss t tt v ck nd ns rl mp")
_VOWELS = _words("a a e e i o u ai ei ie au")
_ENDS = _words("a o e en er el in is us ik ard ert ow sky son mann dt itz an elli")


_HEADS = _words(
    "Ash Al Ander Bar Beck Ben Black Bran Bren Bright Broad Brook Bur Cald Car Church Cross Dal Dun East Eber Edel Ein "
    "Eng Fair Farn Fein Fen Fried Gar Ger Glen Gold Gott Grand Grim Grün Hal Har Hart Hein Her High Hoch Hohen Holm "
    "Hum Kal Kess King Kirch Klein Kron Lam Lang Leit Lieb Lind Long Lud Lyn Mar May Mil Mont Mor Neu New Nor Ober Old "
    "Os Park Pen Per Pil Ra Red Rei Ring Rosen Roth Sand Sax Schön Sel Shel Sil Sonnen Stan Stein Stern Stone Strat "
    "Sul Sum Tal Tem Thorn Tra Under Unter Vel Wal War Wein West Whit Wil Win Wolf Wood Yar Zim"
)
_TAILS = _words(
    "bach beck berg bert bury by dale den der dorf don feld field ford gang grove ham hardt hausen heim helm holt horn "
    "house hurst ing kamp kirk lan land ler ley lin ling man mark mer meyer mond more mund ner ney rath rich rick "
    "ridge sen shaw side son stadt stead stett stock ston strom thal thorpe ton vale ville wald wall ward way well "
    "wich wick win wirth wood worth wyn"
)


_FRAGMENTS = tuple(
    word
    for text in (*BUSINESSES, *CITIES, *STREETS, *FIRST, *LAST, *(f"{item.key} {item.german}" for item in SERVICES))
    for word in text.replace("-", " ").split()
    if len(word) > 3
)


def invented(rng: random.Random) -> str:
    """A name that hardly anybody has: two parts as of place names, the beginning of one word and the end of another, or
    two or three syllables."""
    kind = rng.choices(["place", "cut", "syllables"], [0.3, 0.35, 0.35])[0]
    if kind == "place":
        return rng.choice(_HEADS) + rng.choice(_TAILS)
    if kind == "cut":
        first, second = rng.choice(_FRAGMENTS), rng.choice(_FRAGMENTS)
        return (first[: rng.randint(2, 4)] + second[-rng.randint(2, 4) :]).capitalize()
    middle = "".join(rng.choice(_VOWELS) + rng.choice(_INNER) for _ in range(rng.choice([1, 1, 2])))
    return rng.choice(_ONSETS) + middle + rng.choice(_ENDS)


def held_out(first: str, last: str) -> bool:
    """Whether the pair is kept for examination; one in ten is."""
    return zlib.crc32(f"{first} {last}".encode()) % 10 == 0


def person(rng: random.Random, names: str = "train") -> str:
    """First and last name. names: "train", "held-out" (known names, pairs not in training) or "unseen"."""
    if names == "unseen":
        return f"{rng.choice(UNSEEN_FIRST)} {rng.choice(UNSEEN_LAST)}"
    if names == "held-out":
        while True:
            first, last = rng.choice(FIRST), rng.choice(LAST)
            if held_out(first, last):
                return f"{first} {last}"
    while True:
        first = rng.choice(FIRST) if rng.random() < 0.5 else invented(rng)
        last = rng.choice(LAST) if rng.random() < 0.4 else invented(rng)
        if not held_out(first, last) and first not in UNSEEN_FIRST and last not in UNSEEN_LAST:
            return f"{first} {last}"
