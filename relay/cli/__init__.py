"""The commands: parsing and printing only. Exit codes: 0 done, 1 failed, 2 usage."""

from typing import Annotated

import typer

from relay.cli import channels, check, dead, finding, held, preview, replays, resend, running, seeing, sending
from relay.cli.terms import Group, show_version

app = typer.Typer(
    cls=Group,
    name="order-relay",
    help="Takes a storefront's order webhooks at any pace and hands them to Jetti (Onport) at the pace it allows.",
    epilog="First time here? Run `order-relay demo`: it needs no account.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
running.add_to(app)
check.add_to(app)
preview.add_to(app)
sending.add_to(app)
seeing.add_to(app)
finding.add_to(app)
resend.add_to(app)
channels.add_to(app)
dead.add_to(app)
held.add_to(app)
replays.add_to(app)


@app.callback()
def order_relay(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print name and version.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Options of the program itself."""
