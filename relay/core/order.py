"""An order: what is known of it, and the rules by which an event, an attempt or a look at its sale change it.

Every store keeps these values and applies these functions inside its transactions, so all stores mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from relay.core import instant
from relay.core import version as versions
from relay.core.delivery import Delivery, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.outcome import CannotMap, Cause, ChannelWrong, NotWanted, Outcome, Sent, Throttled, Unchanged
from relay.core.sale import Reason
from relay.core.sources import Cancel, Fetch, Identified, Upsert


class Disposition(StrEnum):
    """What became of an event when it was accepted, or when it was mapped."""

    QUEUED = "queued"
    """Its revision is, or will be, a delivery of its own."""
    MERGED = "merged"
    """The waiting delivery now carries this revision in its old place; the revision before it is superseded."""
    STALE = "stale"
    """Older than the newest accepted: kept, never sent."""
    DUPLICATE = "duplicate"
    """The same webhook again; names the earlier event."""
    UNCHANGED = "unchanged"
    """Newer, but its sale is byte for byte what was delivered: kept, not sent."""
    HELD = "held"
    """Not wanted yet by the storefront's rule."""
    QUARANTINED = "quarantined"
    """Authentic, but no sale can be made of it: a dead letter with the reasons."""
    IGNORED = "ignored"
    """Not about an order, or about one that is not wanted."""
    DISCARDED = "discarded"
    """No order could be read from it, and a named person said that it needs nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to deliver one order: whoever settles must show the token."""

    token: int
    revision: int
    """The revision in flight."""


@dataclass(frozen=True, slots=True)
class Order:
    """A storefront's order, and its one delivery."""

    id: int
    storefront: str
    external_id: str
    channel: str
    reference: str | None
    version: Instant | None
    """The newest accepted version: the high-water mark."""
    revision: int
    """The newest accepted revision; 1, 2, 3 …"""
    event_id: int | None
    """The newest event whose body is the whole order: what the sale is made of. ``None``: never seen whole."""
    cancelled_at: Instant | None
    """Set by a cancellation, and never unset."""
    delivered_revision: int
    """The newest revision that Jetti took, or whose sale is what it took last; 0 before the first."""
    delivered_digest: bytes | None
    """Digest of the sale that Jetti is known to have; ``None`` when that is not certain."""
    state: State
    lane: Lane
    due_at: Instant
    urgency: Instant
    accepted_at: Instant
    """When the oldest event that waits with this delivery was accepted: what "accepted to sent" is measured from."""
    since: Instant
    """When the order came to its state."""
    attempts: int = 0
    failing_us: int | None = None
    """See :attr:`Delivery.failing_us`."""
    cause: Cause | None = None
    lease: Lease | None = None
    held_since: Instant | None = None
    """Since when ``accept_when`` has not wanted the order, also while a newer event of it has yet to be asked about;
    ``None``: it is not held."""
    released_at: Instant | None = None
    """When a named person said that it is to be sent whatever ``accept_when`` says: it is not asked again."""

    @property
    def token(self) -> int | None:
        """What to show when settling; ``None`` without a lease."""
        return None if self.lease is None else self.lease.token

    @property
    def delivery(self) -> Delivery:
        """The delivery's side of it, for :meth:`Delivery.after`."""
        return Delivery(self.revision, self.lane, self.state, self.due_at, self.attempts, self.failing_us, self.cause)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An authentic webhook, identified, about to be accepted."""

    storefront: str
    channel: str
    identified: Identified
    body: bytes = field(repr=False)
    received_at: Instant
    head_starts: HeadStarts
    new_order_window_s: float = 86_400.0
    """An order that is unknown and was created longer ago than this is an old order's update, seconds."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For an event from which no order could be read: the headers its source reads (see :attr:`Source.reads`)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an event does to its order."""

    order: Order
    disposition: Disposition
    revision: int | None
    """The revision the event became; ``None`` if it became none."""
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What mapping its newest event said about it: amends that event's disposition."""

    disposition: Disposition
    """``unchanged``, ``held`` or ``quarantined``."""
    reasons: tuple[Reason, ...] = ()


