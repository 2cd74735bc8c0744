// What persons did, newest first: kept for ever.

import { html } from "./vendor/lit-html/lit-html.js";
import { get } from "./relay.js";
import { badge, moment } from "./words.js";

const SHOWN_MAX = 500;

export function audit({ draw }) {
  let deeds = null;
  let sought = "";

  async function ask() {
    deeds = (await get(`deeds?limit=${SHOWN_MAX}`)).deeds;
  }

  const wanted = (deed) => [deed.by, deed.what, deed.about, deed.why].join(" ").toLowerCase().includes(sought.toLowerCase());

  const row = (deed) => html`<tr>
    <td>${moment(deed.at)}</td><th scope="row">${deed.by}</th><td>${badge(deed.what)}</td><td>${aboutOf(deed.about)}</td><td>${deed.why}</td>
  </tr>`;

  function aboutOf(about) {
    const one = about.match(/^order:(\d+)$/);
    return one ? html`<a href="#/orders/${one[1]}">${about}</a>` : about;
  }

  function view() {
    if (deeds === null) return html`<h1 tabindex="-1">Audit</h1><p>Loading …</p>`;
    const shown = deeds.filter(wanted);
    return html`
      <h1 tabindex="-1">Audit</h1>
      <form role="search" @submit=${(event) => event.preventDefault()}>
        <label>Who, what or why <input type="search" maxlength="200" autocomplete="off" .value=${sought} @input=${(event) => { sought = event.target.value; draw(); }}></label>
      </form>
      ${shown.length === 0 ? html`<p>Nobody has done anything like that.</p>` : html`
        <div class="scroll" role="group" aria-label="What persons did" tabindex="0"><table id="deeds">
          <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">About</th><th scope="col">Why</th></tr></thead>
          <tbody>${shown.map(row)}</tbody>
        </table></div>`}`;
  }

  return { every: 5000, ask, view };
}
