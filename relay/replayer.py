"""Carries out bulk replays of dead letters, in small steps behind live traffic, and goes on after a restart.

How far a replay is, is kept in the transaction of each step, so nothing is done twice. An order is sent on its way in
the ``replay`` lane, and its sale is made from its newest webhook when its turn comes: a mapping that was corrected
meanwhile heals it. An event from which no order could be read is read again here; now that it can be, it does to its
order what it would have done when it came.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from multidict import CIMultiDict

from relay.clock import Clock
from relay.core.delivery import HeadStarts
from relay.core.events import Observer, ReplayAdvanced, StoreTrouble, Unexpected
from relay.core.order import Arrival
from relay.core.sources import Identified, NotUnderstood, Source
from relay.store import Deed, LostEvent, Receipt, Replay, Revived, Store, StoreError

_ORDERS = 100
"""Orders revived by one step."""
_EVENTS = 20
"""Events read again by one step: their bodies are in memory meanwhile."""
_PAUSE_S = 0.05
"""Between two steps: accepting and sending go first."""
_POLL_S = 60.0
_TROUBLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Reader:
    """How a storefront's events are read, and where its orders go."""

    source: Source
    channel: str
    head_starts: HeadStarts
    new_order_window_s: float
    fetch_after_s: float = 0.0


class Replayer:
    """Carries out bulk replays."""

    def __init__(
        self,
        store: Store,
        readers: Mapping[str, Reader],
        head_starts: Mapping[str, HeadStarts],
        offer: Callable[[Revived], None],
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._store = store
        self._readers = readers
        self._head_starts = head_starts
        self.offer = offer
        """What is called with every order that waits again."""
        self._clock = clock
        self._observe = observe
        self._begun = asyncio.Event()

    def begun(self) -> None:
        """A replay is to be carried out."""
        self._begun.set()

    async def run(self) -> None:
        """Carry out what has not ended, and what is begun, until cancelled."""
        while True:
            self._begun.clear()
            try:
                for replay in reversed(await self._store.replays(running=True)):
                    await self._carry_out(replay)
            except StoreError as error:
                self._observe(StoreTrouble("replaying dead letters", str(error)))
                await self._clock.sleep(_TROUBLE_S)
                continue
            await self._clock.until(self._begun, _POLL_S)

    async def read_again(self, lost: LostEvent, deed: Deed | None = None) -> Receipt | None:
        """Try once more to read an order from an event; ``None`` if it is left as it is. ``deed``: whose doing it
        is, if no replay's.

        Raises :class:`relay.store.StoreError`.
        """
        event = lost.event
        reader = self._readers.get(event.storefront)
        if reader is None:
            return None  # its storefront is not configured any more: nobody knows how to read it
        now = self._clock.now()
        identified = self._identify(reader, lost)
        if identified is None or isinstance(identified, NotUnderstood):
            return None
        arrival = Arrival(
            storefront=event.storefront,
            channel=reader.channel,
            identified=identified,
            body=lost.body,
            received_at=now,
            head_starts=reader.head_starts,
            new_order_window_s=reader.new_order_window_s,
            headers=lost.headers,
            fetch_after_s=reader.fetch_after_s,
        )
        receipt = await self._store.understood(event.id, arrival, deed)
        if receipt is not None and receipt.waiting is not None:
            self.offer(Revived(reader.channel, receipt.waiting))
        return receipt

    def _identify(self, reader: Reader, lost: LostEvent) -> Identified | None:
        try:
            return reader.source.identify(CIMultiDict(lost.headers), lost.body, now=self._clock.now())
        except Exception as error:  # noqa: BLE001 - a defect of ours costs this event its replay, not the others theirs
            self._observe(Unexpected(f"reading event {lost.event.id} again", error))
            return None

    async def _carry_out(self, replay: Replay) -> None:
        self._tell(replay)
        if replay.selection.orders and not await self._revive_orders(replay):
            return
        if replay.selection.events:
            await self._read_events(replay)
        ended = await self._store.note_replay(replay.id, event_id=0, revived=0, left=0, ended_at=self._clock.now())
        if ended is not None:
            self._tell(ended)

    async def _revive_orders(self, replay: Replay) -> bool:
        """Whether the replay still runs."""
        while True:
            advanced = await self._store.advance_replay(
                replay.id, limit=_ORDERS, now=self._clock.now(), head_starts=self._head_starts
            )
            if advanced is None:
                return False
            for revived in advanced.revived:
                self.offer(revived)
            if not advanced.more:
                return True
            self._tell(advanced.replay)
            await self._clock.sleep(_PAUSE_S)

    async def _read_events(self, replay: Replay) -> None:
        after = replay.event_id
        while found := await self._store.lost(after=after, limit=_EVENTS, selection=replay.selection):
            read = [await self.read_again(lost) is not None for lost in found]
            after = found[-1].event.id
            noted = await self._store.note_replay(
                replay.id, event_id=after, revived=read.count(True), left=read.count(False), ended_at=None
            )
            if noted is not None:
                self._tell(noted)
            await self._clock.sleep(_PAUSE_S)

    def _tell(self, replay: Replay) -> None:
        self._observe(
            ReplayAdvanced(replay.id, replay.revived, replay.left, replay.total, ended=replay.ended_at is not None)
        )
