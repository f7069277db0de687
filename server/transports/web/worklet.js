// Loading a script for the audio thread. It comes from the server, so this is where a server that is gone shows first.

/** A fault that is told to the person in these words. */
export class WorkletError extends Error {}

/** Add this script to the context; when it does not come, the context is closed. Throws WorkletError. */
export async function loadWorklet(context, name) {
  try {
    await context.audioWorklet.addModule(new URL(name, import.meta.url));
  } catch (fault) {
    console.info(`${name} did not load:`, fault.message);
    await context.close();
    throw new WorkletError("The server cannot be reached.");
  }
}
