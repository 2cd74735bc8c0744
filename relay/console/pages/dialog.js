// One question at a time, in the browser's own dialog: it keeps the focus in, and Escape closes it.

import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { name, rememberName, signedIn } from "./relay.js";

const dialog = document.getElementById("dialog");

/**
 * Ask who does something, and why; null if they think better of it.
 * `inputs` is what else is asked, as a template of labels; `act` is given what was said to it, as form data.
 * `more` promises words or a template that help to decide. `act` does it: while it runs the dialog stays, and what it throws is shown there.
 */
export function confirmed({ title, text, button, act, danger = false, inputs = nothing, more = null }) {
  const opener = document.activeElement;
  return new Promise((resolve) => {
    let trouble = null;
    let busy = false;
    let found = null;
    let open = true;
    const close = (result) => {
      open = false;
      dialog.close();
      render(nothing, dialog);
      if (opener?.isConnected) opener.focus();
      resolve(result);
    };
    const submit = async (event) => {
      event.preventDefault();
      const said = new FormData(event.target);
      const by = said.get("by").trim();
      busy = true;
      draw();
      try {
        rememberName(by);
        close(await act({ by, why: said.get("why").trim() }, said));
      } catch (error) {
        [trouble, busy] = [error.message, false];
        draw();
      }
    };
    const draw = () => render(html`
      <form @submit=${submit}>
        <h2 id="dialog-title">${title}</h2>
        ${text ? html`<p>${text}</p>` : nothing}
        <div role="status" id="more">${found ?? (more === null ? nothing : html`<p class="muted">Trying the mapping …</p>`)}</div>
        ${inputs}
        <label>Your name <input name="by" required maxlength="200" autocomplete="name" value=${name()} ?readonly=${signedIn()}></label>
        <label>Why <textarea name="why" required maxlength="1000" rows="3"></textarea></label>
        <p class="hint">Both are kept for ever: write no customer's name.</p>
        <div role="alert" class="trouble">${trouble ?? nothing}</div>
        <div class="buttons">
          <button type="button" @click=${() => close(null)}>Cancel</button>
          <button class=${danger ? "danger" : "primary"} ?disabled=${busy}>${button}</button>
        </div>
      </form>`, dialog);
    dialog.oncancel = (event) => {
      event.preventDefault();
      close(null);
    };
    more?.catch((error) => html`<p>${error.message}</p>`).then((words) => {
      found = words;
      if (open) draw();
    });
    draw();
    dialog.showModal();
    dialog.querySelector(inputs !== nothing ? "label input" : name() ? "textarea" : "input").focus();
  });
}
