// What an order would be sent as now: whether a mended mapping heals it, or how many of them, before they are replayed.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { Refused, get, withQuery } from "./relay.js";
import { badge, count, plural } from "./words.js";

const SAMPLE = 5;
const BUSY_MS = 300;
const BUSY_MAX = 20;

/** As the configuration is now; personal data masked. The relay makes one preview at a time. */
export async function previewOf(orderId) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await get(`orders/${encodeURIComponent(orderId)}/preview?masked=true`);
    } catch (error) {
      if (!(error instanceof Refused && error.type === "busy") || tried === BUSY_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
    }
  }
}

const canBeSent = (preview) => preview.sale !== null && preview.disposition === "queued";

const reasonsOf = (preview) => preview.reasons.map((reason) => `${reason.pointer} ${reason.detail}`.trim()).join("; ");

/** The preview in one sentence. */
export function inShort(preview) {
  if (canBeSent(preview)) return "As it is mapped now, it can be sent.";
  if (preview.disposition === "held") return `As it is mapped now, it would be held: ${reasonsOf(preview)}`;
  return `As it is mapped now, it would be ${preview.disposition} again: ${reasonsOf(preview)}`;
}

export const shown = (preview) => html`
  <p>${badge(preview.disposition)} ${inShort(preview)}</p>
  ${preview.notes.map((note) => html`<p class="standing"><code>${note.pointer}</code> ${note.detail}</p>`)}
  ${preview.sale === null ? nothing : html`<details>
    <summary>Sale as it would be made <span class="muted">(masked)</span></summary>
    <pre tabindex="0" aria-label="Sale as it would be made">${JSON.stringify(preview.sale, null, 2)}</pre></details>`}
  ${preview.not_carried_over?.count ? html`<details>
    <summary>Not carried over: ${plural(preview.not_carried_over.count, "value")} of ${count(preview.not_carried_over.values)}</summary>
    <ul>${preview.not_carried_over.groups.slice(0, 200).map((group) => html`<li><code>${group.pointer}</code>${group.count > 1 ? ` (${count(group.count)})` : ""}</li>`)}</ul></details>` : nothing}`;

/** Some of what a selection of dead letters selects, as they are mapped now: `total` is how many there are. */
export async function sampleOf(selection, total, nameOf) {
  const { dead_letters: letters } = await get(withQuery("dead-letters", { ...selection, limit: SAMPLE }));
  const tried = [];
  for (const letter of letters) {
    const preview = letter.event === undefined ? await previewOf(letter.id).catch((error) => error) : null;
    tried.push({ name: nameOf(letter), preview });
  }
  const orders = tried.filter((one) => one.preview !== null);
  const good = orders.filter(({ preview }) => !(preview instanceof Error) && canBeSent(preview));
  return html`
    <p>${total > letters.length ? `The newest ${count(letters.length)} of ${count(total)} were tried` : "Each was tried"}:
      ${orders.length ? html`<strong>${count(good.length)} of ${plural(orders.length, "order")} can be sent</strong> as mapped now.` : "no order could be read from them, and each is read anew."}</p>
    ${tried.map(({ name, preview }) => html`<details>
      <summary>${name} ${verdict(preview)}</summary>${told(preview)}</details>`)}`;
}

const verdict = (preview) => {
  if (preview === null) return badge("no order");
  if (preview instanceof Error) return badge("cannot be tried", "warn");
  return canBeSent(preview) ? badge("can be sent", "good") : badge(preview.disposition);
};

const told = (preview) => {
  if (preview === null) return html`<p>It is read anew when it is replayed; if there still is no order in it, it is left as it is.</p>`;
  return preview instanceof Error ? html`<p>${preview.message}</p>` : shown(preview);
};
