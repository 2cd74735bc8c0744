"""``pause``, ``resume`` and ``rate``: whether anything is sent through a channel, and how fast at the most."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from relay.cli import completing
from relay.cli.asking import Url, ask
from relay.cli.named import as_word
from relay.cli.terms import By, Command, ConfigFile, Json, out, say, who
from relay.cli.times import seconds_of

_Name = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="As in the configuration: main.", autocompletion=completing.channels)
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay pause main --why 'Jetti is being migrated until 6'")(pause)
    app.command(cls=Command, epilog="Example: order-relay resume main")(resume)
    app.command(cls=Command, epilog="Example: order-relay rate main 2.5 --for 30m --why 'Jetti asked for it'")(rate)


def rate(  # noqa: PLR0913 - one option each
    *,
    channel: _Name,
    rate: Annotated[
        float | None, typer.Argument(metavar="RATE", help="Requests a second, fewer than are configured.", min=0)
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="How long: 30m, 2h. Default: until taken back.", metavar="TIME")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Take it back: as configured again.")] = False,
    why: Annotated[str, typer.Option(help="Why, for whoever finds it slow.", metavar="TEXT")] = "",
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send no faster than this through a channel for now: at once, over restarts, and never above what is configured.
    A throttle of Jetti's still slows it down further."""
    if reset == (rate is not None):
        raise typer.BadParameter("say how many requests a second, or --reset", param_hint="RATE")
    for_s = None if for_ is None else seconds_of(for_)
    if for_ is not None and (not for_s or reset):
        raise typer.BadParameter("expected a time such as 90s, 30m or 2h, for a rate", param_hint="--for")
    if not reset and not why.strip():
        raise typer.BadParameter("say why, for whoever finds it slow", param_hint="--why")
    content = {"by": who(by), "why": why, "rate": rate, "for_s": for_s}
    found = ask(config, url, f"/api/channels/{quote(channel, safe='')}/rate", "rate_for_now", content)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if rate is None:
        say(out, f"{channel} is sent to at {found['rate']:g} requests a second again")
        return
    until = found["rate_for_now"]["until"]
    ends = "" if until is None else f" until {until[:16].replace('T', ' ')} UTC"
    take_back = f"order-relay rate {as_word(channel)} --reset"
    say(out, f"{channel} is sent to at {rate:g} requests a second at the most{ends}; as before at once: {take_back}")


def pause(
    channel: _Name,
    why: Annotated[str, typer.Option(help="Why, for whoever finds it paused.", metavar="TEXT")],
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send nothing through a channel until someone resumes it. Orders are accepted, wait, and do not age."""
    if not why.strip():
        raise typer.BadParameter("say why, for whoever finds it paused", param_hint="--why")
    path = f"/api/channels/{quote(channel, safe='')}/pause"
    found = ask(config, url, path, "state", {"by": who(by), "why": why})
    if as_json:
        print(json.dumps(found, indent=2))
        return
    say(out, f"{channel} is paused, and stays so until: order-relay resume {channel}")


def resume(
    channel: _Name,
    why: Annotated[str, typer.Option(help="Why, for the record.", metavar="TEXT")] = "",
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send again: ends a pause, a rest, an open circuit and a halt, and reads the channel's secret files again."""
    path = f"/api/channels/{quote(channel, safe='')}/resume"
    found = ask(config, url, path, "state", {"by": who(by), "why": why})
    if as_json:
        print(json.dumps(found, indent=2))
        return
    say(out, f"{channel} is {found['state']}. Whether it gets through: order-relay status")
