// What is in a webhook or a sale: masked, until somebody says who they are and why they look.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { confirmed } from "./dialog.js";
import { get, post } from "./relay.js";

const NAMES = { body: "Webhook", sale: "Sale" };

/** The contents below `path` (`orders/17`); `query` narrows them. Draws itself again by `draw`. */
export class Content {
  constructor(path, draw, tell, query = "") {
    Object.assign(this, { path, draw, tell, query, found: null, answers: [], plain: false });
  }

  async ask() {
    if (this.plain) return;
    this.found = await get(`${this.path}/content${this.query}`);
  }

  async reveal() {
    const found = await confirmed({
      title: "Show personal data",
      text: "That you asked, and why, is on record in the audit.",
      button: "Show it",
      act: (who) => post(`${this.path}/reveal${this.query}`, who),
    });
    if (found === null) return;
    const { answers = [], ...contents } = found;
    [this.found, this.answers, this.plain] = [contents, answers, true];
    this.tell("Personal data is shown.");
    this.draw();
  }

  async hide() {
    [this.answers, this.plain] = [[], false];
    await this.ask();
    this.draw();
  }

  view() {
    if (this.found === null) return nothing;
    return html`
      <div class="buttons">${this.plain
        ? html`<button type="button" @click=${() => this.hide()}>Mask it again</button>`
        : html`<button type="button" @click=${() => this.reveal()}>Show personal data …</button>`}</div>
      <div class="sides">${Object.entries(this.found).map(([name, content]) => html`
        <details open>
          <summary>${NAMES[name]}${this.plain ? nothing : html` <span class="muted">(masked)</span>`}</summary>
          ${content === null ? html`<p class="muted">Not kept, or not made yet.</p>` : html`<pre tabindex="0" aria-label=${NAMES[name]}>${typeof content === "string" ? content : JSON.stringify(content, null, 2)}</pre>`}
        </details>`)}</div>`;
  }
}
