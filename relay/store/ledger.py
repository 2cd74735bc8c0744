"""One transaction's worth of changes, made in memory: what all stores have in common.

A store loads what a batch of requests is about, lets the ledger apply them one after the other, and saves what the
ledger then holds. So several events of one order in one batch see each other, and every store means the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from relay.core import order as rules
from relay.core.backlog import Waiting
from relay.core.delivery import TRANSITIONS, Lane, State
from relay.core.order import Arrival, Disposition, Finding, Lease, Order
from relay.core.sale import Reason
from relay.core.sources import Cancel, Fetch, Ignore, NotUnderstood, Upsert
from relay.store import Attempt, Event, Receipt, Settled, Settlement

Key = tuple[str, str]
"""Storefront and external id."""


def dedupe_digest(arrival: Arrival) -> bytes:
    """What two arrivals share exactly if they are the same webhook: 16 bytes, however long the storefront's key."""
    text = f"{arrival.storefront}\0{arrival.identified.dedupe_key}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def key_of(arrival: Arrival) -> Key | None:
    """The order an arrival is about; ``None`` if it is about none."""
    identified = arrival.identified
    if isinstance(identified, Ignore | NotUnderstood):
        return None
    return arrival.storefront, identified.external_id


@dataclass(slots=True)
class Kept:
    """A new event, to be saved."""

    event: Event
    digest: bytes | None
    """``None`` for a duplicate: its key belongs to the earlier event."""
    body: bytes | None
    """``None`` for a duplicate: the earlier event has it."""


