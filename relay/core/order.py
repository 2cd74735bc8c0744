"""An order: what is known of it, and the rules by which an event, an attempt or a look at its sale change it.

Every store keeps these values and applies these functions inside its transactions, so all stores mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from relay.core import instant
from relay.core import version as versions
from relay.core.delivery import Delivery, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.outcome import (
    Cancelled,
    CannotMap,
    Cause,
    ChannelWrong,
    Failed,
    Ignored,
    NotWanted,
    NotYet,
    Obtained,
    Outcome,
    Refused,
    Sent,
    Throttled,
    Unchanged,
)
from relay.core.sale import Reason
from relay.core.sources import Cancel, Fetch, Identified, Ignore, NotUnderstood, Upsert
from relay.core.trace import Trace

_FETCHING = "fetch:"
_WAITS_MAX = 5
"""For how many times :attr:`Arrival.fetch_after_s` an order sleeps at the most, however many webhooks come in."""


def fetching(storefront: str) -> str:
    """The channel on which a storefront's orders wait to be read from its API. No configured channel has a colon."""
    return _FETCHING + storefront


def is_fetching(channel: str) -> bool:
    """Whether orders are fetched there, and not delivered."""
    return channel.startswith(_FETCHING)


_CANCELLING = "cancel:"


def cancelling(channel: str) -> str:
    """The channel on which a channel's delivered orders wait to be cancelled through Jetti's API."""
    return _CANCELLING + channel


def is_cancelling(channel: str) -> bool:
    """Whether orders are cancelled there, and not delivered: the newest state of each is delivered already."""
    return channel.startswith(_CANCELLING)


NOTHING_THERE = b""
"""What stands for the digest while Jetti certainly has nothing of an order."""


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
    channel: str
    """Where it is in flight: the order may have moved on meanwhile."""


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
    """Digest of the sale that Jetti is known to have, :data:`NOTHING_THERE` if it is known to have none; ``None`` when
    that is not certain."""
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
    may_be_there: bool = False
    """Whether a request was sent for it that may have left something at Jetti; kept when its attempts begin anew."""
    lease: Lease | None = None
    held_since: Instant | None = None
    """Since when ``accept_when`` has not wanted the order, also while a newer event of it has yet to be asked about;
    ``None``: it is not held."""
    released_at: Instant | None = None
    """When a named person said that it is to be sent whatever ``accept_when`` says: it is not asked again."""

    @property
    def to_be_fetched(self) -> bool:
        """Whether its storefront announced a state of it that is still to be read from the storefront's API."""
        return is_fetching(self.channel)

    @property
    def certainly_unsent(self) -> bool:
        """Whether Jetti certainly has nothing of it."""
        return self.delivered_digest == NOTHING_THERE and not self.may_be_there

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
    fetch_after_s: float = 0.0
    """For how long an order sleeps before it is fetched, seconds: its storefront tells of one change several times,
    and what changes within the second of a webhook may look like that webhook again."""
    trace: Trace | None = None
    """Where its delivery goes on; only where traces are made."""


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
    """``unchanged``, ``held``, ``ignored`` or ``quarantined``."""
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
        case Ignored(cause):
            return Finding(Disposition.IGNORED, (Reason("", cause.message),))
        case _:
            return None


def known_at_jetti(order: Order, outcome: Outcome, digest: bytes | None) -> bytes | None:
    """Digest of the sale that Jetti certainly has after an outcome; ``None`` when that is not certain."""
    match outcome:
        case Sent():
            return digest  # of this channel's sale: another channel's is another digest
        case Unchanged() | CannotMap() | NotWanted() | Ignored() | ChannelWrong() | Obtained() | Cancelled() | NotYet():
            return order.delivered_digest
        case Throttled(_, cause) if cause.status == 429:
            return order.delivered_digest
        case _:
            return None  # Jetti creates a sale before it populates it: also what it refuses may have left a trace


def may_have_left(outcome: Outcome) -> bool:
    """Whether a request that came to this may have left something at Jetti."""
    match outcome:
        case Sent() | Refused() | Failed():
            return True
        case Throttled(_, cause):
            return cause.status != 429
        case ChannelWrong() | Obtained() | Cancelled() | Unchanged() | CannotMap() | NotWanted() | Ignored() | NotYet():
            return False
        case _:
            assert_never(outcome)


_JUST_MADE_S = 86_400.0
"""An order that is unknown and was made less long ago was not forgotten here: no retention is as short."""

