"""Promises 1 and 2: what was acknowledged is in one visible place, and what is said of it is true."""

from relay.core.delivery import State
from relay.core.order import Arrival, Disposition, Order
from relay.store import Receipt, Settled, Settlement, Timeline
from relay.store.places import of_event
from tests.simulation.process import Process
from tests.simulation.watch import Watch

_PLACES = frozenset(
    {"delivered", "superseded", "waiting", "in flight", "sleeping", "held", "dead", "discarded", "duplicate", "stale",
     "unchanged", "ignored", "quarantined"}
)  # fmt: skip


class AcknowledgedIsKept(Watch):
    """Every acknowledged event is in exactly one visible place, and the place tells the truth."""

    name = "acknowledged_is_kept"
    _commits = 0

    def acknowledged(self, receipt: Receipt) -> None:
        self.require(receipt.event_id in self.world.disk._events, f"event {receipt.event_id} is not there")

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        self._commits += 1
        if self._commits % 10 == 0:
            self._look_at(before.id)

    def started(self, process: Process) -> None:
        self._look_at_all()

    def ended(self) -> None:
        self._look_at_all()

    def _look_at_all(self) -> None:
        for event_id in self.world.shop.acknowledged:
            self.require(event_id in self.world.disk._events, f"event {event_id} is gone")
        for order in self.world.orders():
            self._look_at(order.id)

    def _look_at(self, order_id: int) -> None:
        disk = self.world.disk
        order = self.world.order(order_id)
        events = [event for event in disk._events.values() if event.order_id == order_id]
        attempts = [attempt for of, attempt in disk._attempts.values() if of == order_id]
        timeline = Timeline(order, events, attempts)
        revisions = {event.revision for event in events}
        worked = {
            request.revision
            for request in self.world.jettis[order.channel].requests
            if request.order_id == order_id and request.worked_s is not None
        }
        for event in events:
            if event.id not in self.world.shop.acknowledged:
                continue
            place = of_event(event, timeline).name
            true = place in _PLACES
            if place == "superseded":
                true = event.revision is not None and event.revision + 1 in revisions
            elif place == "delivered":
                true = event.revision in worked or order.state is State.SENT
            elif place == "duplicate":
                true = event.duplicate_of in disk._events
            self.require(true, f"event {event.id} is {place}", channel=order.channel, order=order.external_id)


class DispositionsAreTrue(Watch):
    """What is older than what is known is stale, and nothing else is; what came before is a duplicate."""

    name = "dispositions_are_true"

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        shop = self.world.shop
        webhook = shop.webhook(arrival.identified.dedupe_key)
        known = shop.newest.get((webhook.channel, webhook.order))
        expected_duplicate = webhook.key in shop.committed
        stale = not expected_duplicate and known is not None and shop.is_stale(known, webhook)
        self.require(
            (receipt.disposition is Disposition.DUPLICATE) == expected_duplicate
            and (receipt.disposition is Disposition.STALE) == stale,
            f"{webhook} is {receipt.disposition}", channel=webhook.channel, order=webhook.order,
        )  # fmt: skip
