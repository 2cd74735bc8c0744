"""``status`` and ``order``: what a running relay says, over its private API."""

import json
from typing import Annotated, Any

import typer

from relay.cli.asking import Desk, Url
from relay.cli.named import REFERENCE_HELP, as_word, count, event_named, name_of, one_named, orders_named, words_of
from relay.cli.terms import Command, ConfigFile, Json, out, plain, private_from, say
from relay.cli.timeline import print_event, print_happened, print_several, print_timeline, print_where
from relay.cli.times import age, since
from relay.cli.watching import Ask, Watch, rates, status_seen
from relay.core.delivery import State
from relay.observe.pages import Page

_SEE = "see: order-relay dead list"
_SETTLED = frozenset({"delivered", State.DEAD, State.DISCARDED, State.IGNORED})
"""Where an order is that does not go on by itself. One that is held may: a later webhook sends it."""
_LABEL = 20
"""Columns before a figure."""
_CREDENTIALS = (401, 403)
_REFUSALS = (400, 409, 413, 422)
"""Statuses with which Jetti refuses an order, and not the channel."""
_STYLED = {
    "halted": "[red]halted[/]", "open": "[yellow]circuit open, not sending[/]",
    "paused": "[yellow]paused[/]", "resting": "[yellow]resting[/]",
}  # fmt: skip
_LIMITS = {"queue": Page.STOREFRONT_REFUSED, "disk": Page.DISK_NEARLY_FULL, "backlog": Page.BACKLOG_LIMIT}
_ALL_REFUSED = "every storefront is refused"


Interval = Annotated[float, typer.Option(help="With --watch: seconds from one look to the next.", min=0.2)]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(cls=Command, epilog="Example: order-relay status --watch --interval 5")(status)
    app.command(cls=Command, epilog="Example: order-relay order '#1001' --watch")(order)


def status(
    config: ConfigFile = None,
    url: Url = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, and say how much comes and goes.")
    ] = False,
    interval: Interval = 1.0,
    as_json: Json = False,
) -> None:
    """How the relay is: how old the oldest new order is, and when the backlog will be gone."""
    desk = Desk(config, url)
    if watch:
        Watch(desk, interval, as_json, status_seen, _print_watched).until_over()
        return
    found = desk.ask("/api/status", "channels")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print_status(found, private_from(config).files)


def print_status(found: dict[str, Any], files: frozenset[str]) -> None:
    """All of it. ``files``: see :class:`relay.config.asking.Asking`."""
    _print_relay(found)
    for name, channel in found["channels"].items():
        _print_channel(name, channel, found["now"], files)
    if found["held"]:
        of_each = (f"{g['count']} of {g['storefront']} (oldest {age(g['oldest_age_s'])})" for g in found["held"])
        say(out, f"{', '.join(of_each)}; see: order-relay held list", before="\nheld: ", hanging=2)
    for replay in found["replays"]:
        done = replay["revived"] + replay["left"]
        words = f"replay {replay['id']} by {replay['by']}: {done} of {count(replay['total'], 'dead letter')}"
        say(out, words, before="\n", hanging=2)
    if lost := found["events_without_order"]:
        out.print(f"\n[yellow]{count(lost, 'event')} from which no order could be read; {_SEE}[/]")


def _print_watched(found: dict[str, Any], files: frozenset[str]) -> None:
    say(out, rates(found["pulse"]), before="")
    print_status(found, files)


