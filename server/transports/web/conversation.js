// What the server's events mean for the page: turns, words, sound, tool calls, and what the client has to say to them.
// Event names and their order are those of the OpenAI Realtime API (GA).

import { Answer } from "./answer.js";
import { fromBase64, RATE } from "./pcm.js";
import { TurnTimes } from "./turn-times.js";

const TRANSCRIPTION = "conversation.item.input_audio_transcription";
/** A cancel and the answer's own end may cross on the way. */
const HARMLESS = "response_cancel_not_active";
const TOO_SHORT = "input_audio_buffer_commit_empty";
const NO_RESULT = JSON.stringify({ error: "no result is set for this tool" });

export class Conversation {
  /**
   * parts: log and settings; agent, who answers, "" for none; send(event); speaker, null where answers cannot be played; clock.at(ms), the time at which
   * this millisecond of input was captured; onChange(); onFault(message).
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.turns = new Map();
    this.answers = new Map();
    this.cards = new Map();
    this.responses = new Map();
    /** The turn that the caller is speaking now, and the last one that is to be answered. */
    this.open = null;
    this.asked = null;
    this.active = null;
    this.session = null;
  }

  /** Whether the caller is speaking, an answer is awaited, or one is being heard. */
  get state() {
    if (this.open) return "hearing";
    if ([...this.answers.values()].some((answer) => answer.playing)) return "answering";
    return this.active || this.asked?.waiting ? "thinking" : "listening";
  }

  /** Whether an answer was spoken: from then on the voice is settled. */
  get spoke() {
    return [...this.answers.values()].some((answer) => answer.received > 0);
  }

  /** A server event. Those of no concern here are passed over. */
  receive(event) {
    EVENTS[event.type]?.(this, event);
    this.onChange();
  }

  // -------------------------------------------------------------------------------- what the person does

  /** Ask a typed question. */
  async type(text) {
    await this.interrupt();
    const turn = this.begin("typed", new TurnTimes(performance.now()));
    turn.line.show(text);
    turn.line.done();
    this.ask(turn);
    const content = [{ type: "input_text", text }];
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    this.send({ type: "response.create" });
  }

  /** By hand: the caller begins to speak. */
  press() {
    this.interrupt();
    this.send({ type: "input_audio_buffer.clear" });
    this.open = this.begin("spoken", new TurnTimes());
    this.open.times.speechStart = performance.now();
    this.open.manual = true;
  }

  /** By hand: the caller has spoken. The answer is asked for when the server has taken the audio. */
  release() {
    this.send({ type: "input_audio_buffer.commit" });
  }

  /** Stop the answer, made or heard. */
  async interrupt() {
    if (this.active) this.send({ type: "response.cancel" });
    await this.silence();
  }

  /** The call is over: nothing is left in the air. */
  end() {
    for (const answer of this.answers.values()) answer.end();
    for (const turn of new Set([this.open, ...this.turns.values()])) {
      if (!turn || turn.line.complete) continue;
      if (turn.line.shown) turn.line.done();
      else turn.view.drop(turn.line);
    }
  }

  // ---------------------------------------------------------------------------------------- loudspeaker

  /** Stop playing at once and tell the server how much of each answer was heard. */
  async silence() {
    if (!this.speaker) return;
    const cut = new Map((await this.speaker.flush()).map(({ item, played }) => [item, played]));
    for (const [id, answer] of this.answers) {
      if (!answer.spoken || answer.over) continue;
      // An answer that had run dry is not among the cut ones, and its last report was exact.
      answer.stop(cut.get(id) ?? answer.played);
      if (answer.received === 0) this.send({ type: "conversation.item.retrieve", item_id: id });
      else this.truncate(id, answer.played);
    }
    this.onChange();
  }

  truncate(id, played) {
    const end = Math.floor((played * 1000) / RATE);
    this.send({ type: "conversation.item.truncate", item_id: id, content_index: 0, audio_end_ms: end });
  }

  progress({ item, played }) {
    const answer = this.answers.get(item);
    if (answer && !answer.over) answer.progress(played);
    this.onChange();
  }

  audible(item, at) {
    const turn = this.answers.get(item)?.turn;
    if (!turn) return;
    turn.times.heard ??= at;
    this.chart(turn);
  }

  // ---------------------------------------------------------------------------------------------- turns

  begin(how, times) {
    const view = this.log.turn(how);
    return { view, times, line: view.caller(), manual: false, waiting: false, text: "" };
  }

  /** A turn that nobody has asked for. */
  greeting() {
    return { view: this.log.turn("greeting"), times: new TurnTimes(), line: null, manual: false, waiting: false };
  }

  /** Where the time went. Nobody has waited for a greeting. */
  chart(turn) {
    if (turn.line) turn.view.timeline(turn.times);
  }

  /** The next response is this turn's. */
  ask(turn) {
    if (this.asked) this.asked.waiting = false;
    this.asked = turn;
    turn.waiting = true;
  }

  started({ item_id: id, audio_start_ms: start }) {
    this.silence();
    const padding = this.session?.audio.input.turn_detection?.prefix_padding_ms ?? 0;
    this.open = this.begin("spoken", new TurnTimes());
    this.open.times.speechStart = this.clock.at(start + padding);
    this.turns.set(id, this.open);
  }

  committed({ item_id: id }) {
    const turn = this.turns.get(id) ?? this.open;
    if (!turn) return;
    this.turns.set(id, turn);
    this.open = null;
    this.ask(turn);
    if (turn.manual) this.send({ type: "response.create" });
  }

  transcribed({ item_id: id, transcript }) {
    const turn = this.turns.get(id);
    if (!turn) return;
    if (transcript.trim()) turn.line.show(transcript);
    else if (turn.manual) turn.line.show("(no words understood)");
    else {
      // A noise: it gets no answer.
      turn.waiting = false;
      if (this.asked === turn) this.asked = null;
      turn.view.remove();
      return;
    }
    turn.line.done();
  }

  // ------------------------------------------------------------------------------------------ responses

  added({ response_id: response, item }) {
    const turn = this.responses.get(response);
    if (!turn) return;
    if (item.type === "function_call") this.cards.set(item.call_id, turn.view.card(item.name));
    else if (item.type === "message") this.answers.set(item.id, new Answer(turn.view.answer(item.id), turn));
  }

  audio({ item_id: id, delta }) {
    const answer = this.answers.get(id);
    if (!answer || answer.over || !this.speaker) return;
    const pcm = fromBase64(delta);
    answer.spoken = true;
    answer.received += pcm.length;
    this.speaker.push(id, pcm);
  }

  finished({ response }) {
    const turn = this.responses.get(response.id);
    if (this.active === response.id) this.active = null;
    if (!turn) return;
    const details = response.status_details ?? {};
    if (response.status === "failed") {
      turn.view.fault(`The answer failed: ${details.error?.message ?? "the server does not say why"}`);
    } else if (response.status === "incomplete") {
      turn.view.fault("The answer was cut off: it was longer than the server allows.");
    }
    turn.times.done(response.id, response.kammerton?.timings_ms);
    this.chart(turn);
    const calls = response.output.filter((item) => item.type === "function_call");
    if (response.status !== "completed" || calls.length === 0) return;
    if (this.agent) turn.waiting = true;
    else this.runTools(turn, calls);
  }

  /** The server has run a tool of the agent's. */
  told({ call_id: id, output }) {
    if (this.agent) this.cards.get(id)?.result(output, true);
  }

  /** Tools answer what the settings say; then the model is asked to go on. */
  runTools(turn, calls) {
    for (const { call_id: id, name } of calls) {
      const result = this.settings.result(name);
      const output = result ?? NO_RESULT;
      this.cards.get(id)?.result(output, result !== null);
      this.send({ type: "conversation.item.create", item: { type: "function_call_output", call_id: id, output } });
    }
    this.ask(turn);
    this.send({ type: "response.create" });
  }

  failed({ error }) {
    if (error.code === HARMLESS) return;
    if (error.code === TOO_SHORT && this.open?.manual) {
      this.open.view.remove();
      this.open = null;
      this.onFault("That was too short. Hold the button as long as you speak.");
      return;
    }
    this.onFault(error.message);
  }
}

