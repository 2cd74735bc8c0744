// Dead letters on their way again, or put aside: used where one is shown, and where many are.

import { confirmed } from "./dialog.js";
import { previewOf, sampleOf, shown } from "./preview.js";
import { get, post, withQuery } from "./relay.js";
import { plural } from "./words.js";

const BATCH = 1000;

export const nameOf = (letter) => (letter.event === undefined ? letter.reference ?? letter.external_id : `event ${letter.event}`);
const idsOf = (letters) => ({
  orders: letters.filter((letter) => letter.event === undefined).map((letter) => letter.id),
  events: letters.filter((letter) => letter.event !== undefined).map((letter) => letter.event),
});

/** Send one again; its sale is made anew from the newest webhook. */
export async function replayOne(letter, tell) {
  const done = await confirmed({
    title: `Replay ${nameOf(letter)}`,
    text: "Its sale is made anew from its newest webhook when its turn comes, behind live traffic.",
    more: letter.event === undefined ? previewOf(letter.id).then(shown) : null,
    button: "Replay",
    act: (who) => post("dead-letters/replay", { ...who, ...idsOf([letter]) }),
  });
  if (done === null) return false;
  const replayed = done.replayed.orders.length + done.replayed.events.length > 0;
  tell(replayed ? `${nameOf(letter)} waits again.` : `${nameOf(letter)} was left as it is.`);
  return replayed;
}

/** Send an order again whatever became of it; Jetti knows it by its externalId, and takes it for the same. */
export async function resendOne(order, tell) {
  const done = await confirmed({
    title: `Resend ${nameOf(order)}`,
    text: "Its newest state is sent again under the same externalId, behind live traffic. Its sale is made anew.",
    more: previewOf(order.id).then(shown),
    button: "Resend",
    act: (who) => post(`orders/${order.id}/resend`, who),
  });
  if (done === null) return false;
  tell(`${nameOf(order)} waits to be sent again.`);
  return true;
}

export async function discardOne(letter, tell) {
  const done = await confirmed({
    title: `Discard ${nameOf(letter)}`,
    text: "It is kept, and is no dead letter any more.",
    button: "Discard",
    danger: true,
    act: (who) => post("dead-letters/discard", { ...who, ...idsOf([letter]) }),
  });
  if (done === null) return false;
  tell(`${nameOf(letter)} is discarded.`);
  return true;
}

/** Replay what a selection selects, `{}` for all; the replay that was begun, or null. */
export async function replayMany(selection, title, number, tell) {
  const chosen = Object.keys(selection).length ? selection : { all: true };
  const done = await confirmed({
    title,
    text: `${plural(number, "dead letter")}. They drip in behind live traffic; it goes on after a restart.`,
    more: sampleOf(selection, number, nameOf),
    button: "Replay",
    act: (who) => post("dead-letters/replay", { ...who, ...chosen }),
  });
  if (done !== null) tell(`Replay ${done.replay.id} has begun.`);
  return done;
}

/** Discard everything of a group, a batch after the other. */
export async function discardMany(selection, title, number, tell) {
  const done = await confirmed({
    title,
    text: `${plural(number, "dead letter")}. They are kept, and are no dead letters any more.`,
    button: "Discard all of these",
    danger: true,
    act: async (who) => {
      let discarded = 0;
      for (;;) {
        const { dead_letters: letters } = await get(withQuery("dead-letters", { ...selection, limit: BATCH }));
        if (!letters.length) return discarded;
        const answer = await post("dead-letters/discard", { ...who, ...idsOf(letters) });
        const now = answer.discarded.orders.length + answer.discarded.events.length;
        if (now === 0) return discarded;
        discarded += now;
      }
    },
  });
  if (done !== null) tell(`${plural(done, "dead letter")} discarded.`);
  return done;
}
