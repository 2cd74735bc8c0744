"""``check``: is the configuration right, can the store be opened, does Jetti answer?"""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from relay.cli.terms import Command, ConfigFile, Json, out, say, settings_from
from relay.config.loading import file_used


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command, epilog="Example: order-relay check --config config.toml")(check)


def check(
    config: ConfigFile = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Only the configuration and the storefronts' tests: opens and asks nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Validate the configuration, run the storefronts' tests, open the store, and try the credentials where a try is
    harmless."""
    from relay.doctor import examine

    settings = settings_from(config, serving=True)
    found = asyncio.run(examine(settings, file_used(config).resolve().parent, offline=offline))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            mark, style = (
                ("FAIL", "red") if not finding.ok else ("warn", "yellow") if finding.warning else ("ok", "green")
            )
            say(out, f"{finding.what}: {finding.said}", before=f"{mark:<5}", style=style)
    if not all(finding.ok for finding in found):
        raise typer.Exit(1)
