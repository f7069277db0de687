"""Words with which numbers, letters and addresses are dictated, in English and German.

Spelling alphabets: NATO (ICAO), the German ones of DIN 5009, the old with first names and that of 2022 with cities.
"""

from __future__ import annotations


def _table(text: str) -> dict[str, str]:
    """``word=what it says``, with blanks between."""
    return dict(pair.split("=") for pair in text.split())


DIGITS = _table(
    "zero=0 oh=0 nought=0 null=0 one=1 eins=1 ein=1 two=2 zwei=2 zwo=2 three=3 drei=3 four=4 vier=4 five=5 fünf=5"
    " fuenf=5 six=6 sechs=6 seven=7 sieben=7 eight=8 acht=8 nine=9 neun=9"
)
NUMBERS = _table(
    "ten=10 eleven=11 twelve=12 thirteen=13 fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19"
    " zehn=10 elf=11 zwölf=12 dreizehn=13 vierzehn=14 fünfzehn=15 sechzehn=16 siebzehn=17 achtzehn=18 neunzehn=19"
)
TENS = _table(
    "twenty=20 thirty=30 forty=40 fifty=50 sixty=60 seventy=70 eighty=80 ninety=90 zwanzig=20 dreißig=30 dreissig=30"
    " vierzig=40 fünfzig=50 sechzig=60 siebzig=70 achtzig=80 neunzig=90"
)
HUNDREDS = {
    f"{word}hundert": f"{digit}00" for word, digit in DIGITS.items() if word in ("ein", "zwei", "drei", "vier", "fünf")
}
TIMES = {"double": 2, "doppel": 2, "doppelt": 2, "doppelte": 2, "triple": 3, "treble": 3, "dreifach": 3, "zweimal": 2}
_FILLERS = (
    "and und then dann äh ähm uh um er eh like also so dash hyphen strich minus bindestrich slash schrägstrich space"
    " leerzeichen pause die der das"
)
FILLERS = frozenset(_FILLERS.split())

LETTERS = _table(
    "zed=Z zee=Z ypsilon=Y jot=J vau=V zett=Z zet=Z eszett=ß bee=B cee=C dee=D gee=G jay=J kay=K pee=P tee=T vee=V"
    " ar=R ess=S ex=X wye=Y why=Y"
)
UMLAUT = {"A": "Ä", "O": "Ö", "U": "Ü"}
_FOR_EXAMPLE = "for as in like wie von"
FOR_EXAMPLE = frozenset(_FOR_EXAMPLE.split())
_NATO = (
    "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliett juliet kilo lima mike november oscar papa"
    " quebec romeo sierra tango uniform victor whiskey whisky xray x-ray yankee zulu"
)
_NAMES = (
    "anton berta cäsar dora emil friedrich gustav heinrich ida julius kaufmann konrad ludwig martha nordpol otto paula"
    " quelle richard samuel siegfried theodor ulrich viktor wilhelm xanthippe zacharias zeppelin"
)
_CITIES = (
    "aachen berlin chemnitz düsseldorf essen frankfurt goslar hamburg ingelheim jena köln leipzig münchen nürnberg"
    " offenbach potsdam quickborn rostock salzwedel tübingen unna völklingen wuppertal xanten zwickau"
)
ALPHABET = {word: word[0].upper() for word in f"{_NATO} {_NAMES} {_CITIES}".split()} | {
    "ärger": "Ä",
    "ökonom": "Ö",
    "übermut": "Ü",
    "charlotte": "CH",
    "schule": "SCH",
}

AT = frozenset(("at", "ät", "@", "klammeraffe"))
DOT = frozenset(("dot", "punkt", "point", "period"))
SYMBOLS = {
    "underscore": "_",
    "unterstrich": "_",
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "bindestrich": "-",
    "strich": "-",
    "plus": "+",
}