def finding_of(outcome: Outcome) -> Finding | None:
    """What an outcome says of the event it was made from, if it says anything."""
    match outcome:
        case Unchanged():
            return Finding(Disposition.UNCHANGED)
        case CannotMap(_, reasons):
            return Finding(Disposition.QUARANTINED, reasons)
        case NotWanted(cause):
            return Finding(Disposition.HELD, (Reason("", cause.message),))
        case _:
            return None


def known_at_jetti(order: Order, outcome: Outcome, digest: bytes | None) -> bytes | None:
    """Digest of the sale that Jetti certainly has after an outcome; ``None`` when that is not certain."""
    match outcome:
        case Sent():
            return digest
        case Unchanged() | CannotMap() | NotWanted() | ChannelWrong():
            return order.delivered_digest
        case Throttled(_, cause) if cause.status == 429:
            return order.delivered_digest
        case _:
            return None  # Jetti creates a sale before it populates it: also what it refuses may have left a trace


NEVER_SEEN = Reason(
    "",
    "a cancellation that only names its order, and the order was never seen here: if Jetti has it, cancel it there",
)


def first(arrival: Arrival, event: Upsert | Cancel | Fetch, *, order_id: int, event_id: int) -> Accepted:
    """The event that makes an order known."""
    whole = not isinstance(event, Cancel) or event.complete
    lane = _first_lane(arrival, event)
    now = arrival.received_at
    order = Order(
        id=order_id,
        storefront=arrival.storefront,
        external_id=event.external_id,
        channel=arrival.channel,
        reference=getattr(event, "reference", None),
        version=event.version,
        revision=1,
        event_id=event_id if whole else None,
        cancelled_at=_cancelled_at(None, arrival, event),
        delivered_revision=0,
        delivered_digest=None,
        state=State.WAITING if whole else State.DEAD,
        lane=lane,
        due_at=now,
        urgency=arrival.head_starts.urgency(lane, now),
        accepted_at=now,
        since=now,
        cause=None if whole else Cause("never_seen", NEVER_SEEN.message),
    )
    if not whole:
        return Accepted(order, Disposition.QUARANTINED, 1, (NEVER_SEEN,))
    return Accepted(order, Disposition.QUEUED, 1)


def newer(order: Order, arrival: Arrival, event: Upsert | Cancel | Fetch, *, event_id: int) -> Accepted:
    """A further event of a known order.

    Storefronts guarantee no order among their webhooks, so versions decide; equal versions with different content
    are decided by arrival, because some storefronts' clocks have one-second steps.
    """
    if event.version is not None and order.version is not None and versions.is_older(event.version, order.version):
        return Accepted(order, Disposition.STALE, None)
    whole = not isinstance(event, Cancel) or event.complete
    changed = replace(
        order,
        reference=getattr(event, "reference", None) or order.reference,
        version=order.version if event.version is None else event.version,
        revision=order.revision + 1,
        event_id=event_id if whole else order.event_id,
        cancelled_at=_cancelled_at(order.cancelled_at, arrival, event),
    )
    if changed.event_id is None:
        return Accepted(changed, Disposition.QUARANTINED, changed.revision, (NEVER_SEEN,))
    if order.lease is not None:
        behind = order.revision > order.lease.revision
        return Accepted(changed, Disposition.MERGED if behind else Disposition.QUEUED, changed.revision)
    under_way = order.state in (State.WAITING, State.SLEEPING)
    if under_way and order.lane is not Lane.REPLAY:
        # The newer state has not failed yet: it has the whole age that an order may have, in its old place.
        moved = replace(_moved(changed, arrival.channel), failing_us=None)
        return Accepted(moved, Disposition.MERGED, changed.revision)
    waiting = _wait_afresh(changed, arrival.channel, arrival.received_at, arrival.head_starts)
    return Accepted(waiting, Disposition.MERGED if under_way else Disposition.QUEUED, changed.revision)


def settled(
    order: Order, after: Delivery, *, delivered_digest: bytes | None, now: Instant, head_starts: HeadStarts
) -> Order:
    """The order once its attempt was decided about; gives up the lease.

    A newer revision that arrived meanwhile goes on: at once after a success, a refusal or a hold (which was the
    older one's), after the backoff otherwise.
    """
    sent = after.state is State.SENT
    decided = replace(
        order,
        state=after.state,
        due_at=after.due_at,
        urgency=head_starts.urgency(order.lane, after.due_at),
        attempts=after.attempts,
        failing_us=after.failing_us,
        cause=after.cause,
        since=order.since if after.state is order.state else now,
        delivered_digest=delivered_digest,
        delivered_revision=after.revision if sent else order.delivered_revision,
        lease=None,
        held_since=_held_since(order, after.state, now),
    )
    if after.state is State.HELD and order.released_at is not None:  # it was asked before a person released it
        return replace(_wait_afresh(decided, order.channel, now, head_starts), held_since=None)
    if order.revision > after.revision and after.state in (State.SENT, State.DEAD, State.HELD):
        return _wait_afresh(decided, order.channel, now, head_starts)
    return decided


