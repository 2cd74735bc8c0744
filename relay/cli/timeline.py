"""One order's timeline, or one event without an order, as the commands print it."""

import json
import re
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from relay.cli.named import as_word, code_of, name_of, words_of
from relay.cli.terms import out, plain, say, wrapped
from relay.cli.times import age, short
from relay.clock import SystemClock
from relay.core import instant
from relay.core.sources import moment

_ATTEMPTS_SHOWN = 3
_TOPIC_WIDTH = 19
"""As wide as ``store/order/created``: narrower only where all topics are."""
_STANDS = {
    None: "is not configured", "open": "is not sent to, its circuit is open", "resting": "rests after a throttle",
    "paused": "is paused", "halted": "is halted",
}  # fmt: skip
"""What is said of a channel that keeps an order waiting."""


def print_timeline(timeline: dict[str, Any]) -> None:
    """Where the order is, every event, every attempt, and what Jetti answered to the newest that did not succeed."""
    known = timeline["order"]
    say(out, f" of {known['storefront']}, id {known['external_id']}", before=name_of(known), style="bold", hanging=2)
    say(out, _now(known), before="now ", style="bold", hanging=2)
    if known["released_at"] and known["place"] != "delivered":
        when = short(known["released_at"])
        say(out, f"at {when} UTC, by a person: accept_when is not asked about it", before="released ", style="bold",
            hanging=2)  # fmt: skip
    out.print(_table_of(timeline))
    for attempt in timeline["attempts"][-_ATTEMPTS_SHOWN:]:
        if attempt["excerpt"] and attempt["outcome"] != "sent":
            out.print(f"{attempt['outcome']} {attempt['status'] or ''}, Jetti answered:")
            _print_answer(attempt["excerpt"])


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


def _table_of(timeline: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("when (UTC)", no_wrap=True, min_width=14)
    table.add_column("event", justify="right", no_wrap=True)
    topics = max((len(event["topic"]) for event in timeline["events"]), default=0)
    table.add_column("what", overflow="fold", min_width=min(topics, _TOPIC_WIDTH), max_width=_TOPIC_WIDTH)
    table.add_column("rev", justify="right", no_wrap=True, min_width=3)
    table.add_column("came to", overflow="fold", max_width=13)
    table.add_column("why", overflow="fold")
    last = _code_and_message(timeline["attempts"][-1]) if timeline["attempts"] else ""
    rows = [
        (e["received_at"], e["event"], e["topic"], e["revision"], e["place"], _without(e["why"], last))
        for e in timeline["events"]
    ]
    rows += [
        (a["started_at"], None, "attempt", a["revision"], f"{a['outcome']} {a['status'] or ''}", _code_and_message(a))
        for a in timeline["attempts"]
    ]
    for at, *cells in sorted(rows, key=lambda row: str(row[0])):
        table.add_row(short(at), *("" if cell is None else plain(short(str(cell))) for cell in cells))
    return table


def _now(known: dict[str, Any]) -> str:
    """Where it is; of a cause only the code, because the table has the rest."""
    place, cause = known["place"], known["cause"]
    if place == "held" and cause is not None:
        cancelled = " and cancelled" if known["cancelled_at"] else ""
        return (
            f"held{cancelled}: {cause['message'].rstrip('.')}, for {_held_for(known)}; release it with: order-relay "
            f"held release {as_word(name_of(known))} --why …"
        )
    if place not in {"sleeping", "waiting", "dead"} or (place == "dead" and cause is None):
        return f"{place}: {known['why']}"
    words: str = place
    if place != "dead":
        words += f" {'until' if place == 'sleeping' else 'since'} {short(known['due_at'])} UTC"
    if cause:
        words += f": {code_of(cause)}"
    if place != "dead" and known["channel_state"] in _STANDS:
        words += f"; channel {known['channel']} {_STANDS[known['channel_state']]} (order-relay status)"
    return words


def _held_for(known: dict[str, Any]) -> str:
    """For how long an order has been held."""
    since = moment(known["held_since"]) or 0
    return age(max(0.0, instant.seconds_between(since, SystemClock().now())))


def _without(why: str, last: str) -> str:
    """Why an event is where it is, without what the last attempt's own row says."""
    return re.sub(r"(; last)?: $", "", why.removesuffix(last)) if last else why


def _code_and_message(attempt: dict[str, Any]) -> str:
    """The status has a column of its own."""
    return words_of(attempt | {"status": None})
