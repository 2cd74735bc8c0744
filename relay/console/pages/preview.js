// What an order would be sent as now: whether a mended mapping heals it, before it is replayed.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { get } from "./relay.js";
import { badge, count, plural } from "./words.js";

/** As the configuration is now; personal data masked. */
export const previewOf = (orderId) => get(`orders/${encodeURIComponent(orderId)}/preview?masked=true`);

const reasonsOf = (preview) => preview.reasons.map((reason) => `${reason.pointer} ${reason.detail}`.trim()).join("; ");

/** The preview in one sentence. */
export function inShort(preview) {
  if (preview.sale !== null && preview.disposition === "queued") return "As it is mapped now, it can be sent.";
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
