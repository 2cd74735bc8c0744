"""What the commands share: options, the console, and how a failure ends."""

import getpass
import os
import re
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from relay.config import ConfigError, Settings, load
from relay.config.asking import Asking, load_private
from relay.config.loading import DEFAULT_FILE

_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|h|%)(?![^\W_]))")
"""What stands between a number and its unit."""
_GLUE = "\0"

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, soft_wrap=False, highlight=False)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file. Default: $RELAY_CONFIG, else ./config.toml."),
]
By = Annotated[
    str | None, typer.Option("--by", help="Who does it, for the record. Default: your login name.", metavar="NAME")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class Command(TyperCommand):
    """A command whose help does not call a flag a ``<bool>`` (it takes no value), nor an argument ``{ARGUMENT}``."""

    def get_params(self, ctx: Any) -> Any:
        return _without_type(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """The same for a command that only has others below it."""

    def get_params(self, ctx: Any) -> Any:
        return _without_type(super().get_params(ctx))


def _without_type(params: Any) -> Any:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


def show_version(wanted: bool) -> None:
    """For ``--version``, which goes before everything else."""
    if wanted:
        print(f"order-relay {version('order-relay')}")
        raise typer.Exit


def fail(message: str) -> NoReturn:
    """Say what went wrong, and exit 1."""
    say(err, message, before="error: ", style="bold red", hanging=0)
    raise typer.Exit(1)


def say(console: Console, text: str, *, before: str = "", style: str = "", hanging: int | None = None) -> None:
    """Print text from elsewhere, whatever is in it, in whole words within the console's width.

    ``before`` is ours, and has the style. A line that is continued goes on below its own beginning, or ``hanging``
    columns to the right of it; unless told, below what follows ``before``. A word that is too long stays whole: it is
    a path or an address, and is to be copied.
    """
    words = wrapped(text, console.width, len(before), len(before) if hanging is None else hanging)
    console.print(f"[{style}]{plain(before)}[/]{plain(words)}" if style else plain(before + words), soft_wrap=True)


def wrapped(text: str, width: int, before: int, hanging: int, *, whole_words: bool = True) -> str:
    """The text in lines of at most the width; the first of them begins ``before`` columns to the right.

    A number and its unit stay together.
    """
    found: list[str] = []
    for line in text.split("\n"):
        first = " " * (0 if found else before)
        indent = " " * (len(line) - len(line.lstrip(" ")) + hanging)
        found += textwrap.wrap(
            _UNIT.sub(_GLUE, line), max(width, 40), initial_indent=first, subsequent_indent=indent,
            break_long_words=not whole_words, break_on_hyphens=False, expand_tabs=False, replace_whitespace=False,
        ) or [first]  # fmt: skip
    return "\n".join(found).replace(_GLUE, " ")[before:]


def settings_from(config: Path | None, *, serving: bool = False) -> Settings:
    """The configuration; what is wrong with it is said, and ends the command."""
    try:
        settings = load(config)
        return settings.for_serving() if serving else settings
    except ConfigError as error:
        absent = config is None and not os.environ.get("RELAY_CONFIG") and not DEFAULT_FILE.exists()
        if absent and any(problem.key in {"channels", "storefronts"} for problem in error.problems):
            fail(f"no {DEFAULT_FILE} in {Path.cwd()}: use --config, or copy config.example.toml\n\n{error}")
        fail(str(error))


def private_from(config: Path | None) -> Asking:
    """Where the relay is asked; what is wrong with that is said, and ends the command."""
    try:
        return load_private(config)
    except ConfigError as error:
        fail(str(error))


def who(by: str | None) -> str:
    """Who does it."""
    if by is not None:
        if not by.strip():
            raise typer.BadParameter("say who does it", param_hint="--by")
        return by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return f"user {os.getuid()}"


def plain(text: str) -> str:
    """Text in which brackets are brackets (``[channels.main]`` is no markup) and nothing moves the cursor."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
