"""Where an order is, and why it is there: one answer in a person's words, the same wherever it is asked for.

What is promised is only what is known. Where nothing gets through a channel there is no estimate; an estimate is
"at least" where what comes meanwhile may go first; and what sleeps waits its turn when it wakes.
"""

from dataclasses import dataclass
from typing import assert_never

from relay.core import instant
from relay.core.breaker import Circuit
from relay.core.condition import Condition
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.order import Lease, Order, is_cancelling, is_fetching
from relay.core.outcome import Cause, Trouble
from relay.core.pace import drained_s

COUNTED_MAX = 100_000
"""So many deliveries that leave before an order are counted; of more it is only said that they are more."""


@dataclass(frozen=True, slots=True)
class Road:
    """A channel, as far as it keeps its orders waiting."""

    condition: Condition
    rate: float
    """Requests per second that it is allowed at present."""
    trouble: Trouble | None = None
    """What the latest attempts came to, if none of them got through."""
    in_flight_since: Instant | None = None
    """When the order's request began, if one is out."""
    then: float | None = None
    """Requests per second once its rate for now is over; ``None`` where none ends by itself."""

    @property
    def stands(self) -> bool:
        """Whether nothing gets through, so that nobody knows how long it takes."""
        fails = self.trouble is not None and self.trouble.outcome != "throttled"
        return fails or self.condition.pause is not None or self.condition.breaker.stands

    def expected_s(self, orders: int, now: Instant) -> float | None:
        """In how many seconds so many have left if nothing more arrives; ``None`` while nothing gets through."""
        if self.stands:
            return None
        rests_s, changes_at = self.condition.tempo.resting_s(now), self.changes_at
        if changes_at is None or self.then is None:
            return rests_s + drained_s(orders, self.rate)
        for_s = max(0.0, instant.seconds_between(now, changes_at) - rests_s)
        return rests_s + drained_s(orders, self.rate, for_s=for_s, then=self.then)

    @property
    def changes_at(self) -> Instant | None:
        """When its rate for now is over; ``None`` without one, or until it is taken back."""
        said = self.condition.rate_for_now
        return None if said is None else said.until


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an order's newest revision is."""

    place: str
    """``delivered``, ``waiting``, ``in flight``, ``sleeping``, ``held``, ``dead``, ``discarded`` or ``ignored``."""
    words: str
    """Whole sentences for a person."""
    since: Instant
    """When it came there."""
    ahead: int | None = None
    """How many deliveries leave before it, as far as they were counted; ``None``: they were not, or none do."""
    expected_s: float | None = None
    """In how many seconds it leaves if nothing more arrives; ``None``: nobody knows."""
    at_least: bool = False
    """Whether more may leave before it: more than were counted, or what comes meanwhile."""
    at: Instant | None = None
    """When it is tried again, or its turn is waited for."""


def whereabouts(order: Order, road: Road | None, *, ahead: int | None, now: Instant) -> Whereabouts:
    """Where an order is.

    ``road``: its channel (the one it is in flight on, if it is); ``None``: no such channel is configured any more.
    ``ahead``: how many deliveries leave before it; more than :data:`COUNTED_MAX` is "more than"; ``None``: not counted.
    """
    if order.lease is not None:
        return _in_flight(order, order.lease, road, now)
    if order.state is State.WAITING:
        return _waiting(order, road, ahead, now)
    if order.state is State.SLEEPING:
        return _sleeping(order, road, now)
    return _still(order, now)


def way_out(channel: str) -> str:
    """What is to be done for orders that wait for a channel which is not configured any more."""
    _, _, name = channel.rpartition(":")
    if is_cancelling(channel):
        return f"give channels.{name} its token and channel_id again; or cancel them at Jetti by hand, and discard them"
    if is_fetching(channel):
        return f"configure storefronts.{name} again, whose API they are to be fetched from"
    return "configure the channel again; a newer webhook of an order moves it to its storefront's channel"


def _still(order: Order, now: Instant) -> Whereabouts:
    """Where an order is that nothing but an event or a person moves."""
    since = order.since if order.state is not State.HELD or order.held_since is None else order.held_since
    moment, place = instant.spoken(since, now), str(order.state)
    why = "" if order.cause is None else order.cause.message
    match order.state:
        case State.SENT:
            place = "delivered"
            said = f"Delivered at {moment}: Jetti has revision {order.delivered_revision}, the newest"
            said, why = said + (", and has cancelled it" if is_cancelling(order.channel) else ""), ""
        case State.HELD:
            said = f"Held {'and cancelled ' if order.cancelled_at is not None else ''}since {moment}"
        case State.DEAD:
            said, why = f"Needs a person since {moment}", _words(order.cause)
        case State.DISCARDED:
            said = f"Discarded at {moment}"
        case State.IGNORED:
            said = f"Not wanted at Jetti since {moment}"
        case State.WAITING | State.SLEEPING:
            raise AssertionError(f"{order.state} is no such state")
        case _:
            assert_never(order.state)
    return Whereabouts(place, _sentence(said, why), since)


# -- under way ---------------------------------------------------------------------------------------------------------


