"""``dead``: what needs a person, and what that person may do about it."""

import json
import sys
from typing import Annotated, Any

import typer

from relay.cli.asking import Desk, Url
from relay.cli.letters import (
    Channel,
    Code,
    Since,
    Storefront,
    fail_of_left,
    ids,
    know,
    names_left,
    next_step,
    print_begun,
    print_ended,
    print_groups,
    print_letters,
    query,
)
from relay.cli.named import REFERENCE_HELP, Letter, as_word, count, letters_named
from relay.cli.replays import until_ended
from relay.cli.terms import By, Command, ConfigFile, Group, Json, err, fail, out, say, who
from relay.cli.timeline import print_content, print_event, print_reasons, print_timeline
from relay.store import NO_ORDER

References = Annotated[list[str] | None, typer.Argument(metavar="REFERENCE", help=REFERENCE_HELP)]
Limit = Annotated[int, typer.Option(help="How many at the most, the newest first.", min=1, max=1000)]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    dead = typer.Typer(cls=Group, name="dead", help="What needs a person: dead letters.", no_args_is_help=True)
    dead.command("list", cls=Command, epilog="Example: order-relay dead list --code http_422 --since 2h")(list_)
    dead.command("show", cls=Command, epilog="Example: order-relay dead show '#1001'")(show)
    dead.command("replay", cls=Command, epilog="Example: order-relay dead replay --code unmappable --since 2d")(replay)
    dead.command(
        "discard", cls=Command, epilog="Example: order-relay dead discard '#1001' --why 'entered by hand in Jetti'"
    )(discard)
    app.add_typer(dead)


