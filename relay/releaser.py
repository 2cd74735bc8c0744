"""Releases held orders that their storefront's rule wants by now: ``accept_when`` was loosened, mended or taken away.

A rule changes only while the relay is stopped, so everything that is held is gone through once after each start: the
longest held first, a few at a time and behind live traffic. How far that is need not be remembered: what was released
is held no more, and the rest is gone through again after the next start. What is released waits in the lane of replays,
and its rule is asked once more when its turn comes; a tightened rule therefore holds what waits, too, but only then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relay.clock import Clock
from relay.core.delivery import HeadStarts, Lane
from relay.core.events import HeldWanted, Observer, StoreTrouble, Unexpected
from relay.core.mapping import Maker
from relay.store import HeldGroup, HeldPlace, Release, Revived, Store, StoreError, Taken

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
        for group in await self._groups():
            rule = self._rules.get(group.storefront)
            if rule is not None:  # of one that is not configured any more, nobody knows what it wants
                await self._go_through(group, rule.maker)

    async def _groups(self) -> Sequence[HeldGroup]:
        while True:
            try:
                return await self._store.held_groups()
            except StoreError as error:
                await self._wait_for_store(error)

    async def _go_through(self, group: HeldGroup, maker: Maker) -> None:
        after: HeldPlace | None = None
        looked_at = released = 0
        while looked_at < group.count:  # what comes to be held meanwhile is asked about anyway
            try:
                limit = min(_ORDERS, group.count - looked_at)
                page = await self._store.held_whole(group.storefront, after=after, limit=limit)
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
            self._observe(HeldWanted(group.storefront, released, looked_at - released))

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
