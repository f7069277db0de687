// One answer, spoken or written: which of its words have been heard so far.

import { RATE } from "./pcm.js";

/** While not all audio is there: about how much text a second of speech holds. */
const CHARACTERS_PER_S = 14;

export class Answer {
  /** line: where its words are shown. */
  constructor(line, turn) {
    this.line = line;
    this.turn = turn;
    this.text = "";
    this.spoken = false;
    this.received = 0;
    this.played = 0;
    this.complete = false;
    /** Nothing more will happen to it: it was heard to its end, or it was cut. */
    this.over = false;
  }

  get playing() {
    return !this.over && this.received > 0;
  }

  /** More text. Spoken words wait until they are played. */
  say(delta, spoken) {
    this.text += delta;
    this.spoken ||= spoken;
    this.show();
  }

  /** All text and audio are there. */
  finish() {
    this.complete = true;
    this.show();
  }

  /** Samples that the loudspeaker has played of it. */
  progress(played) {
    this.played = played;
    this.line.box.dataset.playedSamples = String(played);
    this.show();
  }

  /** The caller spoke over it, or pressed Interrupt. Its words stay as they are until the server says what it keeps. */
  stop(played) {
    this.over = true;
    this.played = played;
    this.line.box.dataset.playedSamples = String(played);
  }

  /** The server keeps this much of it as said. */
  kept(text) {
    this.line.cut(text, this.text.startsWith(text) ? this.text.slice(text.length) : "");
  }

  /** The call has ended: no more of it will be heard. */
  end() {
    if (this.line.complete) return;
    this.over = true;
    this.kept(this.line.shown);
  }

  show() {
    if (this.over) return;
    if (this.complete && this.played >= this.received) {
      this.over = true;
      this.line.show(this.text);
      this.line.done();
    } else {
      this.line.show(this.spoken ? this.heard() : this.text);
    }
  }

  /** The words up to where the loudspeaker is: as far through the text as it is through the audio. */
  heard() {
    const guess = (this.played / RATE) * CHARACTERS_PER_S;
    const reached = Math.floor(this.complete ? (this.text.length * this.played) / this.received : guess);
    if (reached === 0) return this.line.shown;
    // A word is shown as it begins.
    const rest = this.text.slice(reached).search(/\s/u);
    const words = rest < 0 ? this.text : this.text.slice(0, reached + rest);
    return words.length > this.line.shown.length ? words : this.line.shown;
  }
}
