"""What became of each event of an order, and everything that happened to it as one list in the order of time.

Where the order itself is says :mod:`relay.core.whereabouts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from relay.core import instant
from relay.core.delivery import State
from relay.core.instant import Instant
from relay.core.order import Disposition
from relay.store import Attempt, Deed, Event, Timeline


@dataclass(frozen=True, slots=True)
class Place:
    """Where one event is: every event is in exactly one visible place."""

    name: str
    """``delivered``, ``superseded``, ``waiting``, ``in flight``, ``sleeping``, ``held``, ``dead``, ``discarded``, or
    the disposition of an event that goes nowhere: ``duplicate``, ``stale``, ``unchanged``, ``ignored``,
    ``quarantined``, ``discarded``."""
    words: str
    """What it did to its order, and what came of that, for a person."""
    superseded_by: int | None = None
    """The event whose revision took its place; ``None`` too where that is forgotten."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened to an order, for a person who reads from top to bottom."""

    at: Instant
    kind: Literal["event", "attempt", "deed"]
    number: int
    """The event's id; of attempts, and of deeds, the how manieth of those that are shown."""
    what: str
    """The event's topic; ``attempt``; what a person did."""
    revision: int | None
    came_to: str
    """Where the event is; the attempt's outcome and status; who did it."""
    words: str


def of_event(event: Event, timeline: Timeline | None) -> Place:
    """Where an event is. ``timeline`` is its order's; ``None`` for an event about no order."""
    reasons = "; ".join(reason.message for reason in event.reasons)
    if event.disposition is Disposition.DUPLICATE:
        return Place("duplicate", f"the same webhook as event {event.duplicate_of}")
    if timeline is None or event.revision is None or event.disposition is Disposition.UNCHANGED:
        return Place(event.disposition.value, reasons or _WORDS.get(event.disposition, ""))
    return _of_revision(event, event.revision, timeline)


def told(timeline: Timeline, deeds: Sequence[Deed]) -> list[Line]:
    """Everything that is remembered of an order, oldest first. ``deeds``: what persons did about it, newest first."""
    lines = [_of_event(event, timeline) for event in timeline.events]
    lines += [_of_deed(number, deed) for number, deed in enumerate(reversed(deeds), 1)]
    lines += [_of_attempt(number, made) for number, made in enumerate(timeline.attempts, 1)]
    released_at = timeline.order.released_at
    if released_at is not None and all(deed.at != released_at for deed in deeds):
        lines.append(_released_with_others(released_at, len(deeds) + 1))
    return sorted(lines, key=lambda line: line.at)


def _of_revision(event: Event, revision: int, timeline: Timeline) -> Place:
    became = f"became revision {revision}"
    if event.disposition is Disposition.MERGED and revision > 1:
        became += f" in place of revision {revision - 1}"
    sent = [made for made in timeline.attempts if made.revision == revision and made.outcome == "sent"]
    if sent:
        at = instant.after(sent[-1].started_at, sent[-1].duration_s)
        return Place("delivered", f"{became}; Jetti took it at {instant.spoken(at, event.received_at)}")
    order = timeline.order
    in_flight = None if order.lease is None else order.lease.revision
    if revision < order.revision and revision != in_flight:
        return _superseded(event, revision + 1, became, timeline)
    if in_flight == revision:
        return Place("in flight", f"{became}, which is in flight")
    if in_flight is not None:
        return Place("waiting", f"{became}, the newest; goes on after revision {in_flight}, which is in flight")
    place = "delivered" if order.state is State.SENT else order.state.value
    return Place(place, f"{became}, the newest")


def _superseded(event: Event, revision: int, became: str, timeline: Timeline) -> Place:
    """By the revision that came next."""
    said = f"{became}; superseded by revision {revision}"
    by = next((other for other in timeline.events if other.revision == revision), None)
    if by is None:
        return Place("superseded", said)
    at = instant.spoken(by.received_at, event.received_at)
    return Place("superseded", f"{said} of event {by.id} at {at}", by.id)


_WORDS = {
    Disposition.STALE: "older than what was accepted before it: kept, never sent",
    Disposition.UNCHANGED: "changes nothing that Jetti sees: kept, not sent",
}


def _of_event(event: Event, timeline: Timeline) -> Line:
    place = of_event(event, timeline)
    return Line(event.received_at, "event", event.id, event.topic, event.revision, place.name, place.words)


def _of_attempt(number: int, made: Attempt) -> Line:
    came_to = made.outcome if made.status is None else f"{made.outcome} {made.status}"
    code = "" if made.status is not None and made.code == f"http_{made.status}" else made.code
    words = ": ".join(part for part in (code, made.message) if part)
    return Line(made.started_at, "attempt", number, "attempt", made.revision, came_to, words)


def _of_deed(number: int, deed: Deed) -> Line:
    return Line(deed.at, "deed", number, deed.what, None, deed.by, deed.why)


def _released_with_others(at: Instant, number: int) -> Line:
    """By a deed about several orders that was done before these were found by each of them."""
    return Line(at, "deed", number, "release", None, "a person", "together with others: the audit has by whom, and why")
