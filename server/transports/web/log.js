// The conversation on the page: a section for each turn, with words, tool cards and the timeline.

import { byId, element } from "./dom.js";
import { drawTimeline } from "./timeline.js";

const NEAR_END_PX = 120;

export class Log {
  /** announces(): whether what is said is told to screen readers. */
  constructor(announces) {
    this.announces = announces;
    this.list = byId("log");
    this.spoken = byId("announcer");
  }

  /** A new turn at the end. who: how its question came, "spoken" or "typed". */
  turn(who) {
    byId("welcome").hidden = true;
    for (const earlier of this.list.querySelectorAll("details.times[open]")) earlier.open = false;
    const section = element("section", { className: `turn ${who}` });
    this.list.append(section);
    this.list.parentElement.scrollTop = this.list.parentElement.scrollHeight;
    return new TurnView(section, this);
  }

  /** A line between turns: the call began, ended. */
  note(text) {
    this.list.append(element("p", { className: "note" }, text));
    this.announce(text);
    this.follow();
  }

  /** Tell it to those who listen to the page: whole sentences, not each word. */
  announce(text) {
    if (!this.announces()) return;
    this.spoken.append(element("p", {}, text));
    while (this.spoken.childElementCount > 4) this.spoken.firstElementChild.remove();
  }

  /** Keep the end in view, unless somebody is reading further up. */
  follow() {
    const box = this.list.parentElement;
    if (box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX + this.list.lastElementChild.clientHeight) {
      box.scrollTop = box.scrollHeight;
    }
  }
}

class TurnView {
  constructor(section, log) {
    this.section = section;
    this.log = log;
    this.details = element("details", { className: "times", open: true, hidden: true });
    section.append(this.details);
  }

  /** The caller's words. */
  caller() {
    return this.line("caller", "You");
  }

  /** The answer's words. */
  answer(itemId) {
    const line = this.line("answer", "Kammerton");
    line.box.dataset.item = itemId;
    return line;
  }

  line(kind, name) {
    const words = element("p", { className: "words" });
    const box = element("article", { className: `line ${kind}` }, element("h3", {}, name), words);
    this.details.before(box);
    this.log.follow();
    return new Line(box, words, name, this.log);
  }

  /** A function call. */
  card(name) {
    const values = element("dl", {}, element("dt", {}, "Asks with"), element("dd", {}, element("code", {}, "…")));
    const box = element("article", { className: "card" }, element("h3", {}, "Tool ", element("code", {}, name)), values);
    box.dataset.tool = name;
    this.details.before(box);
    this.log.follow();
    return {
      arguments: (text) => {
        values.querySelector("code").textContent = pretty(text);
        this.log.follow();
      },
      /** known: whether a result was set for this tool. */
      result: (text, known) => {
        box.classList.toggle("unknown", !known);
        values.append(element("dt", {}, "Gets back"), element("dd", {}, element("code", {}, pretty(text))));
        this.log.announce(`Tool ${name} was asked.`);
        this.log.follow();
      },
    };
  }

  /** Something went wrong in this turn. */
  fault(text) {
    this.details.before(element("p", { className: "fault" }, text));
    this.log.announce(text);
    this.log.follow();
  }

  timeline(times) {
    drawTimeline(this.details, times);
    this.log.follow();
  }

  /** This line got no words. What else was told in the turn stays. */
  drop(line) {
    line.box.remove();
    if (!this.section.querySelector(".line, .card, .fault")) this.remove();
  }

  /** It held nothing: a noise. */
  remove() {
    this.section.remove();
  }
}

/** Words that grow one by one. */
class Line {
  constructor(box, words, name, log) {
    this.box = box;
    this.words = words;
    this.name = name;
    this.log = log;
    this.shown = "";
  }

  get complete() {
    return this.box.classList.contains("done");
  }

  /** Show this text: words that are there stay, new ones are added. */
  show(text) {
    if (text === this.shown) return;
    if (!text.startsWith(this.shown)) this.words.replaceChildren();
    const added = text.startsWith(this.shown) ? text.slice(this.shown.length) : text;
    for (const piece of added.match(/\s*\S+\s*|\s+/gu) ?? []) {
      this.words.append(element("span", { className: "word" }, piece));
    }
    this.shown = text;
    this.log.follow();
  }

  /** All words are there. */
  done() {
    this.box.classList.add("done");
    if (this.shown) this.log.announce(`${this.name}: ${this.shown}`);
  }

  /** The answer was cut off: ``heard`` was said, the rest was not. */
  cut(heard, rest) {
    this.words.replaceChildren(heard);
    if (rest.trim()) {
      const unsaid = element("s", {}, rest);
      this.words.append(unsaid, " ", element("small", {}, "(interrupted, not heard)"));
    }
    this.shown = heard;
    this.box.classList.add("cut");
    this.done();
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1).replace(/\n\s*/gu, " ");
  } catch {
    return text;
  }
}
