// Where is order #1001? Search as you type, by what it is called, who bought, or where it is.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { canHash, hashOf } from "./address.js";
import { choice, keepInAddress, patient } from "./asking.js";
import { Listing } from "./listing.js";
import { get } from "./relay.js";
import { badge, moment, plural } from "./words.js";

const STATES = ["waiting", "sleeping", "held", "sent", "dead", "discarded", "ignored"];
const SHOWN = 25;

export function orders({ query, draw, load, tell }) {
  const wanted = Object.fromEntries(["find", "state", "storefront", "channel"].map((name) => [name, query.get(name) ?? ""]));
  let [typed, email, hash] = [wanted.find, "", null];
  let known = null;
  const list = new Listing("orders", "orders", () => ({
    text: wanted.find, email_hash: hash, state: wanted.state, storefront: wanted.storefront, channel: wanted.channel, limit: SHOWN,
  }));

  const isUnclear = () => email.trim() !== "" && hash === null;

  async function ask() {
    known ??= await Promise.all([get("storefronts"), get("status")]).then(([doors, status]) => ({
      storefronts: doors.storefronts.map((one) => one.name), channels: Object.keys(status.channels),
    }));
    if (!isUnclear()) await list.ask();
  }

  function look() {
    keepInAddress("orders", wanted);
    list.reset();
    load();
  }

  const finding = patient(() => {
    wanted.find = typed.trim();
    look();
  });
  const addressing = patient(async () => {
    hash = await hashOf(email);
    if (isUnclear()) return draw();
    look();
  });
  const choose = (name) => (value) => {
    wanted[name] = value;
    look();
  };

  const row = (order) => html`<tr>
    <th scope="row"><a href="#/orders/${order.id}">${order.reference ?? order.external_id}</a></th>
    <td>${order.external_id}</td><td>${order.storefront}</td><td>${badge(order.state)}</td><td class="words">${order.why}</td><td>${moment(order.since)}</td>
  </tr>`;

  const found = () => html`
    <p role="status">${list.items.length ? plural(list.items.length, "order") : list.next ? "None among those looked at so far." : "No order is like that."}${list.items.length && list.next ? ", and there are more" : nothing}</p>
    ${list.items.length === 0 ? nothing : html`
      <div class="scroll" role="group" aria-label="Orders found" tabindex="0"><table id="found">
        <thead><tr><th scope="col">Order</th><th scope="col">External id</th><th scope="col">Storefront</th><th scope="col">State</th><th scope="col">Where it is</th><th scope="col">Since</th></tr></thead>
        <tbody>${repeat(list.items, (order) => order.id, row)}</tbody>
      </table></div>`}
    ${list.foot("orders", { draw, tell, load })}`;

  const unclear = () => html`<p role="status" id="unclear">${canHash() ? "Type the whole address, or its SHA-256." : html`
    This browser makes no hash of an address, because the page came neither over TLS nor from the machine itself. Make it yourself, and put it here:
    <code>printf %s ada@example.com | sha256sum</code> (trimmed, in lower case). Or open the console by a tunnel, at localhost.`}</p>`;

  const view = () => html`
    <h1 tabindex="-1">Orders</h1>
    <form role="search" class="asking" @submit=${(event) => event.preventDefault()}>
      <label class="wide">Reference or external id begins with
        <input type="search" name="find" id="find" placeholder="#1001" autocomplete="off" spellcheck="false" maxlength="200" .value=${typed} @input=${(event) => { typed = event.target.value; finding.typed(); }}></label>
      <label class="wide">E-mail address of who bought
        <input type="text" id="email" inputmode="email" autocapitalize="off" autocomplete="off" spellcheck="false" maxlength="320" aria-describedby="email-hint" .value=${email} @input=${(event) => { email = event.target.value; addressing.typed(); }}></label>
      ${choice("State", STATES, wanted.state, choose("state"))}
      ${choice("Storefront", known?.storefronts ?? [], wanted.storefront, choose("storefront"))}
      ${choice("Channel", known?.channels ?? [], wanted.channel, choose("channel"))}
      <p class="hint wide" id="email-hint">The address does not leave this browser: its hash is looked for. Webhooks are looked for under <a href="#/events">Webhooks</a>.</p>
    </form>
    ${isUnclear() ? unclear() : list.items === null ? html`<p>Loading …</p>` : found()}`;

  return {
    every: 3000, ask, view,
    close: () => [finding, addressing].forEach((one) => one.stop()),
  };
}