def _in_flight(order: Order, lease: Lease, road: Road | None, now: Instant) -> Whereabouts:
    done, revision = _done(lease.channel), lease.revision
    begun = None if road is None else road.in_flight_since
    if begun is None:
        said = f"Revision {revision} is about to be {done}."
    else:
        said = f"In flight since {instant.spoken(begun, now)}: revision {revision} is being {done}."
    if order.revision > revision:
        said += f" Revision {order.revision} goes after it."
    return Whereabouts("in flight", said, order.since if begun is None else begun)


def _waiting(order: Order, road: Road | None, ahead: int | None, now: Instant) -> Whereabouts:
    more = ahead is not None and ahead > COUNTED_MAX
    counted = COUNTED_MAX if more else ahead
    # What is said is the least in a lane that others go before, and where an order may take more than one request.
    at_least = more or order.lane is not Lane.NEW or _done(order.channel) != _SENT
    expected_s = None if road is None or counted is None else road.expected_s(counted, now)
    said = f"Retry {order.attempts} waits" if order.attempts else f"Waits to be {_done(order.channel)}"
    said += _behind(counted, more=more) if counted is not None else f" since {instant.spoken(order.due_at, now)}"
    if road is not None and expected_s is not None:
        how = "more than" if more else "at least" if at_least else "about"
        said += f", {how} {instant.lasting(max(1.0, expected_s))}" if expected_s else ","
        said += f" at {_rate(road, expected_s, now)}"
        said += ", as new orders go first" if counted and order.lane is not Lane.NEW else ""
    said = _with_last(_sentence(said, _kept_by(order.channel, road, now), ";"), order)
    return Whereabouts("waiting", said, order.since, counted, expected_s, at_least)


def _sleeping(order: Order, road: Road | None, now: Instant) -> Whereabouts:
    at, left_s = instant.spoken(order.due_at, now), instant.seconds_between(now, order.due_at)
    if order.cause is None:
        said = f"To be {_done(order.channel)} at {at}"
    else:
        said = f"Retry {order.attempts} at {at}" if order.attempts else f"To be tried again at {at}"
    said += f", in {instant.lasting(left_s)}" if left_s > 0 else ""
    said += "; then it waits its turn"
    said = _with_last(_sentence(said, _kept_by(order.channel, road, now), ";"), order)
    return Whereabouts("sleeping", said, order.since, at=order.due_at)


_SENT = "sent"


def _done(channel: str) -> str:
    """What a channel does with an order."""
    return "fetched" if is_fetching(channel) else "cancelled" if is_cancelling(channel) else _SENT


def _behind(ahead: int, *, more: bool) -> str:
    orders = "1 order" if ahead == 1 else f"{ahead:,} orders"
    return f" behind {'more than ' if more else ''}{orders}" if ahead else " next"


def _rate(road: Road, for_s: float, now: Instant) -> str:
    """``10/s``; with the one that follows, where that is reached within so many seconds."""
    rate, ends_at = f"{road.rate:.3g}/s", road.changes_at
    if ends_at is None or road.then is None or instant.seconds_between(now, ends_at) >= for_s:
        return rate
    return f"{rate} until {instant.spoken(ends_at, now)}, then at {road.then:.3g}/s"


def _kept_by(channel: str, road: Road | None, now: Instant) -> str:
    """What the channel has to do with an order's waiting; empty if it sends as usual."""
    if road is None:
        return f"no channel {channel} is configured any more: {way_out(channel)}"
    pause, breaker, tempo = road.condition.pause, road.condition.breaker, road.condition.tempo
    if pause is not None:
        return f"channel {channel} is paused by {pause.by} since {instant.spoken(pause.since, now)}: {pause.why}"
    if breaker.stands:
        stands = "is halted" if breaker.circuit is Circuit.HALTED else "is not sent to, its circuit is open"
        since = "" if breaker.since is None else f" since {instant.spoken(breaker.since, now)}"
        return f"channel {channel} {stands}{since}: {_words(breaker.cause)}"
    if tempo.resting_s(now) > 0 and tempo.rests_until is not None:
        return f"channel {channel} rests until {instant.spoken(tempo.rests_until, now)}: {_words(tempo.cause)}"
    if road.stands and road.trouble is not None:
        since = instant.spoken(road.trouble.since, now)
        return f"nothing gets through channel {channel} since {since}: {_words(road.trouble.cause)}"
    return ""


def _with_last(said: str, order: Order) -> str:
    """With what the latest attempt came to, if it did not succeed, and if that is not what the channel fails by."""
    why = _words(order.cause)
    return said if order.cause is None or why in said else f"{said} {_sentence('The last attempt', why)}"


# -- words -------------------------------------------------------------------------------------------------------------


def _words(cause: Cause | None) -> str:
    """``503 api.errors.unknown: come back later``; the status is left out where the code says it."""
    if cause is None:
        return "nobody knows why"
    says_it = cause.status is None or cause.code == f"http_{cause.status}"
    return f"{'' if says_it else f'{cause.status} '}{cause.code}: {cause.message}".rstrip(": ")


def _sentence(said: str, why: str, mark: str = ":") -> str:
    """With one full stop."""
    whole = f"{said}{mark} {why}" if why else said
    return whole if whole.endswith((".", "!", "?", "…")) else whole + "."