class Ledger:
    """What a batch is about, and what became of it."""

    def __init__(
        self,
        *,
        orders: Iterable[Order],
        seen: dict[bytes, int],
        new_event_id: Callable[[], int],
        new_order_id: Callable[[], int],
        new_token: Callable[[], int],
    ) -> None:
        self._orders = {order.id: order for order in orders}
        self._ids = {(order.storefront, order.external_id): order.id for order in self._orders.values()}
        self._before = dict(self._orders)
        self._seen = seen
        self._new_event_id = new_event_id
        self._new_order_id = new_order_id
        self._new_token = new_token
        self.leased: dict[int, Order] = {}
        """Orders that were leased; a store on one node need not save that."""
        self.events: list[Kept] = []
        self.attempts: list[tuple[int, Attempt]] = []
        self.sales: dict[int, tuple[int, bytes]] = {}
        self.findings: list[tuple[int, int, Finding]] = []
        """Order id, revision, and what is now known of the event that became it."""

    # -- what may be asked -----------------------------------------------------------------------------------------

    def accept(self, arrival: Arrival) -> Receipt:
        """See :meth:`relay.store.Store.accept`."""
        digest = dedupe_digest(arrival)
        earlier = self._seen.get(digest)
        key = key_of(arrival)
        order = self._orders.get(self._ids[key]) if key in self._ids else None
        event_id = self._new_event_id()
        if earlier is not None:
            duplicate = self._event(event_id, arrival, Disposition.DUPLICATE, order, duplicate_of=earlier)
            self.events.append(Kept(duplicate, None, None))
            return Receipt(event_id, Disposition.DUPLICATE, duplicate.order_id, duplicate_of=earlier)
        self._seen[digest] = event_id
        match arrival.identified:
            case Ignore(reason):
                event = self._event(event_id, arrival, Disposition.IGNORED, None, reasons=(Reason("", reason),))
                receipt = Receipt(event_id, Disposition.IGNORED)
            case NotUnderstood(reasons):
                event = self._event(event_id, arrival, Disposition.QUARANTINED, None, reasons=reasons)
                receipt = Receipt(event_id, Disposition.QUARANTINED)
            case about:
                event, receipt = self._about_an_order(event_id, arrival, about, order)
        self.events.append(Kept(event, digest, arrival.body))
        return receipt

    def lease(self, order_id: int, channel: str) -> Order | None:
        """Lease an order, if it waits for the channel and is not leased."""
        order = self._orders.get(order_id)
        if order is None or order.lease is not None or order.state is not State.WAITING or order.channel != channel:
            return None
        leased = replace(order, lease=Lease(self._new_token(), order.revision))
        self._orders[order_id] = self.leased[order_id] = leased
        if self._before[order_id] is order:
            self._before[order_id] = leased
        return leased

    def settle(self, settlement: Settlement) -> Settled | None:
        """See :meth:`relay.store.Store.settle`."""
        order = self._orders.get(settlement.order_id)
        if order is None or not _may_settle(order, settlement):
            return None
        changed = self._change(
            rules.settled(
                order,
                settlement.after,
                delivered_digest=settlement.delivered_digest,
                now=settlement.now,
                head_starts=settlement.head_starts,
            )
        )
        revision = settlement.after.revision
        if settlement.attempt is not None:
            self.attempts.append((order.id, settlement.attempt))
        if settlement.sale is not None:
            self.sales[order.id] = (revision, settlement.sale)
        if settlement.finding is not None:
            self.findings.append((order.id, revision, settlement.finding))
        return Settled(changed, _place(changed) if changed.state is State.WAITING else None)

    def wake(self, order_id: int) -> Waiting | None:
        """Let a sleeping order wait."""
        order = self._orders.get(order_id)
        if order is None or order.state is not State.SLEEPING:
            return None
        return _place(self._change(rules.woken(order)))

    # -- what became of it -----------------------------------------------------------------------------------------

    def changed(self) -> list[Order]:
        """Orders to save."""
        return [order for order in self._orders.values() if self._before.get(order.id) is not order]

    def deltas(self) -> dict[tuple[str, State, Lane], int]:
        """By how much the tally changes."""
        deltas: dict[tuple[str, State, Lane], int] = {}
        for order in self.changed():
            before = self._before.get(order.id)
            if before is not None:
                at = (before.channel, before.state, before.lane)
                deltas[at] = deltas.get(at, 0) - 1
            at = (order.channel, order.state, order.lane)
            deltas[at] = deltas.get(at, 0) + 1
        return {at: delta for at, delta in deltas.items() if delta}

    # -- how -------------------------------------------------------------------------------------------------------

    def _about_an_order(
        self, event_id: int, arrival: Arrival, about: Upsert | Cancel | Fetch, order: Order | None
    ) -> tuple[Event, Receipt]:
        if order is None:
            accepted = rules.first(arrival, about, order_id=self._new_order_id(), event_id=event_id)
        else:
            accepted = rules.newer(order, arrival, about, event_id=event_id)
        now = self._change(accepted.order)
        event = self._event(event_id, arrival, accepted.disposition, now, accepted.revision, reasons=accepted.reasons)
        began_to_wait = (
            now.state is State.WAITING
            and now.lease is None
            and (order is None or order.state is not State.WAITING or order.channel != now.channel)
        )
        waiting = _place(now) if began_to_wait else None
        return event, Receipt(event_id, accepted.disposition, now.id, accepted.revision, waiting=waiting)

    def _change(self, order: Order) -> Order:
        before = self._orders.get(order.id)
        if before is not None and before.state is not order.state and order.state not in TRANSITIONS[before.state]:
            raise AssertionError(f"order {order.id}: no way from {before.state} to {order.state}")
        self._orders[order.id] = order
        self._ids[order.storefront, order.external_id] = order.id
        return order

    @staticmethod
    def _event(
        event_id: int,
        arrival: Arrival,
        disposition: Disposition,
        order: Order | None,
        revision: int | None = None,
        duplicate_of: int | None = None,
        reasons: tuple[Reason, ...] = (),
    ) -> Event:
        identified = arrival.identified
        return Event(
            id=event_id,
            storefront=arrival.storefront,
            topic=identified.topic,
            received_at=arrival.received_at,
            disposition=disposition,
            order_id=None if order is None else order.id,
            version=None if isinstance(identified, Ignore | NotUnderstood) else identified.version,
            revision=revision,
            duplicate_of=duplicate_of,
            reasons=reasons,
        )


def _may_settle(order: Order, settlement: Settlement) -> bool:
    if settlement.token is not None:
        return order.lease is not None and order.lease.token == settlement.token
    # Whoever looked without a lease may have seen the order as it was before an attempt that has ended since.
    seen = (settlement.after.revision, settlement.after.attempts, settlement.delivered_digest)
    unmoved = seen == (order.revision, order.attempts, order.delivered_digest)
    return order.lease is None and order.state in (State.WAITING, State.SLEEPING) and unmoved


def _place(order: Order) -> Waiting:
    return Waiting(order.urgency, order.id)
