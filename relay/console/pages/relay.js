// Asks the relay's JSON API. The session cookie goes along by itself; what changes something shows the CSRF token too.

const NAME = "order-relay-name";
const ANSWER_MS = 15000;

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.type = String(problem.type || "").split(":").pop();
  }
}

let session = { by: null, csrf: null, ends_at: null };

/** Who is signed in: `by` is null where nobody needs to be. Throws Refused(401) where somebody does. */
export async function whoIsThere() {
  session = await ask("GET", "session");
  return session;
}

export async function signIn(by, token) {
  session = await ask("POST", "session", { by, token });
  rememberName(by);
  return session;
}

export async function signOut() {
  await ask("DELETE", "session");
  session = { by: null, csrf: null, ends_at: null };
}

/** The name that deeds are signed with; what was given last, until somebody signs in. */
export function name() {
  return session.by ?? localStorage.getItem(NAME) ?? "";
}

export const signedIn = () => session.by !== null;

export function rememberName(by) {
  localStorage.setItem(NAME, by);
}

export const get = (path) => ask("GET", path);
export const post = (path, content) => ask("POST", path, content);

/** A path with a query, of what is given and not empty. */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

async function ask(method, path, content) {
  const headers = {};
  if (content !== undefined) headers["Content-Type"] = "application/json";
  if (session.csrf !== null) headers["X-CSRF-Token"] = session.csrf;
  const answer = await fetch(`../api/${path}`, {
    method,
    headers,
    body: content === undefined ? undefined : JSON.stringify(content),
    credentials: "same-origin",
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, found);
  return found;
}
