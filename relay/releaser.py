"""Releases held orders that their storefront's rule wants by now: ``accept_when`` was loosened, mended or taken away.

A rule changes only while the relay is stopped, so everything that is held is gone through once after each start: the
longest held first, a few at a time and behind live traffic. How far that is need not be remembered: what was released
is held no more, and the rest is gone through again after the next start. What is released waits in the lane of replays,
and its rule is asked once more when its turn comes; a tightened rule therefore holds what waits, too, but only then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.clock import Clock
from relay.core.delivery import HeadStarts, Lane
from relay.core.events import HeldWanted, Observer, StoreTrouble, Unexpected
from relay.core.instant import Instant
from relay.core.mapping import Maker
from relay.store import HeldPlace, Release, Revived, Store, StoreError, Taken

_ORDERS = 20
"""Orders looked at in one step: their webhooks are in memory meanwhile."""
_PAUSE_S, _BUSY_PAUSE_S = 0.05, 1.0
"""Between two steps: accepting and sending go first."""
_TROUBLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Rule:
    """What a storefront wants, and where its orders go."""

    maker: Maker
    channel: str


class Releaser:
    """Goes through what is held, once."""

    def __init__(
        self,
        store: Store,
        rules: Mapping[str, Rule],
        head_starts: Mapping[str, HeadStarts],
        offer: Callable[[Revived], None],
        busy: Callable[[], bool],
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._store = store
        self._rules = rules
        self._channels = {storefront: rule.channel for storefront, rule in rules.items()}
        self._head_starts = head_starts
        self._offer = offer
        self._busy = busy
        self._clock = clock
        self._observe = observe

    async def run(self) -> None:
        """Go through what is held now, and end. What is held from now on was asked about by the rules as they are."""
        began = self._clock.now()
        for storefront in await self._held_of():
            rule = self._rules.get(storefront)
            if rule is not None:  # of one that is not configured any more, nobody knows what it wants
                await self._go_through(storefront, rule.maker, began)

    async def _held_of(self) -> list[str]:
        while True:
            try:
                return [group.storefront for group in await self._store.held_groups()]
            except StoreError as error:
                await self._wait_for_store(error)

    async def _go_through(self, storefront: str, maker: Maker, began: Instant) -> None:
        after: HeldPlace | None = None
        looked_at = released = 0
        while True:
            try:
                page = await self._store.held_whole(storefront, after=after, limit=_ORDERS)
                page = [taken for taken in page if (taken.order.held_since or 0) <= began]
                if not page:
                    break
                released += await self._release([taken.order.id for taken in page if await self._wants(maker, taken)])
            except StoreError as error:
                await self._wait_for_store(error)
                continue
            looked_at += len(page)
            after = page[-1].order.held_since or 0, page[-1].order.id
            await self._clock.sleep(_BUSY_PAUSE_S if self._busy() else _PAUSE_S)
        if released:
            self._observe(HeldWanted(storefront, released, looked_at - released))

    async def _wants(self, maker: Maker, taken: Taken) -> bool:
        await self._clock.sleep(0)  # a webhook may be large: others go between two
        try:
            return bool(taken.body) and maker.wants(taken.order, taken.body)
        except Exception as error:  # noqa: BLE001 - a defect of ours leaves this order held, and not the others
            self._observe(Unexpected(f"asking whether held order {taken.order.id} is wanted", error))
            return False

    async def _release(self, order_ids: list[int]) -> int:
        if not order_ids:
            return 0
        release = Release(order_ids, self._clock.now(), self._head_starts, self._channels, Lane.REPLAY)
        released = await self._store.release(release)
        for revived in released.waiting:
            self._offer(revived)
        return len(released.waiting)

    async def _wait_for_store(self, error: StoreError) -> None:
        self._observe(StoreTrouble("releasing held orders", str(error)))
        await self._clock.sleep(_TROUBLE_S)
