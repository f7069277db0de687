// A turn's times as a small chart: a table, so that it reads without eyes as well, with a bar in each row.

import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
/** Of the speech, this much at most is drawn, as a share of what follows it: the wait is what matters. */
const SPEECH_SHARE = 0.35;
const TICKS = [50, 100, 200, 500, 1000, 2000, 5000, 10000];

/** Draw the turn's times into a details element, anew each time. */
export function drawTimeline(details, times) {
  const rows = times.rows();
  details.hidden = rows.length === 0;
  if (rows.length === 0) return;
  const end = Math.max(...rows.map((row) => row.to)) * 1.02 || 1;
  const start = Math.max(Math.min(0, ...rows.map((row) => row.from)), -SPEECH_SHARE * end);
  const scale = { start, span: end - start, hold: times.hold, tick: tick(end) };
  const table = element("table", {}, element("caption", { className: "unseen" }, "Times of this turn"));
  for (const row of rows) {
    table.append(
      element(
        "tr",
        { className: row.kind },
        element("th", { scope: "row" }, row.label),
        element("td", { className: "bar" }, bar(row, scale)),
        element("td", { className: "time" }, milliseconds(row.kind === "speech" ? row.to - row.from : row.to)),
      ),
    );
  }
  details.replaceChildren(element("summary", {}, headline(times)), table, element("p", {}, explanation(times, rows)));
}

/** "540 ms", "1.2 s" from a second on. */
export function milliseconds(value) {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}

function headline(times) {
  if (times.wait === null) return "Times";
  return `${milliseconds(times.wait)} from your ${times.asked === null ? "last word" : "question"} to the first sound`;
}

function explanation(times, rows) {
  const counted = `Counted from ${times.asked === null ? "the end of your speech" : "your question"}.`;
  if (times.hold > 0 && times.prepared && times.wait !== null) {
    const what = rows.some(({ kind }) => kind === "tool") ? "question to the tool" : "answer";
    const rest = milliseconds(Math.max(0, times.wait - times.hold));
    return `${counted} The ${what} was made ready during the hold of ${milliseconds(times.hold)}; the rest took ${rest}.`;
  }
  const steps = rows.filter(({ kind }) => kind === "stage" || kind === "tool" || kind === "heard");
  if (steps.length === 0) return counted;
  const slowest = steps.reduce((one, other) => (other.to - other.from > one.to - one.from ? other : one));
  return `${counted} The longest step was “${slowest.label}”, ${milliseconds(slowest.to - slowest.from)}.`;
}

function tick(end) {
  return TICKS.find((step) => end / step <= 6) ?? TICKS.at(-1);
}

function bar(row, { start, span, hold, tick: step }) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("aria-hidden", "true");
  const share = (time) => `${((Math.max(time, start) - start) / span) * 100}%`;
  const width = (from, to) => `${((to - Math.max(from, start)) / span) * 100}%`;
  const draw = (name, attributes) => {
    const shape = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    picture.append(shape);
  };
  if (hold > 0) draw("rect", { class: "band", x: share(0), width: width(0, hold), y: 0, height: "100%" });
  for (let at = 0; at <= start + span; at += step) {
    draw("line", { class: at === 0 ? "zero" : "grid", x1: share(at), x2: share(at), y1: 0, y2: "100%" });
  }
  draw("rect", { class: "step", x: share(row.from), width: width(row.from, row.to), y: "25%", height: "50%", rx: 2 });
  draw("rect", { class: "mark", x: share(row.to), width: 2, y: "10%", height: "80%", transform: "translate(-1 0)" });
  return picture;
}
