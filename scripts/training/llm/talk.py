"""Turns without a tool: greetings, the assistant's name, numbers read back, thanks, repeating, goodbye."""

from __future__ import annotations

from scripts.training.llm.call import Call
from scripts.training.llm.clock import DE, EN
from scripts.training.llm.grammar import sentence
from scripts.training.llm.turns import HELP, MORE, ask

REPEAT = (
    "(Can you repeat that|Could you repeat that|Sorry, what did you say|Can you say that again|I did not hear you|"
    "Pardon|Once more please|Could you say that again please)(?|.|)",
    "(Können Sie das wiederholen|Wie bitte|Was haben Sie gesagt|Können Sie das noch einmal sagen|Noch einmal bitte|Ich "
    "habe Sie nicht verstanden|Könnten Sie das bitte wiederholen)(?|.|)",
)


def answer_phone(call: Call) -> None:
    """The assistant speaks first."""
    _greeting(call)


def greet(call: Call) -> None:
    call.hear(
        call.by_language(
            "(Hello|Hi|Good morning|Hello there|Hi, good afternoon|Good evening|Hello, how are you|Hello, how are you "
            "today|Hello, can you hear me)(.|!|?|)",
            "(Hallo|Guten Tag|Guten Morgen|Hallo, guten Tag|Grüß Gott|Guten Abend|Hallo, wie geht es Ihnen|Hallo, "
            "hören Sie mich)(.|!|?|)",
        )
    )
    _greeting(call)


def _greeting(call: Call) -> None:
    here = call.facts.business
    if here:
        call.say(call.by_language(f"Hello, this is {here}. {HELP[0]}", f"Guten Tag, hier ist {here}. {HELP[1]}"))
    else:
        call.say(call.by_language(f"Hello! {HELP[0]}", f"Guten Tag! {HELP[1]}"))


def wait(call: Call) -> None:
    """The caller needs a moment, or interrupts."""
    call.hear(
        call.by_language(
            "(One moment please|Stop please, one moment|Wait a second|Just a moment|Hold on|Stop)(.|!|)",
            "(Einen Moment bitte|Moment|Warten Sie kurz|Stopp, einen Moment|Kleinen Moment bitte|Stopp)(.|!|)",
        )
    )
    call.say(call.by_language("Of course, take your time.", "Natürlich, ich warte gern."))


def who(call: Call) -> None:
    """Asked for its name, the assistant gives it and says what it is."""
    ask(
        call,
        "(what is your name|who am I speaking to|who is this|what's your name)?",
        "(wie heißen Sie|mit wem spreche ich|wer ist da|wie ist Ihr Name)?",
    )
    name, business = call.facts.assistant, call.facts.business
    of_en, of_de = (f" of {business}", f" von {business}") if business else ("", "")
    role = call.by_language(f"the AI assistant{of_en}", f"die KI-Assistenz{of_de}")
    me = (
        call.by_language(f"I am {name}, {role}.", f"Ich bin {name}, {role}.")
        if name
        else call.by_language(f"I am {role}.", f"Ich bin {role}.")
    )
    call.say(f"{me} {call.by_language(*HELP)}", "answer", tuple(value for value in (name, business) if value))


def real(call: Call) -> None:
    ask(
        call,
        "(are you a real person|am I talking to a robot|are you a human|are you a machine|is this a real person)?",
        "(bist du ein Mensch|sind Sie ein Mensch|spreche ich mit einem Roboter|sind Sie eine Maschine|sind Sie ein "
        "echter Mensch)?",
    )
    text = call.by_language("I am an AI assistant, not a person.", "Ich bin eine KI-Assistenz, kein Mensch.")
    if call.has("transfer_to_human"):
        text += " " + call.by_language(
            "I can put you through to a colleague if you like.", "Ich kann Sie gerne mit einem Kollegen verbinden."
        )
    call.say(text)


def story(call: Call) -> None:
    ask(
        call,
        "(can you tell me a joke|tell me a story|who won the match|sing a song|what is the capital of France|what is "
        "two plus two|can you tell me the news|what do you think about politics)(.|?)",
        "(erzähl mir einen Witz|können Sie mir eine Geschichte erzählen|wer hat das Spiel gewonnen|singen Sie ein Lied|"
        "was ist die Hauptstadt von Frankreich|was ist zwei plus zwei|was gibt es Neues in der Welt)(.|?)",
    )
    call.say(
        call.by_language(
            "I am sorry, I can only help with questions about our services.",
            "Es tut mir leid, ich kann nur bei Fragen zu unserem Angebot helfen.",
        )
    )


