// One order's timeline: every webhook, what became of it, and every attempt.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { Content } from "./content.js";
import { discardHeld, releaseOne } from "./held.js";
import { discardOne, replayOne } from "./letters.js";
import { previewOf, shown } from "./preview.js";
import { get } from "./relay.js";
import { badge, duration, moment } from "./words.js";

export function order({ id, tell, draw, load }) {
  const path = `orders/${encodeURIComponent(id)}`;
  const content = new Content(path, draw, tell);
  const opened = new Map();
  let found = null;
  let seen = null;
  let preview = null;

  async function ask() {
    found = await get(path);
    const now = `${found.order.revision} ${found.attempts.length}`;
    if (now !== seen) await content.ask();
    seen = now;
  }

  /** Events and attempts in one line of time. */
  function timeline() {
    const events = found.events.map((event) => ({ at: event.received_at, item: eventItem(event) }));
    const attempts = found.attempts.map((attempt) => ({ at: attempt.started_at, item: attemptItem(attempt) }));
    return [...events, ...attempts].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ item }) => item);
  }

  async function open(event) {
    if (opened.has(event.event)) opened.delete(event.event);
    else {
      const raw = new Content(path, draw, tell, `?event=${event.event}`);
      opened.set(event.event, raw);
      await raw.ask();
      delete raw.found.sale;
    }
    draw();
  }

  const eventItem = (event) => html`<li class="event">
    <p><span class="what">Webhook</span> ${moment(event.received_at)} <strong>${event.topic}</strong> ${badge(event.disposition)}
      ${event.revision === null ? nothing : html`<span class="muted">revision ${event.revision}</span>`}</p>
    <p>${event.why}</p>
    ${event.reasons.map((reason) => html`<p class="standing"><code>${reason.pointer}</code> ${reason.detail}</p>`)}
    <button type="button" class="plain" aria-expanded=${opened.has(event.event) ? "true" : "false"} @click=${() => open(event)}>Webhook ${event.event}</button>
    ${opened.get(event.event)?.view() ?? nothing}
  </li>`;

  const attemptItem = (attempt) => html`<li class="attempt">
    <p><span class="what">Attempt</span> ${moment(attempt.started_at)} ${badge(attempt.outcome)}
      ${attempt.status === null ? nothing : html`<strong>${attempt.status}</strong>`}
      <span class="muted">revision ${attempt.revision}, ${duration(attempt.duration_s)}</span></p>
    ${attempt.code || attempt.message ? html`<p class="standing">${attempt.code ? html`<code>${attempt.code}</code> ` : nothing}${attempt.message}</p>` : nothing}
    ${content.plain && attempt.excerpt ? html`<pre tabindex="0" aria-label="What was answered">${attempt.excerpt}</pre>` : nothing}
  </li>`;

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

  function view() {
    if (found === null) return html`<h1 tabindex="-1">Order</h1><p>Loading …</p>`;
    const one = found.order;
    return html`
      <p><a href="#/orders">Orders</a></p>
      <h1 tabindex="-1">${one.reference ?? one.external_id} ${badge(one.state)}</h1>
      <p class="place" id="place">${one.why}</p>
      ${one.cause ? html`<p class="standing"><code>${one.cause.code}</code> ${one.cause.message}</p>` : nothing}
      <dl class="figures small">
        ${fact("Storefront", one.storefront)}${fact("External id", one.external_id)}${fact("Channel", html`${one.channel} ${one.channel_state ? badge(one.channel_state) : nothing}`)}
        ${fact("Lane", one.lane)}${fact("Revision", `${one.revision}, delivered ${one.delivered_revision}`)}${fact("Attempts", one.attempts)}
        ${fact("Since", moment(one.since))}${one.cancelled_at ? fact("Cancelled", moment(one.cancelled_at)) : nothing}
      </dl>
      ${one.state === "dead" ? html`<div class="buttons">
        <button type="button" class="primary" @click=${() => act(replayOne)}>Replay …</button>
        <button type="button" class="danger" @click=${() => act(discardOne)}>Discard …</button></div>` : nothing}
      ${one.state === "held" ? html`<div class="buttons">
        <button type="button" class="primary" @click=${() => act(releaseOne)}>Release …</button>
        <button type="button" class="danger" @click=${() => act(discardHeld)}>Discard …</button></div>` : nothing}
      <h2>Timeline</h2>
      <ol class="timeline" id="timeline">${timeline()}</ol>
      <h2>As it is mapped now</h2>
      <div class="buttons"><button type="button" @click=${tryMapping}>Try the mapping</button></div>
      <div role="status" id="preview">${preview ?? nothing}</div>
      <h2>What is in it</h2>
      ${content.view()}`;
  }

  return { every: 2000, ask, view };
}
