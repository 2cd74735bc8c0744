// One order's timeline: every webhook, what became of it, and every attempt.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { Content } from "./content.js";
import { discardHeld, releaseOne } from "./held.js";
import { discardOne, replayOne, resendOne } from "./letters.js";
import { previewOf, shown } from "./preview.js";
import { get } from "./relay.js";
import { badge, moment, took } from "./words.js";

export function order({ id, tell, draw, load }) {
  const path = `orders/${encodeURIComponent(id)}`;
  const content = new Content(path, draw, tell);
  const opened = new Map();
  let found = null;
  let seen = null;
  let preview = null;

  async function ask() {
    found = await get(`${path}?masked=true`);
    const now = `${found.order.revision} ${found.attempts.length}`;
    if (now !== seen) await content.ask();
    seen = now;
  }

  const ITEMS = { event: eventItem, attempt: attemptItem, deed: deedItem };

  async function open(event) {
    if (opened.has(event)) opened.delete(event);
    else {
      const raw = new Content(path, draw, tell, `?event=${event}`);
      opened.set(event, raw);
      await raw.ask();
      delete raw.found.sale;
    }
    draw();
  }

  const revision = (line) => (line.revision === null ? nothing : html`<span class="muted">revision ${line.revision}</span>`);

  function eventItem(line) {
    const event = found.events.find((one) => one.event === line.number);
    return html`<li class="event">
      <p><span class="what">Webhook</span> ${moment(line.at)} <strong>${line.what}</strong> ${badge(line.came_to)} ${revision(line)}</p>
      <p>${line.words}</p>
      ${event.reasons.map((reason) => html`<p class="standing"><code>${reason.pointer}</code> ${reason.detail}</p>`)}
      <button type="button" class="plain" aria-expanded=${opened.has(line.number) ? "true" : "false"} @click=${() => open(line.number)}>Webhook ${line.number}</button>
      ${opened.get(line.number)?.view() ?? nothing}
    </li>`;
  }

  function attemptItem(line) {
    const attempt = found.attempts[line.number - 1];
    const excerpt = (content.plain && content.answers[line.number - 1]) || attempt.excerpt;
    return html`<li class="attempt">
      <p><span class="what">Attempt</span> ${moment(line.at)} ${badge(attempt.outcome)}
        ${attempt.status === null ? nothing : html`<strong>${attempt.status}</strong>`} ${revision(line)}<span class="muted">, took ${took(attempt.duration_s)}</span></p>
      ${line.words ? html`<p class="standing">${line.words}</p>` : nothing}
      ${excerpt ? html`<details><summary>What was answered${content.plain ? nothing : html` <span class="muted">(masked)</span>`}</summary>
        <pre tabindex="0" aria-label="What was answered">${excerpt}</pre></details>` : nothing}
    </li>`;
  }

  function deedItem(line) {
    return html`<li class="deed"><p><span class="what">By hand</span> ${moment(line.at)} ${badge(line.what)} by ${line.came_to}</p><p>${line.words}</p></li>`;
  }

  async function tryMapping() {
    try {
      preview = shown(await previewOf(id));
    } catch (error) {
      preview = html`<p>${error.message}</p>`;
    }
    draw();
  }

  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;

  const act = async (deed) => {
    if (await deed(found.order, tell)) load();
  };

  const button = (words, deed, kind) => html`<button type="button" class=${kind} @click=${() => act(deed)}>${words} …</button>`;

  const PRIMARY = { dead: ["Replay", replayOne], held: ["Release", releaseOne], sent: ["Resend", resendOne], discarded: ["Resend", resendOne] };
  const DISCARD = { dead: discardOne, held: discardHeld };

  function buttons({ state }) {
    if (!(state in PRIMARY)) return nothing;
    return html`<div class="buttons">${button(...PRIMARY[state], state in DISCARD ? "primary" : "")}${state in DISCARD ? button("Discard", DISCARD[state], "danger") : nothing}</div>`;
  }

  function view() {
    if (found === null) return html`<h1 tabindex="-1">Order</h1><p>Loading …</p>`;
    const one = found.order;
    return html`
      <p><a href="#/orders">Orders</a></p>
      <h1 tabindex="-1">${one.reference ?? one.external_id} ${badge(one.state)}</h1>
      <p class="place" id="place">${found.where.words}</p>
      <dl class="figures small">
        ${fact("Storefront", one.storefront)}${fact("External id", one.external_id)}${fact("Channel", html`${one.channel} ${one.channel_state ? badge(one.channel_state) : nothing}`)}
        ${fact("Lane", one.lane)}${fact("Revision", `${one.revision}, delivered ${one.delivered_revision}`)}${fact("Attempts", one.attempts)}
        ${fact("Since", moment(one.since))}${one.cancelled_at ? fact("Cancelled", moment(one.cancelled_at)) : nothing}
      </dl>
      ${buttons(one)}
      <h2>Timeline</h2>
      <ol class="timeline" id="timeline">${found.timeline.map((line) => ITEMS[line.kind](line))}</ol>
      <h2>As it is mapped now</h2>
      <div class="buttons"><button type="button" @click=${tryMapping}>Try the mapping</button></div>
      <div role="status" id="preview">${preview ?? nothing}</div>
      <h2>What is in it</h2>
      ${content.view()}`;
  }

  return { every: 2000, ask, view };
}
