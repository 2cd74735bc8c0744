"""``orders``, ``events`` and ``storefronts``: what is looked for in everything that was accepted."""

import json
from typing import Annotated, Any

import typer

from relay.cli.asking import Desk, Url
from relay.cli.letters import Channel, Storefront, know, moment_given, query, table_of
from relay.cli.named import REFERENCE_HELP, count, name_of, one_named
from relay.cli.terms import Command, ConfigFile, Json, out, plain, say
from relay.cli.times import short
from relay.core.delivery import State
from relay.core.order import Disposition
from relay.core.search import email_hash

_MOST = 10_000
_PAGE_MAX = {"orders": 1000, "events": 200, "deeds": 1000}
_WHEN = "2h (ago), or 2026-11-21T19:00 (UTC)."

Limit = Annotated[int, typer.Option(help="How many at the most, the newest first.", min=1, max=_MOST)]


def _address(text: str | None) -> str | None:
    if text is not None and not all(text.strip().partition("@")):
        raise typer.BadParameter("expected a whole e-mail address, such as jo@example.com")
    return text


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay orders 10 --state dead --storefront shop")(orders)
    app.command(cls=Command, epilog="Example: order-relay events --storefront shop --since 2h")(events)
    app.command(cls=Command, epilog="Example: order-relay storefronts")(storefronts)


def orders(  # noqa: PLR0913 - one option each
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="How what the customer calls it, or its id, begins: 10.")
    ] = None,
    *,
    email: Annotated[
        str | None,
        typer.Option(
            help="Only those that this e-mail address bought. Only its hash is sent.", metavar="ADDRESS",
            callback=_address,
        ),
    ] = None,
    state: Annotated[
        State | None, typer.Option(help=f"Only those that are one of {', '.join(State)}.", metavar="STATE")
    ] = None,
    storefront: Storefront = None,
    channel: Channel = None,
    limit: Limit = 20,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Which orders are there? By how they begin, by who bought, by state; each with where it is."""
    desk = Desk(config, url)
    if text is not None and not text.strip():
        raise typer.BadParameter("say how it begins: 10, or '#10'", param_hint="TEXT")
    criteria = {
        "text": text, "email_hash": None if email is None else email_hash(email).hex(), "state": state,
        "storefront": storefront, "channel": channel,
    }  # fmt: skip
    found = paged(desk, "orders", limit, **criteria)
    known = found["orders"]
    if not known:
        know(desk, channel, storefront)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not known:
        _say_nothing("order", any(value is not None for value in criteria.values()))
        return
    table = table_of("since (UTC)", "order", "storefront", "where")
    for order in known:
        cells = (short(order["since"]), name_of(order), order["storefront"], short(order["why"]))
        table.add_row(*map(plain, cells))
    out.print(table)
    _say_more(found, len(known), "One of them in full: order-relay order REFERENCE")


def events(  # noqa: PLR0913 - one option each
    *,
    order: Annotated[str | None, typer.Option(help=f"Only those of it. {REFERENCE_HELP}", metavar="REFERENCE")] = None,
    storefront: Storefront = None,
    disposition: Annotated[
        Disposition | None,
        typer.Option(help=f"Only those that were one of {', '.join(Disposition)}.", metavar="DISPOSITION"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help=f"Only those received then or later: {_WHEN}", metavar="WHEN",
                                 callback=moment_given)
    ] = None,
    until: Annotated[
        str | None, typer.Option(help=f"Only those received then or earlier: {_WHEN}", metavar="WHEN",
                                 callback=moment_given)
    ] = None,
    limit: Limit = 20,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Which webhooks came? By storefront, time, order and what became of them; each with where it is now."""
    desk = Desk(config, url)
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("is later than --until, so nothing is between them", param_hint="--since")
    criteria = {
        "order": None if order is None else one_named(desk, order)["id"], "storefront": storefront,
        "disposition": disposition, "since": since, "until": until,
    }  # fmt: skip
    found = paged(desk, "events", limit, **criteria)
    known = found["events"]
    if not known:
        know(desk, None, storefront)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not known:
        _say_nothing("event", any(value is not None for value in criteria.values()))
        return
    table = table_of("received (UTC)", "event", "storefront", "topic", "order", "rev", "came to")
    for event in known:
        name = "" if event["order"] is None else name_of(event["order"])
        revision = "" if event["revision"] is None else str(event["revision"])
        cells = (
            short(event["received_at"]), str(event["event"]), event["storefront"], event["topic"], name, revision,
            _came_to(event),
        )  # fmt: skip
        table.add_row(*map(plain, cells))
    out.print(table)
    _say_more(
        found, len(known), "Why, and all of one order: order-relay order REFERENCE, or event:17 of one without an order"
    )


def _came_to(event: dict[str, Any]) -> str:
    """Where it is, and which other event says more."""
    if event["duplicate_of"] is not None:
        return f"duplicate of event {event['duplicate_of']}"
    by = event["superseded_by"]
    return str(event["place"]) if by is None else f"superseded by event {by}"


def storefronts(config: ConfigFile = None, url: Url = None, as_json: Json = False) -> None:
    """What came from each storefront, and when the last of it; what is refused, and what is held."""
    found = Desk(config, url).ask("/api/storefronts", "storefronts")
    known = found["storefronts"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not known:
        say(out, "no storefront is configured, and none ever sent anything: see storefronts in config.example.toml")
        return
    table = table_of("storefront", "kind", "channel", "last event (UTC)", "accepted", "refused", "held")
    for one in known:
        last = "never" if one["last_event_at"] is None else short(one["last_event_at"])
        figures = (str(one[figure]) for figure in ("accepted", "refused_requests", "held"))
        table.add_row(*map(plain, (one["name"], one["kind"], one["channel"], last, *figures)))
    out.print(table)
    say(out, "accepted: webhooks, ever; refused: requests, since the relay started; held: orders, now")
    for one in known:
        for why in one["refused"]:
            say(out, f"its events are refused: {why}", before=f"{one['name']}: ", style="red", hanging=2)
        if one["held"]:
            rule = one["accept_when"] or "the storefront is configured again"
            words = f"{count(one['held'], 'order')} held until {rule}; see: order-relay held list"
            say(out, words, before=f"{one['name']}: ", style="bold", hanging=2)
        if not one["configured"]:
            say(out, "not configured any more: its webhooks are refused", before=f"{one['name']}: ", style="yellow",
                hanging=2)  # fmt: skip


def paged(desk: Desk, member: str, limit: int, **criteria: object) -> dict[str, Any]:
    """What a list answers, of as many pages as it takes: a page may be short and have a next one."""
    found: list[Any] = []
    cursor = None
    while True:
        most = min(limit - len(found), _PAGE_MAX[member])
        page = desk.ask(f"/api/{member}?{query(limit=most, cursor=cursor, **criteria)}", member)
        found += page[member]
        cursor = page["next"]
        if cursor is None or len(found) >= limit:
            return {**page, member: found}


def say_if_more(found: dict[str, Any], shown: int) -> None:
    """That there are more than were asked for, and how to see them."""
    if found["next"] is not None:
        out.print(f"These are the newest {shown}; --limit shows more.")


def _say_more(found: dict[str, Any], shown: int, otherwise: str) -> None:
    say_if_more(found, shown)
    say(out, otherwise)


def _say_nothing(what: str, narrowed: bool) -> None:
    if narrowed:
        say(out, f"no such {what}: of what was asked for, all must hold at once. Finished ones are forgotten in time")
    else:
        out.print(f"no {what} was ever accepted here")
