"""Sentences that no pattern of the training makes: what a recogniser does with them is what it does beyond its
templates. They are for the evaluation alone and never heard in training."""

from __future__ import annotations

from collections.abc import Mapping

_ENGLISH = """The old bridge was closed because the river had risen during the night.
Could you tell my brother that the meeting was moved to the big room upstairs?
She carried two heavy bags from the market to her small flat.
We had no idea how cold the water would be in the morning.
My grandfather used to repair clocks in a shop near the station.
After the rain stopped, the children went back to the garden.
I forgot my umbrella on the train and had to buy a new one.
There is a strange noise coming from behind the kitchen door.
He asked whether the doctor could see him before lunch.
Most of the students had already read the story twice.
Please put the green box next to the window.
The weather was so bad that the ship could not leave the harbour.
Nobody told us that the museum is closed in winter.
I think the soup needs a little more salt and pepper.
Their dog sleeps under the table when there is thunder.
You should not drive so fast on a wet road.
The letter arrived three days late because of the snow.
Our neighbours are painting their fence white this week.
She wants to learn how to play the guitar.
If the shop is full, just wait outside for me.
The captain told the passengers to remain calm.
It took him a whole year to write the second book.
We watched the moon rise over the dark hills.
My sister bought a yellow bicycle for her daughter.
The waiter brought us bread, butter and cold water.
I could not hear you because the radio was too loud.
They built a small house of stone at the edge of the forest.
Do not forget to feed the cat before you leave.
The farmer has seven cows and an old grey horse.
Would you rather travel by plane or by train?""".splitlines()

_GERMAN = """Die alte Brücke war gesperrt, weil der Fluss in der Nacht gestiegen war.
Kannst du meinem Bruder sagen, dass wir uns erst nach dem Essen treffen?
Sie trug zwei schwere Taschen vom Markt in ihre kleine Wohnung.
Wir wussten nicht, wie kalt das Wasser am Morgen sein würde.
Mein Großvater hat früher in einem Laden am Bahnhof Uhren repariert.
Als der Regen aufhörte, gingen die Kinder wieder in den Garten.
Ich habe meinen Mantel im Zug vergessen und musste einen neuen kaufen.
Hinter der Tür zur Küche ist ein seltsames Geräusch zu hören.
Er fragte, ob der Arzt ihn noch heute sehen könnte.
Die meisten Schüler hatten die Geschichte schon zweimal gelesen.
Stellen Sie bitte die grüne Kiste neben das Fenster.
Das Wetter war so schlecht, dass kein Schiff den Hafen verlassen konnte.
Niemand hat uns gesagt, dass das Museum im Winter geschlossen ist.
Ich glaube, die Suppe braucht noch etwas Salz und Pfeffer.
Unser Hund schläft unter dem Tisch, wenn es donnert.
Du solltest auf einer nassen Straße nicht so schnell fahren.
Der Brief kam wegen des Schnees drei Tage zu spät an.
Unsere Nachbarn streichen in dieser Woche ihren Zaun weiß.
Sie möchte lernen, wie man Geige spielt.
Wenn der Laden voll ist, warte einfach draußen auf mich.
Der Kapitän bat alle Gäste, ruhig zu bleiben.
Er hat ein ganzes Jahr gebraucht, um das zweite Buch zu schreiben.
Wir sahen zu, wie der Mond über den dunklen Bergen aufging.
Meine Schwester hat ihrer Tochter ein gelbes Fahrrad geschenkt.
Der Kellner brachte uns Brot, Butter und kaltes Wasser.
Ich konnte dich nicht verstehen, weil das Radio zu laut war.
Am Rand des Waldes haben sie ein kleines Haus aus Stein gebaut.
Vergiss nicht, die Katze zu füttern, bevor du gehst.
Der Bauer hat sieben Kühe und ein altes graues Pferd.
Fährst du lieber mit dem Auto oder mit der Bahn?""".splitlines()

FREE: Mapping[str, tuple[str, ...]] = {"en": tuple(_ENGLISH), "de": tuple(_GERMAN)}
