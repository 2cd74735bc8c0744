// Where is order #1001? Search as you type; what came last stands below.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { latest } from "./overview.js";
import { get, withQuery } from "./relay.js";
import { badge, moment, plural } from "./words.js";

const TYPING_MS = 200;

export function orders({ query, draw, load }) {
  let sought = query.get("find") ?? "";
  let found = null;
  let events = [];
  let timer = null;

  async function ask() {
    const now = sought.trim();
    const [answer, pulse] = await Promise.all([now ? get(withQuery("orders", { reference: now })) : null, get("pulse")]);
    if (now !== sought.trim()) return;
    [found, events] = [answer?.orders ?? null, pulse.latest];
  }

  function typed(event) {
    sought = event.target.value;
    clearTimeout(timer);
    timer = setTimeout(() => {
      history.replaceState(null, "", sought.trim() ? `#/orders?find=${encodeURIComponent(sought.trim())}` : "#/orders");
      load();
    }, TYPING_MS);
  }

  function recent() {
    const typed = sought.trim().toLowerCase().replace(/^#/, "");
    const begins = (text) => (text ?? "").toLowerCase().replace(/^#/, "").startsWith(typed);
    return events.filter((event) => begins(event.reference) || begins(event.external_id));
  }

  const row = (order) => html`<tr>
    <th scope="row"><a href="#/orders/${order.id}">${order.reference ?? order.external_id}</a></th>
    <td>${order.external_id}</td><td>${order.storefront}</td><td>${badge(order.state)}</td><td>${order.why}</td><td>${moment(order.since)}</td>
  </tr>`;

  const results = () => html`
    <p role="status">${found.length ? plural(found.length, "order") : "No order has this reference or external id."}</p>
    ${found.length === 0 ? nothing : html`
      <div class="scroll" role="group" aria-label="Orders found" tabindex="0"><table id="found">
        <thead><tr><th scope="col">Order</th><th scope="col">External id</th><th scope="col">Storefront</th><th scope="col">State</th><th scope="col">Why</th><th scope="col">Since</th></tr></thead>
        <tbody>${repeat(found, (order) => order.id, row)}</tbody>
      </table></div>`}`;

  const view = () => html`
    <h1 tabindex="-1">Orders</h1>
    <form role="search" @submit=${(event) => { event.preventDefault(); load(); }}>
      <label>Reference or external id
        <input type="search" name="find" id="find" placeholder="#1001" autocomplete="off" spellcheck="false" maxlength="200" .value=${sought} @input=${typed}></label>
    </form>
    ${found === null ? nothing : results()}
    <h2>Latest webhooks</h2>
    ${latest(recent().slice(0, 50))}`;

  return { every: 3000, ask, view, close: () => clearTimeout(timer) };
}