NEVER_SEEN = Reason(
    "",
    "a cancellation that only names its order, and the order was never seen here: if Jetti has it, cancel it there",
)


def first(arrival: Arrival, event: Upsert | Cancel | Fetch, *, order_id: int, event_id: int) -> Accepted:
    """The event that makes an order known."""
    if isinstance(event, Fetch):
        return Accepted(_named(arrival, event, order_id), Disposition.QUEUED, 1)
    whole = not isinstance(event, Cancel) or event.complete
    lane = _first_lane(arrival, event)
    now = arrival.received_at
    order = Order(
        id=order_id,
        storefront=arrival.storefront,
        external_id=event.external_id,
        channel=arrival.channel,
        reference=event.reference,
        version=event.version,
        revision=1,
        event_id=event_id if whole else None,
        cancelled_at=_cancelled_at(None, arrival, event),
        delivered_revision=0,
        delivered_digest=_unknown_at_jetti(arrival, event),
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
    if isinstance(event, Fetch):
        return _announced(order, arrival)
    if event.version is not None and order.version is not None and versions.is_older(event.version, order.version):
        return Accepted(order, Disposition.STALE, None)
    whole = not isinstance(event, Cancel) or event.complete
    changed = replace(
        order,
        reference=event.reference or order.reference,
        version=order.version if event.version is None else event.version,
        revision=order.revision + 1,
        event_id=event_id if whole else order.event_id,
        cancelled_at=_cancelled_at(order.cancelled_at, arrival, event),
    )
    if changed.event_id is None:
        return Accepted(changed, Disposition.QUARANTINED, changed.revision, (NEVER_SEEN,))
    if order.lease is not None:
        behind = order.revision > order.lease.revision
        if is_cancelling(order.lease.channel):
            changed = replace(changed, channel=arrival.channel)  # delivered first, and then cancelled
        return Accepted(changed, Disposition.MERGED if behind else Disposition.QUEUED, changed.revision)
    under_way = _delivery_under_way(order)
    if under_way and order.lane is not Lane.REPLAY:
        # The newer state has not failed yet: it has the whole age that an order may have, in its old place.
        moved = replace(changed, channel=arrival.channel, failing_us=None)
        return Accepted(moved, Disposition.MERGED, changed.revision)
    waiting = _wait_afresh(changed, arrival.channel, arrival.received_at, arrival.head_starts)
    return Accepted(waiting, Disposition.MERGED if under_way else Disposition.QUEUED, changed.revision)


def settled(
    order: Order,
    after: Delivery,
    *,
    delivered_digest: bytes | None,
    now: Instant,
    head_starts: HeadStarts,
    may_be_there: bool = False,
    cancel_after_s: float | None = None,
) -> Order:
    """The order once its attempt was decided about; gives up the lease.

    A newer revision that arrived meanwhile goes on: at once after a success, a refusal or a hold (which was the
    older one's), or if it is to be fetched first; after the backoff otherwise. Where there is none, an order that is
    cancelled, and whose newest revision is delivered now, goes on to be cancelled through Jetti's API, in
    ``cancel_after_s``; ``None``: its sale says it.
    """
    sent = after.state is State.SENT
    stays = order.to_be_fetched and after.due_at == order.due_at
    decided = replace(
        order,
        state=after.state,
        due_at=after.due_at,
        urgency=order.urgency if stays else head_starts.urgency(order.lane, after.due_at),
        attempts=after.attempts,
        failing_us=after.failing_us,
        cause=after.cause,
        since=order.since if after.state is order.state else now,
        delivered_digest=delivered_digest,
        delivered_revision=after.revision if sent else order.delivered_revision,
        may_be_there=order.may_be_there or may_be_there,
        lease=None,
        held_since=_held_since(order, after.state, now),
    )
    due_at = order.due_at if order.to_be_fetched else now
    if after.state is State.HELD and order.released_at is not None:  # it was asked before a person released it
        return replace(_wait_afresh(decided, order.channel, now, head_starts, due_at=due_at), held_since=None)
    if order.revision <= after.revision:
        if not sent or cancel_after_s is None or order.cancelled_at is None:
            return decided
        due_at = instant.after(now, cancel_after_s)
        return _wait_afresh(decided, cancelling(order.channel), now, head_starts, due_at=due_at)
    moved = order.lease is not None and order.lease.channel != order.channel
    if moved or after.state in (State.SENT, State.DEAD, State.HELD, State.IGNORED):
        return _wait_afresh(decided, order.channel, now, head_starts, due_at=due_at)
    if order.to_be_fetched and order.due_at > max(now, after.due_at):
        return replace(decided, state=State.SLEEPING, due_at=order.due_at)
    return decided


def fetched(order: Order, arrival: Arrival, *, event_id: int) -> Accepted | None:
    """What the document does to its order that was just fetched; gives up the lease.

    ``None``: nothing, because the storefront announced a newer state meanwhile. Then :func:`refetched`.
    """
    if order.lease is not None and order.revision > order.lease.revision:
        return None
    event, now = arrival.identified, arrival.received_at
    again = replace(order, attempts=0, failing_us=None, cause=None, lease=None)
    revision = order.revision + 1
    match event:
        case Fetch():
            raise AssertionError(f"order {order.id}: what was fetched is to be fetched")
        case Ignore(reason):
            jetti = f"; Jetti has revision {order.delivered_revision} of it" if order.delivered_revision else ""
            ended = _ended(again, State.IGNORED, Cause("ignored", f"{reason}{jetti}"), now)
            return Accepted(replace(ended, revision=revision), Disposition.IGNORED, revision, (Reason("", reason),))
        case NotUnderstood(reasons):
            cause = Cause("not_understood", "what was fetched: " + "; ".join(reason.message for reason in reasons))
            ended = _ended(again, State.DEAD, cause, now)
            return Accepted(replace(ended, revision=revision), Disposition.QUARANTINED, revision, reasons)
        case Upsert() | Cancel() if event.external_id != order.external_id:
            said = f"what was fetched is order {event.external_id}, not {order.external_id}: check the API's address"
            ended = _ended(again, State.DEAD, Cause("other_order", said), now)
            return Accepted(replace(ended, revision=revision), Disposition.QUARANTINED, revision, (Reason("", said),))
        case Upsert() | Cancel():
            return _read(again, arrival, event, event_id)
        case _:
            assert_never(event)


def refetched(order: Order, now: Instant) -> Order:
    """An order that was fetched, but of which a newer state was announced meanwhile; gives up the lease."""
    state = State.SLEEPING if order.due_at > now else State.WAITING
    since = order.since if state is order.state else now
    return replace(order, state=state, since=since, attempts=0, failing_us=None, cause=None, lease=None)


def _read(order: Order, arrival: Arrival, event: Upsert | Cancel, event_id: int) -> Accepted:
    """The order waits for its channel, in the place that it has had since its oldest webhook."""
    now, starts, lane = arrival.received_at, arrival.head_starts, order.lane
    due_at = min(now, instant.after(order.urgency, starts.seconds(lane)))
    if order.event_id is None and lane is Lane.NEW:
        lane = _first_lane(arrival, event)
    unknown = order.event_id is None and order.delivered_digest == NOTHING_THERE
    waiting = replace(
        order, channel=arrival.channel, state=State.WAITING, lane=lane, due_at=due_at,
        urgency=starts.urgency(lane, due_at), since=now,
        delivered_digest=_unknown_at_jetti(arrival, event) if unknown else order.delivered_digest,
    )  # fmt: skip
    if event.version is not None and order.version is not None and versions.is_older(event.version, order.version):
        return Accepted(waiting, Disposition.STALE, None)
    changed = replace(
        waiting,
        reference=event.reference or order.reference,
        version=order.version if event.version is None else event.version,
        revision=order.revision + 1,
        event_id=event_id,
        cancelled_at=_cancelled_at(order.cancelled_at, arrival, event),
    )
    return Accepted(changed, Disposition.QUEUED, changed.revision)


def _ended(order: Order, state: State, cause: Cause, now: Instant) -> Order:
    return replace(order, state=state, cause=cause, since=now, held_since=None)


def _named(arrival: Arrival, event: Fetch, order_id: int) -> Order:
    """An order of which nothing is known but that it is there."""
    now = arrival.received_at
    due_at = instant.after(now, arrival.fetch_after_s)
    return Order(
        id=order_id,
        storefront=arrival.storefront,
        external_id=event.external_id,
        channel=arrival.channel,
        reference=None,
        version=None,
        revision=1,
        event_id=None,
        cancelled_at=None,
        delivered_revision=0,
        delivered_digest=NOTHING_THERE,
        state=State.SLEEPING if due_at > now else State.WAITING,
        lane=Lane.NEW,
        due_at=due_at,
        urgency=arrival.head_starts.urgency(Lane.NEW, now),
        accepted_at=now,
        since=now,
    )


def _announced(order: Order, arrival: Arrival) -> Accepted:
    """The order has a newer state, which is still to be fetched: once, however often it is announced meanwhile."""
    now = arrival.received_at
    due_at = instant.after(now, arrival.fetch_after_s)
    changed = replace(order, channel=arrival.channel, revision=order.revision + 1)
    if order.lease is not None:
        behind = order.revision > order.lease.revision
        return Accepted(replace(changed, due_at=due_at), _behind(behind), changed.revision)
    under_way = _delivery_under_way(order)
    if not under_way or order.lane is Lane.REPLAY:
        waiting = _wait_afresh(changed, arrival.channel, now, arrival.head_starts, due_at=due_at)
        return Accepted(waiting, _behind(under_way), changed.revision)
    sleeps = due_at > now
    if not order.to_be_fetched:
        changed = replace(changed, attempts=0, cause=None)
    elif order.state is State.SLEEPING:
        # What changes within a second of this webhook may be called a duplicate of it: it must not be fetched before.
        due_at = max(order.due_at, min(due_at, instant.after(order.since, _WAITS_MAX * arrival.fetch_after_s)))
        sleeps = True
    state = State.SLEEPING if sleeps else State.WAITING
    since = order.since if state is order.state and order.to_be_fetched else now
    # It keeps its urgency, and so its place among the deliveries: an order that changes often is not sent last.
    merged = replace(changed, state=state, due_at=due_at, since=since, failing_us=None)
    return Accepted(merged, Disposition.MERGED, merged.revision)


def may_be_read_early(order: Order, arrival: Arrival) -> bool:
    """Whether an order that was just announced may be read before it has waited for as long as it should.

    A change that such a reading misses, in the second of the webhook, is announced by what looks like that webhook: so
    the webhook that comes next must not be called a duplicate of this one.
    """
    return isinstance(arrival.identified, Fetch) and order.due_at < instant.after(
        arrival.received_at, arrival.fetch_after_s
    )


def _delivery_under_way(order: Order) -> bool:
    """Whether a state of it waits to be delivered. Of one that waits to be cancelled, every state is."""
    return order.state in (State.WAITING, State.SLEEPING) and not is_cancelling(order.channel)


def _behind(other: bool) -> Disposition:
    """What becomes of an event behind another one that waits, or behind none."""
    return Disposition.MERGED if other else Disposition.QUEUED


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


def _first_lane(arrival: Arrival, event: Upsert | Cancel) -> Lane:
    created_at = event.created_at
    if created_at is None:
        return Lane.NEW
    age_s = instant.seconds_between(created_at, arrival.received_at)
    return Lane.UPDATE if age_s > arrival.new_order_window_s else Lane.NEW


def _unknown_at_jetti(arrival: Arrival, event: Upsert | Cancel) -> bytes | None:
    """What stands for the digest of an order that was unknown here: that Jetti has nothing of it is certain only if it
    was made just now. An older one may have been delivered and forgotten since, or sent by other means before there was
    a relay; of such a one the first that is heard may well be its cancellation, which must not stay unsaid."""
    if isinstance(event, Cancel) or event.created_at is None:
        return None
    age_s = instant.seconds_between(event.created_at, arrival.received_at)
    return NOTHING_THERE if age_s <= min(arrival.new_order_window_s, _JUST_MADE_S) else None


def _cancelled_at(known: Instant | None, arrival: Arrival, event: Upsert | Cancel) -> Instant | None:
    if known is not None or not isinstance(event, Cancel):
        return known
    at = versions.time_of(event.version)
    return arrival.received_at if at is None else at


def _held_since(order: Order, state: State, now: Instant) -> Instant | None:
    if state is State.HELD:
        return now if order.held_since is None else order.held_since
    under_way = state is State.WAITING or (state is State.SLEEPING and order.to_be_fetched)
    return order.held_since if under_way else None


def _wait_afresh(
    order: Order, channel: str, now: Instant, head_starts: HeadStarts, *, due_at: Instant | None = None
) -> Order:
    """The order waits, from now, with a fresh budget of attempts, in a lane of live traffic. It is new until its first
    revision is delivered. ``due_at``: until then it sleeps."""
    due_at = now if due_at is None else max(now, due_at)
    lane = Lane.UPDATE if order.delivered_revision or order.lane is Lane.UPDATE else Lane.NEW
    return replace(
        order,
        channel=channel,
        state=State.SLEEPING if due_at > now else State.WAITING,
        lane=lane,
        due_at=due_at,
        urgency=head_starts.urgency(lane, now),
        accepted_at=now,
        since=now,
        attempts=0,
        failing_us=None,
        cause=None,
    )
