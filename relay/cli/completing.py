"""What a shell may complete with: names and codes that the running relay knows. Where it does not answer, nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from relay.cli.asking import NoAnswer, answer
from relay.config import ConfigError
from relay.config.asking import load_private

_TIMEOUT_S = 1.0
"""A shell waits for it, with a person in front."""

Completer = Callable[[typer.Context, str], list[str]]


def channels(context: typer.Context, begun: str) -> list[str]:
    """Names of channels."""
    return _beginning(begun, _told(context, "/api/status", "channels"))


def storefronts(context: typer.Context, begun: str) -> list[str]:
    """Names of storefronts."""
    return _beginning(begun, _told(context, "/api/status", "storefronts"))


def codes(context: typer.Context, begun: str) -> list[str]:
    """Codes of the causes that there are dead letters for."""
    groups = _told(context, "/api/dead-letters/groups", "groups")
    return _beginning(begun, (group["code"] for group in groups))


def _told(context: typer.Context, path: str, member: str) -> Any:
    """What the relay says; nothing, if it does not, for whatever cause: a shell has no place for errors."""
    config, url = context.params.get("config"), context.params.get("url")
    try:
        private = load_private(Path(config) if config is not None else None).private
        return answer(private, url, path, member, timeout_s=_TIMEOUT_S)[member]
    except (ConfigError, NoAnswer, OSError):
        return ()


def _beginning(begun: str, names: Any) -> list[str]:
    return sorted({name for name in names if name.startswith(begun) and name.isprintable()})
