"""One order's timeline, or one event without an order, as the commands print it."""

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.named import as_word, name_of
from relay.cli.terms import out, plain, say, wrapped
from relay.cli.times import short

_ATTEMPTS_SHOWN = 3
_TOPIC_WIDTH = 19
"""As wide as ``store/order/created``: narrower only where all topics are."""


def print_timeline(timeline: dict[str, Any], *, advise: bool = True) -> None:
    """Where the order is, what may be done, everything that happened to it, and what Jetti answered to the newest
    attempts that did not succeed."""
    print_where(timeline, advise=advise)
    print_happened(timeline)


def print_happened(timeline: dict[str, Any]) -> None:
    """Everything that happened to it, and what Jetti answered to the newest attempts that did not succeed."""
    out.print(_table_of(timeline["timeline"]))
    for attempt in timeline["attempts"][-_ATTEMPTS_SHOWN:]:
        if attempt["excerpt"] and attempt["outcome"] != "sent":
            out.print(f"{attempt['outcome']} {attempt['status'] or ''}, Jetti answered:")
            _print_answer(attempt["excerpt"])


def print_where(timeline: dict[str, Any], *, advise: bool = True) -> None:
    """Where the order is, and what may be done."""
    known = timeline["order"]
    say(out, f" of {known['storefront']}, id {known['external_id']}", before=name_of(known), style="bold", hanging=2)
    say(out, timeline["where"]["words"], hanging=2)
    if advise and (advice := _advice(known)):
        say(out, advice, hanging=2)


def print_several(orders: list[dict[str, Any]], reference: str) -> None:
    """Orders of which each may be meant."""
    say(out, f"{reference} may be any of {len(orders)} orders; one by itself: order-relay order order:ID")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("order", "name", "of", "id", "where"):
        table.add_column(column, overflow="fold")
    for known in orders:
        cells = (f"order:{known['id']}", name_of(known), known["storefront"], known["external_id"], known["why"])
        table.add_row(*(plain(cell) for cell in cells))
    out.print(table)


def print_event(found: dict[str, Any]) -> None:
    """An event from which no order could be read, and why."""
    event = found["event"]
    say(out, f" of {event['storefront']}, topic {event['topic'] or 'none'}", before=f"event:{event['event']}",
        style="bold", hanging=2)  # fmt: skip
    print_reasons(event["reasons"])


def print_reasons(reasons: list[dict[str, Any]]) -> None:
    """One line each, the field first."""
    for reason in reasons:
        say(out, reason["detail"], before=f"{reason['pointer'] or 'body'}: ", hanging=2)


def print_content(member: str, found: dict[str, Any]) -> None:
    """A webhook or a sale, as it is; nothing if it was not asked for."""
    if member not in found:
        return
    content = found[member]
    out.print(f"\n[bold]{member}[/]")
    if content is None:
        out.print("not kept (any more)")
    else:
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
        out.print(plain(text), soft_wrap=True)


def _print_answer(excerpt: str) -> None:
    """JSON with a member a line; within the width, whatever it is."""
    try:
        text = json.dumps(json.loads(excerpt), indent=2, ensure_ascii=False)
    except ValueError:
        text = excerpt
    indented = "\n".join(f"  {line}" for line in text.splitlines())
    out.print(plain(wrapped(indented, out.width, 0, 2, whole_words=False)), soft_wrap=True)


def _table_of(lines: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("when (UTC)", no_wrap=True, min_width=14)
    table.add_column("event", justify="right", no_wrap=True)
    topics = max((len(line["what"]) for line in lines), default=0)
    table.add_column("what", overflow="fold", min_width=min(topics, _TOPIC_WIDTH), max_width=_TOPIC_WIDTH)
    table.add_column("rev", justify="right", no_wrap=True, min_width=3)
    table.add_column("came to", overflow="fold", max_width=13)
    table.add_column("why", overflow="fold")
    for line in lines:
        event = line["number"] if line["kind"] == "event" else None
        came_to = f"by {line['came_to']}" if line["kind"] == "deed" else line["came_to"]
        cells = (event, line["what"], line["revision"], came_to, line["words"])
        table.add_row(short(line["at"]), *("" if cell is None else plain(short(str(cell))) for cell in cells))
    return table


def _advice(known: dict[str, Any]) -> str:
    """What a person may do about it."""
    name = as_word(name_of(known))
    if known["place"] == "held":
        return f"Release it: order-relay held release {name} --why …"
    if known["place"] == "dead":
        return f"Once it is mended: order-relay dead replay {name}"
    stands = known["channel_state"] not in {"sending", None}
    return "About the channel: order-relay status" if known["place"] in {"waiting", "sleeping"} and stands else ""
