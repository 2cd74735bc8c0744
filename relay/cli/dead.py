"""``dead list``: what needs a person."""

import json
from collections import Counter
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.asking import Url, ask
from relay.cli.terms import Command, ConfigFile, Group, Json, out, plain, say
from relay.cli.times import short

_AGAIN = "then change the order in the shop (a tag will do): its new webhook sends it."
_HINTS = {
    "unmappable": "No sale can be made of it: order-relay order REFERENCE says which field and why. Change the "
    f"configuration and restart; {_AGAIN}",
    "api.channels.process_sale.missing": "An item is unknown to the channel in Jetti: acknowledge it there, or set "
    f"find_or_create_channel_variant; {_AGAIN}",
    "never_seen": "If Jetti has the order, cancel it there.",
    "defect": "A defect of the relay: report it.",
    "no order": "The storefront sent something else than an order: leave its webhooks' fields as they are.",
    "gave up": f"Jetti did not take it for too long. See to the cause; {_AGAIN}",
}
_REFUSED = f"Jetti refuses what the order says. Correct it; {_AGAIN}"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    dead = typer.Typer(cls=Group, name="dead", help="What needs a person: dead letters.", no_args_is_help=True)
    dead.command("list", cls=Command, epilog="Example: order-relay dead list --limit 20")(list_)
    app.add_typer(dead)


def list_(
    config: ConfigFile = None,
    url: Url = None,
    limit: Annotated[int, typer.Option(help="How many at the most, the newest first.", min=1, max=1000)] = 100,
    as_json: Json = False,
) -> None:
    """What needs a person: dead orders, and events from which no order could be read. And what to do about them."""
    found = ask(config, url, f"/api/dead-letters?limit={limit}", "dead_letters")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    letters = found["dead_letters"]
    if not letters:
        out.print("no dead letters")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("when (UTC)", no_wrap=True, min_width=14)
    for name, width in (("order", 16), ("storefront", 12), ("cause", None)):
        table.add_column(name, overflow="fold", max_width=width)
    for letter in letters:
        table.add_row(*(plain(short(cell)) for cell in _row(letter)))
    out.print(table)
    for group, count in Counter(map(_group, letters)).most_common():
        say(out, _HINTS.get(group, _REFUSED), before=f"{count} × {group}: ", style="bold", hanging=2)
    if len(letters) == limit:
        out.print(f"These are the newest {limit}; --limit shows more.")


def _row(letter: dict[str, Any]) -> tuple[str, str, str, str]:
    if "event" in letter:
        return letter["received_at"], f"event {letter['event']}", letter["storefront"], letter["why"]
    cause = letter["cause"] or {"code": "", "message": letter["why"]}
    words = ": ".join(part for part in (cause["code"], cause["message"]) if part)
    return letter["due_at"], letter["reference"] or letter["external_id"], letter["storefront"], words


def _group(letter: dict[str, Any]) -> str:
    """What has the same remedy."""
    if "event" in letter:
        return "no order"
    cause = letter["cause"] or {"code": "", "message": ""}
    return "gave up" if cause["message"].startswith("gave up after ") else str(cause["code"])
