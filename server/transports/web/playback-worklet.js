// AudioWorklet: plays PCM16 at the context's rate, and knows to the sample how much of which item was played.
// Takes {type: "push", item, pcm: Int16Array} and {type: "flush"}.
// Posts {type: "progress", item, played, total, level} while it plays, {type: "audible", item, time} at an item's first
// sound (time: of the context), and {type: "flushed", cut: [{item, played}]} with the items that were not played out.

const REPORT_EVERY = 6;
const AUDIBLE = 0.005;
const FADE = 128;
const FIRST_ROOM = 24000 * 8;

/** Samples wait here; it grows when an answer is longer than its room. */
class Ring {
  constructor() {
    this.room = new Int16Array(FIRST_ROOM);
    this.start = 0;
    this.length = 0;
  }

  push(samples) {
    if (this.length + samples.length > this.room.length) this.grow(this.length + samples.length);
    const end = (this.start + this.length) % this.room.length;
    const fits = Math.min(samples.length, this.room.length - end);
    this.room.set(samples.subarray(0, fits), end);
    this.room.set(samples.subarray(fits), 0);
    this.length += samples.length;
  }

  /** Take the next sample, as a fraction of full scale. */
  shift() {
    const sample = this.room[this.start] / 32768;
    this.start = (this.start + 1) % this.room.length;
    this.length -= 1;
    return sample;
  }

  clear() {
    this.length = 0;
  }

  grow(least) {
    const larger = new Int16Array(Math.max(least, 2 * this.room.length));
    const head = this.room.subarray(this.start, this.start + this.length);
    larger.set(head);
    larger.set(this.room.subarray(0, this.length - head.length), head.length);
    this.room = larger;
    this.start = 0;
  }
}

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Ring();
    // Items in the order of their audio: {item, waiting, played} in samples.
    this.items = [];
    this.fade = null;
    this.total = 0;
    this.quanta = 0;
    this.loudest = 0;
    this.port.onmessage = ({ data }) => (data.type === "push" ? this.push(data) : this.flush());
  }

  push({ item, pcm }) {
    let entry = this.items.at(-1);
    if (entry?.item !== item) {
      entry = { item, waiting: 0, played: 0, audible: false };
      this.items.push(entry);
    }
    entry.waiting += pcm.length;
    this.ring.push(pcm);
  }

  /** Silence from the next block on. A few milliseconds fade out first, as a hard cut would click: they count as played. */
  flush() {
    const fade = [];
    while (fade.length < FADE && this.ring.length > 0) fade.push(this.next(0));
    const cut = this.items.filter((entry) => entry.waiting > 0).map(({ item, played }) => ({ item, played }));
    this.fade = fade.map((sample, index) => sample * (1 - index / fade.length));
    this.ring.clear();
    this.items = [];
    this.port.postMessage({ type: "flushed", cut });
  }

  process(_, [[out]]) {
    const playing = this.ring.length > 0;
    for (let index = 0; index < out.length; index += 1) {
      if (this.fade) out[index] = this.fade[index] ?? 0;
      else out[index] = this.ring.length > 0 ? this.next(index) : 0;
      this.loudest = Math.max(this.loudest, Math.abs(out[index]));
    }
    this.fade = null;
    this.quanta += 1;
    const drained = playing && this.ring.length === 0;
    if (drained || (playing && this.quanta % REPORT_EVERY === 0)) this.report(this.items[0]);
    return true;
  }

  next(index) {
    // Of an item that another one follows without a gap, this is the only report of its end.
    while (this.items[0].waiting === 0) this.report(this.items.shift());
    const entry = this.items[0];
    const sample = this.ring.shift();
    entry.waiting -= 1;
    entry.played += 1;
    this.total += 1;
    if (!entry.audible && Math.abs(sample) >= AUDIBLE) {
      entry.audible = true;
      this.port.postMessage({ type: "audible", item: entry.item, time: currentTime + index / sampleRate });
    }
    return sample;
  }

  report({ item, played }) {
    this.port.postMessage({ type: "progress", item, played, total: this.total, level: this.loudest });
    this.loudest = 0;
  }
}

registerProcessor("playback", Playback);
