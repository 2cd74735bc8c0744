// What needs a person, grouped by cause; replayed one by one, a group or all, or discarded.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { Content } from "./content.js";
import { discardMany, discardOne, nameOf, replayMany, replayOne } from "./letters.js";
import { Listing } from "./listing.js";
import { get } from "./relay.js";
import { badge, count, moment, plural } from "./words.js";

const SHOWN = 50;

export function deadLetters({ tell, draw, load }) {
  let groups = null;
  let replays = [];
  const opened = new Map();
  const contents = new Map();

  const keyOf = (group) => [group.code, group.channel, group.storefront].join("\n");
  const letterKey = (letter) => (letter.event === undefined ? `order ${letter.id}` : `event ${letter.event}`);
  const selectionOf = (group) => ({ code: group.code, storefront: group.storefront, ...(group.channel === null ? {} : { channel: group.channel }) });
  const total = () => groups.reduce((sum, group) => sum + group.count, 0);

  async function ask() {
    const [answer, running] = await Promise.all([get("dead-letters/groups"), get("replays?limit=5")]);
    [groups, replays] = [answer.groups, running.replays];
    await Promise.all([...opened.values()].map((list) => list.ask()));
  }

  async function toggle(group) {
    const key = keyOf(group);
    if (!opened.delete(key)) {
      const list = new Listing("dead-letters", "dead_letters", () => ({ ...selectionOf(group), limit: SHOWN }));
      opened.set(key, list);
      await list.ask();
    }
    draw();
  }

  async function look(letter) {
    if (contents.has(letter.event)) contents.delete(letter.event);
    else {
      const content = new Content(`dead-letters/events/${letter.event}`, draw, tell);
      contents.set(letter.event, content);
      await content.ask();
    }
    draw();
  }

  function then(done) {
    if (!done) return;
    opened.forEach((list) => list.reset());
    load();
  }

  const letterItem = (letter) => html`<li>
    <p><strong>${letter.event === undefined ? html`<a href="#/orders/${letter.id}">${nameOf(letter)}</a>` : nameOf(letter)}</strong>
      <span class="muted">${moment(letter.since ?? letter.received_at)}</span></p>
    <p>${letter.cause?.message ?? letter.why}</p>
    <div class="buttons">
      <button type="button" aria-label="Replay ${nameOf(letter)}" @click=${() => replayOne(letter, tell).then(then)}>Replay …</button>
      <button type="button" aria-label="Discard ${nameOf(letter)}" @click=${() => discardOne(letter, tell).then(then)}>Discard …</button>
      ${letter.event === undefined ? nothing : html`<button type="button" class="plain" aria-expanded=${contents.has(letter.event) ? "true" : "false"} @click=${() => look(letter)}>Webhook ${letter.event}</button>`}
    </div>
    ${contents.get(letter.event)?.view() ?? nothing}
  </li>`;

  const groupItem = (group) => {
    const list = opened.get(keyOf(group));
    const words = `${group.code}, ${group.storefront}`;
    return html`<li class="card">
      <h2><code>${group.code}</code> ${badge(plural(group.count, "dead letter"), "bad")}</h2>
      <p class="standing">${group.message}</p>
      <p class="muted">storefront ${group.storefront}${group.channel === null ? ", no order could be read" : `, channel ${group.channel}`}; from ${moment(group.first_at)} to ${moment(group.last_at)}</p>
      <div class="buttons">
        <button type="button" class="primary" aria-label="Replay all of ${words}" @click=${() => replayMany(selectionOf(group), `Replay ${words}`, group.count, tell).then(then)}>Replay all of these …</button>
        <button type="button" class="danger" aria-label="Discard all of ${words}" @click=${() => discardMany(selectionOf(group), `Discard ${words}`, group.count, tell).then(then)}>Discard all of these …</button>
        <button type="button" class="plain" aria-expanded=${list ? "true" : "false"} aria-label="Single dead letters of ${words}" @click=${() => toggle(group)}>${list ? "Hide them" : "Show them"}</button>
      </div>
      ${list?.items ? html`<ul class="letters">${repeat(list.items, letterKey, letterItem)}</ul>${list.foot("dead letters", { draw, tell, load })}` : nothing}
    </li>`;
  };

  const bar = (replay) => {
    const done = replay.revived + replay.left;
    return html`<progress max=${Math.max(1, replay.total)} value=${replay.ended_at ? Math.max(1, replay.total) : done} aria-label="Replay ${replay.id}"></progress>
      ${count(done)} of ${count(replay.total)}${replay.left ? `, ${count(replay.left)} left as they are` : ""}`;
  };

  const replayRow = (replay) => {
    const { code, channel, storefront } = replay.selection;
    return html`<tr>
      <th scope="row">${replay.id}</th>
      <td>${[code, channel, storefront].filter(Boolean).join(", ") || "all"}</td>
      <td>${bar(replay)}${replay.ended_at ? html` ${badge("done", "good")}` : nothing}</td>
      <td>${replay.by}: ${replay.why}</td><td>${moment(replay.begun_at)}</td>
    </tr>`;
  };

  const view = () => groups === null ? html`<h1 tabindex="-1">Dead letters</h1><p>Loading …</p>` : html`
    <h1 tabindex="-1">Dead letters</h1>
    ${replays.filter((replay) => replay.ended_at === null).map((replay) => html`<p class="notice" role="status">Replay ${replay.id} runs: ${bar(replay)}</p>`)}
    ${groups.length === 0 ? html`<p id="none">None. Nothing needs a person.</p>` : html`
      <p>${plural(total(), "dead letter")} by cause, the largest group first. Mend the cause first; the sale is made anew when it is replayed.</p>
      <div class="buttons"><button type="button" @click=${() => replayMany({}, "Replay all dead letters", total(), tell).then(then)}>Replay all dead letters …</button></div>
      <ul class="cards wide">${repeat(groups, keyOf, groupItem)}</ul>`}
    ${replays.length === 0 ? nothing : html`
      <h2 id="replays-title">Bulk replays</h2>
      <div class="scroll" role="group" aria-labelledby="replays-title" tabindex="0"><table id="replays">
        <thead><tr><th scope="col">Replay</th><th scope="col">What</th><th scope="col">Progress</th><th scope="col">Who and why</th><th scope="col">Begun</th></tr></thead>
        <tbody>${repeat(replays, (replay) => replay.id, replayRow)}</tbody>
      </table></div>`}`;

  return { every: 2000, ask, view };
}