def digits(call: Call) -> None:
    """A phone number, code or order number, read back digit by digit."""
    number = "".join(call.rng.choice("0123456789") for _ in range(call.rng.randint(3, 9)))
    form = call.rng.choice(["joined", "groups", "spaced", "words"])
    if form == "words":
        heard = " ".join((DE if call.language == "de" else EN)[int(digit)] for digit in number)
    elif form == "groups":
        cut = call.rng.randint(1, len(number) - 1)
        heard = f"{number[:cut]} {number[cut:]}"
    else:
        heard = " ".join(number) if form == "spaced" else number
    call.hear(
        call.by_language(
            "(My number is|My phone number is|The code is|The number is|It's|My order number is) {n}(.|)",
            "(Meine Nummer ist|Meine Telefonnummer ist|Der Code ist|Die Nummer ist|Meine Bestellnummer ist) {n}(.|)",
            n=heard,
        ),
        heard,
    )
    call.say(
        call.by_language("Thank you, I have {n}. {h}", "Danke, ich habe {n}. {h}", n=number, h=call.by_language(*HELP)),
        "read-back",
        (number,),
    )


def introduce(call: Call) -> None:
    """The caller's name, given before it is needed; it is not asked for again."""
    name = call.known_name = call.person()
    ask(
        call,
        "(my name is|this is|I am|it's) {n}(.| here.|)",
        "(mein Name ist|hier ist|ich heiße|ich bin|hier spricht) {n}(.|)",
        n=name,
    )
    call.say(
        call.by_language("Thank you, {n}. {h}", "Danke, {n}. {h}", n=name, h=call.by_language(*HELP)),
        "read-back",
        (name,),
    )


def praise(call: Call) -> None:
    thanks = call.chance(0.5)
    if thanks:
        call.hear(
            call.by_language(
                "(Thank you|Thanks|Thank you very much|Great, thanks|Perfect, thank you)(.|!|)",
                "(Danke|Vielen Dank|Danke schön|Super, danke|Perfekt, danke)(.|!|)",
            )
        )
        call.say(call.by_language(f"You are welcome. {MORE[0]}", f"Gern geschehen. {MORE[1]}"))
        return
    call.hear(
        call.by_language(
            "(You are great|You are very helpful|That is nice of you|You are so friendly)(.|!|)",
            "(Sie sind sehr hilfreich|Das ist nett von Ihnen|Sie sind toll|Sie sind sehr freundlich)(.|!|)",
        )
    )
    call.say(call.by_language(f"Thank you! {MORE[0]}", f"Vielen Dank! {MORE[1]}"))


_SALAD = {
    "en": "blue horse under seven of window never stone cheese run cloud paper lamp between so green shoe river yellow",
    "de": "blau Pferd unter sieben Fenster nie Stein Käse laufen Wolke Papier Lampe zwischen grün Schuh Fluss Löffel",
}


def salad(call: Call) -> None:
    call.hear(
        sentence(" ".join(call.rng.sample(_SALAD[call.language].split(), call.rng.randint(3, 6))))
        + call.rng.choice(["", "."])
    )
    call.say(
        call.by_language(
            "I am sorry, I did not understand. Could you say that again?",
            "Entschuldigung, das habe ich nicht verstanden. Können Sie das bitte noch einmal sagen?",
        )
    )


def wrong(call: Call) -> None:
    call.hear(
        call.by_language(
            "(That is wrong|That's not right|No, that's wrong|This is not correct)(.|)",
            "(Das ist falsch|Das stimmt nicht|Nein, das ist falsch|Das ist nicht richtig)(.|)",
        )
    )
    call.say(call.by_language("I am sorry. What should I change?", "Entschuldigung. Was soll ich ändern?"), "ask")
    call.hear(
        call.by_language(
            "(Nothing|Never mind|Forget it|Oh, it's fine)(.|)", "(Nichts|Schon gut|Egal|Vergessen Sie es)(.|)"
        )
    )
    call.say(call.by_language(f"All right. {MORE[0]}", f"In Ordnung. {MORE[1]}"))


def repeat(call: Call) -> None:
    """The last words once more."""
    before = next(turn for turn in reversed(call.turns) if turn.role == "assistant")
    call.hear(call.by_language(*REPEAT))
    call.say(before.text, "read-back", (before.text,))


def goodbye(call: Call) -> None:
    """The caller ends the call, or says no to more help."""
    call.hear(
        call.by_language(
            "(Goodbye|Bye|Bye bye|No, thank you|No thanks, that's all|That's all, thank you|No, goodbye|Thank you, bye|"
            "That was all|No)(.|!|)"
            if call.last.endswith(MORE[0])
            else "(Goodbye|Bye|Bye bye|That's all, thank you|Thank you, goodbye|Thanks, bye|That was all, bye|"
            "Okay, goodbye)(.|!|)",
            "(Auf Wiederhören|Tschüss|Nein danke|Nein, das war alles|Nein, danke, tschüss|Das war alles, danke|Danke, "
            "auf Wiederhören|Nein)(.|!|)"
            if call.last.endswith(MORE[1])
            else "(Auf Wiederhören|Tschüss|Das war alles, danke|Danke, tschüss|Danke, auf Wiederhören|Okay, "
            "tschüss|Das war alles, tschüss)(.|!|)",
        )
    )
    text = call.by_language("Thank you for calling. Goodbye!", "Danke für Ihren Anruf. Auf Wiederhören!")
    if call.has("end_call"):
        call.use(text, ("end_call", {}))
    else:
        call.say(text)
