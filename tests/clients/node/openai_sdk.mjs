// A call with the OpenAI SDK for JavaScript: OpenAIRealtimeWS, which speaks TLS and nothing else, event by event.

import { readFileSync } from "node:fs";

import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { WebSocket } from "ws";

import { Caller, INSTRUCTIONS, RATE, readJob, run } from "./script.mjs";

class SdkCaller extends Caller {
  #items = new Map();
  #order = [];
  #playing;

  constructor(job) {
    super("openai", job);
    this.client = new OpenAI({ apiKey: "sk-test", baseURL: `${job.url}/v1`, dangerouslyAllowBrowser: true });
    this.ca = readFileSync(job.certificate);
    this.socket = new OpenAIRealtimeWS({ model: "kammerton", options: { ca: this.ca } }, this.client);
    this.socket.on("event", (event) => {
      this.count(event.type);
      setImmediate(() => this.noted());
    });
    this.socket.on("error", (error) => this.report.errors.push(String(error)));
    this.socket.on("session.created", () => this.#configure());
    this.socket.on("conversation.item.added", ({ item }) => this.#order.push(item.id));
    this.socket.on("conversation.item.retrieved", ({ item }) => this.#items.set(item.id, item));
    this.socket.on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
      this.turn.heard += transcript;
    });
    this.socket.on("response.output_audio_transcript.delta", ({ delta }) => (this.turn.said += delta));
    this.socket.on("response.output_audio.delta", (event) => this.#play(event));
    this.socket.on("response.function_call_arguments.done", (event) => this.#runTool(event));
    this.socket.on("response.done", ({ response }) => {
      if (response.output.some((item) => item.type === "function_call")) this.socket.send({ type: "response.create" });
    });
    this.socket.on("input_audio_buffer.speech_started", () => this.#stopPlaying());
  }

  #configure() {
    const audio = { input: { transcription: { model: "gpt-4o-mini-transcribe" } } };
    const session = { type: "realtime", instructions: INSTRUCTIONS, tools: [this.job.tool], audio };
    this.socket.send({ type: "session.update", session });
  }

  #runTool({ name, call_id, arguments: text }) {
    this.turn.calls.push([name, JSON.parse(text)]);
    const item = { type: "function_call_output", call_id, output: JSON.stringify(this.job.tool_result) };
    this.socket.send({ type: "conversation.item.create", item });
  }

  #play({ item_id, delta }) {
    this.turn.audio += Buffer.from(delta, "base64").length;
    if (this.#playing?.item_id !== item_id) this.#playing = { item_id, since: performance.now() };
  }

  #stopPlaying() {
    if (!this.#playing) return;
    const { item_id, since } = this.#playing;
    const audio_end_ms = Math.floor(performance.now() - since);
    this.#playing = undefined;
    if (audio_end_ms >= (this.turn.audio * 1000) / (RATE * 2)) return;
    this.socket.send({ type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms });
    this.interrupted = true;
  }

  /** The conversation as the server has it. */
  async remember() {
    for (const item_id of this.#order) this.socket.send({ type: "conversation.item.retrieve", item_id });
    await this.until(() => this.#items.size === this.#order.length, "the items");
    const messages = this.#order.map((id) => this.#items.get(id)).filter((item) => item.type === "message");
    const words = ({ content }) => content.map((part) => part.transcript ?? part.text ?? "").join("");
    this.report.history = messages.map((item) => [item.role, words(item)]);
  }

  /** The SDK's class for browsers, on a WebSocket as they have it: it sends its key as a sub-protocol. */
  async callAsBrowser() {
    const ca = this.ca;
    globalThis.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { ca });
      }
    };
    const browser = new OpenAIRealtimeWebSocket({ model: "kammerton", dangerouslyAllowBrowser: true }, this.client);
    browser.on("error", (error) => this.report.errors.push(String(error)));
    const first = await new Promise((resolve) => browser.on("event", ({ type }) => resolve(type)));
    this.report.facts.browser = { protocol: browser.socket.protocol, first };
    browser.close();
  }

  type(text) {
    const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.socket.send({ type: "conversation.item.create", item });
    this.socket.send({ type: "response.create" });
  }

  send(pcm) {
    this.socket.send({ type: "input_audio_buffer.append", audio: pcm.toString("base64") });
  }
}

run(async () => {
  const caller = new SdkCaller(readJob());
  await caller.until(() => caller.received("session.updated"), "the session");
  await caller.call();
  await caller.remember();
  await caller.callAsBrowser();
  caller.socket.close();
  console.log(JSON.stringify(caller.report));
});
