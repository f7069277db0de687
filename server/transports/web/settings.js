// The settings form: what a session is to be like, and what its tools answer. Kept in this browser between visits.

import { byId, element } from "./dom.js";

const STORE = "kammerton.settings";
const SECRET = "ek_";
const OWNER = "kammerton";
/** Settings of a call that no agent answers. */
const OURS = ["instructions", "offer", "tools", "results"];

const DEMO_TOOLS = [
  {
    type: "function",
    name: "get_opening_hours",
    description: "Opening hours for a day.",
    parameters: { type: "object", properties: { day: { type: "string" } }, required: ["day"] },
  },
  {
    type: "function",
    name: "get_price",
    description: "Price of a service.",
    parameters: { type: "object", properties: { service: { type: "string" } }, required: ["service"] },
  },
];
const DEMO_RESULTS = {
  get_opening_hours: { open: "09:00", close: "17:00" },
  get_price: { price: 35, currency: "EUR" },
};

export class Settings {
  /** onChange() is called when a setting has a new value that can be used. */
  constructor(onChange) {
    this.form = byId("settings");
    this.fields = this.form.elements;
    this.fields.tools.value = JSON.stringify(DEMO_TOOLS, null, 2);
    this.fields.results.value = JSON.stringify(DEMO_RESULTS, null, 2);
    this.initial = this.values();
    this.restore();
    this.takeSecret();
    /** The agent that the page's address names, until another one is chosen. */
    this.called = new URLSearchParams(location.search).get("agent") ?? "";
    this.check();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.check());
    this.form.addEventListener("change", ({ target }) => {
      if (target === this.fields.agent) this.called = "";
      this.save();
      if (this.check()) onChange();
    });
    byId("reset").addEventListener("click", () => {
      this.called = "";
      this.fill(this.initial);
      this.save();
      if (this.check()) onChange();
    });
  }

  get manual() {
    return this.fields.detection.value === "manual";
  }

  /** Whether what is said is told to screen readers. */
  get announces() {
    return this.fields.announce.checked;
  }

  /** A client secret that the person was given, "" where there is none. Another kind of key is never sent. */
  get secret() {
    const given = this.fields.secret.value.trim();
    return given.startsWith(SECRET) ? given : "";
  }

  get shortcuts() {
    return this.fields.shortcuts.checked;
  }

  /** The agent that answers the next call, "" for none. */
  get agent() {
    return this.fields.agent.value;
  }

  /** Offer what the server has: voices, the languages that they speak, agents. */
  async offer() {
    await Promise.all([this.offerVoices(), this.offerAgents()]);
    this.restore();
    this.check();
  }

  /** An agent is a model that is the server's own. Where models are listed for keys only, the address may name one. */
  async offerAgents() {
    const answer = await fetch("v1/models").catch(() => null);
    const models = answer?.ok ? (await answer.json()).data : [];
    const names = models.filter(({ owned_by: owner, id }) => owner === OWNER && id !== OWNER).map(({ id }) => id);
    if (this.called && !names.includes(this.called)) names.push(this.called);
    for (const name of names) this.fields.agent.append(element("option", { value: name }, name));
    byId("agent-row").hidden = names.length === 0;
  }

  async offerVoices() {
    const answer = await fetch("voices").catch(() => null);
    if (!answer?.ok) return;
    const { voices } = await answer.json();
    const names = new Intl.DisplayNames(document.documentElement.lang, { type: "language" });
    for (const { name, language } of voices) {
      this.fields.voice.append(element("option", { value: name }, `${name} (${names.of(language)})`));
    }
    for (const language of new Set(voices.map((voice) => voice.language))) {
      this.fields.language.append(element("option", { value: language }, names.of(language)));
    }
  }

  /**
   * The session object of session.update. spoken: whether answers are spoken; voice: whether it may still be set;
   * agent: who answers this call.
   */
  session({ spoken, voice, agent }) {
    const { fields } = this;
    const output = voice && fields.voice.value ? { voice: fields.voice.value } : {};
    const instructions = agent ? "" : fields.instructions.value.trim();
    return {
      type: "realtime",
      output_modalities: [spoken ? "audio" : "text"],
      audio: {
        input: {
          transcription: fields.language.value ? { language: fields.language.value } : {},
          turn_detection: this.turnDetection(),
        },
        output,
      },
      tools: fields.offer.checked && !agent ? this.tools : [],
      ...(instructions ? { instructions } : {}),
    };
  }

  turnDetection() {
    const { detection, silence, eagerness } = this.fields;
    if (detection.value === "manual") return null;
    if (detection.value === "semantic_vad") return { type: "semantic_vad", eagerness: eagerness.value };
    return { type: "server_vad", silence_duration_ms: Number(silence.value) };
  }

  /** What a tool answers, as JSON text; null when nothing is set for it. */
  result(name) {
    return Object.hasOwn(this.results, name) ? JSON.stringify(this.results[name]) : null;
  }

  /** Show what belongs together and whether the JSON is sound. Returns whether all of it can be used. */
  check() {
    const { detection, silence, tools, results, secret } = this.fields;
    const fit = secret.value.trim() === this.secret;
    this.mark(secret, "secret", fit ? "" : "Client secrets begin with ek_. A lasting key does not belong in a browser.");
    for (const name of OURS) this.fields[name].disabled = this.agent !== "";
    byId("silence-row").hidden = detection.value !== "server_vad";
    byId("eagerness-row").hidden = detection.value !== "semantic_vad";
    byId("silence-value").textContent = `${silence.value} ms`;
    const sound = [
      fit,
      this.read(tools, "tools", Array.isArray, "a list of function tools"),
      this.read(results, "results", (value) => value?.constructor === Object, "an object with a result by tool name"),
    ];
    return sound.every(Boolean);
  }

  read(field, name, fits, wanted) {
    let fault = "";
    try {
      const value = JSON.parse(field.value);
      if (fits(value)) this[name] = value;
      else fault = `This must be ${wanted}.`;
    } catch (error) {
      fault = `This is not valid JSON: ${error.message}`;
    }
    this.mark(field, name, fault);
    return fault === "";
  }

  mark(field, name, fault) {
    field.setAttribute("aria-invalid", String(fault !== ""));
    byId(`${name}-fault`).textContent = fault;
  }

  /** A client secret behind the # of the address never reaches a server's log; nor is it to stay in the history. */
  takeSecret() {
    if (!location.hash.startsWith(`#${SECRET}`)) return;
    this.fields.secret.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
  }

  values() {
    const named = [...this.fields].filter((field) => field.name && field.name !== "secret");
    return Object.fromEntries(named.map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
  }

  fill(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.fields[name];
      if (field?.type === "checkbox") field.checked = value;
      else if (field && (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value))) {
        field.value = value;
      }
    }
  }

  // A browser may keep nothing for this page: then the settings last as long as it is open.
  save() {
    try {
      localStorage.setItem(STORE, JSON.stringify(this.values()));
    } catch (error) {
      console.info("settings are not kept:", error.message);
    }
  }

  restore() {
    try {
      this.fill(JSON.parse(localStorage.getItem(STORE)) ?? {});
    } catch (error) {
      console.info("settings were not kept:", error.message);
    }
    if (this.called) this.fill({ agent: this.called });
  }
}
