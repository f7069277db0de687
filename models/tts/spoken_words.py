"""Words with which dates, times, prices, measures and short forms are read out, by language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from babel.dates import get_month_names
from babel.numbers import format_decimal, get_currency_name
from babel.units import format_unit


def _table(text: str) -> Mapping[str, str]:
    """``short=long`` pairs with " | " between them."""
    return dict(pair.split("=") for pair in text.split(" | "))


@dataclass(frozen=True, slots=True)
class Words:
    """decimal, group: marks in numbers. point: said for the decimal mark. percent, plus, to, minus: of "20%", "+49",
    "9-5", "-3". oclock: said behind an hour, "" for nothing. between: said between hours and minutes. cents_joined:
    between euros and cents. cents: said for cents alone. first: said for the first of a month, "" for its number. of:
    between day and month, and month and year. year_behind: words behind which four digits are a year. months: names
    as they stand behind a day. feminine: units (CLDR's names) and currencies that are feminine. short: short forms, in
    lower case."""

    decimal: str
    group: str
    point: str
    percent: str
    plus: str
    to: str
    minus: str
    oclock: str
    between: str
    cents_joined: str
    cents: str
    first: str
    of: str
    year_behind: frozenset[str]
    feminine: frozenset[str]
    short: Mapping[str, str]
    months: tuple[str, ...] = ()


def _words(line: str, year_behind: str, feminine: str, short: str) -> Words:
    """line: the first fields of Words with "/" between them."""
    decimal, group, point, percent, plus, to, minus, oclock, between, joined, cents, first, of = line.split("/")
    years, feminines = frozenset(year_behind.split()), frozenset(feminine.split())
    says = (decimal, group, point, percent, plus, to, minus, oclock, between, joined, cents, first, of)
    return Words(*says, years, feminines, _table(short))


_TIMES_F = "duration-hour duration-minute duration-second"
_WORDS = {
    "en": _words(
        "./,/point/percent/plus/to/minus/o'clock///cents//",
        "in since year",
        "",
        "dr.=Dr | mr.=Mr | mrs.=Mrs | ms.=Ms | prof.=Professor | st.=St | no.=number | ext.=extension"
        " | tel.=telephone | approx.=approximately | vs.=versus | e.g.=for example | i.e.=that is | etc.=et cetera",
    ),
    "de": _words(
        ",/./Komma/Prozent/plus/bis/minus/Uhr/Uhr//Cent//",
        "im jahr seit",
        _TIMES_F,
        "dr.=Doktor | prof.=Professor | hr.=Herr | hrn.=Herrn | fr.=Frau | nr.=Nummer | st.=Sankt | tel.=Telefon"
        " | ca.=zirka | bzw.=beziehungsweise | evtl.=eventuell | z.b.=zum Beispiel | d.h.=das heißt"
        " | usw.=und so weiter | inkl.=inklusive | str.=Straße",
    ),
    "fr": _words(
        ",/\u202f/virgule/pour cent/plus/à/moins/heures/heures//centimes/premier/",
        "en depuis année",
        f"{_TIMES_F} GBP",
        "m.=Monsieur | mme=Madame | mlle=Mademoiselle | dr=Docteur | pr=Professeur | n°=numéro | tél.=téléphone"
        " | env.=environ | etc.=et cetera | p.ex.=par exemple | c.-à-d.=c'est-à-dire | av.=avenue | bd=boulevard"
        " | st=Saint | ste=Sainte",
    ),
    "es": _words(
        ",/./coma/por ciento/más/a/menos///con/céntimos//de",
        "en desde año",
        "duration-hour GBP",
        "sr.=Señor | sra.=Señora | srta.=Señorita | dr.=Doctor | dra.=Doctora | d.=Don | dña.=Doña | n.º=número"
        " | núm.=número | tel.=teléfono | aprox.=aproximadamente | etc.=etcétera | p.ej.=por ejemplo"
        " | avda.=avenida | ud.=usted | uds.=ustedes",
    ),
    "it": _words(
        ",/./virgola/per cento/più/a/meno//e/e/centesimi/primo/",
        "nel dal anno",
        "duration-hour GBP",
        "sig.=Signor | sig.ra=Signora | sig.na=Signorina | dott.=Dottor | dott.ssa=Dottoressa | dr.=Dottor"
        " | prof.=Professor | ing.=Ingegner | avv.=Avvocato | n.=numero | tel.=telefono | ca.=circa | ecc.=eccetera"
        " | p.es.=per esempio",
    ),
    "nl": _words(
        ",/./komma/procent/plus/tot/min/uur/uur//cent//",
        "in sinds jaar",
        "",
        "dhr.=de heer | mevr.=mevrouw | mw.=mevrouw | dr.=dokter | prof.=professor | nr.=nummer | tel.=telefoon"
        " | ca.=circa | bijv.=bijvoorbeeld | bv.=bijvoorbeeld | d.w.z.=dat wil zeggen | enz.=enzovoort"
        " | m.b.t.=met betrekking tot | a.u.b.=alstublieft",
    ),
    "pl": _words(
        ",/\u202f/przecinek/procent/plus/do/minus////centów//",
        "w od rok roku",
        _TIMES_F,
        "dr.=doktor | prof.=profesor | inż.=inżynier | mgr=magister | nr=numer | ul.=ulica | al.=aleja | tel.=telefon"
        " | ok.=około | np.=na przykład | tzn.=to znaczy | itd.=i tak dalej | św.=święty",
    ),
    "pt": _words(
        ",/./vírgula/por cento/mais/a/menos/horas/e/e/cêntimos/primeiro/de",
        "em desde ano",
        "duration-hour GBP",
        "sr.=Senhor | sra.=Senhora | dr.=Doutor | dra.=Doutora | prof.=Professor | n.º=número | tel.=telefone"
        " | aprox.=aproximadamente | etc.=et cetera | p.ex.=por exemplo | av.=avenida | d.=Dom",
    ),
}
LANGUAGES = frozenset(_WORDS)

CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "zł": "PLN", "R$": "BRL"} | {
    code: code for code in ("EUR", "USD", "GBP", "CHF", "PLN", "BRL", "SEK", "DKK", "NOK", "CZK")
}
UNITS = {
    "km": "length-kilometer",
    "m": "length-meter",
    "cm": "length-centimeter",
    "mm": "length-millimeter",
    "kg": "mass-kilogram",
    "g": "mass-gram",
    "l": "volume-liter",
    "ml": "volume-milliliter",
    "min": "duration-minute",
    "h": "duration-hour",
    "s": "duration-second",
    "°C": "temperature-celsius",
    "km/h": "speed-kilometer-per-hour",
    "m²": "area-square-meter",
    "kWh": "energy-kilowatt-hour",
    "MB": "digital-megabyte",
    "GB": "digital-gigabyte",
}
# What babel lacks, and currencies that go without their country at home.
_UNIT_NAMES = {
    ("nl", "duration-hour"): ("uur", "uur"),
    ("nl", "duration-minute"): ("minuut", "minuten"),
    ("nl", "duration-second"): ("seconde", "seconden"),
}
_HOME = {
    ("en", "USD"): ("dollar", "dollars"),
    ("en", "GBP"): ("pound", "pounds"),
    ("en", "EUR"): ("euro", "euros"),
    ("de", "USD"): ("Dollar", "Dollar"),
    ("fr", "USD"): ("dollar", "dollars"),
    ("es", "USD"): ("dólar", "dólares"),
    ("it", "USD"): ("dollaro", "dollari"),
    ("nl", "USD"): ("dollar", "dollar"),
    ("pt", "USD"): ("dólar", "dólares"),
    ("pt", "BRL"): ("real", "reais"),
    ("pt", "EUR"): ("euro", "euros"),
}
_WITH_CENTS = frozenset(("EUR", "USD"))


@lru_cache(maxsize=16)
def words_of(language: str) -> Words | None:
    """The words of a language (ISO 639-1), None for one that has none here."""
    words = _WORDS.get(language)
    if words is None:
        return None
    names = get_month_names("wide", context="format", locale=language)
    return replace(words, months=tuple(names[number] for number in range(1, 13)))


def has_cents(currency: str) -> bool:
    """Whether the currency's hundredth is a cent."""
    return currency in _WITH_CENTS


def currency_name(currency: str, count: int, language: str) -> str:
    """The currency (ISO 4217) as it stands behind a number."""
    if (language, currency) in _HOME:
        return _HOME[language, currency][count != 1]
    name = get_currency_name(currency, count, locale=language)
    return name.removesuffix(" polskich").removesuffix(" polskie").removesuffix(" polski") if language == "pl" else name


def unit_name(unit: str, count: float, language: str) -> str:
    """The unit (CLDR's name) as it stands behind a number."""
    if (language, unit) in _UNIT_NAMES:
        return _UNIT_NAMES[language, unit][count != 1]
    return str(
        format_unit(count, unit, "long", locale=language).replace(format_decimal(count, locale=language), "")
    ).strip()
