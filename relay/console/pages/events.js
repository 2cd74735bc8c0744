// Accepted webhooks: what came, what became of it, and of which order it is.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { choice, keepInAddress, patient } from "./asking.js";
import { nameOf } from "./letters.js";
import { Listing } from "./listing.js";
import { get, withQuery } from "./relay.js";
import { badge, moment, plural } from "./words.js";

const DISPOSITIONS = ["queued", "merged", "stale", "duplicate", "unchanged", "held", "quarantined", "ignored", "discarded"];
const SHOWN = 50;

export function events({ query, draw, load, tell }) {
  const wanted = Object.fromEntries(["storefront", "disposition", "order"].map((name) => [name, query.get(name) ?? ""]));
  let typed = "";
  let called = null;
  let storefronts = [];
  const list = new Listing("events", "events", () => ({ ...wanted, limit: SHOWN }));
  const isUnclear = () => typed.trim() !== "" && wanted.order === "";

  async function ask() {
    if (!storefronts.length) storefronts = (await get("storefronts")).storefronts.map((one) => one.name);
    if (!isUnclear()) await list.ask();
  }

  function look() {
    keepInAddress("events", wanted);
    list.reset();
    load();
  }

  /** Several storefronts may have an order of one name: then it is asked which. */
  const finding = patient(async () => {
    const now = typed.trim();
    try {
      const { orders } = now ? await get(withQuery("orders", { reference: now, storefront: wanted.storefront })) : { orders: null };
      if (now !== typed.trim()) return;
      called = orders;
      wanted.order = orders?.length === 1 ? String(orders[0].id) : "";
      look();
    } catch (error) {
      tell(error.message);
    }
  });

  const choose = (name) => (value) => {
    wanted[name] = value;
    if (typed.trim()) finding.typed();
    look();
  };

  const only = (order) => {
    wanted.order = String(order.id);
    look();
  };

  function all() {
    [typed, called, wanted.order] = ["", null, ""];
    look();
  }

  const about = (event) => {
    if (event.order) return html`<a href="#/orders/${event.order.id}">${nameOf(event.order)}</a>`;
    return event.disposition === "quarantined" ? html`<a href="#/dead-letters">none could be read</a>` : html`<span class="muted">none</span>`;
  };

  const row = (event) => html`<tr>
    <th scope="row">${event.event}</th><td>${moment(event.received_at)}</td><td>${event.storefront}</td><td>${event.topic}</td>
    <td>${badge(event.disposition)}</td><td>${about(event)}</td><td class="words">${event.why}${event.reasons.map((reason) => html` <code>${reason.pointer}</code> ${reason.detail}`)}</td>
  </tr>`;

  const found = () => html`
    <p role="status">${list.items.length ? plural(list.items.length, "webhook") : list.next ? "None among those looked at so far." : "No webhook is like that."}${list.items.length && list.next ? ", and there are more" : nothing}</p>
    ${list.items.length === 0 ? nothing : html`
      <div class="scroll" role="group" aria-label="Webhooks found" tabindex="0"><table id="events">
        <thead><tr><th scope="col">Webhook</th><th scope="col">Received</th><th scope="col">Storefront</th><th scope="col">Topic</th><th scope="col">Disposition</th><th scope="col">Order</th><th scope="col">What became of it</th></tr></thead>
        <tbody>${repeat(list.items, (event) => event.event, row)}</tbody>
      </table></div>`}
    ${list.foot("webhooks", { draw, tell, load })}`;

  const which = () => html`<div role="status" id="which">${!called?.length ? html`<p>No order is called that.</p>` : html`
    <p>${plural(called.length, "order")} called that: whose is meant?</p>
    <div class="buttons">${called.map((order) => html`<button type="button" @click=${() => only(order)}>${nameOf(order)} of ${order.storefront}</button>`)}</div>`}</div>`;

  const view = () => html`
    <h1 tabindex="-1">Webhooks</h1>
    <form role="search" class="asking" @submit=${(event) => event.preventDefault()}>
      <label>Order
        <input type="search" name="of" placeholder="#1001" autocomplete="off" spellcheck="false" maxlength="200" .value=${typed} @input=${(event) => { typed = event.target.value; finding.typed(); }}></label>
      ${choice("Storefront", storefronts, wanted.storefront, choose("storefront"))}
      ${choice("Disposition", DISPOSITIONS, wanted.disposition, choose("disposition"))}
    </form>
    ${wanted.order ? html`<p>Of one order only. <button type="button" class="plain" @click=${all}>Of all orders</button></p>` : nothing}
    ${isUnclear() ? which() : list.items === null ? html`<p>Loading …</p>` : found()}`;

  return { every: 3000, ask, view, close: finding.stop };
}
