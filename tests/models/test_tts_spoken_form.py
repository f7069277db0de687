"""What is read out for numbers, dates, times, prices, measures, telephone numbers and short forms, by language."""

# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tts.number_words import digits
from models.tts.spoken_form import spoken_forms
from models.tts.spoken_words import LANGUAGES

TABLE = {
    "en": {
        "Mr. Jones and Dr. Smith": "Mr Jones and Dr Smith",
        "He saw the Dr.": "He saw the Dr.",
        "No. 5 said: No. Never.": "number five said: No. Never.",
        "We have 21 rooms, 1,234 beds.": "We have twenty-one rooms, one thousand two hundred thirty-four beds.",
        "at 10:00, 9:05 or 11:45, 10:00 a.m.": "at ten o'clock, nine oh five or eleven forty-five, ten a.m.",
        "a 14:00 ratio 3:75 99:99": "a fourteen hundred ratio 3:75 99:99",
        "at 2pm, 2:30pm, 9:00-17:00": "at two P M, two thirty P M, nine o'clock to seventeen hundred",
        "on 05/25/2026, May 25th, 25 May": "on May twenty-fifth, twenty twenty-six, May twenty-fifth, twenty-fifth of May",
        "2026-05-25 and in 1999": "May twenty-fifth, twenty twenty-six and in nineteen ninety-nine",
        "$3.50, 20 USD, £5, $0.99, $1": "three dollars fifty, twenty dollars, five pounds, ninety-nine cents, one dollar",
        "20% of 3.5 kg, -5 °C, 100km": "twenty percent of three point five kilograms, minus five degrees Celsius, "
        "one hundred kilometers",
        "the 3rd and 21st, pages 10-12": "the third and twenty-first, pages ten to twelve",
        "Call +491701234567, not 5000000.": "Call plus four nine one, seven zero one, two three four, five six seven, "
        "not five million.",
        "555-0123 or (030) 123-456": "five five five, zero one two three or (zero three zero), one two three, "
        "four five six",
        "Your code is AB12CD, the PIN 12.": "Your code is eh B, one two, C D, the PIN one two.",
        "Write to anna.may_1@example.com!": "Write to eh N N eh dot M eh Y underscore one, at example dot com!",
        "info@my-salon.co.uk or www.kxt.de": "info at M Y dash salon dot C O dot U K or W W W dot K X T dot D E",
        "It is A-N-N-A, or M A Y E R.": "It is eh N N eh, or M, eh, Y, E, R.",
        "SW1A 1AA, Palo Alto, CA 94105": "S W one eh, one eh eh, Palo Alto, CA nine four one, zero five",
        "customer number is 4711 08, number 25": "customer number is four seven one one, zero eight, number twenty-five",
        "KM-4711, 2000MB, EUR5000, COVID-19": "K M, four seven one one, two thousand megabytes, EUR5000, COVID-19",
        "an account number 5000 EUR": "an account number five thousand euros",
        "e.g. 12 vs. 3": "for example twelve versus three",
        "room A4, B2B, version 1.2.3, zero zero seven": "room A4, B2B, version 1.2.3, zero zero seven",
    },
    "de": {
        "am 25. Mai, der 3. Oktober": "am fünfundzwanzigsten Mai, der dritte Oktober",
        "am 1. Juli, 12. März, 17. Juni": "am ersten Juli, zwölften März, siebzehnten Juni",
        "am 25.05.2026. Im Jahr 1999": "am fünfundzwanzigsten Mai zweitausendsechsundzwanzig. "
        "Im Jahr neunzehnhundertneunundneunzig",
        "Nummer 25. Mein Haus": "Nummer fünfundzwanzig. Mein Haus",
        "um 14:30 Uhr, 9:00 Uhr. Um 8:15!": "um vierzehn Uhr dreißig, neun Uhr. Um acht Uhr fünfzehn!",
        "9.30 Uhr, 1:00 Uhr, 9:00-17:00 Uhr": "neun Uhr dreißig, ein Uhr, neun bis siebzehn Uhr",
        "„Prof. Dr. Hans, z.B. Nr. 5, ca. 3": "„Professor Doktor Hans, zum Beispiel Nummer fünf, zirka drei",
        "3,50 €, 1.234,56 EUR, 0,99 €, 1 €": "drei Euro fünfzig, eintausendzweihundertvierunddreißig Euro "
        "sechsundfünfzig, neunundneunzig Cent, ein Euro",
        "20 % von 3,5 kg, 1 h, -5 °C": "zwanzig Prozent von drei Komma fünf Kilogramm, eine Stunde, minus fünf Grad Celsius",
        "Ihre Kundennummer lautet: 4711.": "Ihre Kundennummer lautet: vier sieben eins eins.",
        "IBAN DE89 3704 0044 0532 0130 00": "IBAN D E acht neun, drei sieben null vier, null null vier vier, "
        "null fünf drei zwei, null eins drei null, null null",
        "IBAN: DE89370400440532013000": "IBAN: D E acht neun, drei sieben null vier, null null vier vier, "
        "null fünf drei zwei, null eins drei null, null null",
        "Gasse 5, 10115 Berlin, 01067 Ulm": "Gasse fünf, eins null eins, eins fünf Berlin, null eins null, sechs sieben Ulm",
        "10000 Menschen, PLZ 10115": "zehntausend Menschen, PLZ eins null eins, eins fünf",
        "an m.weber@gmx.de, M-Ä-ß": "an M Punkt W E B, E R, ät G M X Punkt D E, M Ä ß",
        "Buchungscode RE-2026-01": "Buchungscode R E, zwei null zwei sechs, null eins",
        "Tel. 030 123 456": "Telefon null drei null, eins zwei drei, vier fünf sechs",
    },
    "fr": {
        "M. Dupont, tél. 01 23 45 67 89": "Monsieur Dupont, téléphone zéro un, deux trois, quatre cinq, six sept, "
        "huit neuf",
        "le 25/05/2026 à 14h30, 9h, 1h": "le vingt-cinq mai deux mille vingt-six à quatorze heures trente, neuf heures, "
        "une heure",
        "le 1er mai 2026, le 21e étage": "le premier mai deux mille vingt-six, le vingt-et-unième étage",
        "la 1re fois": "la première fois",
        "3,50 € ou 1 €, 20 %": "trois euros cinquante ou un euro, vingt pour cent",
        "3,5 kg, 1 h, 71 personnes": "trois virgule cinq kilogrammes, une heure, soixante-et-onze personnes",
    },
    "es": {
        "Sr. García, tel. 912 345 678": "Señor García, teléfono nueve uno dos, tres cuatro cinco, seis siete ocho",
        "el 25/05/2026 a las 14:30, a la 1:00": "el veinticinco de mayo de dos mil veintiséis a las catorce treinta, a la una",
        "el 3º piso, la 2ª vez": "el tercer piso, la segunda vez",
        "3,50 €, 1 €, 20 %": "tres euros con cincuenta, un euro, veinte por ciento",
        "1.500 euros, 3,5 kg, 1 h": "mil quinientos euros, tres coma cinco kilogramos, una hora",
    },
    "it": {
        "Sig. Rossi, ore 9:00": "Signor Rossi, ore nove",
        "il 25/05/2026 alle 14:30": "il venticinque maggio duemilaventisei alle quattordici e trenta",
        "il 1 maggio, il 3º piano": "il primo maggio, il terzo piano",
        "3,50 €, 1 €, 20 %": "tre euro e cinquanta, un euro, venti per cento",
        "3,5 kg, 1 h, +39 06 1234567": "tre virgola cinque chilogrammi, una ora, più tre nove, zero sei, uno due tre, "
        "quattro cinque sei sette",
    },
    "nl": {
        "dhr. Jansen, bijv. 5 km": "de heer Jansen, bijvoorbeeld vijf kilometer",
        "op 25-05-2026 om 14:30 uur, 9:00": "op vijfentwintig mei tweeduizendzesentwintig om veertien uur dertig, negen uur",
        "€ 3,50 of €3,50, 20 %": "drie euro vijftig of drie euro vijftig, twintig procent",
        "de 3e keer, 2 h": "de derde keer, twee uur",
        "bel 06-12345678": "bel nul zes, een twee drie, vier vijf zes, zeven acht",
    },
    "pl": {
        "kod AB12CD, a-n-n-a": "kod A, B, jeden dwa, C, D, A, N, N, A",
        "ul. Długa 5, tel. 22 123 45 67": "ulica Długa pięć, telefon dwa dwa, jeden dwa trzy, cztery pięć, sześć siedem",
        "25.05.2026 o 14:30, 9:00": "dwudziestego piątego maja dwa tysiące dwudziestego szóstego roku o czternastej "
        "trzydzieści, dziewiąta",
        "3 maja 2026 r. od 9:05": "trzeciego maja dwa tysiące dwudziestego szóstego roku od dziewiątej zero pięć",
        "3,50 zł, 5 zł, 1 zł, 20 %": "trzy złote pięćdziesiąt, pięć złotych, jeden złoty, dwadzieścia procent",
        "2 kg, 5 kg, 1 h": "dwa kilogramy, pięć kilogramów, jedna godzina",
    },
    "pt": {
        "Sr. Silva, n.º 5": "Senhor Silva, número cinco",
        "em 25/05/2026 às 14:30, 9:00": "em vinte e cinco de maio de dois mil e vinte e seis às catorze e trinta, nove horas",
        "1 de maio, 3º andar, 2ª vez": "primeiro de maio, terceiro andar, segunda vez",
        "3,50 €, 1 €, 20 %, R$20": "três euros e cinquenta, um euro, vinte por cento, vinte reais",
        "2 h, 3,5 kg": "duas horas, três vírgula cinco quilogramas",
    },
    "sv": {"kl 14:30, 3,50 kr, tel. 08 123 456": "kl 14:30, 3,50 kr, tel. 08 123 456"},
}
CASES = [(language, text, expected) for language, rows in TABLE.items() for text, expected in rows.items()]


