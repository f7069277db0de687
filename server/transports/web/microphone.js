// The microphone, as pieces of 20 ms of PCM16 at 24 kHz.

import { loadWorklet } from "./worklet.js";

/** A fault that is told to the person in these words. */
export class MicrophoneError extends Error {}

const WISHES = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it for this page, then press Talk again.",
  NotFoundError: "No microphone was found. Plug one in, or type instead.",
  NotReadableError: "The microphone is in use by another program.",
};

/**
 * Ask for the microphone and start it.
 * onPiece(pcm: Int16Array(480), level: RMS 0..1) is called for each piece, also while muted: then it holds silence.
 * onLost(): the device went away. Throws MicrophoneError.
 */
export async function openMicrophone(onPiece, onLost) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneError("Browsers give the microphone to pages on https or localhost only. Typing works here.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({ audio: WISHES }).catch((fault) => {
    throw new MicrophoneError(REASONS[fault.name] ?? `The microphone could not be opened: ${fault.message}`);
  });
  const [track] = stream.getAudioTracks();
  const context = new AudioContext({ latencyHint: "interactive" });
  try {
    await loadWorklet(context, "capture-worklet.js");
    await context.resume();
  } catch (fault) {
    track.stop();
    if (context.state !== "closed") await context.close();
    throw new MicrophoneError(`The microphone could not be started: ${fault.message}`);
  }
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  context.createMediaStreamSource(stream).connect(capture);
  capture.port.onmessage = ({ data }) => onPiece(data.pcm, data.level);
  track.onended = onLost;
  return {
    set muted(value) {
      track.enabled = !value;
    },
    close() {
      capture.port.onmessage = null;
      track.onended = null;
      track.stop();
      return context.close();
    },
  };
}
