"""``status`` and ``order``: what a running relay says, over its private API."""

import json
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import typer
from rich.table import Table

from relay.cli.terms import ConfigFile, Json, fail, out, plain, settings_from

Url = Annotated[
    str | None, typer.Option("--url", help="The relay's private address. Default: private.listen of the configuration.")
]
_TIMEOUT_S = 10
_HEADINGS = ("pace", "in flight", "new", "oldest new", "updates", "oldest", "sleeping", "dead", "sent", "gone in")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: order-relay status --json | jq .channels.main.drain_s")(status)
    app.command(epilog="Example: order-relay order '#1001'")(order)


def status(config: ConfigFile = None, url: Url = None, as_json: Json = False) -> None:
    """How the relay is: how old the oldest new order is, and when the backlog will be gone."""
    found = _get(config, url, "/api/status")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    ready = "[green]ready[/]" if found["ready"] else f"[red]not ready[/]: {'; '.join(found['reasons'])}"
    out.print(f"order-relay {found['version']}: {ready}, up since {found['started_at']}")
    out.print(_channels(found["channels"]))
    if found["events_without_order"]:
        out.print(f"[yellow]{found['events_without_order']} events from which no order could be read[/]")


def order(
    reference: Annotated[str, typer.Argument(help="What the customer calls it (#1001), or its external id.")],
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Where is order 1001? Its timeline: every event, every attempt, and where it is now."""
    found = _get(config, url, f"/api/orders?reference={quote(reference, safe='')}")["orders"]
    if not found:
        fail(f"no order {reference!r}: neither a reference nor an external id that was ever accepted here")
    timelines = [_get(config, url, f"/api/orders/{known['id']}") for known in found]
    if as_json:
        print(json.dumps(timelines, indent=2))
        return
    for timeline in timelines:
        _print_timeline(timeline)


def _channels(channels: dict[str, Any]) -> Table:
    table = Table("channel", title_justify="left")
    for heading in (
        "pace",
        "in flight",
        "new",
        "oldest new",
        "updates",
        "oldest",
        "sleeping",
        "dead",
        "sent",
        "gone in",
    ):
        table.add_column(heading, justify="right")
    for name, channel in channels.items():
        waiting, oldest, orders = channel["waiting"], channel["oldest_due_age_s"], channel["orders"]
        table.add_row(
            name + (f" (paused {channel['paused_s']:.0f} s)" if channel["paused_s"] else ""),
            f"{channel['rate']:g}/s",
            str(channel["in_flight"]),
            str(waiting["new"]),
            _age(oldest["new"]),
            str(waiting["update"] + waiting["replay"]),
            _age(max(oldest["update"], oldest["replay"])),
            str(orders["sleeping"]),
            f"[red]{orders['dead']}[/]" if orders["dead"] else "0",
            str(orders["sent"]),
            _age(channel["drain_s"] or 0.0),
        )
    return table


def _print_timeline(timeline: dict[str, Any]) -> None:
    known = timeline["order"]
    out.print(
        f"[bold]{known['reference'] or known['external_id']}[/] of {known['storefront']}, id {known['external_id']}"
    )
    out.print(f"  now: [bold]{known['place']}[/], {plain(known['why'])}")
    table = Table("when", "what", "revision", "came to", "why")
    rows = [(e["received_at"], e["topic"], e["revision"], e["place"], e["why"]) for e in timeline["events"]]
    rows += [
        (a["started_at"], "attempt", a["revision"], f"{a['outcome']} {a['status'] or ''}", a["message"])
        for a in timeline["attempts"]
    ]
    for row in sorted(rows, key=lambda row: str(row[0])):
        table.add_row(*("" if cell is None else plain(str(cell)) for cell in row))
    out.print(table)


def _age(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds else "-"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _get(config: Any, url: str | None, path: str) -> Any:
    settings = settings_from(config)
    base = (url or f"http://{settings.private.listen}").rstrip("/")
    token = settings.private.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    request = Request(base + path, headers=headers)  # noqa: S310 - the operator's own address
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            return json.load(response)
    except HTTPError as error:
        detail = json.load(error).get("detail", "") if error.headers.get_content_subtype() == "problem+json" else ""
        fail(f"the relay at {base} answered {error.code}: {detail or error.reason}")
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        fail(f"no relay answers at {base}: {reason}. Is it running, and is private.listen right?")
