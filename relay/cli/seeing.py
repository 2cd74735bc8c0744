"""``status`` and ``order``: what a running relay says, over its private API."""

import json
import re
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.asking import Url, ask
from relay.cli.terms import Command, ConfigFile, Json, fail, out, plain, say
from relay.cli.times import age, short, since

_SEE = "see: order-relay dead list"
_LABEL = 20
"""Columns before a figure."""
_REFUSALS = (400, 409, 413, 422)
"""Statuses with which Jetti refuses an order, and not the channel."""
_STYLED = {
    "halted": "[red]halted[/]", "open": "[yellow]open[/]", "paused": "[yellow]paused[/]",
    "resting": "[yellow]resting[/]",
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay status --json | jq .channels.main.drain_s")(status)
    app.command(cls=Command, epilog="Example: order-relay order '#1001'")(order)


def status(config: ConfigFile = None, url: Url = None, as_json: Json = False) -> None:
    """How the relay is: how old the oldest new order is, and when the backlog will be gone."""
    found = ask(config, url, "/api/status", "channels")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    up = f"order-relay {found['version']}, up since {found['started_at'][:16].replace('T', ' ')} UTC: "
    if found["ready"]:
        out.print(f"{up}[green]ready[/]")
    else:
        say(out, "; ".join(found["reasons"]), before=f"{up}not ready: ", style="red", hanging=2)
    for limit in found["limits"]:
        if limit["refused"]:
            words = f"{limit['words']}: new events are refused of {', '.join(limit['refused'])}"
            say(out, words, style="red", before="", hanging=2)
    for name, channel in found["channels"].items():
        _print_channel(name, channel, found["now"])
    for replay in found["replays"]:
        done = replay["revived"] + replay["left"]
        words = f"replay {replay['id']} by {replay['by']}: {done} of {count(replay['total'], 'dead letter')}"
        say(out, words, before="\n", hanging=2)
    if lost := found["events_without_order"]:
        out.print(f"\n[yellow]{count(lost, 'event')} from which no order could be read; {_SEE}[/]")


def order(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="What the customer calls it (#1001), or its external id.")
    ],
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Where is order 1001? Its timeline: every event, every attempt, and where it is now."""
    if not reference.strip():
        raise typer.BadParameter("say which order: '#1001', or 1001", param_hint="REFERENCE")
    found = ask(config, url, f"/api/orders?reference={quote(reference, safe='')}", "orders")["orders"]
    if not found:
        fail(f"no order {reference!r}: neither a reference nor an external id that was ever accepted here")
    timelines = [ask(config, url, f"/api/orders/{known['id']}", "events") for known in found]
    if as_json:
        print(json.dumps(timelines, indent=2))
        return
    for timeline in timelines:
        print_timeline(timeline)


# -- status ------------------------------------------------------------------------------------------------------------


def _print_channel(name: str, channel: dict[str, Any], now: str) -> None:
    """One block a channel, the two figures that matter first: it stays readable in 80 columns."""
    orders = channel["orders"]
    out.print(f"\n[bold]{plain(name)}[/] ({channel['mode']}): {_STYLED.get(channel['state'], channel['state'])}")
    for words in (_standing(name, channel, now), _failing(channel, now)):
        if words:
            say(out, words, before="  ", style="yellow", hanging=4)
    rows = {
        "oldest new order": age(channel["oldest_due_age_s"]["new"]) if channel["waiting"]["new"] else "none waits",
        "backlog gone in": _drain(channel),
        "waiting": _waiting(channel),
        "not due yet": count(orders["sleeping"], "order"),
        "dead letters": f"{count(orders['dead'], 'order')}; {_SEE}" if orders["dead"] else "none",
        "delivered": count(orders["sent"], "order"),
        "pace": _pace(channel),
    }
    for label, value in rows.items():
        style = "red" if label == "dead letters" and orders["dead"] else ""
        say(out, value, before=f"  {label:<{_LABEL - 2}}", style=style)


def _pace(channel: dict[str, Any]) -> str:
    rate, configured = channel["rate"], channel["configured_rate"]
    words = f"{rate:g} requests/s" if rate >= configured else f"{rate:g} of {configured:g} requests/s"
    return f"{words}, {channel['in_flight']} in flight"


def _standing(name: str, channel: dict[str, Any], now: str) -> str:
    """Why nothing is sent as usual, since when, and what to do if it is a person who has to do it."""
    pause, resume = channel["pause"], f"order-relay resume {name}"
    circuit, cause = channel["circuit"], _cause(channel["circuit_cause"])
    parts = []
    if pause is not None:
        parts.append(f"paused by {pause['by']} since {since(pause['since'], now)}: {pause['why']}. To go on: {resume}")
    if circuit == "halted":
        mend = _remedy(name, channel["mode"], channel["circuit_cause"] or {})
        parts.append(
            f"halted since {since(channel['circuit_since'], now)}: {cause}. {mend}, then: {resume}. {_probe(channel)}"
        )
    elif circuit == "open":
        parts.append(f"open since {since(channel['circuit_since'], now)}: {cause}. {_probe(channel)}")
    if channel["resting_s"] and pause is None and circuit == "closed":
        parts.append(f"resting for {age(channel['resting_s'])} more: {_cause(channel['resting_cause'])}")
    return "\n".join(parts)


def _probe(channel: dict[str, Any]) -> str:
    """When it is tried next."""
    probe_in_s = channel["probe_in_s"]
    if channel["pause"] is not None or probe_in_s is None:
        return "Not tried while it is paused"
    return f"Tried again with one order in {age(probe_in_s)}" if probe_in_s else "Tried again with the next order"


def _cause(cause: dict[str, Any] | None) -> str:
    return "" if cause is None else f"{cause['code']}: {cause['message']}".rstrip(".")


def _remedy(name: str, mode: str, cause: dict[str, Any]) -> str:
    """What a person has to do about a channel that is halted for this."""
    if cause.get("status") in _REFUSALS:
        return "The same refusal for order after order: correct what they have in common"
    about_credentials = any(word in cause.get("code", "") for word in ("401", "403", "unauthorized", "forbidden"))
    if mode == "async":
        key = f"channels.{name}.{'webhook_hash' if about_credentials else 'async_url'}"
    elif about_credentials:
        key = f"channels.{name}.token"
    else:
        key = f"channels.{name}.api_url or channels.{name}.channel_id"
    return f"Correct {key} (a secret file is read again; anything else needs a restart)"


def _failing(channel: dict[str, Any], now: str) -> str:
    trouble = channel.get("trouble")
    if trouble is None:
        return ""
    what = "throttled" if trouble["outcome"] == "throttled" else "failing"
    cause = _cause(trouble)
    if cause in (_cause(channel["circuit_cause"]), _cause(channel["resting_cause"])):
        cause = ""  # has just been said
    again = channel["orders"]["sleeping"]
    counts = count(trouble["attempts"], "attempt")
    if again:
        counts += f"; {count(again, 'order')} will be tried again"
    return f"{what} since {since(trouble['since'], now)}{': ' if cause else ''}{cause} ({counts})"


def _drain(channel: dict[str, Any]) -> str:
    if not channel["orders"]["waiting"] + channel["orders"]["sleeping"]:
        return "empty"
    drain_s = channel["drain_s"]
    if drain_s is None:
        return "unknown while it is paused" if channel["state"] == "paused" else "unknown while nothing gets through"
    return age(drain_s)


def _waiting(channel: dict[str, Any]) -> str:
    waiting, oldest = channel["waiting"], channel["oldest_due_age_s"]
    if not any(waiting.values()):
        return count(0, "order")
    words = count(waiting["new"], "new order")
    for lane, what in (("update", "updated order"), ("replay", "replayed order")):
        if waiting[lane]:
            words += f", {count(waiting[lane], what)} (oldest {age(oldest[lane])})"
    return words


def count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# -- order -------------------------------------------------------------------------------------------------------------


def print_timeline(timeline: dict[str, Any]) -> None:
    known = timeline["order"]
    say(out, f" of {known['storefront']}, id {known['external_id']}", before=_name(known), style="bold", hanging=2)
    say(out, _now(known), before="now ", style="bold", hanging=2)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("when (UTC)", no_wrap=True, min_width=14)
    table.add_column("event", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold", max_width=19)
    table.add_column("rev", justify="right", no_wrap=True, min_width=3)
    table.add_column("came to", overflow="fold", max_width=13)
    table.add_column("why", overflow="fold")
    last = _said(timeline["attempts"][-1]) if timeline["attempts"] else ""
    rows = [
        (e["received_at"], e["event"], e["topic"], e["revision"], e["place"], _without(e["why"], last))
        for e in timeline["events"]
    ]
    rows += [
        (a["started_at"], None, "attempt", a["revision"], f"{a['outcome']} {a['status'] or ''}", _said(a))
        for a in timeline["attempts"]
    ]
    for at, *cells in sorted(rows, key=lambda row: str(row[0])):
        table.add_row(short(at), *("" if cell is None else plain(short(str(cell))) for cell in cells))
    out.print(table)


def _name(known: dict[str, Any]) -> str:
    return str(known["reference"] or known["external_id"])


def _now(known: dict[str, Any]) -> str:
    """Where it is; of a cause only the code, because the table has the rest."""
    place, cause = known["place"], known["cause"]
    if place == "sleeping":
        place = f"{place} until {short(known['due_at'])} UTC"
    elif place == "waiting":
        place = f"{place} since {short(known['due_at'])} UTC"
    elif place != "dead" or cause is None:
        return f"{place}: {known['why']}"
    return f"{place}: {cause['code']}" if cause else place


def _without(why: str, last: str) -> str:
    """Why an event is where it is, without what the last attempt's own row says."""
    return re.sub(r"(; last)?: $", "", why.removesuffix(last)) if last else why


def _said(attempt: dict[str, Any]) -> str:
    return ": ".join(part for part in (attempt["code"], attempt["message"]) if part)
