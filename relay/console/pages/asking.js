// What a person types to find something: one field, or one choice of several.

import { html } from "./vendor/lit-html/lit-html.js";

const TYPING_MS = 250;

/** Calls `then` once nothing was typed for a moment. */
export function patient(then) {
  let timer = null;
  const typed = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => then(...given), TYPING_MS);
  };
  return { typed, stop: () => clearTimeout(timer) };
}

/** One of `values`, or any. */
export const choice = (label, values, chosen, choose) => html`<label>${label}
  <select @change=${(event) => choose(event.target.value)}>
    <option value="" ?selected=${chosen === ""}>any</option>
    ${[...new Set([...values, ...(chosen ? [chosen] : [])])].map((value) => html`<option value=${value} ?selected=${value === chosen}>${value}</option>`)}
  </select></label>`;

/** Keep in the address bar what is looked for, so that it can be sent to a colleague. */
export function keepInAddress(page, query) {
  const given = Object.entries(query).filter(([, value]) => value);
  history.replaceState(null, "", given.length ? `#/${page}?${new URLSearchParams(given)}` : `#/${page}`);
}
