"""What the commands share: options, the console, and how a failure ends."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from relay.config import ConfigError, Settings, load

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file. Default: $RELAY_CONFIG, else ./config.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def fail(message: str) -> NoReturn:
    """Say what went wrong, and exit 1."""
    err.print(f"[bold red]error:[/] {plain(message)}")
    raise typer.Exit(1)


def settings_from(config: Path | None, *, serving: bool = False) -> Settings:
    """The configuration; what is wrong with it is said, and ends the command."""
    try:
        settings = load(config)
        return settings.for_serving() if serving else settings
    except ConfigError as error:
        fail(str(error))


def plain(text: str) -> str:
    """Text in which brackets are brackets (``[channels.main]`` is no markup) and nothing moves the cursor."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
