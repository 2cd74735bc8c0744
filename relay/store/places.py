"""Where an accepted event ended, or is: exactly one visible place each, derived from what the store remembers."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.core import instant
from relay.core.delivery import State
from relay.core.order import Disposition, Order, is_cancelling, is_fetching
from relay.store import Event, Timeline

SENDING = "sending"
"""How a channel is that keeps no order waiting."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one event is."""

    name: str
    """``delivered``, ``superseded``, ``waiting``, ``in flight``, ``sleeping``, ``held``, ``dead``, ``discarded``, or
    the disposition of an event that goes nowhere: ``duplicate``, ``stale``, ``unchanged``, ``ignored``,
    ``quarantined``, ``discarded``."""
    words: str
    """The same for a person."""


def of_event(event: Event, timeline: Timeline | None) -> Place:
    """Where an event is. ``timeline`` is its order's; ``None`` for an event about no order."""
    reasons = "; ".join(reason.message for reason in event.reasons)
    if event.disposition is Disposition.DUPLICATE:
        return Place("duplicate", f"the same webhook as event {event.duplicate_of}")
    if timeline is None or event.revision is None or event.disposition is Disposition.UNCHANGED:
        return Place(event.disposition.value, reasons or _WORDS.get(event.disposition, ""))
    order = timeline.order
    if event.revision in _sent(timeline):
        return Place("delivered", f"Jetti took revision {event.revision}")
    in_flight = None if order.lease is None else order.lease.revision
    if event.revision < order.revision and event.revision != in_flight:
        return Place("superseded", f"revision {event.revision} was superseded by revision {event.revision + 1}")
    if in_flight in (None, event.revision):
        return of_order(order)
    return Place("waiting", f"goes on after revision {in_flight}, which is in flight")


def of_order(order: Order, channel_state: str | None = SENDING) -> Place:
    """Where an order's newest revision is, and why it is there.

    ``channel_state``: how its channel is, as far as it keeps an order waiting; ``None``: there is no such channel.
    """
    if order.lease is not None:
        return Place("in flight", f"revision {order.lease.revision} is being {_doing(order.lease.channel)}")
    cause = "" if order.cause is None else f"{order.cause.code}: {order.cause.message}"
    if order.state is State.DISCARDED and order.cause is not None:
        cause = order.cause.message  # by whom, and why
    match order.state:
        case State.SENT:
            cancelled = ", and has cancelled it" if is_cancelling(order.channel) else ""
            return Place("delivered", f"Jetti has revision {order.delivered_revision}{cancelled}")
        case State.WAITING:
            last = f"; last: {cause}" if cause else ""
            words = f"{_to_be(order.channel)}due since {instant.iso(order.due_at)} in lane {order.lane}{last}"
            return Place("waiting", words + _kept_by(order.channel, channel_state))
        case State.SLEEPING:
            last = f"; last: {cause}" if cause else ""
            words = f"{_to_be(order.channel)}attempt {order.attempts + 1} at {instant.iso(order.due_at)}{last}"
            return Place("sleeping", words + _kept_by(order.channel, channel_state))
        case State.DEAD:
            return Place("dead", f"needs a person: {cause}")
        case State.HELD | State.DISCARDED | State.IGNORED:
            return Place(order.state.value, cause)


def _doing(channel: str) -> str:
    """What a channel does with an order."""
    return "fetched" if is_fetching(channel) else "cancelled" if is_cancelling(channel) else "sent"


def _to_be(channel: str) -> str:
    """What an order waits for, where that is not to be sent."""
    return f"to be {_doing(channel)}, " if is_fetching(channel) or is_cancelling(channel) else ""


def _kept_by(channel: str, state: str | None) -> str:
    """What its channel has to do with an order's waiting."""
    if state == SENDING:
        return ""
    return f"; channel {channel} {'is not configured' if state is None else _CHANNEL.get(state, f'is {state}')}"


_CHANNEL = {"open": "is not sent to, its circuit is open", "resting": "rests after a throttle"}
_WORDS = {
    Disposition.STALE: "older than what was accepted before it: kept, never sent",
    Disposition.UNCHANGED: "changes nothing that Jetti sees: kept, not sent",
}


def _sent(timeline: Timeline) -> Iterable[int]:
    return {attempt.revision for attempt in timeline.attempts if attempt.outcome == "sent"}
