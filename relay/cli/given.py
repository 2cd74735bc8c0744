"""What the commands that take a webhook out of a file are given: the storefront, and the file."""

import sys
from pathlib import Path

import typer

from relay.cli.terms import fail
from relay.config import Settings
from relay.config.problems import nearest


def storefront_named(settings: Settings, storefront: str | None) -> str:
    """The storefront that is meant; the command ends if that cannot be told."""
    known = ", ".join(settings.storefronts) or "none"
    if storefront is None:
        if len(settings.storefronts) == 1:
            return next(iter(settings.storefronts))
        raise typer.BadParameter(f"say which; there are: {known}", param_hint="--storefront")
    if storefront not in settings.storefronts:
        near = nearest(storefront, settings.storefronts)
        meant = f"; did you mean {near}?" if near else ""
        raise typer.BadParameter(
            f"no storefront {storefront!r} is configured; there are: {known}{meant}", param_hint="--storefront"
        )
    return storefront


def content_of(file: Path, most: int) -> bytes:
    """What is in a file, or with ``-`` in standard input; the command ends if that is more than may be sent."""
    try:
        if str(file) == "-":
            body = sys.stdin.buffer.read(most + 1)
        else:
            with file.open("rb") as opened:
                body = opened.read(most + 1)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    if len(body) > most:
        fail(f"{file} is larger than public.body_max_bytes, {most} bytes: the relay would refuse it")
    return body
