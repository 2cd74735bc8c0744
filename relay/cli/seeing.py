"""``status`` and ``order``: what a running relay says, over its private API."""

import json
from http.client import HTTPException
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.terms import ConfigFile, Json, fail, out, plain, settings_from

Url = Annotated[
    str | None, typer.Option("--url", help="The relay's private address. Default: private.listen of the configuration.")
]
_TIMEOUT_S = 10
_DIRECT = build_opener(ProxyHandler({}))
"""No proxy: neither the token nor the question is any of its business."""


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
    ready = "[green]ready[/]" if found["ready"] else f"[red]not ready[/]: {plain('; '.join(found['reasons']))}"
    up = f"up since {found['started_at'][:16].replace('T', ' ')} UTC"
    out.print(f"order-relay {found['version']}, {up}: {ready}", soft_wrap=True)
    for name, channel in found["channels"].items():
        _print_channel(name, channel)
    if found["events_without_order"]:
        out.print(f"\n[yellow]{found['events_without_order']} events from which no order could be read[/]")


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


def _print_channel(name: str, channel: dict[str, Any]) -> None:
    """One block a channel, the two figures that matter first: it stays readable in 80 columns."""
    waiting, oldest, orders = channel["waiting"], channel["oldest_due_age_s"], channel["orders"]
    paused = f"  [yellow]paused for {_age(channel['paused_s'])} more[/]" if channel["paused_s"] else ""
    out.print(f"\n[bold]{plain(name)}[/] ({channel['mode']}){paused}")
    waits = f"{waiting['new']} new, {waiting['update']} updates"
    if waiting["update"]:
        waits += f" (oldest {_age(oldest['update'])})"
    if waiting["replay"]:
        waits += f", {waiting['replay']} replays (oldest {_age(oldest['replay'])})"
    rows = {
        "oldest new order": _age(oldest["new"]) if waiting["new"] else "none waits",
        "backlog gone in": _age(channel["drain_s"]) if orders["waiting"] + orders["sleeping"] else "empty",
        "waiting": waits,
        "not due yet": str(orders["sleeping"]),
        "dead letters": f"[red]{orders['dead']}[/]" if orders["dead"] else "none",
        "delivered": str(orders["sent"]),
        "pace": f"{channel['rate']:g} requests/s, {channel['in_flight']} in flight",
    }
    for label, value in rows.items():
        out.print(f"  {label:<18}{value}")


def _print_timeline(timeline: dict[str, Any]) -> None:
    known = timeline["order"]
    name = plain(known["reference"] or known["external_id"])
    out.print(f"[bold]{name}[/] of {known['storefront']}, id {plain(known['external_id'])}", soft_wrap=True)
    out.print(f"now [bold]{known['place']}[/]: {plain(known['why'])}", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("when (UTC)", no_wrap=True, min_width=14)
    table.add_column("what", overflow="fold", max_width=22)
    table.add_column("rev", justify="right", no_wrap=True, min_width=3)
    table.add_column("came to", overflow="fold", max_width=14)
    table.add_column("why", overflow="fold")
    rows = [(e["received_at"], e["topic"], e["revision"], e["place"], e["why"]) for e in timeline["events"]]
    rows += [
        (a["started_at"], "attempt", a["revision"], f"{a['outcome']} {a['status'] or ''}", _said(a))
        for a in timeline["attempts"]
    ]
    for at, *cells in sorted(rows, key=lambda row: str(row[0])):
        table.add_row(_short(at), *("" if cell is None else plain(str(cell)) for cell in cells))
    out.print(table)


def _said(attempt: dict[str, Any]) -> str:
    return ": ".join(part for part in (attempt["code"], attempt["message"]) if part)


def _short(at: str) -> str:
    """``2026-11-21T19:22:06.382483Z`` as ``11-21 19:22:06``."""
    return at[5:19].replace("T", " ")


def _age(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _get(config: Any, url: str | None, path: str) -> Any:
    settings = settings_from(config)
    if url is None and settings.private.listen.port == 0:
        fail("private.listen has port 0, so only the relay knows its address: give the one it printed with --url")
    base = (url or f"http://{settings.private.listen}").rstrip("/")
    token = settings.private.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    request = Request(base + path, headers=headers)  # noqa: S310 - the operator's own address
    try:
        with _DIRECT.open(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)
    except HTTPError as error:
        detail = json.load(error).get("detail", "") if error.headers.get_content_subtype() == "problem+json" else ""
        fail(f"the relay at {base} answered {error.code}: {detail or error.reason}")
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        fail(f"no relay answers at {base}: {reason}. Is it running, and is private.listen right?")
