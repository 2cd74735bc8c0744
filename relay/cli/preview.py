"""``preview``: what would become of a webhook in a file, by the configuration alone."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from relay.cli.given import content_of, storefront_named
from relay.cli.named import as_word
from relay.cli.previewed import print_preview
from relay.cli.terms import Command, ConfigFile, Json, fail, out, say, settings_from
from relay.clock import SystemClock
from relay.config.loading import file_used
from relay.config.values import as_toml
from relay.core.captured import captured, field_of
from relay.core.order import Disposition
from relay.core.preview import NoTopicHeader

_STDIN = Path("-")

Topic = Annotated[
    str | None, typer.Option(help="Its topic, if its headers are not at hand: orders/create.", metavar="TOPIC")
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command, epilog="Example: order-relay preview order.json --topic orders/create")(preview)


def preview(  # noqa: PLR0913 - one option each
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A webhook: its body, or its headers, a blank line and its body; -: standard input. Of a storefront "
            "whose orders are fetched also the order as it is fetched.",
        ),
    ],
    *,
    config: ConfigFile = None,
    storefront: Annotated[
        str | None, typer.Option(help="Whose it is. Default: the only one that is configured.", metavar="NAME")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="A header of the webhook: 'X-Shopify-Topic: orders/create'. May be repeated."),
    ] = None,
    topic: Topic = None,
    everything: Annotated[bool, typer.Option("--all", help="List every value that is not carried over.")] = False,
    save_expected: Annotated[
        Path | None,
        typer.Option(help="Also write the sale to this file, and print the test that expects it.", metavar="PATH"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Webhook in, sale out, and what of it is not carried over. Sends nothing, keeps nothing, asks nobody."""
    from relay.app import previewer_of
    from relay.samples import preview_of_sample, together

    settings = settings_from(config, serving=True)
    name = storefront_named(settings, storefront)
    webhook = captured(content_of(file, settings.public.body_max_bytes))
    headers = dict(map(_header, header or ()))
    previewer = previewer_of(name, settings.storefronts[name])
    try:
        found = previewer.preview(
            together(webhook, headers), webhook.body, now=SystemClock().now(), topic=topic, weigh=save_expected is None
        )
        expected = None if save_expected is None else preview_of_sample(previewer, webhook, headers, topic)
    except NoTopicHeader as error:
        raise typer.BadParameter(f"{error}: leave the option out", param_hint="--topic") from None
    if save_expected is not None and expected is not None:
        _save(save_expected, None if expected.made is None else expected.made.sale, found.disposition)
    members = msgspec.json.encode(found.members())
    if as_json:
        print(msgspec.json.format(members, indent=2).decode())
        return
    if save_expected is None:
        print_preview(
            msgspec.json.decode(members), None if found.made is None else found.made.sale, everything=everything
        )
        return
    folder = file_used(config).resolve().parent
    test = {
        "webhook": _relative(Path("webhook.json") if file == _STDIN else file, folder),
        "headers": headers,
        "topic": topic,
        "disposition": found.disposition,
        "sale": _relative(save_expected, folder),
    }
    at_hand = "; keep the webhook as webhook.json beside it" if file == _STDIN else ""
    run = "order-relay check" if config is None else f"order-relay check --config {as_word(str(config))}"
    say(
        out, f"Written: {save_expected}. To have it checked, put this into the configuration{at_hand}, and run: {run}\n"
    )
    print(f"[[storefronts.{name}.tests]]")
    for key, value in test.items():
        if value and (key, value) != ("disposition", Disposition.QUEUED):
            print(f"{key} = {as_toml(value)}")


def _header(text: str) -> tuple[str, str]:
    found = field_of(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no header: write 'X-Shopify-Topic: orders/create'", param_hint="--header"
        )
    return found


def _save(path: Path, sale: bytes | None, disposition: str) -> None:
    if sale is None:
        fail(
            f"there is no sale to save: the webhook is {disposition}. Leave --save-expected out to see why; a test may "
            f'expect it: disposition = "{disposition}"'
        )
    try:
        path.write_bytes(msgspec.json.format(sale, indent=2) + b"\n")
    except OSError as error:
        fail(f"--save-expected {path} cannot be written: {error.strerror}")


def _relative(path: Path, folder: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(folder)) if resolved.is_relative_to(folder) else str(resolved)
