// A call: microphone, loudspeaker and socket, opened and closed together.

import { connect } from "./connection.js";
import { Conversation } from "./conversation.js";
import { openMicrophone } from "./microphone.js";
import { RATE, toBase64 } from "./pcm.js";
import { canSpeak, openSpeaker } from "./speaker.js";

/** When the samples that were sent were captured: the input clock of the session, seen from this page. */
class InputClock {
  constructor() {
    this.samples = 0;
    this.last = performance.now();
  }

  add(samples) {
    this.samples += samples;
    this.last = performance.now();
  }

  /** performance.now() at this millisecond of the input. */
  at(ms) {
    return this.last - ((this.samples * 1000) / RATE - ms);
  }
}

export class Call {
  /** watch: onChange(), onFault(message), onInput(level) and onOutput(level, samples played in all). */
  constructor(log, settings, watch) {
    this.log = log;
    this.settings = settings;
    this.watch = watch;
    this.phase = "idle";
    this.muted = false;
    this.held = false;
    this.reset();
  }

  reset() {
    this.connection = null;
    this.conversation = null;
    /** Who answers this call, "" for no agent. */
    this.agent = "";
    this.microphone = null;
    this.speaker = null;
    this.clock = new InputClock();
  }

  /** idle, connecting, or what the conversation is at: listening, hearing, thinking, answering. */
  get state() {
    return this.phase === "on" ? this.conversation.state : this.phase;
  }

  /** Open what is not open yet. microphone: whether it is wanted. Returns whether the call stands; faults are told. */
  async start({ microphone }) {
    if (this.phase === "connecting") return false;
    const before = this.phase;
    this.become("connecting");
    try {
      if (before === "idle") await this.connect(microphone);
      else if (microphone) await this.listen();
    } catch (fault) {
      this.watch.onFault(fault.message);
      if (before === "idle") await this.close();
      else this.become("on");
      return false;
    }
    if (before === "idle") this.log.note("Call begins");
    this.become("on");
    return true;
  }

  async connect(microphone) {
    const progress = (report) => {
      this.conversation?.progress(report);
      this.watch.onOutput(report.level, report.total);
    };
    const audible = (item, at) => this.conversation?.audible(item, at);
    // Made before anything is waited for: a browser allows sound only right after a click or a key.
    const speaker = canSpeak() ? openSpeaker(progress, audible) : Promise.resolve(null);
    const opened = await Promise.allSettled([
      speaker.then((ready) => (this.speaker = ready)),
      microphone ? this.listen() : null,
    ]);
    const failed = opened.find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
    this.agent = this.settings.agent;
    this.conversation = new Conversation({
      agent: this.agent,
      log: this.log,
      settings: this.settings,
      speaker: this.speaker,
      clock: this.clock,
      send: (event) => this.connection?.send(event),
      onChange: this.watch.onChange,
      onFault: this.watch.onFault,
    });
    this.connection = await connect(
      this.settings.secret,
      this.agent,
      (event) => this.conversation?.receive(event),
      (reason) => this.lost(reason),
    );
    this.update();
  }

  async listen() {
    if (this.microphone) return;
    this.microphone = await openMicrophone(
      (pcm, level) => this.hear(pcm, level),
      () => this.lost("The microphone was disconnected."),
    );
    this.microphone.muted = this.muted;
  }

  hear(pcm, level) {
    this.watch.onInput(this.muted ? 0 : level);
    // By hand nothing is sent between the turns; else silence is sent too, as the hold is counted in it.
    if (!this.connection || (this.settings.manual && !this.held)) return;
    this.clock.add(pcm.length);
    this.connection.send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
  }

  /** The settings have changed. */
  update() {
    const { agent, conversation } = this;
    const wanted = this.settings.session({ spoken: this.speaker !== null, voice: !conversation?.spoke, agent });
    this.connection?.send({ type: "session.update", session: wanted });
  }

  /** Mute or unmute. Without a microphone yet, it is opened. */
  async mute(muted) {
    this.muted = muted;
    if (this.microphone) this.microphone.muted = muted;
    else if (!muted) await this.start({ microphone: true });
    this.watch.onChange();
  }

  async type(text) {
    if (this.phase === "idle") await this.start({ microphone: false });
    if (this.phase !== "on") return false;
    await this.conversation.type(text);
    return true;
  }

  press() {
    if (this.phase !== "on" || !this.microphone || this.held) return;
    this.held = true;
    this.conversation.press();
    this.watch.onChange();
  }

  release() {
    if (!this.held) return;
    this.held = false;
    this.conversation?.release();
  }

  interrupt() {
    return this.conversation?.interrupt();
  }

  async lost(reason) {
    this.watch.onFault(reason);
    await this.hangUp();
  }

  async hangUp() {
    if (this.phase === "idle") return;
    if (this.phase === "on") this.log.note("Call ended");
    await this.close();
  }

  async close() {
    const { connection, conversation, microphone, speaker } = this;
    this.held = false;
    conversation?.end();
    this.reset();
    this.become("idle");
    connection?.close();
    await Promise.all([microphone?.close(), speaker?.close()]);
  }

  become(phase) {
    this.phase = phase;
    this.watch.onChange();
  }
}
