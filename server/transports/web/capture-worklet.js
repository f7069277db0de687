// AudioWorklet: the microphone at the device's rate becomes pieces of 20 ms of PCM16 at 24 kHz.
// Posts {pcm: Int16Array(480), level: RMS 0..1} for each piece.

const OUT_RATE = 24000;
const PIECE = 480;
const ZERO_CROSSINGS = 16;
const PASSBAND = 0.94;
const PHASES = 512;

/** Windowed-sinc resampler from any rate to any other, sample by sample; its delay is half the kernel (under 1 ms). */
class Resampler {
  constructor(from, to) {
    this.step = from / to;
    // Cycles per input sample above which nothing may pass, twice over: 1 is the input's own Nyquist frequency.
    const cutoff = Math.min(1, to / from) * PASSBAND;
    this.half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.taps = 2 * this.half;
    this.kernels = Array.from({ length: PHASES }, (_, phase) => kernel(phase / PHASES, this.half, cutoff));
    this.held = new Float32Array(this.taps + 4096);
    this.filled = this.half;
    this.at = this.half;
  }

  /** Samples in, as many samples out as they complete. */
  push(block, emit) {
    this.held.set(block, this.filled);
    this.filled += block.length;
    while (Math.floor(this.at) + this.half + 1 < this.filled) {
      let base = Math.floor(this.at);
      let phase = Math.round((this.at - base) * PHASES);
      if (phase === PHASES) {
        base += 1;
        phase = 0;
      }
      const weights = this.kernels[phase];
      const first = base - this.half + 1;
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap += 1) sum += this.held[first + tap] * weights[tap];
      emit(sum);
      this.at += this.step;
    }
    const done = Math.floor(this.at) - this.half;
    this.held.copyWithin(0, done, this.filled);
    this.filled -= done;
    this.at -= done;
  }
}

function kernel(fraction, half, cutoff) {
  const weights = new Float32Array(2 * half);
  let total = 0;
  for (let tap = 0; tap < weights.length; tap += 1) {
    const distance = tap - half + 1 - fraction;
    const x = Math.PI * distance * cutoff;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / (half + 1));
    weights[tap] = (x === 0 ? 1 : Math.sin(x) / x) * window;
    total += weights[tap];
  }
  return weights.map((weight) => weight / total);
}

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, OUT_RATE);
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.energy = 0;
  }

  process([channels]) {
    if (channels.length > 0) this.resampler.push(mono(channels), (sample) => this.add(sample));
    return true;
  }

  add(sample) {
    const value = Math.max(-1, Math.min(1, sample));
    this.energy += value * value;
    this.piece[this.filled] = Math.round(value * 32767);
    this.filled += 1;
    if (this.filled < PIECE) return;
    const message = { pcm: this.piece, level: Math.sqrt(this.energy / PIECE) };
    this.port.postMessage(message, [this.piece.buffer]);
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.energy = 0;
  }
}

function mono(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, index) => channels.reduce((sum, channel) => sum + channel[index], 0) / channels.length);
}

registerProcessor("capture", Capture);
