// An e-mail address is looked for by its hash: the address itself stays in the browser, and out of the address bar.

const HASH = /^[0-9a-f]{64}$/i;

/** Browsers hash only where nobody on the way can have changed the page: over TLS, or on the machine itself. */
export const canHash = () => globalThis.crypto?.subtle !== undefined;

/** What is to be asked for as `email_hash`; null for what is neither a whole address nor a hash. */
export async function hashOf(typed) {
  const text = typed.trim();
  if (HASH.test(text)) return text.toLowerCase();
  if (!/^\S+@\S+$/.test(text) || !canHash()) return null;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text.toLowerCase()));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
