"""``replays`` and ``audit``: what is being done, and what persons did."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from relay.cli.asking import Desk, Url
from relay.cli.finding import Limit, paged, say_if_more
from relay.cli.letters import query, table_of
from relay.cli.named import REFERENCE_HELP, count, event_number, one_named
from relay.cli.terms import Command, ConfigFile, Json, err, out, plain, say
from relay.cli.times import short
from relay.clock import SystemClock

_LOOK_S = 0.5


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay replays 3 --follow")(replays)
    app.command(cls=Command, epilog="Example: order-relay audit --limit 20")(audit)


def replays(
    number: Annotated[int | None, typer.Argument(metavar="ID", help="Only this one.", min=1)] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for it to end, and show how far it is.")] = False,
    limit: Annotated[int, typer.Option(help="How many at the most, the newest first.", min=1, max=1000)] = 20,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Bulk replays of dead letters: by whom, of which, and how far each is."""
    if follow and number is None:
        raise typer.BadParameter("say which one: order-relay replays 3 --follow", param_hint="--follow")
    desk = Desk(config, url)
    if number is None:
        found = desk.ask(f"/api/replays?{query(limit=limit)}", "replays")["replays"]
    else:
        found = [desk.ask(f"/api/replays/{number}", "replay")["replay"]]
    if follow:
        found = [until_ended(desk, found[0])]
    if as_json:
        print(json.dumps({"replays": found} if number is None else {"replay": found[0]}, indent=2))
        return
    if not found:
        out.print("no bulk replay has been made")
        return
    table = table_of("id", "begun (UTC)", "by", "of", "done", "left as is", "ended (UTC)")
    for replay in found:
        done = f"{replay['revived'] + replay['left']} of {replay['total']}"
        ended = "runs" if replay["ended_at"] is None else short(replay["ended_at"])
        cells = (replay["id"], short(replay["begun_at"]), replay["by"], _selected(replay), done, replay["left"], ended)
        table.add_row(*(plain(str(cell)) for cell in cells))
    out.print(table)
    left = sum(replay["left"] for replay in found)
    if left:
        say(
            out,
            f"{count(left, 'dead letter')} left as they are: what they need is not there. See: order-relay dead list",
        )


def _selected(replay: dict[str, Any]) -> str:
    given = {name: value for name, value in replay["selection"].items() if value is not None and name != "until"}
    return ", ".join(f"{name} {short(str(value))}" for name, value in given.items()) or "any cause"


def until_ended(desk: Desk, replay: dict[str, Any]) -> dict[str, Any]:
    """Look at a replay until it has ended; on a terminal, with a bar."""
    bar = Progress(
        TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), console=err, disable=not err.is_terminal,
        transient=True,
    )  # fmt: skip
    try:
        with bar:
            task = bar.add_task("replaying", total=replay["total"], completed=replay["revived"] + replay["left"])
            while replay["ended_at"] is None:
                asyncio.run(SystemClock().sleep(_LOOK_S))
                replay = desk.ask(f"/api/replays/{replay['id']}", "replay")["replay"]
                bar.update(task, completed=replay["revived"] + replay["left"])
    except KeyboardInterrupt:
        say(err, f"the replay goes on in the relay: order-relay replays {replay['id']} --follow")
        raise typer.Exit(1) from None
    return replay


def audit(
    *,
    order: Annotated[
        str | None,
        typer.Option(help=f"Only what was done to it, alone or among others. {REFERENCE_HELP}", metavar="REFERENCE"),
    ] = None,
    limit: Limit = 100,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """What persons did: who, with which token, what, about what, and why."""
    desk = Desk(config, url)
    found = paged(desk, "deeds", limit, about=None if order is None else _subject(desk, order.strip()))
    deeds = found["deeds"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not deeds:
        out.print("nobody has done anything yet" if order is None else f"nobody has done anything to {plain(order)}")
        return
    table = table_of("when (UTC)", "who", "did", "about", "why")
    for deed in deeds:
        who = deed["by"] if deed["token"] is None else f"{deed['by']} (token {deed['token']})"
        table.add_row(*map(plain, (short(deed["at"]), who, deed["what"], short(deed["about"]), deed["why"])))
    out.print(table)
    say_if_more(found, len(deeds))


def _subject(desk: Desk, reference: str) -> str:
    """An order, or an event from which none could be read, as deeds name it. An event may have been discarded since."""
    number = event_number(reference)
    return f"order:{one_named(desk, reference)['id']}" if number is None else f"event:{number}"
