"""The store without a disk: for trials and for tests. It keeps the contract (the conformance suite says so), but not
the first promise: what it acknowledges is gone with the process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from itertools import count, islice

from relay.core.backlog import Waiting
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.order import Arrival, Disposition, Order
from relay.store import Attempt, Event, Receipt, Settled, Settlement, Taken, Tally, Timeline
from relay.store.ledger import Ledger, key_of


class MemoryStore:
    """See :class:`relay.store.Store`. One process, one event loop."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._events: dict[int, Event] = {}
        self._bodies: dict[int, bytes] = {}
        self._seen: dict[bytes, int] = {}
        self._attempts: dict[int, list[Attempt]] = {}
        self._sales: dict[int, tuple[int, bytes]] = {}
        self._event_ids = count(1)
        self._order_ids = count(1)
        self._tokens = count(1)

    async def accept(self, arrival: Arrival) -> Receipt:
        key = key_of(arrival)
        ledger = self._ledger([] if key is None or key not in self._ids else [self._ids[key]])
        receipt = ledger.accept(arrival)
        self._save(ledger)
        return receipt

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        ledger = self._ledger(candidates)
        for order_id in candidates:
            leased = ledger.lease(order_id, channel)
            if leased is not None:
                self._save(ledger)
                return self._taken(leased)
        return None

    async def look(self, order_id: int) -> Taken | None:
        order = self._orders.get(order_id)
        if order is None or order.lease is not None or order.state not in (State.WAITING, State.SLEEPING):
            return None
        return self._taken(order)

    async def settle(self, settlement: Settlement) -> Settled | None:
        ledger = self._ledger([settlement.order_id])
        settled = ledger.settle(settlement)
        self._save(ledger)
        return settled

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        waiting = (
            Waiting(order.urgency, order.id)
            for order in self._orders.values()
            if order.channel == channel and order.state is State.WAITING and order.lease is None
        )
        return nsmallest(limit, waiting)

    async def wake(self, channel: str, now: Instant, limit: int) -> Sequence[Waiting]:
        due = sorted((order.due_at, order.id) for order in self._sleeping(channel) if order.due_at <= now)[:limit]
        ledger = self._ledger([order_id for _, order_id in due])
        woken = [waiting for _, order_id in due if (waiting := ledger.wake(order_id)) is not None]
        self._save(ledger)
        return woken

    async def next_due(self, channel: str) -> Instant | None:
        return min((order.due_at for order in self._sleeping(channel)), default=None)

    async def tally(self) -> Tally:
        tally: dict[tuple[str, State, Lane], int] = {}
        for order in self._orders.values():
            at = (order.channel, order.state, order.lane)
            tally[at] = tally.get(at, 0) + 1
        return tally

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        oldest: dict[tuple[str, Lane], Instant] = {}
        for order in self._orders.values():
            if order.state is State.WAITING:
                at = (order.channel, order.lane)
                oldest[at] = min(oldest.get(at, order.due_at), order.due_at)
        return oldest

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        newest_first = reversed(self._orders.values())
        return list(islice((o for o in newest_first if reference in (o.reference, o.external_id)), limit))

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        order = self._orders.get(order_id)
        if order is None:
            return None
        events = [event for event in self._events.values() if event.order_id == order_id]
        return Timeline(order, events[-limit:], self._attempts.get(order_id, [])[-limit:])

    async def dead_letters(self, limit: int = 100) -> Sequence[Order | Event]:
        dead = [order for order in self._orders.values() if order.state is State.DEAD]
        lost: list[Order | Event] = [event for event in self._events.values() if _is_lost(event)]
        return [*reversed(lost), *reversed(dead)][:limit]

    async def lost_events(self, limit: int = 10_000) -> int:
        return min(limit, sum(map(_is_lost, self._events.values())))

    async def body(self, event_id: int) -> bytes | None:
        return self._bodies.get(event_id)

    async def sale(self, order_id: int) -> bytes | None:
        _, sale = self._sales.get(order_id, (0, None))
        return sale

    async def probe(self) -> None:
        """It always works."""

    def failure(self) -> str | None:
        return None

    async def close(self) -> None:
        """Nothing to let go of."""

    def _sleeping(self, channel: str) -> list[Order]:
        return [o for o in self._orders.values() if o.state is State.SLEEPING and o.channel == channel]

    def _taken(self, order: Order) -> Taken | None:
        if order.event_id is None:
            return None
        return Taken(order, self._events[order.event_id].topic, self._bodies.get(order.event_id, b""))

    def _ledger(self, order_ids: Sequence[int]) -> Ledger:
        return Ledger(
            orders=[self._orders[order_id] for order_id in order_ids if order_id in self._orders],
            seen=self._seen,
            new_event_id=self._event_ids.__next__,
            new_order_id=self._order_ids.__next__,
            new_token=self._tokens.__next__,
        )

    def _save(self, ledger: Ledger) -> None:
        self._orders.update(ledger.leased)
        for order in ledger.changed():
            self._orders[order.id] = order
            self._ids[order.storefront, order.external_id] = order.id
        for kept in ledger.events:
            self._events[kept.event.id] = kept.event
            if kept.body is not None:
                self._bodies[kept.event.id] = kept.body
        for order_id, attempt in ledger.attempts:
            self._attempts.setdefault(order_id, []).append(attempt)
        self._sales.update(ledger.sales)
        for order_id, revision, finding in ledger.findings:
            for event in list(self._events.values()):
                if event.order_id == order_id and event.revision == revision:
                    amended = replace(event, disposition=finding.disposition, reasons=finding.reasons)
                    self._events[event.id] = amended


def _is_lost(event: Event) -> bool:
    return event.order_id is None and event.disposition is Disposition.QUARANTINED
