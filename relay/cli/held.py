"""``held``: what its storefront's ``accept_when`` rule does not want yet, and what a person may do about it."""

import json
import sys
from typing import Annotated, Any

import typer

from relay.cli import completing
from relay.cli.asking import Desk, Url
from relay.cli.letters import Storefront, ids, know, names_left, query, table_of
from relay.cli.named import Letter, as_word, count, held_named, name_of
from relay.cli.terms import By, Command, ConfigFile, Group, Json, err, fail, out, plain, say, who
from relay.cli.times import age

_RELEASE = "order-relay held release REFERENCE --why …"

_HELP = "What the customer calls it (#1001), its external id, or order:12."


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    held = typer.Typer(
        cls=Group, name="held", help="What accept_when does not want yet: held orders.", no_args_is_help=True
    )
    held.command("list", cls=Command, epilog="Example: order-relay held list --storefront shop")(list_)
    held.command(
        "release", cls=Command, epilog="Example: order-relay held release '#1001' --why 'paid by bank transfer'"
    )(release)
    held.command(
        "discard", cls=Command, epilog="Example: order-relay held discard '#1001' --why 'never paid, given up'"
    )(discard)
    app.add_typer(held)


def list_(
    *,
    storefront: Storefront = None,
    limit: Annotated[int, typer.Option(help="How many at the most, those held longest first.", min=1, max=1000)] = 100,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Orders that wait to be wanted: how many of each storefront, for how long, and which."""
    desk = Desk(config, url)
    found = desk.ask(f"/api/held?{query(limit=limit, storefront=storefront)}", "held")
    if not found["groups"]:
        know(desk, None, storefront)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found["groups"]:
        out.print("no order is held")
        return
    _print_groups(desk, found["groups"])
    _print_orders(found["held"])
    if len(found["held"]) == limit:
        out.print(f"These are the {limit} held longest; --limit shows more.")
    say(out, f"A later event that satisfies the rule sends an order by itself. To send one all the same: {_RELEASE}")


def _print_groups(desk: Desk, groups: list[dict[str, Any]]) -> None:
    storefronts = desk.ask("/api/status", "storefronts")["storefronts"]
    table = table_of("count", "storefront", "oldest", "held until")
    for group in groups:
        known = storefronts.get(group["storefront"])
        rule = (
            "the storefront is configured again"
            if known is None
            else known["accept_when"] or "it is looked at: no rule"
        )
        table.add_row(
            str(group["count"]), plain(group["storefront"]), age(group["oldest_age_s"]), plain(rule)
        )  # fmt: skip
    out.print(table)


def _print_orders(orders: list[dict[str, Any]]) -> None:
    table = table_of("held for", "order", "id", "storefront", "channel", "why")
    for order in orders:
        why = _why(order)
        cells = (
            age(order["held_s"]), name_of(order), order["external_id"], order["storefront"], order["channel"],
            f"cancelled; {why}" if order["cancelled_at"] else why,
        )  # fmt: skip
        table.add_row(*map(plain, cells))
    out.print(table)


def _why(order: dict[str, Any]) -> str:
    """What the rule's not being true goes without saying for."""
    said = "" if order["cause"] is None else str(order["cause"]["message"])
    return said.partition("; ")[2] or "not true of it yet"


def release(  # noqa: PLR0913 - one option each
    references: Annotated[list[str] | None, typer.Argument(metavar="REFERENCE", help=_HELP)] = None,
    *,
    why: Annotated[str, typer.Option(help="Why it may go unasked, for the record.", metavar="TEXT")],
    every: Annotated[bool, typer.Option("--all", help="Every one that is held.")] = False,
    storefront: Annotated[
        str | None,
        typer.Option(
            help="With --all: only those of this storefront.", metavar="NAME", autocompletion=completing.storefronts
        ),
    ] = None,
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before all are released.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send held orders although accept_when does not want them yet. It is not asked about them again."""
    _say_why(why)
    if references and (every or storefront is not None):
        raise typer.BadParameter("name orders or select them, not both", param_hint="REFERENCE")
    if not references and not every:
        raise typer.BadParameter("name orders, or say --all (with --storefront: all of that one)", param_hint="--all")
    desk = Desk(config, url)
    record: dict[str, object] = {"by": who(by), "why": why}
    if references:
        letters = held_named(desk, references)
        answer = desk.ask("/api/held/release", "released", _ids(letters) | record)
        left, goes_on = names_left(letters, answer), "on the way: order-relay order REFERENCE"
    else:
        answer = _release_all(desk, record, storefront, yes)
        left = [f"order:{order_id}" for order_id in answer["left"]["orders"]]
        goes_on = "waiting in lane replay, behind new orders: order-relay status"
    if as_json:
        print(json.dumps(answer, indent=2))
    elif done := len(answer["released"]["orders"]):
        say(out, f"{count(done, 'order')} released, and {goes_on}")
    if left:
        fail("\n".join(map(_why_left, left)))


def _release_all(desk: Desk, record: dict[str, object], storefront: str | None, yes: bool) -> dict[str, Any]:
    """Page by page: only what is held now, and however long that takes, nothing is released twice."""
    found = desk.ask(f"/api/held?{query(limit=1, storefront=storefront)}", "groups")
    if not found["groups"]:
        know(desk, None, storefront)
        fail("no order is held" if storefront is None else f"no order of storefront {storefront} is held")
    _confirm(sum(group["count"] for group in found["groups"]), yes)
    selected: dict[str, object] = record | {"all": True, "until": found["now"]}
    if storefront is not None:
        selected["storefront"] = storefront
    whole: dict[str, Any] = {what: {"orders": []} for what in ("released", "left")}
    after = None
    while True:
        page = desk.ask("/api/held/release", "released", selected if after is None else selected | {"after": after})
        for what, sofar in whole.items():
            sofar["orders"] += page[what]["orders"]
        after = page["next"]
        if after is None:
            return whole


def _confirm(most: int, yes: bool) -> None:
    """Ask before many are released; where nobody can be asked, it must have been said before."""
    words = count(most, "held order")
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"this releases {words}, and there is nobody to ask: add --yes", param_hint="--yes")
    if not typer.confirm(f"Release {words}?", err=True):
        err.print("nothing was released")
        raise typer.Exit(1)


def discard(
    references: Annotated[list[str], typer.Argument(metavar="REFERENCE", help=_HELP)],
    why: Annotated[str, typer.Option(help="Why it needs nothing, for the record.", metavar="TEXT")],
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Say of held orders that they need nothing. An order's next webhook makes it live again."""
    _say_why(why)
    desk = Desk(config, url)
    letters = held_named(desk, references)
    answer = desk.ask("/api/held/discard", "discarded", _ids(letters) | {"by": who(by), "why": why})
    if as_json:
        print(json.dumps(answer, indent=2))
    left = names_left(letters, answer)
    done = [as_word(letter.name) for letter in letters if letter.name not in left]
    if done and not as_json:
        say(out, f"{count(len(done), 'held order')} discarded; a change of mind: order-relay dead replay "
            f"{' '.join(done)}")  # fmt: skip
    if left:
        fail(f"left as they are, for they are not held any more: {', '.join(left)}")


def _ids(letters: list[Letter]) -> dict[str, object]:
    """As the relay takes held orders; no event is held without its order."""
    return {"orders": ids(letters)["orders"]}


def _why_left(name: str) -> str:
    return (
        f"{name}: left as it is, for it is not held any more, or its raw webhook is not kept any more, so that no sale "
        f"can be made of it. See order-relay order {as_word(name)}; let the shop send the order again, or: "
        f"order-relay held discard {as_word(name)} --why …"
    )


def _say_why(why: str) -> None:
    if not why.strip():
        raise typer.BadParameter("say why, for whoever looks for the order", param_hint="--why")
