// PCM16 samples and the base64 that carries them. The wire is little-endian, as is every machine that runs a browser.

/** Samples per second on the wire, in both directions. */
export const RATE = 24000;

const PIECE = 0x2000;

/** Base64 of an Int16Array. */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  // In pieces: a function call takes a limited number of arguments.
  for (let start = 0; start < bytes.length; start += PIECE) {
    text += String.fromCharCode(...bytes.subarray(start, start + PIECE));
  }
  return btoa(text);
}

/** Int16Array of what toBase64 wrote. */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return new Int16Array(bytes.buffer);
}