def woken(order: Order, now: Instant) -> Order:
    """A sleeping delivery whose time has come; its urgency was set when it went to sleep.

    One that would sleep longer than any may has outlived a clock that was set back: it is due now.
    """
    early = max(0, order.due_at - now)
    return replace(order, state=State.WAITING, due_at=order.due_at - early, urgency=order.urgency - early, since=now)


def revived(order: Order, *, lane: Lane | None, now: Instant, head_starts: HeadStarts) -> Order:
    """An order that a person, or the end of a halt, sends on its way again, with a fresh budget of attempts.

    In the lane that is named; ``None``: in the one it had.
    """
    lane = order.lane if lane is None else lane
    return replace(
        order, state=State.WAITING, lane=lane, due_at=now, urgency=head_starts.urgency(lane, now), accepted_at=now,
        since=now, attempts=0, failing_us=None, cause=None,
    )  # fmt: skip


def released(
    order: Order, *, channel: str, lane: Lane | None, by_person: bool, now: Instant, head_starts: HeadStarts
) -> Order:
    """A held order that goes on after all: because its storefront's rule wants it now, or because a named person says
    so; then the rule is not asked about it again.

    On the channel that its storefront leads to now; in the lane that is named, else in a lane of live traffic.
    """
    waiting = _wait_afresh(order, channel, now, head_starts)
    if lane is not None:
        waiting = replace(waiting, lane=lane, urgency=head_starts.urgency(lane, now))
    return replace(waiting, held_since=None, released_at=now if by_person else order.released_at)


def marked_released(order: Order, now: Instant) -> Order:
    """A held order that a named person releases while a newer event of it waits to be asked about: it keeps its
    place."""
    return replace(order, held_since=None, released_at=now)


def discarded(order: Order, *, by: str, why: str, now: Instant) -> Order:
    """An order of which a named person says that it needs nothing. Its next event makes it live again, and subject to
    ``accept_when``, whoever released it before."""
    cause = Cause("discarded", f"by {by}: {why}")
    return replace(order, state=State.DISCARDED, since=now, cause=cause, held_since=None, released_at=None)


def _first_lane(arrival: Arrival, event: Upsert | Cancel | Fetch) -> Lane:
    created_at = getattr(event, "created_at", None)
    if created_at is None:
        return Lane.NEW
    age_s = instant.seconds_between(created_at, arrival.received_at)
    return Lane.UPDATE if age_s > arrival.new_order_window_s else Lane.NEW


def _cancelled_at(known: Instant | None, arrival: Arrival, event: Upsert | Cancel | Fetch) -> Instant | None:
    if known is not None or not isinstance(event, Cancel):
        return known
    at = versions.time_of(event.version)
    return arrival.received_at if at is None else at


def _held_since(order: Order, state: State, now: Instant) -> Instant | None:
    if state is State.HELD:
        return now if order.held_since is None else order.held_since
    return order.held_since if state is State.WAITING else None


def _moved(order: Order, channel: str) -> Order:
    """The order on the channel that its storefront leads to now; what another channel has is unknown to this one."""
    return order if order.channel == channel else replace(order, channel=channel, delivered_digest=None)


def _wait_afresh(order: Order, channel: str, now: Instant, head_starts: HeadStarts) -> Order:
    """The order waits, from now, with a fresh budget of attempts, in a lane of live traffic. It is new until its first
    revision is delivered."""
    lane = Lane.UPDATE if order.delivered_revision or order.lane is Lane.UPDATE else Lane.NEW
    return replace(
        _moved(order, channel),
        state=State.WAITING,
        lane=lane,
        due_at=now,
        urgency=head_starts.urgency(lane, now),
        accepted_at=now,
        since=now,
        attempts=0,
        failing_us=None,
        cause=None,
    )
