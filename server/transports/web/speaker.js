// The loudspeaker: plays answers, and tells to the sample how much of each was played.

import { RATE } from "./pcm.js";
import { loadWorklet } from "./worklet.js";

/** Whether this browser, on this page, can play answers at all: worklets need https or localhost. */
export const canSpeak = () => globalThis.isSecureContext && "AudioWorkletNode" in globalThis;

/**
 * Start the loudspeaker; call it from a click or a key, as browsers allow sound after those only.
 * onProgress({item, played, total, level}): samples of the item, and of all items, played so far.
 * onAudible(item, at): the item's first sound leaves the loudspeaker at this performance.now() time.
 */
export async function openSpeaker(onProgress, onAudible) {
  const context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  await Promise.all([context.resume(), loadWorklet(context, "playback-worklet.js")]);
  const playback = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
  playback.connect(context.destination);
  const flushes = [];
  playback.port.onmessage = ({ data }) => {
    if (data.type === "progress") onProgress(data);
    else if (data.type === "flushed") flushes.shift()(data.cut);
    else onAudible(data.item, heardAt(context, data.time));
  };
  return {
    push(item, pcm) {
      playback.port.postMessage({ type: "push", item, pcm }, [pcm.buffer]);
    },
    /** Silence at once. Resolves to what was cut: [{item, played}], played in samples. */
    flush() {
      playback.port.postMessage({ type: "flush" });
      return new Promise((resolve) => flushes.push(resolve));
    },
    close: () => context.close(),
  };
}

function heardAt(context, time) {
  // Not every browser knows how long its output takes.
  const latency = context.outputLatency || context.baseLatency || 0;
  return performance.now() + (time - context.currentTime + latency) * 1000;
}
