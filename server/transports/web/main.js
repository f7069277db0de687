// The page: buttons, keys and meters on one side, the call on the other.

import { Call } from "./call.js";
import { byId } from "./dom.js";
import { Log } from "./log.js";
import { Settings } from "./settings.js";

const STATES = {
  idle: "Not connected",
  connecting: "Connecting…",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  answering: "Answering",
};
/** Levels are drawn on a scale of decibels, from a quiet room to full scale. */
const QUIET_DB = -60;

/** Where the settings stand beside the conversation; else they cover it. */
const WIDE = matchMedia("(min-width: 60rem)");

const body = document.body;
const settings = new Settings(() => call.update());
const call = new Call(new Log(() => settings.announces), settings, {
  onChange: () => show(),
  onFault: tell,
  onInput: (level) => meter("input-level", level),
  onOutput: (level, samples) => {
    meter("output-level", level);
    body.dataset.playedSamples = String(samples);
  },
});

function show() {
  const { state } = call;
  const connected = call.phase === "on";
  const live = connected && call.microphone !== null;
  const listening = live ? STATES.listening : "Microphone off";
  body.dataset.state = state;
  byId("state").textContent = state === "listening" ? (call.muted && live ? "Muted" : listening) : STATES[state];
  byId("talk").classList.toggle("on", connected);
  byId("talk").disabled = state === "connecting";
  byId("talk-label").textContent = connected ? "Hang up" : "Talk";
  byId("mute").disabled = !connected;
  byId("mute").setAttribute("aria-pressed", String(connected && (call.muted || !live)));
  byId("mute-label").textContent = live || !connected ? (call.muted ? "Unmute" : "Mute") : "Mic on";
  byId("interrupt").disabled = state !== "answering" && state !== "thinking";
  byId("hold").hidden = !(live && settings.manual);
  byId("hold").classList.toggle("held", call.held);
  if (!live) meter("input-level", 0);
  if (state !== "answering") meter("output-level", 0);
}

function meter(id, level) {
  const decibels = level > 0 ? 20 * Math.log10(level) : QUIET_DB;
  byId(id).style.setProperty("--level", String(Math.max(0, 1 - decibels / QUIET_DB)));
}

/** Something went wrong: say so in plain words, until it is dismissed or the next call begins. */
function tell(message) {
  byId("fault").hidden = false;
  byId("fault-text").textContent = message;
}

function forget() {
  byId("fault").hidden = true;
}

function talk() {
  forget();
  if (call.phase === "on") return call.hangUp();
  call.muted = false;
  return call.start({ microphone: true });
}

const mute = () => call.mute(call.microphone !== null && !call.muted);

function panel(open) {
  byId("panel").classList.toggle("open", open);
  byId("panel-toggle").setAttribute("aria-expanded", String(open));
  byId("panel-toggle").textContent = open && !WIDE.matches ? "Close" : "Settings";
}

byId("talk").addEventListener("click", talk);
byId("mute").addEventListener("click", mute);
byId("interrupt").addEventListener("click", () => call.interrupt());
byId("fault-close").addEventListener("click", forget);
byId("settings").addEventListener("change", show);
byId("reset").addEventListener("click", show);
byId("panel-toggle").addEventListener("click", () => panel(!byId("panel").classList.contains("open")));

byId("type").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("typed").value.trim();
  if (!text) return;
  forget();
  byId("typed").value = "";
  if (!(await call.type(text))) byId("typed").value = text;
});

const hold = byId("hold");
hold.addEventListener("pointerdown", (event) => {
  hold.setPointerCapture(event.pointerId);
  call.press();
});
for (const end of ["pointerup", "pointercancel", "blur"]) hold.addEventListener(end, () => call.release());
hold.addEventListener("contextmenu", (event) => event.preventDefault());

/** Where keys are letters, or already mean something, they are no shortcuts. */
const taken = (target, key) =>
  target.matches("input:not([type=range], [type=checkbox]), textarea, select") ||
  (key === " " && target.matches("button:not(#hold), input, summary"));

const KEYS = {
  t: talk,
  m: () => call.phase === "on" && mute(),
  "/": () => byId("typed").focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (!byId("interrupt").disabled) call.interrupt();
    else if (!WIDE.matches) panel(false);
    return;
  }
  const speaks = !hold.hidden && (event.key === " " || (event.key === "Enter" && event.target === hold));
  if (speaks && (settings.shortcuts || event.target === hold) && !taken(event.target, event.key)) {
    event.preventDefault();
    call.press();
  } else if (settings.shortcuts && !event.repeat && !taken(event.target, event.key)) {
    const act = KEYS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }
});
document.addEventListener("keyup", (event) => {
  if (event.key === " " || event.key === "Enter") call.release();
});
addEventListener("pagehide", () => call.hangUp());

WIDE.addEventListener("change", () => panel(WIDE.matches));
panel(WIDE.matches);
show();
settings.offer();
