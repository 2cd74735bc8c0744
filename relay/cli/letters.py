"""Dead letters, as the commands name, ask for and print them; and what is asked of held orders in the same way."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli import completing
from relay.cli.asking import Desk
from relay.cli.named import Letter, as_word, count, name_of, words_of
from relay.cli.terms import fail, out, plain, say
from relay.cli.times import moment_of, short
from relay.clock import SystemClock
from relay.core.order import is_cancelling, is_fetching
from relay.store import NO_ORDER

_WHICH_FIELD = ": order-relay dead show REFERENCE says which field and why"
_HINTS = {
    "unmappable": f"No sale can be made of it{_WHICH_FIELD}. Change the configuration and restart, or the order in the "
    "shop; then: ",
    "api.channels.process_sale.missing": "An item is unknown to the channel in Jetti: acknowledge it there, or set "
    "find_or_create_channel_variant; then: ",
    "never_seen": "A cancellation of an order that was never seen here: if Jetti has it, cancel it there; then: "
    "order-relay dead discard REFERENCE",
    "order_gone": "The storefront's API has no such order (any more). If it should: ",
    "order_too_large": "More than is read of one order: report it; then: order-relay dead discard REFERENCE",
    "other_order": "The storefront's API answered with another order: check api_url; then: ",
    "not_understood": f"What was fetched is no order as the relay knows them{_WHICH_FIELD}. With what mends it: ",
    "sale_not_found": "It is delivered and should be cancelled, but Jetti has no such sale; its import log says why. "
    "Cancel it there, or mend that; then: ",
    "several_sales": "It should be cancelled, and several sales at Jetti have its id: cancel the right one there; "
    "then: order-relay dead discard REFERENCE",
    "sale_unknown": "It should be cancelled, and what Jetti calls it is not known any more: cancel it there; then: "
    "order-relay dead discard REFERENCE",
    "defect": "A defect of the relay: report it. With a version that mends it: ",
    NO_ORDER: "No order can be read from it: take include_fields off its subscription, or put the named field back. "
    "What can be read once the configuration is mended: ",
}
_REFUSED = "Jetti refuses what the order says. Correct it, or what it is mapped to; then: "
_NOT_GIVEN = "The storefront's API refuses to give the order: see what it says; then: "
_NOT_CANCELLED = (
    "It is delivered and should be cancelled, but Jetti refuses to: cancel it there; then: "
    "order-relay dead discard REFERENCE"
)
_GAVE_UP_WORDS = "gave up after "
_LONG = 60
"""Columns that leave no room beside them."""
_GAVE_UP = "Jetti did not take it for too long. See to the cause; then: "
_GAVE_UP_FETCHING = "The storefront's API did not give the order for too long. See to the cause; then: "
_GAVE_UP_CANCELLING = (
    "It is delivered and should be cancelled, which could not be done for too long. See to the cause, or cancel it at "
    "Jetti; then: "
)

Code = Annotated[
    str | None,
    typer.Option(help="Only those whose cause has this code.", metavar="CODE", autocompletion=completing.codes),
]
Channel = Annotated[
    str | None, typer.Option(help="Only those of this channel.", metavar="NAME", autocompletion=completing.channels)
]
Storefront = Annotated[
    str | None,
    typer.Option(help="Only those of this storefront.", metavar="NAME", autocompletion=completing.storefronts),
]


def moment_given(text: str | None) -> str | None:
    """A moment as it is asked for; the command ends if it is none."""
    if text is None:
        return None
    found = moment_of(text, SystemClock().now())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no moment: write 2h, or 2026-11-21T19:00 (UTC)")
    return found


Since = Annotated[
    str | None,
    typer.Option(help="Only those dead since then: 2h (ago), or 2026-11-21T19:00 (UTC).", metavar="WHEN",
                 callback=moment_given),
]  # fmt: skip


def query(**criteria: object) -> str:
    """What is given, as the query of an address."""
    return urlencode({name: value for name, value in criteria.items() if value is not None})


def ids(letters: Sequence[Letter]) -> dict[str, object]:
    """As the relay takes them."""
    return {
        "orders": [letter.order_id for letter in letters if letter.order_id is not None],
        "events": [letter.event_id for letter in letters if letter.event_id is not None],
    }


def fail_of_left(desk: Desk, letters: Sequence[Letter], answer: dict[str, Any]) -> None:
    """End the command if some were not replayed, and say of each why, and what may be done."""
    left = _left_of(letters, answer)
    if left:
        fail("\n".join(_why_left(desk, letter) for letter in left))


def names_left(letters: Sequence[Letter], answer: dict[str, Any]) -> list[str]:
    """The names of those that were left as they are."""
    return [letter.name for letter in _left_of(letters, answer)]


def _left_of(letters: Sequence[Letter], answer: dict[str, Any]) -> list[Letter]:
    left = answer["left"]
    return [letter for letter in letters if letter.order_id in left["orders"] or letter.event_id in left["events"]]


def _why_left(desk: Desk, letter: Letter) -> str:
    name = as_word(letter.name)
    discard = f"order-relay dead discard {name} --why …"
    if letter.event_id is None:
        return (
            f"{letter.name}: left as it is, for there is no whole webhook to make its sale from. Change the order in "
            f"the shop, or: {discard}"
        )
    reasons = desk.ask(f"/api/dead-letters/events/{letter.event_id}", "event")["event"]["reasons"]
    why = "; ".join(f"{reason['pointer']}: {reason['detail']}".removeprefix(": ") for reason in reasons)
    return (
        f"{letter.name}: still no order can be read from it: {why}. Change the subscription, the configuration or the "
        f"order, or: {discard}"
    )


def know(desk: Desk, channel: str | None, storefront: str | None) -> None:
    """End the command if there is no such channel or storefront, and say which there are."""
    found = desk.ask("/api/status", "channels")
    for what, name in (("channel", channel), ("storefront", storefront)):
        there = found[f"{what}s"]
        if name is not None and name not in there:
            fail(f"no {what} {name!r}; there are: {', '.join(sorted(there))}")


# -- printed -----------------------------------------------------------------------------------------------------------


def print_groups(groups: Sequence[dict[str, Any]], narrowed: Mapping[str, str | None]) -> None:
    """The causes, the largest group first, and what to do about each. ``narrowed``: the channel and the storefront
    that were asked about; what is done by the command that is named is done to no others."""
    table = table_of("count", "cause", "channel", "storefront", "since (UTC)")
    for group in groups:
        table.add_row(
            str(group["count"]), plain(group["code"]), plain(group["channel"] or ""), plain(group["storefront"]),
            short(group["first_at"]),
        )  # fmt: skip
    out.print(table)
    hints = [(group, _words(group["code"], group["message"], group["channel"])) for group in groups]
    alike: dict[tuple[str, str, str | None], int] = {}
    for group, hint in hints:
        differs = any(other["code"] == group["code"] and words != hint for other, words in hints)
        which = group["code"], hint, group["channel"] if differs else narrowed["channel"]
        alike[which] = alike.get(which, 0) + group["count"]
    for (code, hint, channel), number in alike.items():
        selected = {"code": code, "channel": channel, "storefront": narrowed["storefront"]}
        options = " ".join(f"--{what} {as_word(name)}" for what, name in selected.items() if name is not None)
        title, words = f"{number} × {code}: ", _with_command(hint, options)
        if len(title) > _LONG:
            out.print(f"[bold]{plain(title.rstrip())}[/]", soft_wrap=True)
            title = "  "
        say(out, words, before=title, style="bold", hanging=2)


def next_step(code: str, message: str, channel: str | None, name: str) -> str:
    """What may be done about one dead letter."""
    which = as_word(name)
    words = _words(code, message, channel).replace(_WHICH_FIELD, "").replace("REFERENCE", which)
    hint = _with_command(words, which)
    return hint if "dead discard" in hint else f"{hint}, or: order-relay dead discard {which} --why …"


def _words(code: str, message: str, channel: str | None) -> str:
    """What it means, and what to do first. ``channel`` may be one on which orders are fetched or cancelled."""
    if code in _HINTS:
        return _HINTS[code]
    gave_up = message.startswith(_GAVE_UP_WORDS)
    if channel is not None and is_fetching(channel):
        return _GAVE_UP_FETCHING if gave_up else _NOT_GIVEN
    if channel is not None and is_cancelling(channel):
        return _GAVE_UP_CANCELLING if gave_up else _NOT_CANCELLED
    return _GAVE_UP if gave_up else _REFUSED


def _with_command(words: str, which: str) -> str:
    return f"{words}order-relay dead replay {which}" if words.endswith(": ") else words


def print_letters(letters: Sequence[dict[str, Any]]) -> None:
    """One row each."""
    table = table_of("dead since (UTC)", "order", "storefront", "cause")
    for letter in letters:
        table.add_row(*(plain(short(cell)) for cell in _row(letter)))
    out.print(table)


def _row(letter: dict[str, Any]) -> tuple[str, str, str, str]:
    if "event" in letter:
        return letter["received_at"], f"event:{letter['event']}", letter["storefront"], letter["why"]
    return letter["since"], name_of(letter), letter["storefront"], words_of(letter["cause"]) or letter["why"]


def print_begun(replay: dict[str, Any]) -> None:
    """A replay that is not waited for."""
    say(
        out, f"replay {replay['id']} of {count(replay['total'], 'dead letter')} has begun, and goes on in the relay: "
        "order-relay status",
    )  # fmt: skip


def print_ended(replay: dict[str, Any]) -> None:
    """What a replay came to."""
    left, revived = replay["left"], replay["revived"]
    if revived:
        say(out, f"replayed {count(revived, 'dead letter')}: they wait in lane replay, behind new orders")
    else:
        out.print("replayed none")
    if left:
        words = "left as it is: what it needs" if left == 1 else "left as they are: what they need"
        say(out, f"{left} {words} is not there. See: order-relay dead list", style="yellow")


_WIDTHS = {"order": 16, "channel": 12, "storefront": 12, "kind": 12, "topic": 19, "came to": 13}
_FIGURES = frozenset({"count", "event", "rev", "accepted", "refused", "held"})


def table_of(*columns: str) -> Table:
    """An empty one of the commands' form."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        if name in _FIGURES:
            table.add_column(name, justify="right", no_wrap=True)
        elif name.endswith("(UTC)"):
            table.add_column(name, no_wrap=True, min_width=14)
        else:
            table.add_column(name, overflow="fold", max_width=_WIDTHS.get(name))
    return table
