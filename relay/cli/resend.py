"""``resend``: an order's newest state once more, though Jetti may have it."""

import json
from typing import Annotated

import typer

from relay.cli.asking import Desk, Url
from relay.cli.named import as_word, name_of, one_named
from relay.cli.terms import By, Command, ConfigFile, Json, fail, out, say, who

_HELP = "What the customer calls it (#1001), its external id, or order:12."


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command, epilog="Example: order-relay resend '#1001' --why 'deleted at Jetti by mistake'"
    )(resend)  # fmt: skip


def resend(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help=_HELP)],
    why: Annotated[str, typer.Option(help="Why, for whoever looks for the order.", metavar="TEXT")],
    by: By = None,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send an order's newest state again whatever became of it, under the same externalId. Its sale is made anew."""
    if not reference.strip():
        raise typer.BadParameter("say which order: '#1001', or 1001", param_hint="REFERENCE")
    if not why.strip():
        raise typer.BadParameter("say why, for whoever looks for the order", param_hint="--why")
    desk = Desk(config, url)
    known = one_named(desk, reference)
    name = as_word(name_of(known))
    if known["place"] == "held":
        fail(f"{name_of(known)} is held: it was not sent yet. To send it: order-relay held release {name} --why …")
    answer = desk.ask(f"/api/orders/{known['id']}/resend", "order", {"by": who(by), "why": why})
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    say(out, f"{name_of(known)} is on its way again, in lane replay: order-relay order {name} --watch")