@pytest.mark.parametrize(("language", "text", "expected"), CASES)
def test_it_is_read_as_people_read_it(language: str, text: str, expected: str) -> None:
    forms = spoken_forms(text.split(), language)
    assert len(forms) == len(text.split())
    assert " ".join(form for form in forms if form) == expected


def test_each_language_of_the_voices_has_a_table() -> None:
    assert set(TABLE) - {"sv"} == LANGUAGES == {"de", "en", "es", "fr", "it", "nl", "pl", "pt"}


WORDS = "Uhr Mai mai % € kg roku de p.m. tel. Dr. in r. code IBAN DE89"
TOKENS = st.lists(
    st.one_of(
        st.text(alphabet="0123456789.,:-+/()%€$hº ", min_size=1, max_size=12).map(lambda text: text.replace(" ", "")),
        st.text(alphabet="Ab1@.-_ß", min_size=1, max_size=10),
        st.sampled_from(WORDS.split()),
    ).filter(bool),
    max_size=6,
)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("count", [24, 30, 5000])
def test_numbers_that_nobody_has_a_name_for_are_read_all_the_same(language: str, count: int) -> None:
    number = "1" + "0" * count
    tokens = [number, f"-{number}", f"{number}%", f"{number}€", f"{number}º", f"{number}th", f"{number}-{number}", "km"]
    forms = spoken_forms(tokens, language)
    assert len(forms) == len(tokens)
    assert forms[0].count(digits("1", language)) >= 1
    assert number not in forms[0]


@given(tokens=TOKENS, language=st.sampled_from(sorted(LANGUAGES)))
def test_any_tokens_keep_a_form_each(tokens: list[str], language: str) -> None:
    forms = spoken_forms(tokens, language)
    assert len(forms) == len(tokens)
    assert all(forms)
