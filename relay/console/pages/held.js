// Orders that their storefront's rule does not want yet: sent all the same, or put aside.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { confirmed } from "./dialog.js";
import { nameOf } from "./letters.js";
import { Listing } from "./listing.js";
import { get, post } from "./relay.js";
import { duration, plural } from "./words.js";

const SHOWN = 100;

/** Send one all the same. */
export async function releaseOne(order, tell) {
  const done = await confirmed({
    title: `Release ${nameOf(order)}`,
    text: "It is sent although its storefront's rule does not want it yet, and is not asked about again.",
    button: "Release",
    act: (who) => post("held/release", { ...who, orders: [order.id] }),
  });
  if (done === null) return false;
  tell(done.released.orders.length ? `${nameOf(order)} waits to be sent.` : `${nameOf(order)} was left as it is.`);
  return true;
}

export async function discardHeld(order, tell) {
  const done = await confirmed({
    title: `Discard ${nameOf(order)}`,
    text: "It is kept, and is not sent. A newer webhook that its storefront's rule wants still sends it.",
    button: "Discard",
    danger: true,
    act: (who) => post("held/discard", { ...who, orders: [order.id] }),
  });
  if (done === null) return false;
  tell(`${nameOf(order)} is discarded.`);
  return true;
}

/** Release what is held of a storefront by now, a page after the other; what comes to be held meanwhile stays. */
async function releaseAll(group, until, tell) {
  const done = await confirmed({
    title: `Release everything held of ${group.storefront}`,
    text: `${plural(group.count, "order")} held now. They are sent behind live traffic.`,
    button: "Release all of these",
    act: async (who) => {
      let [released, after] = [0, null];
      do {
        const page = { all: true, storefront: group.storefront, until, ...(after ? { after } : {}) };
        const answer = await post("held/release", { ...who, ...page });
        released += answer.released.orders.length;
        after = answer.next;
      } while (after);
      return released;
    },
  });
  if (done === null) return false;
  tell(`${plural(done, "order")} released.`);
  return true;
}

export function held({ tell, draw, load }) {
  const list = new Listing("held", "held", () => ({ limit: SHOWN }));
  let rules = {};

  async function ask() {
    [, { storefronts: rules }] = await Promise.all([list.ask(), get("status")]);
  }

  function then(done) {
    if (!done) return;
    list.reset();
    load();
  }

  const groupItem = (group) => html`<li class="card">
    <h2>${group.storefront}</h2>
    <p>${plural(group.count, "order")} held, the longest for ${duration(group.oldest_age_s)}</p>
    ${rules[group.storefront]?.accept_when ? html`<p class="standing">sent when <code>${rules[group.storefront].accept_when}</code></p>` : nothing}
    <div class="buttons"><button type="button" aria-label="Release everything held of ${group.storefront}" @click=${() => releaseAll(group, list.answer.now, tell).then(then)}>Release all of these …</button></div>
  </li>`;

  const row = (order) => html`<tr>
    <th scope="row"><a href="#/orders/${order.id}">${nameOf(order)}</a></th>
    <td>${order.storefront}</td><td>${duration(order.held_s)}</td><td class="words">${order.why}</td>
    <td><div class="buttons"><button type="button" aria-label="Release ${nameOf(order)}" @click=${() => releaseOne(order, tell).then(then)}>Release …</button>
      <button type="button" aria-label="Discard ${nameOf(order)}" @click=${() => discardHeld(order, tell).then(then)}>Discard …</button></div></td>
  </tr>`;

  function view() {
    if (list.items === null) return html`<h1 tabindex="-1">Held orders</h1><p>Loading …</p>`;
    const { groups } = list.answer;
    const total = groups.reduce((sum, group) => sum + group.count, 0);
    return html`
      <h1 tabindex="-1">Held orders</h1>
      ${total === 0 ? html`<p>None. An order is held while its storefront's <code>accept_when</code> rule does not want it.</p>` : html`
        <ul class="cards wide">${repeat(groups, (group) => group.storefront, groupItem)}</ul>
        <div class="scroll" role="group" aria-label="Held orders" tabindex="0"><table>
          <thead><tr><th scope="col">Order</th><th scope="col">Storefront</th><th scope="col">Held for</th><th scope="col">Why</th><th scope="col">Act</th></tr></thead>
          <tbody>${repeat(list.items, (order) => order.id, row)}</tbody>
        </table></div>
        ${list.foot("held orders", { draw, tell, load })}`}`;
  }

  return { every: 3000, ask, view };
}
