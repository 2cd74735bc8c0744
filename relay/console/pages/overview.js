// The operator's one look: is it ready, how fast, how old is the oldest new order, when will the backlog be gone.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { confirmed } from "./dialog.js";
import { Plot } from "./plots.js";
import { get, post, withQuery } from "./relay.js";
import { LANES, ago, badge, count, drain, duration, moment, plural, rate } from "./words.js";

const SHOWN_S = 300;
const MEAN_S = 10;
const LATEST = 10;
const NEAR = 0.7;
const OLD_S = 60;
const TOO_OLD_S = 300;
const COLUMNS = ["accepted", "delivered", "not_delivered"];

export function overview({ tell, draw, load }) {
  let status = null;
  let pulse = null;
  let storefronts = [];
  let plots = null;
  const backlog = [[], ...LANES.map(() => [])];

  async function ask() {
    const after = pulse === null ? "" : pulse.first + pulse.accepted.length - 1;
    const [now, more, doors] = await Promise.all([get("status"), get(withQuery("pulse", { after, limit: LATEST })), get("storefronts")]);
    [status, pulse, storefronts] = [now, joined(pulse, more), doors.storefronts];
    backlog[0].push(new Date(status.now) / 1000);
    LANES.forEach((lane, i) => backlog[i + 1].push(waiting(lane)));
    if (backlog[0].length > SHOWN_S) backlog.forEach((column) => column.shift());
  }

  const channels = () => Object.entries(status.channels);
  const waiting = (lane) => channels().reduce((sum, [, channel]) => sum + channel.waiting[lane], 0);
  const oldest = (lane) => Math.max(0, ...channels().map(([, channel]) => channel.oldest_due_age_s[lane]));
  const mean = (column) => column.slice(-MEAN_S).reduce((sum, one) => sum + one, 0) / Math.max(1, Math.min(MEAN_S, column.length));

  /** The slowest channel's, of those that can tell; the others are named. */
  function drained() {
    const each = channels().map(([name, channel]) => [name, channel.drain_s]);
    const unknown = each.filter(([, seconds]) => seconds === null).map(([name]) => name);
    const known = Math.max(0, ...each.map(([, seconds]) => seconds ?? 0));
    if (unknown.length === 0) return drain(known);
    const standing = unknown.map((name) => `${name} (${status.channels[name].state === "sending" ? "nothing gets through" : status.channels[name].state})`).join(", ");
    return known === 0 ? html`unknown<small>because of ${standing}</small>` : html`${drain(known)}<small>but for ${standing}</small>`;
  }

  /** The key figure: how long the most urgent order has been due, and in which channel. */
  function lead() {
    const [name, seconds] = channels().map(([name, channel]) => [name, channel.oldest_due_age_s.new]).reduce((one, other) => (other[1] > one[1] ? other : one), ["", 0]);
    const kind = seconds > TOO_OLD_S ? "bad" : seconds > OLD_S ? "warn" : "good";
    return html`<div class="lead ${kind}"><dt>Oldest new order due</dt><dd><span id="oldest">${duration(seconds)}</span><small>${seconds ? `waits for channel ${name}` : "none waits"}</small></dd></div>`;
  }

  function drawn() {
    if (status === null) return;
    plots ??= [
      new Plot(document.getElementById("plot-pace"), ["accepted", "delivered", "failed"]),
      new Plot(document.getElementById("plot-backlog"), LANES.map((lane) => `lane-${lane}`)),
    ];
    const last = (column) => column.slice(-SHOWN_S);
    const times = pulse.accepted.map((_, i) => pulse.first + i);
    plots[0].show([times, pulse.accepted, pulse.delivered, pulse.not_delivered].map(last));
    plots[1].show(backlog.map((column) => [...column]));
  }

  const move = (channel, how) => confirmed({
    title: how === "pause" ? `Pause ${channel}` : `Resume ${channel}`,
    text: how === "pause"
      ? "Nothing is sent through it until someone resumes it. Accepting goes on, and no order ages."
      : "Ends the pause, a rest, an open circuit and a halt. Its secret files are read again.",
    button: how === "pause" ? "Pause" : "Resume",
    danger: how === "pause",
    act: (who) => post(`channels/${encodeURIComponent(channel)}/${how}`, who),
  }).then((done) => {
    if (done === null) return;
    tell(`${channel} is ${done.state}.`);
    load();
  });

  const slow = (channel, known) => confirmed({
    title: `Slow ${channel} down`,
    text: `No more requests a second than this are sent through it for now; ${rate(known.configured_rate)} are configured. A throttle still slows it down further.`,
    inputs: html`
      <label>Requests a second <input name="rate" type="number" required step="any" min="0.01" max=${known.configured_rate} value=${known.configured_rate / 2}></label>
      <label>For how many minutes <input name="minutes" type="number" step="any" min="1" max="43200" value="30"></label>
      <p class="hint">Without minutes: until someone takes it back.</p>`,
    button: "Slow down",
    act: (who, said) => post(`channels/${encodeURIComponent(channel)}/rate`, {
      ...who, rate: Number(said.get("rate")), for_s: said.get("minutes") ? 60 * Number(said.get("minutes")) : null,
    }),
  }).then((done) => rated(channel, done));

  const fullPace = (channel) => confirmed({
    title: `Full pace for ${channel}`,
    text: "Takes its rate for now back: it is sent to as is configured.",
    button: "Full pace",
    act: (who) => post(`channels/${encodeURIComponent(channel)}/rate`, { ...who, rate: null }),
  }).then((done) => rated(channel, done));

  function rated(channel, done) {
    if (done === null) return;
    tell(`${channel} is sent to at ${rate(done.rate)}.`);
    load();
  }

  const figure = (name, value, more = nothing) => html`<div><dt>${name}</dt><dd>${value}${more}</dd></div>`;

  const key = (colour, words) => html`<li><span class="key ${colour}" aria-hidden="true"></span>${words}</li>`;

  const channelCard = ([name, channel]) => html`
    <li class="card channel">
      <h3>${name} ${badge(channel.state)}</h3>
      ${standing(channel)}
      <dl class="figures small">
        ${figure("Rate", rate(channel.rate), channel.rate < channel.configured_rate ? ` of ${rate(channel.configured_rate)}` : nothing)}
        ${figure("In flight", count(channel.in_flight))}
        ${LANES.map((lane) => figure(`Waiting, ${lane}`, count(channel.waiting[lane])))}
        ${figure("Oldest new due", duration(channel.oldest_due_age_s.new))}
        ${figure("Drained in", drain(channel.drain_s))}
        ${figure("Breaker", channel.circuit)}
      </dl>
      <div class="buttons">
        ${channel.state === "paused" ? nothing : html`
          <button type="button" @click=${() => move(name, "pause")} aria-label="Pause ${name}">Pause …</button>`}
        ${channel.rate_for_now ? html`
          <button type="button" @click=${() => fullPace(name)} aria-label="Full pace for ${name}">Full pace …</button>` : html`
          <button type="button" @click=${() => slow(name, channel)} aria-label="Slow ${name} down">Slow down …</button>`}
        ${channel.state === "sending" ? nothing : html`
          <button type="button" class="primary" @click=${() => move(name, "resume")} aria-label="Resume ${name}">Resume …</button>`}
      </div>
    </li>`;

  function standing(channel) {
    const words = [];
    if (channel.pause) words.push(html`Paused by ${channel.pause.by} ${ago(channel.pause.since)}: ${channel.pause.why}`);
    const said = channel.rate_for_now;
    if (said) words.push(html`${said.rate}/s for now, by ${said.by}${said.until ? html` until ${moment(said.until)}` : ""}: ${said.why}`);
    if (channel.circuit !== "closed") {
      const cause = channel.circuit_cause;
      words.push(html`${channel.circuit === "halted" ? "Halted" : "Circuit open"} ${ago(channel.circuit_since)}${cause ? `: ${(cause.message || cause.code).replace(/\.$/, "")}` : ""}${channel.probe_in_s === null ? "" : `. Next probe in ${duration(channel.probe_in_s)}`}`);
      if (channel.latest_order) words.push(html`See <a href="#/orders/${channel.latest_order.id}">${channel.latest_order.reference ?? channel.latest_order.external_id}</a>`);
    }
    if (channel.resting_s > 0) words.push(html`Resting for ${duration(channel.resting_s)}${channel.resting_cause ? `: ${channel.resting_cause.message || channel.resting_cause.code}` : ""}`);
    if (channel.trouble && channel.circuit === "closed") words.push(html`Nothing got through in ${plural(channel.trouble.attempts, "attempt")}: ${channel.trouble.message || channel.trouble.code}`);
    return words.map((one) => html`<p class="standing">${one}</p>`);
  }

  const storefrontRow = (one) => html`<tr>
    <th scope="row"><a href="#/events?storefront=${encodeURIComponent(one.name)}">${one.name}</a></th>
    <td>${one.configured ? one.kind : html`<span class="muted">not configured</span>`}</td><td>${one.channel || "—"}</td>
    <td>${one.last_event_at ? html`<span title=${one.last_event_at}>${ago(one.last_event_at)}</span>` : "never"}</td>
    <td class="number">${count(one.accepted)}</td><td class="number">${count(one.held)}</td>
    <td class="number">${count(one.refused_requests)}${one.refused.map((words) => html` <span class="badge bad">refused: ${words}</span>`)}</td>
  </tr>`;

  function view() {
    if (status === null) return html`<h1 tabindex="-1">Overview</h1><p>Loading …</p>`;
    const total = LANES.reduce((sum, lane) => sum + waiting(lane), 0);
    const oldestOfAll = Math.max(...LANES.map(oldest));
    return html`
      <h1 tabindex="-1">Overview</h1>
      <p class="ready">${status.ready ? badge("ready", "good") : badge("not ready", "bad")}
        ${status.reasons.map((reason) => html`<span>${reason}</span>`)}
        <span class="muted">version ${status.version}, started ${ago(status.started_at)}</span></p>
      ${status.limits.filter((limit) => limit.level >= NEAR).map((limit) => html`
        <p class="notice"><strong>${limit.limit}${limit.channel ? ` of ${limit.channel}` : ""}</strong>: ${limit.words}</p>`)}
      <dl class="figures" id="figures">
        ${lead()}
        ${figure("Accepted", html`<span id="accepted-rate">${rate(mean(pulse.accepted))}</span>`)}
        ${figure("Delivered", html`<span id="delivered-rate">${rate(mean(pulse.delivered))}</span>`)}
        ${figure("Waiting", html`<span id="waiting">${count(total)}</span>`)}
        ${figure("Oldest of all due", duration(oldestOfAll))}
        <div class="twice"><dt>Drained in</dt><dd>${drained()}</dd></div>
        ${figure("Dead letters", html`<a href="#/dead-letters">${count(status.dead_letters)}</a>`)}
        ${figure("Held", html`<a href="#/held">${count(status.held.reduce((sum, group) => sum + group.count, 0))}</a>`)}
      </dl>
      ${status.replays.map((replay) => html`
        <p class="notice">Replay ${replay.id} by ${replay.by}:
          <progress max=${Math.max(1, replay.total)} value=${replay.revived + replay.left} aria-label="Replay ${replay.id}"></progress>
          ${count(replay.revived + replay.left)} of ${count(replay.total)}</p>`)}
      <div class="plots">
        <section class="card" aria-labelledby="pace-title">
          <h2 id="pace-title">Per second</h2>
          <div class="plot" id="plot-pace" aria-hidden="true"></div>
          <ul class="keys">${key("accepted", `accepted, ${rate(mean(pulse.accepted))}`)}${key("delivered", `delivered, ${rate(mean(pulse.delivered))}`)}${key("failed", `in vain, ${rate(mean(pulse.not_delivered))}`)}</ul>
        </section>
        <section class="card" aria-labelledby="backlog-title">
          <h2 id="backlog-title">Backlog by lane</h2>
          <div class="plot" id="plot-backlog" aria-hidden="true"></div>
          <ul class="keys">${LANES.map((lane) => key(`lane-${lane}`, `${lane}, ${count(waiting(lane))}`))}</ul>
        </section>
      </div>
      <section aria-labelledby="channels-title">
        <h2 id="channels-title">Channels</h2>
        <ul class="cards">${repeat(channels(), ([name]) => name, channelCard)}</ul>
      </section>
      <section aria-labelledby="storefronts-title">
        <h2 id="storefronts-title">Storefronts</h2>
        <div class="scroll" role="group" aria-label="Table of storefronts" tabindex="0"><table>
          <thead><tr><th scope="col">Storefront</th><th scope="col">Kind</th><th scope="col">Channel</th><th scope="col">Last event</th><th scope="col" class="number">Accepted ever</th><th scope="col" class="number">Held</th><th scope="col" class="number">Refused since start</th></tr></thead>
          <tbody>${repeat(storefronts, (one) => one.name, storefrontRow)}</tbody>
        </table></div>
      </section>
      <section aria-labelledby="latest-title">
        <h2 id="latest-title">Latest webhooks</h2>
        ${latest(pulse.latest)}
        <p><a href="#/events">All webhooks</a></p>
      </section>`;
  }

  return { every: 1000, ask, view, drawn, close: () => plots?.forEach((plot) => plot.close()) };
}

/** What was known of the last seconds, and those that came since. */
function joined(known, more) {
  if (known === null || more.first !== known.first + known.accepted.length) return more;
  const columns = COLUMNS.map((name) => [name, [...known[name], ...more[name]].slice(-SHOWN_S)]);
  return { ...more, ...Object.fromEntries(columns), first: more.first + more.accepted.length - columns[0][1].length };
}

/** The latest webhooks as a table; each leads to its order. */
function latest(events) {
  if (!events.length) return html`<p class="muted">None since the relay started.</p>`;
  return html`<div class="scroll" role="group" aria-label="Table of webhooks" tabindex="0"><table>
    <thead><tr><th scope="col">Order</th><th scope="col">Storefront</th><th scope="col">Topic</th><th scope="col">Became</th><th scope="col">At</th></tr></thead>
    <tbody>${repeat(events, (event) => event.event, (event) => html`<tr>
      <th scope="row">${event.external_id === null ? `event ${event.event}` : html`<a href="#/orders?find=${encodeURIComponent(event.external_id)}">${event.reference ?? event.external_id}</a>`}</th>
      <td>${event.storefront}</td><td>${event.topic}</td><td>${badge(event.disposition)}</td><td>${moment(event.at)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
