"""What would become of a webhook, as the command prints it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from relay.cli.named import count
from relay.cli.terms import out, plain, say

_LABEL = 11
"""Columns in front of what is said."""
_GROUPS_SHOWN = 60
_POINTER = 40
_EVENTS = {
    "upsert": "the order as it is now",
    "cancel": "a cancellation",
    "fetch": "only names its order, which is fetched",
    "ignore": "not wanted",
    "not understood": "no order can be read from it",
}
_SIGNATURES = {
    "verified": "verified",
    "wrong": "WRONG",
    "not given": "not given, and not needed here",
    "greeting": "none, and it needs none",
}
_SAME = {
    "own id": "the storefront's own id of the webhook",
    "digest": "a digest of what it says",
    "nothing": "nothing: each that arrives is an event of its own",
}
_STYLES = {"queued": "bold green", "held": "bold yellow", "ignored": "bold yellow"}


def print_preview(found: dict[str, Any], sale: bytes | None, *, everything: bool) -> None:
    """Which event it is, what becomes of it, the sale, and what is not in it."""
    event = found["event"]
    _row("storefront", f"{found['storefront']} (kind {found['kind']})")
    if event is not None:
        _row("webhook", _event(event, fetched=found["fetched"]))
        if event["order"] is not None:
            called = "" if event["reference"] is None else f", which the customer calls {event['reference']}"
            _row("order", f"{event['order']}{called}")
            _row("version", event["version"] or "none: what arrives later is newer")
        if not _is_greeting(found):
            _row("same as", f"another with this key: {_short(event['dedupe_key'], 60)} ({_SAME[event['dedupe_by']]})")
    if (signature := found["signature"]) is not None and not found["fetched"]:
        _row("signature", f"{_SIGNATURES[signature['is']]}: {signature['says']}")
    out.print()
    _print_fate(found)
    if sale is not None:
        out.print("\n[bold]The sale[/], as it would be sent" + _if_held(found))
        out.print(plain(msgspec.json.format(sale, indent=2).decode()), soft_wrap=True)
        _print_reasons("Left out, or assumed", found["notes"])
        _print_lost(found["not_carried_over"], everything=everything)


def _is_greeting(found: dict[str, Any]) -> bool:
    return found["signature"] is not None and found["signature"]["is"] == "greeting"


def _if_held(found: dict[str, Any]) -> str:
    return " once it is wanted" if found["disposition"] == "held" else ""


def _row(label: str, text: str) -> None:
    say(out, text, before=f"{label:<{_LABEL}}", style="dim", hanging=_LABEL)


def _event(event: dict[str, Any], *, fetched: bool) -> str:
    words = _EVENTS[event["is"]]
    if event["whole"] is False:
        words += " that only names its order"
    if fetched:
        return f"the order as it is fetched: {words}"
    return f"{event['topic'] or 'no topic'}: {words}"


def _print_fate(found: dict[str, Any]) -> None:
    disposition, reasons = found["disposition"], found["reasons"]
    style = _STYLES.get(disposition, "bold red")
    say(out, _fate(found), before=f"{disposition}: ", style=style, hanging=2)
    for reason in reasons:
        say(out, reason["detail"], before=f"  {reason['pointer'] or 'why'}: ", hanging=4)
    event = found["event"] or {}
    if event.get("is") == "not understood" and not event["topic"]:
        hint = "its topic is not known: give --topic or --header, or a file that begins with its headers"
        say(out, hint, before="  ", hanging=4)
    if event.get("whole") is False and disposition == "quarantined":
        say(
            out,
            "of an order that the relay knows, the last whole webhook is sent, cancelled",
            before="  but ",
            hanging=4,
        )
    if found["cancelled_by"] == "call":
        say(out, "by Jetti's cancel call: the sale does not say it", before="  then cancelled ", hanging=4)
    if found["left_if_unsent"]:
        words = "if it was accepted before its cancellation, and Jetti certainly has nothing of it"
        say(out, words, before="  but left unsent ", hanging=4)
    for request in found["requests"]:
        query = "&".join(f"{name}={value}" for name, value in request["query"].items())
        say(out, f"{request['path']}{query and f'?{query}'}, and what follows from it", before="  GET ", hanging=6)
        say(out, "For the rest, preview the order as it is fetched.", before="  ", hanging=2)


def _fate(found: dict[str, Any]) -> str:
    channel = found["channel"]
    match found["disposition"]:
        case "queued":
            what = "an order" if found["lane"] is None else {"new": "a new order", "update": "an update"}[found["lane"]]
            first = "fetched, and then " if found["requests"] else ""
            return f"{first}sent through channel {channel} as {what}"
        case "held":
            return "kept, and not sent until a later webhook of the order is wanted"
        case "quarantined":
            return "kept as a dead letter, for a person to see to"
        case "ignored":
            return "answered, and kept nowhere" if _is_greeting(found) else "kept, and not sent"
        case _:
            return "the caller is told at once"


def _print_reasons(title: str, reasons: Sequence[dict[str, str]]) -> None:
    if reasons:
        out.print(f"\n[bold]{title}[/]")
    for reason in reasons:
        say(out, reason["detail"], before=f"  {reason['pointer'] or 'the order'}: ", hanging=4)


def _print_lost(found: dict[str, Any] | None, *, everything: bool) -> None:
    if found is None:
        say(out, "The webhook is no JSON, so what is not carried over cannot be told.", before="\n", hanging=0)
        return
    said = f"{found['count']} of {count(found['values'], 'value')}" if found["count"] else "nothing"
    out.print(f"\n[bold]Not carried over[/]: {said}")
    if not found["tried"]:
        say(
            out,
            "It is large, and not every value was tried by itself: something may be missing here.",
            before="  ",
            hanging=2,
        )
    rows = _rows(found["groups"]) if everything else _gathered(found["groups"])
    shown = rows if everything else rows[:_GROUPS_SHOWN]
    width = min(_POINTER, max((len(pointer) for pointer, _ in shown), default=0))
    for pointer, words in shown:
        say(out, words if " " in words else _short(words, max(out.width - max(width, len(pointer)) - 4, 20)),
            before=f"  {pointer:<{width}}  ", hanging=6)  # fmt: skip
    more = len(rows) - len(shown)
    if more or len(shown) < len(found["groups"]):
        say(out, f"{f'{more} more; ' if more else ''}each by itself: --all", before="  ", style="dim", hanging=2)
    if found["told"] < len(found["groups"]):
        out.print(f"  {len(found['groups']) - found['told']} more are not listed")


def _rows(groups: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(group["pointer"], _value(group)) for group in groups]


def _value(group: dict[str, Any]) -> str:
    text = _short(msgspec.json.encode(group["value"]).decode(), 60)
    if group["count"] == 1:
        return text
    of = "" if group["count"] == group["of"] else f" of {group['of']}"
    return f"{group['count']}{of} times: {text}, …"


def _gathered(groups: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """An object or list of which nothing is carried over in one row, where its first value is."""
    within: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        within.setdefault(group["within"] or group["pointer"], []).append(group)
    rows = []
    for pointer, members in within.items():
        if len(members) == 1:
            rows += _rows(members)
        else:
            depth = pointer.count("/") + 1
            below = ("/".join(member["pointer"].split("/")[depth:]) for member in members)
            names = ", ".join(dict.fromkeys(name.removeprefix("*/") for name in below))
            rows.append((pointer, f"{count(sum(m['count'] for m in members), 'value')}: {_short(names, 100)}"))
    return rows


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
