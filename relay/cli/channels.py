"""``pause`` and ``resume``: whether anything is sent through a channel."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from relay.cli import completing
from relay.cli.asking import Url, ask
from relay.cli.terms import By, Command, ConfigFile, Json, out, say, who

_Name = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="As in the configuration: main.", autocompletion=completing.channels)
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay pause main --why 'Jetti is being migrated until 6'")(pause)
    app.command(cls=Command, epilog="Example: order-relay resume main")(resume)


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
