// A call with the OpenAI Agents SDK for JavaScript: RealtimeSession over its WebSocket transport.

import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";

import { Caller, INSTRUCTIONS, readJob, run } from "./script.mjs";

class AgentsCaller extends Caller {
  #known = {};

  constructor(job) {
    super("@openai/agents-realtime", job);
    const agent = new RealtimeAgent({ name: "receptionist", instructions: INSTRUCTIONS, tools: [this.#tool()] });
    const url = `${job.url.replace("http", "ws")}/v1/realtime?model=kammerton`;
    this.transport = new OpenAIRealtimeWebSocket({ url });
    this.session = new RealtimeSession(agent, { transport: this.transport, tracingDisabled: true });
    this.transport.on("*", (event) => this.#take(event));
    this.transport.on("audio_transcript_delta", ({ delta }) => (this.turn.said += delta));
    this.session.on("audio", ({ data }) => (this.turn.audio += data.byteLength));
    this.session.on("audio_interrupted", () => (this.interrupted = true));
    this.session.on("error", (error) => this.report.errors.push(JSON.stringify(error)));
    this.session.on("history_updated", () => setImmediate(() => this.noted()));
  }

  #tool() {
    const { name, description, parameters } = this.job.tool;
    return tool({
      name,
      description,
      parameters: { ...parameters, additionalProperties: true },
      strict: false,
      execute: async (input) => {
        this.turn.calls.push([name, input]);
        return JSON.stringify(this.job.tool_result);
      },
    });
  }

  /** Each event comes here, and under its own name too, if the SDK could read it. */
  #take(event) {
    this.count(event.type);
    if (!(event.type in this.#known)) {
      this.#known[event.type] = 0;
      this.transport.on(event.type, () => this.#known[event.type]++);
    }
    if (event.type === "conversation.item.input_audio_transcription.completed") this.turn.heard += event.transcript;
    setImmediate(() => this.noted());
  }

  /** The conversation as the SDK has it. */
  remember() {
    const words = ({ content }) => content.map((part) => part.transcript ?? part.text ?? "").join("");
    const messages = this.session.history.filter((item) => item.type === "message" && item.role !== "system");
    this.report.history = messages.map((item) => [item.role, words(item)]);
  }

  /** Events that did not come under their own name: the SDK could make nothing of them. */
  findDropped() {
    for (const [type, count] of Object.entries(this.report.received)) {
      for (let lost = this.#known[type]; lost < count; lost++) this.report.dropped.push(type);
    }
  }

  /** Take the caller's words out of the history and put others first; the SDK waits for the server to do so. */
  async editHistory() {
    const first = { itemId: "mine", type: "message", role: "user", status: "completed" };
    const content = [{ type: "input_text", text: "My name is Maria." }];
    this.session.updateHistory((history) => history.filter((item) => item.role !== "user"));
    await this.until(() => this.session.history.every((item) => item.role !== "user"), "the items to go");
    this.session.updateHistory((history) => [{ ...first, content }, ...history]);
    await this.until(() => this.session.history.some((item) => item.itemId === "mine"), "the item to come");
    this.report.facts.edited = this.session.history.map((item) => item.role ?? item.type);
  }

  type(text) {
    this.session.sendMessage(text);
  }

  send(pcm) {
    this.session.sendAudio(pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.byteLength));
  }
}

run(async () => {
  const caller = new AgentsCaller(readJob());
  await caller.session.connect({ apiKey: "sk-test" });
  await caller.call();
  caller.remember();
  await caller.editHistory();
  caller.findDropped();
  caller.session.close();
  console.log(JSON.stringify(caller.report));
});
