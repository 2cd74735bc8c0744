"""Values that many tests need, with everything that does not matter to them filled in."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from relay.core import instant
from relay.core.delivery import Delivery, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.order import Arrival, Order, finding_of, known_at_jetti
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
    cause_of,
    name_of,
)
from relay.core.retry import RetryPolicy
from relay.core.sale import Reason
from relay.core.sources import Cancel, Identified, Ignore, NotUnderstood, Upsert
from relay.store import Attempt, Receipt, Settled, Settlement, Store, Taken

NOW: Instant = instant.of(datetime(2026, 11, 27, 12, tzinfo=UTC))
"""Noon of a Black Friday."""
DAY_S = 86_400.0
STARTS = HeadStarts()
_keys = count(1)


def at(seconds: float) -> Instant:
    """So many seconds after noon."""
    return instant.after(NOW, seconds)


def cause(code: str = "http_500", status: int | None = 500) -> Cause:
    return Cause(code, f"it came to {code}", status)


SENT = Sent(200)
UNCHANGED = Unchanged()
REFUSED = Refused(cause("http_422", 422))
FAILED = Failed(cause())
THROTTLED = Throttled(5.0, cause("http_429", 429))
CHANNEL_WRONG = ChannelWrong(cause("http_401", 401))
CANNOT_MAP = CannotMap(cause("unmappable", None), (Reason("/line_items", "there are none: add one"),))
NOT_WANTED = NotWanted(cause("not_wanted", None))
CANCELLED = Cancelled(200)
OBTAINED = Obtained(200)
IGNORED = Ignored(cause("cancelled_unsent", None))
NOT_YET = NotYet(cause("sale_not_found", 200))
OUTCOMES: tuple[Outcome, ...] = (
    SENT,
    UNCHANGED,
    REFUSED,
    FAILED,
    THROTTLED,
    CHANNEL_WRONG,
    CANNOT_MAP,
    NOT_WANTED,
    NOT_YET,
    CANCELLED,
    OBTAINED,
    IGNORED,
)


def upsert(
    external_id: str = "1001",
    *,
    version: Instant | None = None,
    key: str | None = None,
    reference: str | None = None,
    created_at: Instant | None = None,
) -> Upsert:
    """An order as of a version; without a key it is a webhook never seen before."""
    return Upsert(external_id, version, key or f"webhook-{next(_keys)}", "orders/updated", reference, created_at)


def cancel(
    external_id: str = "1001",
    *,
    version: Instant | None = None,
    key: str | None = None,
    complete: bool = True,
) -> Cancel:
    """A cancellation that is the whole order, or (not complete) a deletion that only names it."""
    return Cancel(external_id, version, key or f"webhook-{next(_keys)}", "orders/cancelled", complete=complete)


def ignored(*, key: str | None = None) -> Ignore:
    return Ignore("a ping", key or f"webhook-{next(_keys)}", "ping")


def garbled(*, key: str | None = None) -> NotUnderstood:
    return NotUnderstood((Reason("/id", "there is none"),), key or f"webhook-{next(_keys)}", "orders/updated")


def arrival(
    identified: Identified | None = None,
    *,
    storefront: str = "shop",
    channel: str = "main",
    received_at: Instant = NOW,
    body: bytes = b'{"id": 1001}',
    new_order_window_s: float = DAY_S,
) -> Arrival:
    return Arrival(
        storefront=storefront,
        channel=channel,
        identified=identified or upsert(),
        body=body,
        received_at=received_at,
        head_starts=STARTS,
        new_order_window_s=new_order_window_s,
    )


def delivery(
    *,
    lane: Lane = Lane.NEW,
    state: State = State.WAITING,
    attempts: int = 0,
    failing_us: int | None = None,
    cause: Cause | None = None,
) -> Delivery:
    return Delivery(1, lane, state, NOW, attempts, failing_us, cause)


def order(
    state: State = State.WAITING, *, lane: Lane = Lane.NEW, attempts: int = 0, failing_us: int | None = None
) -> Order:
    """An order with one revision, in a state."""
    return Order(
        id=1, storefront="shop", external_id="1001", channel="main", reference=None, version=None, revision=1,
        event_id=1, cancelled_at=None, delivered_revision=0, delivered_digest=None, state=state, lane=lane, due_at=NOW,
        urgency=STARTS.urgency(lane, NOW), accepted_at=NOW, since=NOW, attempts=attempts, failing_us=failing_us,
    )  # fmt: skip


def attempt(revision: int, outcome: Outcome, *, started_at: Instant = NOW) -> Attempt:
    why = cause_of(outcome)
    if why is None:
        return Attempt(revision, started_at, 0.25, name_of(outcome), 200, excerpt="{}")
    return Attempt(revision, started_at, 0.25, name_of(outcome), why.status, why.code, why.message, "{}")


def settlement(
    taken: Taken,
    outcome: Outcome,
    *,
    now: Instant = NOW,
    digest: bytes | None = None,
    sale: bytes | None = None,
    jitter: float = 1.0,
    policy: RetryPolicy | None = None,
) -> Settlement:
    """What a dispatcher settles with (or, if the order is not leased, the inspector)."""
    order = taken.order
    made_attempt = not isinstance(outcome, Unchanged | CannotMap | NotWanted | Ignored)
    return Settlement(
        order_id=order.id,
        token=None if order.lease is None else order.lease.token,
        after=order.delivery.after(outcome, now=now, policy=policy or RetryPolicy(), jitter=jitter),
        now=now,
        head_starts=STARTS,
        delivered_digest=known_at_jetti(order, outcome, digest),
        attempt=attempt(order.revision, outcome, started_at=now) if made_attempt else None,
        sale=sale,
        finding=finding_of(outcome),
    )


def moved_to(taken: Taken, state: State, *, now: Instant = NOW) -> Settlement:
    """What puts an order where no attempt puts it: held, or discarded."""
    order = taken.order
    return Settlement(
        order_id=order.id,
        token=None if order.lease is None else order.lease.token,
        after=replace(order.delivery, state=state),
        now=now,
        head_starts=STARTS,
        delivered_digest=order.delivered_digest,
    )


async def accept(
    store: Store,
    identified: Identified | None = None,
    *,
    storefront: str = "shop",
    channel: str = "main",
    received_at: Instant = NOW,
    body: bytes = b'{"id": 1001}',
) -> Receipt:
    return await store.accept(
        arrival(identified, storefront=storefront, channel=channel, received_at=received_at, body=body)
    )


def id_of(receipt: Receipt) -> int:
    """The order an event was about."""
    assert receipt.order_id is not None
    return receipt.order_id


async def take(store: Store, receipt: Receipt, *, channel: str = "main") -> Taken:
    """Lease the receipt's order, which must be possible."""
    taken = await store.take(channel, [id_of(receipt)])
    assert taken is not None
    assert taken.order.lease is not None
    return taken


async def settle(
    store: Store,
    taken: Taken,
    outcome: Outcome = SENT,
    *,
    now: Instant = NOW,
    digest: bytes | None = None,
    sale: bytes | None = None,
) -> Settled:
    """Settle an attempt, which must be possible."""
    settled = await store.settle(settlement(taken, outcome, now=now, digest=digest, sale=sale))
    assert settled is not None
    return settled


async def deliver(
    store: Store, receipt: Receipt, outcome: Outcome = SENT, *, now: Instant = NOW, digest: bytes | None = None
) -> Settled:
    """Take and settle."""
    return await settle(store, await take(store, receipt), outcome, now=now, digest=digest)


async def order_of(store: Store, receipt: Receipt) -> Order:
    """The order as it is now."""
    timeline = await store.timeline(id_of(receipt))
    assert timeline is not None
    return timeline.order