def order(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help=REFERENCE_HELP)],
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until it is delivered, or waits for a person, or Ctrl-C.")
    ] = False,
    interval: Interval = 1.0,
    config: ConfigFile = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Where is order 1001, and why? One sentence first; then everything that happened to it."""
    reference = reference.strip()
    if not reference:
        raise typer.BadParameter("say which order: '#1001', or 1001", param_hint="REFERENCE")
    desk = Desk(config, url)
    if watch:
        _watch_order(desk, reference, interval, as_json)
        return
    event_id = event_named(desk, reference)
    if event_id is not None:
        found = desk.ask(f"/api/dead-letters/events/{event_id}", "event")
        if as_json:
            print(json.dumps([found], indent=2))
        else:
            print_event(found)
        return
    orders = orders_named(desk, reference)
    if as_json:
        print(json.dumps([desk.ask(f"/api/orders/{known['id']}", "timeline") for known in orders], indent=2))
    elif len(orders) == 1:
        print_timeline(desk.ask(f"/api/orders/{orders[0]['id']}", "timeline"))
    else:
        print_several(orders, reference)


def _watch_order(desk: Desk, reference: str, interval_s: float, as_json: bool) -> None:
    """Ends with 1 if the order got where it stays undelivered until somebody does something."""
    path = f"/api/orders/{one_named(desk, reference)['id']}"

    def look(ask: Ask) -> dict[str, Any]:
        found: dict[str, Any] = ask(path, "timeline")
        return found

    seen = Watch(
        desk, interval_s, as_json, look, lambda found, _: print_where(found), _is_settled, only_changes=True
    ).until_over()  # fmt: skip
    if seen is None:
        return
    if not as_json:
        print_happened(seen)
    if seen["where"]["place"] != "delivered":
        raise typer.Exit(1)


def _is_settled(found: dict[str, Any]) -> bool:
    return found["where"]["place"] in _SETTLED


# -- status ------------------------------------------------------------------------------------------------------------


def _print_relay(found: dict[str, Any]) -> None:
    """Whether it takes events; each limit that is reached once, with whom it concerns."""
    refusing = [limit for limit in found["limits"] if limit["refused"]]
    up = f"order-relay {found['version']}, up since {found['started_at'][:16].replace('T', ' ')} UTC: "
    if found["ready"]:
        out.print(f"{up}[green]ready[/]")
    else:
        reasons = [_ALL_REFUSED if refusing and r.startswith(_ALL_REFUSED) else r for r in found["reasons"]]
        say(out, "; ".join(reasons), before=f"{up}not ready: ", style="red", hanging=2)
    for limit in refusing:
        refused = limit["refused"]
        keys = ", ".join(f"storefronts.{name}.refuse_at" for name in refused)
        whom = f"{', '.join(refused)} {'is' if len(refused) == 1 else 'are'} refused"
        level = "" if limit["limit"] == "queue" else f", that is {limit['level']:.0%}"  # the queue's words have it
        words = f"{limit['words']}{level}; {whom} ({keys}; runbook: {_LIMITS[limit['limit']]})"
        say(out, words, style="red", before="", hanging=2)


def _print_channel(name: str, channel: dict[str, Any], now: str, files: frozenset[str]) -> None:
    """One block a channel, the two figures that matter first: it stays readable in 80 columns."""
    orders = channel["orders"]
    out.print(f"\n[bold]{plain(name)}[/] ({channel['mode']}): {_STYLED.get(channel['state'], channel['state'])}")
    for words in (_standing(name, channel, now, files), _failing(channel, now)):
        if words:
            say(out, words, before="  ", style="yellow", hanging=4)
    rows = {
        "oldest new order": age(channel["oldest_due_age_s"]["new"]) if channel["waiting"]["new"] else "none waits",
        "backlog gone in": _drain(channel),
        "waiting": _waiting(channel),
        "not due yet": count(orders["sleeping"], "order"),
        "dead letters": f"{count(orders['dead'], 'order')}; {_SEE}" if orders["dead"] else "none",
        "cancelled" if channel["mode"] == "cancel" else "delivered": count(orders["sent"], "order"),
        "pace": _pace(channel),
    }
    if channel["mode"] == "fetch":
        del rows["delivered"]  # what is fetched goes on to another channel
    for label, value in rows.items():
        style = "red" if label == "dead letters" and orders["dead"] else ""
        say(out, value, before=f"  {label:<{_LABEL - 2}}", style=style)


def _pace(channel: dict[str, Any]) -> str:
    rate, configured = channel["rate"], channel["configured_rate"]
    requests = "request" if configured == 1 else "requests"
    words = f"{rate:g} {requests}/s" if rate >= configured else f"{rate:g} of {configured:g} {requests}/s"
    return f"{words}, {channel['in_flight']} in flight"


def _standing(name: str, channel: dict[str, Any], now: str, files: frozenset[str]) -> str:
    """Why nothing is sent as usual, since when, what ends it, and the page of the runbook."""
    pause, circuit, resume = channel["pause"], channel["circuit"], f"order-relay resume {as_word(name)}"
    cause, latest = words_of(channel["circuit_cause"]).rstrip("."), _latest(channel)
    parts = []
    if pause is not None:
        parts.append(
            f"paused by {pause['by']} since {since(pause['since'], now)}: {pause['why'].rstrip('.')}. "
            f"To go on: {resume} (runbook: {Page.CHANNEL_PAUSED})"
        )
    if (slow := channel["rate_for_now"]) is not None:
        parts.append(_slow(name, slow, now))
    if circuit == "halted":
        mend = _remedy(name, channel["mode"], channel["circuit_cause"] or {}, files)
        parts.append(
            f"halted since {since(channel['circuit_since'], now)}: {cause}.{latest} {mend}, then: {resume}. "
            f"{_probe(channel)} (runbook: {Page.CHANNEL_HALTED})"
        )
    elif circuit == "open":
        closes = "" if pause is not None else ", and closes by itself when that is answered"
        parts.append(
            f"circuit open since {since(channel['circuit_since'], now)}: {cause}.{latest} {_probe(channel)}{closes}; "
            f"at once: {resume} (runbook: {Page.CIRCUIT_OPEN})"
        )
    if channel["resting_s"] and pause is None and circuit == "closed":
        parts.append(
            f"resting for {age(channel['resting_s'])} more: {words_of(channel['resting_cause']).rstrip('.')}. "
            f"Goes on by itself; at once: {resume} (runbook: {Page.CHANNEL_THROTTLED})"
        )
    return "\n".join(parts)


def _slow(name: str, said: dict[str, Any], now: str) -> str:
    """Which rate a person has said, who, until when, why, and what ends it."""
    until = "" if said["until"] is None else f" until {since(said['until'], now)}"
    return (
        f"{said['rate']:g}/s for now, by {said['by']}{until}: {said['why'].rstrip('.')}. "
        f"As configured at once: order-relay rate {as_word(name)} --reset"
    )


def _latest(channel: dict[str, Any]) -> str:
    """Whose attempt to look at."""
    latest = channel["latest_order"]
    return "" if latest is None else f" The latest: order-relay order {as_word(name_of(latest))}."


def _probe(channel: dict[str, Any]) -> str:
    """When it is tried next."""
    probe_in_s = channel["probe_in_s"]
    if channel["pause"] is not None or probe_in_s is None:
        return "Not tried while it is paused"
    return f"Tried again with one order in {age(probe_in_s)}" if probe_in_s else "Tried again with the next order"


def _remedy(name: str, mode: str, cause: dict[str, Any], files: frozenset[str]) -> str:
    """What a person has to do about a channel that is halted for this: its status says more than its code."""
    status, secret = cause.get("status"), "webhook_hash" if mode == "async" else "token"
    table = name.rpartition(":")[2]  # of a channel like fetch:shop or cancel:main
    if status in _REFUSALS:
        return "The same refusal for order after order: correct what they have in common"
    if status in _CREDENTIALS:
        key = f"storefronts.{table}.api_token" if mode == "fetch" else f"channels.{table}.{secret}"
        if f"{key}_file" in files:
            return f"Correct the file of {key}_file (it is read again)"
        return f"Correct {key} (this needs a restart, unless it is in a file)"
    keys = f"channels.{table}.async_url"
    if mode == "fetch":
        keys = f"storefronts.{table}.api_url"
    elif mode != "async":
        keys = f"channels.{table}.api_url or channels.{table}.channel_id"
    return f"Correct {keys} and restart"


def _failing(channel: dict[str, Any], now: str) -> str:
    trouble = channel.get("trouble")
    if trouble is None:
        return ""
    what = "throttled" if trouble["outcome"] == "throttled" else "failing"
    known = [words_of(channel[cause]) for cause in ("circuit_cause", "resting_cause")]
    cause = words_of(trouble)
    cause = "" if cause in known else f": {cause.rstrip('.')}"  # has just been said
    waits = channel["orders"]["waiting"] + channel["orders"]["sleeping"]
    goes_on = "; all that waits will be sent" if waits else ""
    return f"{what} since {since(trouble['since'], now)}{cause} ({count(trouble['attempts'], 'attempt')}){goes_on}"


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
