"""Maps what was just accepted as soon as there is time, and only to see what it says.

So an order that cannot be mapped, or an update that changes nothing, is known within seconds and not when its turn
comes. It never sends, holds no lease, and gives way to accepting: under load it goes on in small steps.
"""

import asyncio
from collections.abc import Callable

from relay.clock import Clock
from relay.core.delivery import HeadStarts
from relay.core.events import AttemptMade, EventFound, Happening, Observer, StoreTrouble, Unexpected
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import finding_of, is_cancelling
from relay.core.outcome import CannotMap, Outcome
from relay.core.retry import RetryPolicy
from relay.core.trace import Tracer
from relay.store import Settled, Settlement, Store, StoreError, Taken

_PENDING_MAX = 10_000
"""Orders that may wait to be looked at; beyond, they are mapped when their turn to be sent comes."""
_PAUSE_S = 0.1
_LATE_S = 0.003
"""A pause that ends so much too late says that the loop has better things to do."""
_STEP_BUSY_S, _STEP_IDLE_S = 0.002, 0.05


class Inspector:
    """Looks at newly accepted orders."""

    def __init__(
        self,
        store: Store,
        makers: Callable[[str], Maker | None],
        clock: Clock,
        observe: Observer,
        onward: Callable[[Settled], None] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """``onward`` is told of an order that goes on on another channel: one that is to be cancelled. ``tracer``:
        where traces are made."""
        self._store = store
        self._onward = onward
        self._tracer = tracer
        self._makers = makers
        self._clock = clock
        self._observe = observe
        self._pending: dict[int, None] = {}
        self._work = asyncio.Event()

    def offer(self, order_id: int) -> None:
        """An event of this order was accepted."""
        if len(self._pending) < _PENDING_MAX:
            self._pending[order_id] = None
            self._work.set()

    def __call__(self, happening: Happening) -> None:
        """An order that was sent has been mapped for it, and need not be looked at."""
        if isinstance(happening, AttemptMade):
            self._pending.pop(happening.order_id, None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._work.wait()
            due = self._clock.monotonic() + _PAUSE_S
            await self._clock.sleep(_PAUSE_S)  # most of what can leave at once has left by then
            woke = self._clock.monotonic()
            until = woke + (_STEP_BUSY_S if woke - due > _LATE_S else _STEP_IDLE_S)
            while self._pending and self._clock.monotonic() < until:
                await self._look(next(iter(self._pending)))
            if not self._pending:
                self._work.clear()

    async def _look(self, order_id: int) -> None:
        self._pending.pop(order_id)
        try:
            taken = await self._store.look(order_id)
            if taken is None or taken.order.to_be_fetched or is_cancelling(taken.order.channel):
                return
            maker = self._makers(taken.order.storefront)
            last = await self._store.sale(order_id) if maker is not None and maker.looks_back else None
            found = conclude(maker, taken.order, taken.topic, taken.body, last)
            if not isinstance(found, Made) and finding_of(found) is not None:
                calls_off = maker is not None and maker.calls_off
                await self._record(taken, found, cancel_after_s=0.0 if calls_off else None)
        except StoreError as error:
            self._observe(StoreTrouble("inspecting an order", str(error)))

    async def _record(self, taken: Taken, outcome: Outcome, *, cancel_after_s: float | None) -> None:
        order, now = taken.order, self._clock.now()
        finding = finding_of(outcome)
        settlement = Settlement(
            order_id=order.id,
            token=None,
            after=order.delivery.after(outcome, now=now, policy=RetryPolicy(), jitter=0.0),
            now=now,
            head_starts=HeadStarts(),
            delivered_digest=order.delivered_digest,
            finding=finding,
            cancel_after_s=cancel_after_s,
        )
        trace = None
        if self._tracer is not None:
            found_in = await self._store.traces(order)
            trace = self._tracer.begun(found_in[0]) if found_in else None
        settled = await self._store.settle(settlement)
        if settled is None or finding is None:
            return
        if self._onward is not None and settled.order.channel != order.channel:
            self._onward(settled)
        if isinstance(outcome, CannotMap) and outcome.defect is not None:
            self._observe(Unexpected(f"mapping order {order.id}", outcome.defect))
        self._observe(
            EventFound(
                order.channel, order.storefront, order.external_id, order.reference, order.revision,
                finding.disposition, finding.reasons, trace=trace, order_id=order.id,
            )
        )  # fmt: skip
