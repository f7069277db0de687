// What the programs in this folder share: the job they are given, the call they make, the report they print.
// The same call as in ../programs/script.py.

import { readFileSync } from "node:fs";

export const RATE = 24000;
export const INSTRUCTIONS = "You are a friendly phone assistant.";

const GREETING = "Hello!";
const FRAME_MS = 20;
const FRAME = ((RATE * FRAME_MS) / 1000) * 2;
const LISTENING_MS = 1500;
const STEP_MS = 30_000;

/** The job whose file is named on the command line; speech as buffers of PCM16 at 24 kHz. */
export function readJob() {
  const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
  job.speech = Object.fromEntries(Object.entries(job.speech).map(([name, file]) => [name, readFileSync(file)]));
  return job;
}

/** Run a program to its end. One that fails ends at once, whatever its client still has open. */
export async function run(main) {
  try {
    await main();
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}

/**
 * Somebody on the phone, behind one client library. A subclass has `type(text)` and `send(pcm)`, fills `report` and
 * `turn`, sets `interrupted` when the client stops an answer's playback, and calls `noted` after each change.
 */
export class Caller {
  #waiting = new Set();
  #unsaid = Buffer.alloc(0);
  #endedBefore = 0;

  constructor(client, job) {
    const file = new URL(`node_modules/${client}/package.json`, import.meta.url);
    const { version } = JSON.parse(readFileSync(file, "utf8"));
    this.job = job;
    this.report = { client, version, received: {}, errors: [], dropped: [], turns: {}, history: [], facts: {} };
    this.interrupted = false;
    this.turn = undefined;
  }

  /** A server event of this type has come. */
  count(type) {
    this.report.received[type] = this.received(type) + 1;
  }

  /** How many server events of this type have come. */
  received(type) {
    return this.report.received[type] ?? 0;
  }

  /** Something has happened. */
  noted() {
    for (const check of this.#waiting) check();
  }

  /** Wait for `holds`. Rejects with what was waited for. */
  until(holds, what) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`waited in vain for ${what}; so far: ${JSON.stringify(this.report)}`)),
        STEP_MS,
      );
      const check = () => {
        if (!holds()) return;
        clearTimeout(late);
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Something was said in this turn, and no response is under way. */
  answered() {
    return this.turn.said !== "" && this.received("response.created") === this.received("response.done");
  }

  /** The function has run, and the words that announced it are followed by those of the result. */
  told() {
    const ended = this.received("response.done") - this.#endedBefore;
    return this.turn.calls.length > 0 && ended > 1 && this.answered();
  }

  /** A written greeting, a question for a tool, one without, and one whose answer is spoken over. */
  async call() {
    this.#begin("typed");
    await this.type(GREETING);
    await this.until(() => this.answered(), "the answer to a message");

    const microphone = this.#microphone();
    this.#ask("tool", "tool");
    await this.until(() => this.told(), "the answer with the tool's result");
    this.#ask("spoken", "question");
    await this.until(() => this.turn.heard && this.answered(), "the answer to a question");
    this.#ask("long", "story");
    await this.until(() => this.turn.audio, "an answer to speak over");
    this.interrupted = false;
    this.#say("stop", LISTENING_MS);
    await this.until(() => this.interrupted, "the interruption");
    this.#begin("barge_in");
    await this.until(() => this.turn.heard && this.answered(), "the answer after the interruption");
    clearInterval(microphone);
  }

  #begin(step) {
    this.#endedBefore = this.received("response.done");
    this.turn = this.report.turns[step] = { heard: "", said: "", audio: 0, calls: [] };
  }

  /** A polite caller lets the last answer play to its end. */
  #ask(step, speech) {
    const playedMs = (this.turn.audio * 1000) / (RATE * 2);
    this.#begin(step);
    this.#say(speech, playedMs);
  }

  #say(speech, afterMs) {
    const pause = Buffer.alloc(Math.floor((RATE * afterMs) / 1000) * 2);
    this.#unsaid = Buffer.concat([this.#unsaid, pause, this.job.speech[speech]]);
  }

  /** A frame each 20 ms, and as many as are due when the process was late. */
  #microphone() {
    const start = performance.now();
    let sent = 0;
    return setInterval(() => {
      for (; sent * FRAME_MS <= performance.now() - start; sent++) {
        const frame = Buffer.alloc(FRAME);
        this.#unsaid.copy(frame, 0, 0, FRAME);
        this.#unsaid = this.#unsaid.subarray(FRAME);
        this.send(frame);
      }
    }, FRAME_MS);
  }
}
