// A list that is asked for page by page: its first page is kept up to date, until somebody reads on.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { get, withQuery } from "./relay.js";
import { count } from "./words.js";

const EMPTY_MAX = 5;

/** `path` is asked with what `query` returns; `name` is where the answer has the list. `items` is null until then. */
export class Listing {
  constructor(path, name, query) {
    Object.assign(this, { path, name, query, items: null, next: null, answer: null, still: false, turn: 0 });
  }

  /** The first page as it is now; nothing is asked while somebody reads on. */
  async ask() {
    if (this.still) return;
    const turn = ++this.turn;
    const page = await this.page(null);
    if (turn === this.turn) Object.assign(this, page);
  }

  /** The page after those there are. */
  async more() {
    const turn = ++this.turn;
    this.still = true;
    const page = await this.page(this.next);
    if (turn === this.turn) Object.assign(this, page, { items: [...this.items, ...page.items] });
  }

  /** Something else is wanted, or the newest again: the next `ask` begins anew. */
  reset() {
    this.turn += 1;
    this.still = false;
  }

  /** A page may be empty and have a next one: then go on, but not for ever. */
  async page(cursor) {
    const query = this.query();
    for (let empty = 1; ; empty += 1) {
      const answer = await get(withQuery(this.path, { ...query, cursor }));
      const items = answer[this.name];
      if (items.length || answer.next === null || empty === EMPTY_MAX) return { items, next: answer.next, answer };
      cursor = answer.next;
    }
  }

  /** What stands below the list: how much is shown, and the way on. `what`: the plural of what is listed. */
  foot(what, { draw, tell, load }) {
    const more = () => this.more().then(draw, (error) => tell(error.message));
    const again = () => {
      this.reset();
      load();
    };
    return html`<div class="foot">
      ${this.still ? html`<span class="muted">${count(this.items.length)} ${what}. The list stands still while you read on.</span>` : nothing}
      ${this.next === null ? nothing : html`<button type="button" aria-label="More ${what}" @click=${more}>${this.items.length ? "More" : "Look further"}</button>`}
      ${this.still ? html`<button type="button" @click=${again}>Newest again</button>` : nothing}
    </div>`;
  }
}
