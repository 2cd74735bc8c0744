"""Dead letters, as the commands name, ask for and print them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.asking import ask
from relay.cli.seeing import count
from relay.cli.terms import fail, out, plain, say
from relay.cli.times import moment_of, short
from relay.clock import SystemClock
from relay.store import NO_ORDER

_REPLAY = "order-relay dead replay --code {code}"
_HINTS = {
    "unmappable": "No sale can be made of it: order-relay dead show REFERENCE says which field and why. Change the "
    "configuration and restart, or the order in the shop; then: ",
    "api.channels.process_sale.missing": "An item is unknown to the channel in Jetti: acknowledge it there, or set "
    "find_or_create_channel_variant; then: ",
    "never_seen": "A cancellation of an order that was never seen here: if Jetti has it, cancel it there; then: "
    "order-relay dead discard REFERENCE",
    "defect": "A defect of the relay: report it. With a version that mends it: ",
    NO_ORDER: "The storefront sent something else than an order: leave its webhooks' fields as they are. What can be "
    "read once the configuration is mended: ",
}
_REFUSED = "Jetti refuses what the order says. Correct it, or what it is mapped to; then: "
_GAVE_UP = "Jetti did not take it for too long. See to the cause; then: "

Code = Annotated[str | None, typer.Option(help="Only those whose cause has this code.", metavar="CODE")]
Channel = Annotated[str | None, typer.Option(help="Only those of this channel.", metavar="NAME")]
Storefront = Annotated[str | None, typer.Option(help="Only those of this storefront.", metavar="NAME")]


def _moment(text: str | None) -> str | None:
    if text is None:
        return None
    found = moment_of(text, SystemClock().now())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no moment: write 2h, or 2026-11-21T19:00 (UTC)")
    return found


Since = Annotated[
    str | None,
    typer.Option(help="Only those dead since then: 2h (ago), or 2026-11-21T19:00 (UTC).", metavar="WHEN",
                 callback=_moment),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the relay is asked."""

    config: Path | None
    url: str | None

    def ask(self, path: str, member: str, content: Mapping[str, object] | None = None) -> Any:
        """See :func:`relay.cli.asking.ask`."""
        return ask(self.config, self.url, path, member, content)


def query(**criteria: object) -> str:
    """What is given, as the query of an address."""
    return urlencode({name: value for name, value in criteria.items() if value is not None})


# -- by name -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that was named."""

    name: str
    order_id: int | None = None
    event_id: int | None = None


def named(desk: Desk, references: Sequence[str], states: Sequence[str]) -> list[Letter]:
    """The dead letters that are meant; the command ends if one of them is none, or may be several.

    ``states``: in which an order must be.
    """
    return [_named(desk, reference.strip(), states) for reference in references]


def _named(desk: Desk, reference: str, states: Sequence[str]) -> Letter:
    what, _, number = reference.partition(":")
    is_number = number.isascii() and number.isdigit()
    if what == "event" and is_number:
        desk.ask(f"/api/dead-letters/events/{number}", "event")
        return Letter(f"event {number}", event_id=int(number))
    if what == "order" and is_number:
        found = [desk.ask(f"/api/orders/{number}", "order")["order"]]
    else:
        found = desk.ask(f"/api/orders?reference={quote(reference, safe='')}", "orders")["orders"]
    if not found:
        fail(f"no order {reference!r}: neither a reference nor an external id that was ever accepted here")
    wanted = [order for order in found if order["state"] in states]
    if not wanted:
        places = "; ".join(f"{_name(order)} of {order['storefront']} is {order['place']}" for order in found)
        fail(f"{reference} is no dead letter: {places}")
    if len(wanted) > 1:
        rows = "\n".join(
            f"  order:{o['id']}  {_name(o)} of {o['storefront']}, id {o['external_id']}, {o['state']}" for o in wanted
        )
        fail(f"{reference} may be any of {len(wanted)} orders. Say which:\n{rows}")
    return Letter(_name(wanted[0]), order_id=wanted[0]["id"])


def ids(letters: Sequence[Letter]) -> dict[str, object]:
    """As the relay takes them."""
    return {
        "orders": [letter.order_id for letter in letters if letter.order_id is not None],
        "events": [letter.event_id for letter in letters if letter.event_id is not None],
    }


def left_of(letters: Sequence[Letter], answer: dict[str, Any]) -> list[str]:
    """The names of those that were left as they are."""
    left = answer["left"]
    return [letter.name for letter in letters if letter.order_id in left["orders"] or letter.event_id in left["events"]]


# -- printed -----------------------------------------------------------------------------------------------------------


def print_groups(groups: Sequence[dict[str, Any]]) -> None:
    """The causes, the largest group first, and what to do about each."""
    table = _table("count", "cause", "channel", "storefront", "since (UTC)")
    for group in groups:
        table.add_row(
            str(group["count"]), plain(group["code"]), plain(group["channel"] or ""), plain(group["storefront"]),
            short(group["first_at"]),
        )  # fmt: skip
    out.print(table)
    totals: dict[tuple[str, bool], int] = {}
    for group in groups:
        what = (group["code"], group["message"].startswith("gave up after "))
        totals[what] = totals.get(what, 0) + group["count"]
    for (code, gave_up), number in totals.items():
        say(out, _hint(code, gave_up=gave_up), before=f"{number} × {code}: ", style="bold", hanging=2)


def _hint(code: str, *, gave_up: bool) -> str:
    hint = _GAVE_UP if gave_up else _HINTS.get(code, _REFUSED)
    return hint + _REPLAY.format(code=code) if hint.endswith(": ") else hint


def print_letters(letters: Sequence[dict[str, Any]]) -> None:
    """One row each."""
    table = _table("dead since (UTC)", "order", "storefront", "cause")
    for letter in letters:
        table.add_row(*(plain(short(cell)) for cell in _row(letter)))
    out.print(table)


def _row(letter: dict[str, Any]) -> tuple[str, str, str, str]:
    if "event" in letter:
        return letter["received_at"], f"event:{letter['event']}", letter["storefront"], letter["why"]
    return letter["since"], _name(letter), letter["storefront"], words_of(letter["cause"]) or letter["why"]


def words_of(cause: dict[str, Any] | None) -> str:
    """Code and message."""
    return "" if cause is None else ": ".join(part for part in (cause["code"], cause["message"]) if part)


def print_begun(replay: dict[str, Any]) -> None:
    """A replay that is not waited for."""
    say(
        out, f"replay {replay['id']} of {count(replay['total'], 'dead letter')} has begun, and goes on in the relay: "
        "order-relay status",
    )  # fmt: skip


def print_ended(replay: dict[str, Any]) -> None:
    """What a replay came to."""
    left = replay["left"]
    say(out, f"replayed {count(replay['revived'], 'dead letter')}: they wait in lane replay, behind new orders")
    if left:
        say(out, f"{left} left as they are: what they need is not there. See: order-relay dead list", style="yellow")


def _name(order: dict[str, Any]) -> str:
    return str(order["reference"] or order["external_id"])


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        if name == "count":
            table.add_column(name, justify="right", no_wrap=True)
        elif name.endswith("(UTC)"):
            table.add_column(name, no_wrap=True, min_width=14)
        else:
            table.add_column(name, overflow="fold", max_width={"order": 16, "channel": 12, "storefront": 12}.get(name))
    return table