def list_(  # noqa: PLR0913 - one option each
    *,
    groups: Annotated[bool, typer.Option("--groups", help="Only the table of causes.")] = False,
    code: Code = None,
    channel: Channel = None,
    storefront: Storefront = None,
    since: Since = None,
    limit: Limit = 100,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """What needs a person: dead orders, and events from which no order could be read. And what to do about them."""
    desk = Desk(config, url)
    by_cause = desk.ask("/api/dead-letters/groups", "groups")["groups"]
    criteria = query(limit=limit, code=code, channel=channel, storefront=storefront, since=since)
    letters = [] if groups else desk.ask(f"/api/dead-letters?{criteria}", "dead_letters")["dead_letters"]
    wanted = {"code": code, "channel": channel, "storefront": storefront}
    by_cause = [g for g in by_cause if all(value in (None, g[name]) for name, value in wanted.items())]
    if not by_cause:
        know(desk, channel, storefront)
    if as_json:
        print(json.dumps({"groups": by_cause} if groups else {"groups": by_cause, "dead_letters": letters}, indent=2))
        return
    if not by_cause:
        out.print("no dead letters" if not any((code, channel, storefront)) else "no such dead letters")
        return
    print_groups(by_cause, {"channel": channel, "storefront": storefront})
    if groups:
        return
    print_letters(letters)
    if len(letters) == limit:
        out.print(f"These are the newest {limit}; --limit shows more.")


def show(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help=REFERENCE_HELP)],
    raw: Annotated[bool, typer.Option("--raw", help="The webhook and the sale, too: personal data.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """One dead letter: its cause, its reasons, and what was answered."""
    desk = Desk(config, url)
    (letter,) = letters_named(desk, [reference], ("dead", "discarded"))
    path = (
        f"/api/dead-letters/events/{letter.event_id}" if letter.order_id is None else f"/api/orders/{letter.order_id}"
    )
    found = desk.ask(f"{path}?raw=true" if raw else path, "event" if letter.order_id is None else "order")
    if as_json:
        print(json.dumps(found, indent=2))
    elif letter.order_id is None:
        _print_event(found)
    else:
        _print_order(found, letter.name)


def _print_event(found: dict[str, Any]) -> None:
    print_event(found)
    for member in ("headers", "body"):
        print_content(member, found)
    say(
        out,
        next_step(NO_ORDER, "", None, f"event:{found['event']['event']}"),
        before="\nNext: ",
        style="bold",
        hanging=2,
    )


def _print_order(found: dict[str, Any], name: str) -> None:
    order = found["order"]
    cause = order["cause"]
    reasons = [reason for event in found["events"] for reason in event["reasons"]
               if event["revision"] == order["revision"]]  # fmt: skip
    print_timeline(found, advise=False)
    if len(reasons) > 1:  # one by itself is what the cause says
        print_reasons(reasons)
    for member in ("body", "sale"):
        print_content(member, found)
    if order["state"] == "discarded":
        words = f"to send it after all: order-relay dead replay {as_word(name)}"
    else:
        code, message = (cause["code"], cause["message"]) if cause else ("", "")
        words = next_step(code, message, order["channel"], name)
    say(out, words, before="\nNext: ", style="bold", hanging=2)


def replay(  # noqa: PLR0913 - one option each
    references: References = None,
    *,
    code: Code = None,
    channel: Channel = None,
    storefront: Storefront = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="Every one there is.")] = False,
    why: Annotated[str, typer.Option(help="Why, for the record.", metavar="TEXT")] = "",
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a bulk replay.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for a bulk replay to end.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send dead letters on their way again, behind new orders. Each sale is made anew from the order's webhook."""
    desk = Desk(config, url)
    criteria = {"code": code, "channel": channel, "storefront": storefront, "since": since}
    given = {name: value for name, value in criteria.items() if value is not None}
    record: dict[str, object] = {"by": who(by), "why": why}
    if references and (given or every):
        raise typer.BadParameter("name dead letters or select them, not both", param_hint="REFERENCE")
    if not references and not given and not every:
        raise typer.BadParameter(
            "name dead letters, or select some with --code, --channel, --storefront, --since or --all",
            param_hint="REFERENCE",
        )
    if references:
        _replay_named(desk, references, record, as_json)
        return
    _confirm(desk, given, yes)
    begun = desk.ask("/api/dead-letters/replay", "replay", given | record | {"all": every})["replay"]
    ended = begun if no_wait else until_ended(desk, begun)
    if as_json:
        print(json.dumps({"replay": ended}, indent=2))
    elif no_wait:
        print_begun(begun)
    else:
        print_ended(ended)
    if not no_wait and not ended["revived"]:
        raise typer.Exit(1)


def _replay_named(desk: Desk, references: list[str], record: dict[str, object], as_json: bool) -> None:
    letters = letters_named(desk, references, ("dead", "discarded"))
    answer = desk.ask("/api/dead-letters/replay", "replayed", ids(letters) | record)
    if as_json:
        print(json.dumps(answer, indent=2))
    elif done := len(letters) - len(names_left(letters, answer)):
        say(out, f"{count(done, 'dead letter')} on the way again, in lane replay: order-relay order REFERENCE")
    fail_of_left(desk, letters, answer)


def _confirm(desk: Desk, given: dict[str, str], yes: bool) -> None:
    """Ask before many are replayed; where nobody can be asked, it must have been said before."""
    if yes:
        return
    groups = desk.ask("/api/dead-letters/groups", "groups")["groups"]
    exact = {name: value for name, value in given.items() if name != "since"}
    most = sum(g["count"] for g in groups if all(g[name] == value for name, value in exact.items()))
    words = f"{'up to ' if 'since' in given else ''}{count(most, 'dead letter')}"
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"this replays {words}, and there is nobody to ask: add --yes", param_hint="--yes")
    if not typer.confirm(f"Replay {words}?", err=True):
        err.print("nothing was replayed")
        raise typer.Exit(1)


def discard(
    references: Annotated[list[str], typer.Argument(metavar="REFERENCE", help=REFERENCE_HELP)],
    why: Annotated[str, typer.Option(help="Why it needs nothing, for the record.", metavar="TEXT")],
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Say of dead letters that they need nothing. An order's next webhook sends it again; an event stays discarded."""
    if not why.strip():
        raise typer.BadParameter("say why, for whoever looks for the order", param_hint="--why")
    desk = Desk(config, url)
    letters = letters_named(desk, references, ("dead",))
    answer = desk.ask("/api/dead-letters/discard", "discarded", ids(letters) | {"by": who(by), "why": why})
    left = names_left(letters, answer)
    done = [letter for letter in letters if letter.name not in left]
    if as_json:
        print(json.dumps(answer, indent=2))
    elif done:
        say(out, f"{count(len(done), 'dead letter')} discarded{_taken_back(done)}")
    if left:
        fail(f"left as they are, for they are no dead letters any more: {', '.join(left)}")


def _taken_back(done: list[Letter]) -> str:
    """Whether a change of mind is possible: an order can be replayed; an event without one is not read again."""
    orders = [as_word(letter.name) for letter in done if letter.event_id is None]
    events = len(done) > len(orders)
    replay = f"; a change of mind: order-relay dead replay {' '.join(orders)}" if orders else ""
    return replay + (". An event that is discarded cannot be taken back" if events else "")
