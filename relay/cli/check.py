"""``check``: everything that can be wrong, and what to do about it."""

import asyncio
import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from relay.cli.terms import Command, ConfigFile, Json, err, out, say, settings_from
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
    """Look at everything that can be wrong: configuration, tests, store, secrets, limits, listeners, a running relay,
    credentials where a try is harmless, clocks. Changes nothing, and says what to do."""
    from relay.doctor import examine

    settings = settings_from(config, serving=True)
    file = file_used(config)
    with err.status("looking at everything …") if err.is_terminal else nullcontext():
        found = asyncio.run(examine(settings, file.resolve().parent, offline=offline, file=file))
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
