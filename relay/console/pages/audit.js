// What persons did, newest first: kept for ever.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { patient } from "./asking.js";
import { Listing } from "./listing.js";
import { badge, count, moment } from "./words.js";

const SHOWN = 100;
const ENOUGH = 20;
const PAGES_MAX = 10;

export function audit({ draw, tell, load }) {
  let sought = "";
  const list = new Listing("deeds", "deeds", () => ({ limit: SHOWN }));

  const wanted = (deed) => [deed.by, deed.token, deed.what, deed.about, deed.why].join("\n").toLowerCase().includes(sought.trim().toLowerCase());

  /** What is sought may be further back. */
  const seeking = patient(async () => {
    const now = sought;
    try {
      for (let page = 0; now && now === sought && list.next && page < PAGES_MAX && list.items.filter(wanted).length < ENOUGH; page += 1) {
        await list.more();
        draw();
      }
    } catch (error) {
      tell(error.message);
    }
  });

  function typed(event) {
    sought = event.target.value;
    seeking.typed();
    draw();
  }

  const row = (deed) => html`<tr>
    <td>${moment(deed.at)}</td><th scope="row">${deed.by}</th><td>${deed.token ?? html`<span class="muted">none needed</span>`}</td>
    <td>${badge(deed.what)}</td><td>${aboutOf(deed.about)}</td><td class="words">${deed.why}</td>
  </tr>`;

  function aboutOf(about) {
    const one = about.match(/^order:(\d+)$/);
    return one ? html`<a href="#/orders/${one[1]}">${about}</a>` : about;
  }

  function view() {
    if (list.items === null) return html`<h1 tabindex="-1">Audit</h1><p>Loading …</p>`;
    const shown = list.items.filter(wanted);
    return html`
      <h1 tabindex="-1">Audit</h1>
      <form role="search" @submit=${(event) => event.preventDefault()}>
        <label>Who, token, what, about what or why <input type="search" maxlength="200" autocomplete="off" .value=${sought} @input=${typed}></label>
      </form>
      ${sought.trim() ? html`<p role="status">${count(shown.length)} of ${list.next ? `the newest ${count(list.items.length)}` : count(list.items.length)} deeds</p>` : nothing}
      ${shown.length === 0 ? html`<p>Nobody has done anything like that${list.next ? " lately" : ""}.</p>` : html`
        <div class="scroll" role="group" aria-label="What persons did" tabindex="0"><table id="deeds">
          <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">Token</th><th scope="col">What</th><th scope="col">About</th><th scope="col">Why</th></tr></thead>
          <tbody>${shown.map(row)}</tbody>
        </table></div>`}
      ${list.foot("deeds", { draw, tell, load })}`;
  }

  return { every: 5000, ask: () => list.ask(), view, close: seeking.stop };
}