const EVENTS = {
  "session.created": (call, { session }) => (call.session = session),
  "session.updated": (call, { session }) => (call.session = session),
  "input_audio_buffer.speech_started": (call, event) => call.started(event),
  "input_audio_buffer.speech_stopped": (call, { item_id: id }) => {
    const turn = call.turns.get(id);
    if (turn) turn.times.holdEnd = performance.now();
  },
  "input_audio_buffer.committed": (call, event) => call.committed(event),
  [`${TRANSCRIPTION}.delta`]: (call, { item_id: id, delta }) => {
    const turn = call.turns.get(id);
    if (turn) turn.line.show((turn.text += delta));
  },
  [`${TRANSCRIPTION}.completed`]: (call, event) => call.transcribed(event),
  [`${TRANSCRIPTION}.failed`]: (call, { item_id: id, error }) =>
    call.turns.get(id)?.view.fault(`Your words were not understood: ${error.message}`),
  "response.created": (call, { response }) => {
    const turn = call.asked ?? call.greeting();
    turn.waiting = false;
    turn.times.created(response.id, performance.now());
    call.responses.set(response.id, turn);
    call.active = response.id;
  },
  "conversation.item.added": (call, { item }) => item.type === "function_call_output" && call.told(item),
  "response.output_item.added": (call, event) => call.added(event),
  "response.output_item.done": (call, { item }) => call.answers.get(item.id)?.finish(),
  "response.output_audio.delta": (call, event) => call.audio(event),
  "response.output_audio_transcript.delta": (call, { item_id: id, delta }) => call.answers.get(id)?.say(delta, true),
  "response.output_text.delta": (call, { item_id: id, delta }) => call.answers.get(id)?.say(delta, false),
  "response.function_call_arguments.done": (call, { response_id: response, call_id: id, name, arguments: text }) => {
    call.cards.get(id)?.arguments(text);
    call.responses.get(response)?.times.called(response, name, performance.now());
  },
  "response.done": (call, event) => call.finished(event),
  "conversation.item.truncated": (call, { item_id: id }) =>
    call.send({ type: "conversation.item.retrieve", item_id: id }),
  "conversation.item.retrieved": (call, { item }) => call.answers.get(item.id)?.kept(item.content[0]?.transcript ?? ""),
  error: (call, event) => call.failed(event),
};
