// When what happened in one turn: the server's own times (response.kammerton.timings_ms), brought to this page's clock.
// All times are performance.now() milliseconds; rows() counts from the end of the caller's speech, or from the question.

const STAGES = [
  ["stt_final", "Transcript"],
  ["llm_first_token", "First token"],
  ["first_segment", "First clause"],
  ["tts_first_audio", "First audio"],
];

export class TurnTimes {
  /** asked: when a typed question was sent, null for a spoken turn. */
  constructor(asked = null) {
    this.asked = asked;
    this.speechStart = null;
    this.holdEnd = null;
    this.heard = null;
    this.responses = new Map();
  }

  /** response.created arrived. */
  created(responseId, at) {
    this.responses.set(responseId, { created: at, stages: null, calls: [] });
  }

  /** A function call of this response was complete. */
  called(responseId, name, at) {
    this.responses.get(responseId)?.calls.push({ name, at });
  }

  /** response.done arrived. stages: its timings_ms, missing where the server is another one. */
  done(responseId, stages) {
    const response = this.responses.get(responseId);
    if (response) response.stages = stages ?? null;
  }

  /** Where the clock begins: the end of speech as the server has it, or the typed question. Null while not known. */
  get origin() {
    const [first] = this.responses.values();
    return this.asked ?? (first?.stages ? begin(first) : null);
  }

  /** Milliseconds until the first sound was heard, null while not known. */
  get wait() {
    return this.heard === null || this.origin === null ? null : this.heard - this.origin;
  }

  /** Milliseconds of silence that the server waited out, 0 where there was no such wait. */
  get hold() {
    return this.holdEnd === null || this.origin === null ? 0 : Math.max(0, this.holdEnd - this.origin);
  }

  /** Whether the answer was ready before the hold was over. */
  get prepared() {
    const [first] = this.responses.values();
    return Boolean(first?.stages?.prepared);
  }

  /** The timeline's bars in order: {label, kind, from, to} in ms. Empty while too little is known. */
  rows() {
    const { origin } = this;
    if (origin === null) return [];
    const rows = [];
    if (this.speechStart !== null && this.speechStart < origin) {
      rows.push({ label: "You spoke", kind: "speech", from: this.speechStart - origin, to: 0 });
    }
    if (this.hold > 0) rows.push({ label: "Hold", kind: "hold", from: 0, to: this.hold });
    let at = 0;
    for (const response of this.responses.values()) at = this.responseRows(response, at, rows);
    if (this.wait !== null) rows.push(this.seen("You heard it", "heard", at, this.wait));
    return rows;
  }

  responseRows(response, start, rows) {
    const zero = begin(response) - this.origin;
    const made = STAGES.filter(([stage]) => response.stages?.[stage] != null);
    const steps = [
      ...made.map(([stage, label]) => ({ label, kind: "stage", to: zero + response.stages[stage] })),
      ...response.calls.map(({ name, at }) => ({ label: name, kind: "tool", to: at - this.origin })),
    ];
    let at = start;
    for (const { label, kind, to } of steps.sort((one, other) => one.to - other.to)) {
      rows.push(kind === "tool" ? this.seen(label, kind, at, to) : { label, kind, from: Math.min(at, to), to });
      at = Math.max(at, to);
    }
    return at;
  }

  /** A bar for what the page got to see: if that was ready early, it waited for the end of the hold. */
  seen(label, kind, from, to) {
    return { label, kind, from: Math.min(to, Math.max(from, this.hold)), to };
  }
}

/** The zero of the server's stages on this page's clock: response_created is the one that both have seen. */
function begin({ created, stages }) {
  return created - (stages?.response_created ?? 0);
}
