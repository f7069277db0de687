// The Realtime socket of this server, opened with a client secret that ends by itself.

const OPEN_MS = 15000;
const SECRET_S = 600;

/** A fault that is told to the person in these words. */
export class ConnectionError extends Error {}

const KEYS_WANTED =
  "This server asks for a key. Give it a client secret (ek_…): in the settings under Advanced, or behind a # in the address.";

/** Ask for one. A server without keys need not have such an endpoint: then there is none to send. */
async function clientSecret() {
  const wish = { expires_after: { anchor: "created_at", seconds: SECRET_S }, session: { type: "realtime" } };
  const answer = await fetch("v1/realtime/client_secrets", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  }).catch(() => {
    throw new ConnectionError("The server cannot be reached.");
  });
  if (answer.status === 404) return null;
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body.value;
  if (answer.status === 401) throw new ConnectionError(KEYS_WANTED);
  throw new ConnectionError(body.error?.message ?? `The server refused a client secret (status ${answer.status}).`);
}

/**
 * Open a session and wait for session.created. given: a client secret, "" to ask the server for one. agent: who answers.
 * onEvent(event): each server event from then on. onClose(reason): it ended, and not by close(). Throws ConnectionError.
 */
export async function connect(given, agent, onEvent, onClose) {
  const secret = given || (await clientSecret());
  const url = new URL("v1/realtime?model=kammerton", document.baseURI);
  if (agent) url.searchParams.set("agent", agent);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url, ["realtime", ...(secret ? [`openai-insecure-api-key.${secret}`] : [])]);
  await created(socket, onEvent);
  socket.onmessage = ({ data }) => onEvent(JSON.parse(data));
  socket.onclose = ({ code, reason }) => onClose(closing(code, reason));
  return {
    send(event) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event));
    },
    close() {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close(1000);
    },
  };
}

function created(socket, onEvent) {
  let refusal = "";
  return new Promise((resolve, reject) => {
    const fail = (message) => {
      clearTimeout(timer);
      socket.onclose = null;
      socket.close();
      reject(new ConnectionError(message));
    };
    const timer = setTimeout(() => fail("The server took too long to answer."), OPEN_MS);
    socket.onclose = ({ code, reason }) => fail(refusal || closing(code, reason));
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "error") refusal = event.error.message;
      if (event.type !== "session.created") return;
      clearTimeout(timer);
      onEvent(event);
      resolve();
    };
  });
}

function closing(code, reason) {
  if (code === 1001 || code === 1012) return "The server is shutting down, or the session's time is up.";
  if (code === 1006) return "The connection to the server was lost.";
  if (code === 1013) return "The server is full at the moment. Try again in a minute.";
  return `The server ended the session (${code}${reason ? `, ${reason}` : ""}).`;
}
