// The frame: who is signed in, which page is shown, and asking again while somebody looks.

import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import * as relay from "./relay.js";
import { audit } from "./audit.js";
import { deadLetters } from "./dead.js";
import { events } from "./events.js";
import { held } from "./held.js";
import { order } from "./order.js";
import { orders } from "./orders.js";
import { overview } from "./overview.js";

const PAGES = [
  ["", "Overview", overview],
  ["orders", "Orders", orders],
  ["events", "Webhooks", events],
  ["dead-letters", "Dead letters", deadLetters],
  ["held", "Held", held],
  ["audit", "Audit", audit],
];
const RETRY_MS = 3000;
const SAID_MS = 8000;
const [header, main, trouble, said] = ["header", "main", "trouble", "said"].map((id) => document.getElementById(id));

let session = null;
let page = null;
let timer = null;
let quiet = null;

/** Say what was done, to eyes and to a screen reader. */
function tell(words) {
  render(html`<p>${words}</p>`, said);
  clearTimeout(quiet);
  quiet = setTimeout(() => render(nothing, said), SAID_MS);
}

function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, id] = path.split("/");
  return { first, id, query: new URLSearchParams(query) };
}

/** Show the page that the address names. */
function go(event) {
  page?.close?.();
  clearTimeout(timer);
  const at = where();
  const [, title, make] = PAGES.find(([name]) => name === at.first) ?? PAGES[0];
  const made = (at.first === "orders" && at.id ? order : make)({ ...at, tell, draw: () => draw(made), load: () => look(made) });
  page = made;
  render(nothing, main);
  document.title = `${title} · order-relay`;
  drawHeader();
  draw(made);
  look(made);
  if (event) main.querySelector("h1")?.focus();
}

function draw(made) {
  if (page !== made) return;
  render(made.view(), main);
  made.drawn?.();
}

/** Ask, show, and ask again later; one that is not shown any more is left alone. */
async function look(made) {
  if (page !== made) return;
  clearTimeout(timer);
  let again = made.every;
  try {
    if (!document.hidden) await made.ask();
    if (page !== made) return;
    render(nothing, trouble);
    draw(made);
  } catch (error) {
    if (page !== made) return;
    if (error instanceof relay.Refused && error.status === 401) return start();
    if (error instanceof relay.Refused && error.status === 404) return missing(made, error.message);
    const words = error instanceof relay.Refused ? error.message : "The relay does not answer.";
    again = made.every ?? (error instanceof relay.Refused ? null : RETRY_MS);
    render(html`<p>${words}${again ? " Trying again." : nothing}</p>`, trouble);
    if (again) again = Math.max(again, RETRY_MS);
  }
  if (again) timer = setTimeout(() => look(made), again);
}

/** What the address names is not there, or not there any more; asking again would not help. */
function missing(made, words) {
  made.close?.();
  page = null;
  render(html`<h1 tabindex="-1">Not found</h1><p>${words}.</p>`, main);
}

function drawHeader() {
  const { first } = where();
  render(html`
    <a class="brand" href="#/"><img src="icon.svg" alt="" width="24" height="24"> order-relay</a>
    ${session === null ? nothing : html`
      <nav aria-label="Pages"><ul>${PAGES.map(([name, title]) => html`
        <li><a href="#/${name}" aria-current=${name === first ? "page" : nothing}>${title}</a></li>`)}
      </ul></nav>
      ${session.by === null ? nothing : html`
        <div class="who"><span>${session.by}${session.token === null ? nothing : html`, token <strong>${session.token}</strong>`}</span><button type="button" @click=${leave}>Sign out</button></div>`}`}
  `, header);
}

async function leave() {
  await relay.signOut().catch(() => undefined);
  start();
}

function signIn() {
  page?.close?.();
  [page, session] = [null, null];
  clearTimeout(timer);
  drawHeader();
  document.title = "Sign in · order-relay";
  let wrong = null;
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    try {
      session = await relay.signIn(given.get("by").trim(), given.get("token"));
      go(event);
    } catch (error) {
      wrong = error instanceof relay.Refused ? error.message : "The relay does not answer.";
      show();
    }
  };
  const show = () => render(html`
    <form class="card narrow" @submit=${submit}>
      <h1 tabindex="-1">Sign in</h1>
      <label>Your name <input name="by" required maxlength="200" autocomplete="username" value=${relay.name()}></label>
      <label>Token <input name="token" type="password" required autocomplete="current-password"></label>
      <p class="hint">Your own of <code>private.tokens</code>, or the value of <code>private.token</code>. Your name signs what you do; the audit keeps the token's name, too.</p>
      <div role="alert" class="trouble">${wrong ?? nothing}</div>
      <div class="buttons"><button class="primary">Sign in</button></div>
    </form>`, main);
  show();
  main.querySelector("input").focus();
}

async function start() {
  try {
    session = await relay.whoIsThere();
    render(nothing, trouble);
    go();
  } catch (error) {
    if (error instanceof relay.Refused && error.status === 401) {
      render(nothing, trouble);
      return signIn();
    }
    const words = error instanceof relay.Refused ? error.message : "The relay does not answer.";
    render(html`<p>${words} Trying again.</p>`, trouble);
    timer = setTimeout(start, RETRY_MS);
  }
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.tabIndex = -1;
  main.focus();
});
addEventListener("hashchange", (event) => session && go(event));
document.addEventListener("visibilitychange", () => !document.hidden && page && look(page));
main.replaceChildren();
start();
