// How figures and moments are written.

import { html } from "./vendor/lit-html/lit-html.js";

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const LANES = ["new", "update", "replay"];

export const count = (number) => whole.format(number);
export const rate = (number) => `${tenths.format(number)}/s`;
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** Seconds as `45 s`, `12 min`, `3.4 h`, `2.1 days`. */
export function duration(seconds) {
  if (seconds < 0.05) return "0 s";
  if (seconds < 10) return `${tenths.format(seconds)} s`;
  if (seconds < 120) return `${whole.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172800) return `${tenths.format(seconds / 3600)} h`;
  return `${tenths.format(seconds / 86400)} days`;
}

/** How long a request took: `12 ms`, `1.4 s`. */
export const took = (seconds) => (seconds < 1 ? `${whole.format(Math.ceil(seconds * 1000))} ms` : duration(seconds));

/** When a backlog will be gone. */
export function drain(seconds) {
  if (seconds === null) return "unknown";
  return seconds === 0 ? "empty" : duration(seconds);
}

/** A moment as the reader's clock has it; today's without its day, and the exact one on hovering. */
export function moment(iso) {
  if (!iso) return "—";
  const then = new Date(iso);
  const today = then.toDateString() === new Date().toDateString();
  return html`<time datetime=${iso} title=${iso}>${(today ? clock : day).format(then)}</time>`;
}

/** How long ago a moment was. */
export const ago = (iso) => (iso ? `${duration(Math.max(0, (Date.now() - new Date(iso)) / 1000))} ago` : "none yet");

/** A state in its colour; the word alone says it too. */
export const badge = (word, kind = KINDS[word] ?? "calm") => html`<span class="badge ${kind}">${word}</span>`;

const KINDS = {
  sending: "good", sent: "good", delivered: "good", queued: "good", closed: "good", fetched: "good", cancelled: "good",
  resting: "warn", paused: "warn", held: "warn", sleeping: "warn", throttled: "warn", failed: "warn", not_yet: "warn", replay: "warn",
  halted: "bad", open: "bad", dead: "bad", refused: "bad", quarantined: "bad", channel_wrong: "bad", discard: "bad",
};
