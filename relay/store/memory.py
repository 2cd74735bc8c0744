"""The store without a disk: for trials and for tests. It keeps the contract (the conformance suite says so), but not
the first promise: what it acknowledges is gone with the process.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import nlargest, nsmallest
from itertools import islice

from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import FINISHED, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.order import Arrival, Order
from relay.core.search import begins, is_exactly
from relay.core.trace import LINKS_MAX, Trace
from relay.store import (
    EVERYTHING,
    NO_ORDER,
    Advanced,
    Attempt,
    Cutoffs,
    DeadGroup,
    DeadPlace,
    DeadTally,
    Deed,
    Discarding,
    Event,
    EventSearch,
    EventsPage,
    HeldGroup,
    HeldPlace,
    KeptEvent,
    LostEvent,
    OrdersPage,
    Receipt,
    Release,
    Released,
    Replay,
    Revival,
    Revived,
    Search,
    SearchPlace,
    Selection,
    Sender,
    Settled,
    Settlement,
    Size,
    SweepPlace,
    Swept,
    Taken,
    Tally,
    Timeline,
    dead_place,
)
from relay.store.ledger import Fresh, Ledger, Loaded, MadeSale, begun, is_lost, key_of, selects

_UNDER_WAY = (State.WAITING, State.SLEEPING)


class _Numbers:
    """1, 2, 3 …, from where another left off."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self) -> int:
        self.last += 1
        return self.last


class MemoryStore:
    """See :class:`relay.store.Store`. One process, one event loop."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._events: dict[int, Event] = {}
        self._bodies: dict[int, bytes] = {}
        self._headers: dict[int, Mapping[str, str]] = {}
        self._seen: dict[bytes, int] = {}
        self._attempts: dict[int, tuple[int, Attempt]] = {}
        """By id: the order's, and what happened."""
        self._sales: dict[int, MadeSale] = {}
        self._senders: dict[str, Sender] = {}
        self._conditions: dict[str, Condition] = {}
        self._replays: dict[int, Replay] = {}
        self._deeds: list[Deed] = []
        """Oldest first; their ids are 1, 2, 3 …"""
        self._subjects: dict[int, Sequence[str]] = {}
        """What a deed was about, one by one, by its id."""
        self._event_ids, self._order_ids, self._attempt_ids = _Numbers(), _Numbers(), _Numbers()
        self._fresh = Fresh(self._event_ids.next, self._order_ids.next, _Numbers().next)

    def restarted(self) -> "MemoryStore":
        """What a new process would find, had this store a disk: the leases are gone, and what was under way may have
        been in flight. It shares nothing with this one."""
        again = MemoryStore()
        again._orders = {order.id: _after_a_crash(order) for order in self._orders.values()}
        again._ids, again._events, again._bodies = dict(self._ids), dict(self._events), dict(self._bodies)
        again._headers, again._seen, again._attempts = dict(self._headers), dict(self._seen), dict(self._attempts)
        again._sales, again._conditions = dict(self._sales), dict(self._conditions)
        again._replays, again._deeds, again._senders = dict(self._replays), list(self._deeds), dict(self._senders)
        again._event_ids.last, again._order_ids.last = self._event_ids.last, self._order_ids.last
        again._attempt_ids.last = self._attempt_ids.last
        again._subjects = dict(self._subjects)
        return again

    # -- what changes something ------------------------------------------------------------------------------------

    async def accept(self, arrival: Arrival, *, share: float = 1.0) -> Receipt:
        """Nothing waits here for a commit, so no share of the queue is ever in use."""
        ledger = self._ledger(self._about(arrival))
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

    async def settle(self, settlement: Settlement) -> Settled | None:
        ledger = self._ledger([settlement.order_id])
        settled = ledger.settle(settlement)
        self._save(ledger)
        return settled

    async def wake(self, channel: str, now: Instant, limit: int, *, beyond: Instant | None = None) -> Sequence[Waiting]:
        sleepers = sorted((order.due_at, order.id) for order in self._sleeping(channel))
        due = [at for at in sleepers if at[0] <= now or (beyond is not None and at[0] > beyond)][:limit]
        ledger = self._ledger([order_id for _, order_id in due])
        woken = [waiting for _, order_id in due if (waiting := ledger.wake(order_id, now)) is not None]
        self._save(ledger)
        return woken

    async def keep(self, channel: str, condition: Condition, deed: Deed | None = None) -> None:
        self._conditions[channel] = condition
        if deed is not None:
            self._save_deed(deed)

    async def revive(self, revival: Revival) -> Sequence[Revived]:
        ledger = self._ledger(revival.order_ids)
        revived = ledger.revive(revival)
        self._save(ledger)
        return revived

    async def discard(self, discarding: Discarding) -> tuple[Sequence[int], Sequence[int]]:
        ledger = self._ledger(discarding.order_ids)
        discarded = ledger.discard(discarding)
        self._save(ledger)
        return discarded

    async def release(self, release: Release) -> Released:
        ledger = self._ledger(release.order_ids)
        released = ledger.release(release)
        self._save(ledger)
        return released

    async def understood(self, event_id: int, arrival: Arrival, deed: Deed | None = None) -> Receipt | None:
        ledger = self._ledger(self._about(arrival))
        receipt = ledger.understood(event_id, arrival, deed)
        self._save(ledger)
        return receipt

    async def begin_replay(self, selection: Selection, deed: Deed) -> Replay:
        replay = begun(selection, deed, replay_id=len(self._replays) + 1, total=0)
        replay = replace(replay, total=sum(1 for _ in self._dead(replay.selection)))
        replay = self._replays[replay.id] = replace(replay, deed_id=self._save_deed(deed))
        return replay

    async def advance_replay(
        self, replay_id: int, *, limit: int, now: Instant, head_starts: Mapping[str, HeadStarts]
    ) -> Advanced | None:
        replay = self._replays.get(replay_id)
        if replay is None:
            return None
        letters = self._dead(replay.selection)
        above = sorted(o.id for o in letters if isinstance(o, Order) and o.id > replay.order_id)
        ledger = self._ledger(above[:limit])
        advanced = ledger.advance(replay_id, above[:limit], now=now, head_starts=head_starts)
        self._save(ledger)
        return None if advanced is None else Advanced(*advanced, more=len(above) > limit)

    async def note_replay(
        self, replay_id: int, *, event_id: int, revived: int, left: int, ended_at: Instant | None
    ) -> Replay | None:
        ledger = self._ledger([])
        replay = ledger.note_replay(replay_id, event_id=event_id, revived=revived, left=left, ended_at=ended_at)
        self._save(ledger)
        return replay

    async def sweep(self, cutoffs: Cutoffs, place: SweepPlace, *, limit: int) -> Swept:
        limit = max(1, limit)
        event_ids, more_events = _page(self._events, place.event_id, limit)
        attempt_ids, more_attempts = _page(self._attempts, place.attempt_id, limit)
        swept = self._sweep_events(event_ids, cutoffs)
        swept = replace(swept, attempts=self._sweep_attempts(attempt_ids, cutoffs))
        place = replace(
            place,
            event_id=max((place.event_id, *event_ids)),
            attempt_id=max((place.attempt_id, *attempt_ids)),
        )
        if more_events or more_attempts:
            return replace(swept, place=place)
        order_ids, more_orders = _page(self._orders, place.order_id, limit)
        swept = self._sweep_orders(order_ids, cutoffs, swept)
        return replace(swept, place=replace(place, order_id=max(order_ids)) if more_orders else None)

    async def shrink(self, most_bytes: int) -> int:
        return 0

    async def probe(self) -> None:
        """It always works."""

    def failure(self) -> str | None:
        return None

    async def close(self) -> None:
        """Nothing to let go of."""

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def look(self, order_id: int) -> Taken | None:
        order = self._orders.get(order_id)
        if order is None or order.lease is not None or order.state not in _UNDER_WAY:
            return None
        return self._taken(order) if order.event_id in self._bodies else None

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        return nsmallest(limit, self._waiting(channel))

    async def ahead_of(self, place: Waiting, channel: str, limit: int) -> int:
        return min(limit, sum(waiting < place for waiting in self._waiting(channel)))

    async def sleepers_due(self, channel: str) -> tuple[Instant, Instant] | None:
        due = [order.due_at for order in self._sleeping(channel)]
        return (min(due), max(due)) if due else None

    async def conditions(self) -> Mapping[str, Condition]:
        return dict(self._conditions)

    async def replays(self, limit: int = 20, *, running: bool = False, after: int | None = None) -> Sequence[Replay]:
        newest_first = (replay for replay in reversed(self._replays.values()) if after is None or replay.id < after)
        return list(islice((replay for replay in newest_first if replay.ended_at is None or not running), limit))

    async def replay(self, replay_id: int) -> Replay | None:
        return self._replays.get(replay_id)

    async def record(self, deed: Deed) -> None:
        self._save_deed(deed)

    async def deeds(self, limit: int = 100, *, after: int | None = None, about: str | None = None) -> Sequence[Deed]:
        newest_first = reversed(self._deeds if after is None else self._deeds[: max(0, after - 1)])
        wanted = (deed for deed in newest_first if about in (None, deed.about, *self._subjects.get(deed.id or 0, ())))
        return list(islice(wanted, limit))

    async def tally(self) -> Tally:
        tally: dict[tuple[str, State, Lane], int] = {}
        for order in self._orders.values():
            at = (order.channel, order.state, order.lane)
            tally[at] = tally.get(at, 0) + 1
        return tally

    async def dead_tally(self) -> DeadTally:
        tally: dict[tuple[str | None, str], int] = {}
        for letter in self._dead(EVERYTHING):
            code, channel, _ = _group_of(letter)
            tally[channel, code] = tally.get((channel, code), 0) + 1
        return tally

    async def storefronts(self) -> Mapping[str, Sender]:
        return dict(self._senders)

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        waiting = [order for order in self._orders.values() if order.state is State.WAITING]
        waiting.sort(key=lambda order: (order.urgency, order.id), reverse=True)
        return {(order.channel, order.lane): order.due_at for order in waiting}

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        newest_first = reversed(self._orders.values())
        return list(islice((o for o in newest_first if reference in (o.reference, o.external_id)), limit))

    async def search(self, wanted: Search, *, limit: int = 20, after: SearchPlace | None = None) -> OrdersPage:
        found = [
            (_search_place(order, wanted), order) for order in self._orders.values() if self._is_wanted(order, wanted)
        ]
        page = nlargest(limit + 1, (at for at in found if after is None or at[0] < after), key=lambda at: at[0])
        return OrdersPage([order for _, order in page[:limit]], page[limit - 1][0] if len(page) > limit else None)

    async def event(self, event_id: int) -> KeptEvent | None:
        event = self._events.get(event_id)
        return None if event is None else KeptEvent(event, event_id in self._bodies)

    async def events(self, wanted: EventSearch, *, limit: int = 100, after: int | None = None) -> EventsPage:
        found = (e for e in self._events.values() if (after is None or e.id < after) and _is_wanted_event(e, wanted))
        page = nlargest(limit + 1, found, key=lambda event: event.id)
        return EventsPage(page[:limit], page[limit - 1].id if len(page) > limit else None)

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        order = self._orders.get(order_id)
        if order is None:
            return None
        events = [event for event in self._events.values() if event.order_id == order_id]
        attempts = [attempt for of, attempt in self._attempts.values() if of == order_id]
        return Timeline(order, events[-limit:], attempts[-limit:])

    async def traces(self, order: Order, limit: int = LINKS_MAX) -> Sequence[Trace]:
        since = min(order.delivered_revision + 1, order.revision)
        events = islice((event for event in reversed(self._events.values()) if event.order_id == order.id), limit)
        return [e.trace for e in events if e.trace is not None and e.revision is not None and e.revision >= since]

    async def dead_letters(
        self, limit: int = 100, selection: Selection = EVERYTHING, *, after: DeadPlace | None = None
    ) -> Sequence[Order | Event]:
        letters = (letter for letter in self._dead(selection) if after is None or dead_place(letter) < after)
        return nlargest(limit, letters, key=dead_place)

    async def dead_groups(self) -> Sequence[DeadGroup]:
        groups: dict[tuple[str, str | None, str], list[Order | Event]] = {}
        for letter in reversed(await self.dead_letters(len(self._orders) + len(self._events))):
            groups.setdefault(_group_of(letter), []).append(letter)
        told = [
            DeadGroup(*group, len(letters), _dead_since(letters[0]), _dead_since(letters[-1]), _said_of(letters[-1]))
            for group, letters in groups.items()
        ]
        return sorted(told, key=lambda group: (-group.count, group.code, group.channel or "", group.storefront))

    async def held_groups(self) -> Sequence[HeldGroup]:
        groups: dict[str, list[Instant]] = {}
        for order in self._orders.values():
            if order.state is State.HELD:
                groups.setdefault(order.storefront, []).append(_held_place(order)[0])
        return [HeldGroup(name, len(found), min(found)) for name, found in sorted(groups.items())]

    async def held(
        self, limit: int = 100, *, storefront: str | None = None, after: HeldPlace | None = None,
        until: Instant | None = None,
    ) -> Sequence[Order]:  # fmt: skip
        held = (
            order
            for order in self._orders.values()
            if order.state is State.HELD
            and storefront in (None, order.storefront)
            and (after is None or _held_place(order) > after)
            and (until is None or _held_place(order)[0] <= until)
        )
        return nsmallest(limit, held, key=_held_place)

    async def held_whole(self, storefront: str, *, after: HeldPlace | None, limit: int) -> Sequence[Taken]:
        orders = await self.held(limit, storefront=storefront, after=after)
        return [taken for order in orders if (taken := self._taken(order)) is not None]

    async def lost(self, *, after: int, limit: int, selection: Selection = EVERYTHING) -> Sequence[LostEvent]:
        lost = (letter for letter in self._dead(selection) if isinstance(letter, Event) and letter.id > after)
        return [
            LostEvent(event, self._bodies.get(event.id, b""), dict(self._headers.get(event.id, {})))
            for event in islice(lost, limit)
        ]

    async def lost_events(self, limit: int = 10_000) -> int:
        return min(limit, sum(map(is_lost, self._events.values())))

    async def body(self, event_id: int) -> bytes | None:
        return self._bodies.get(event_id)

    async def sale(self, order_id: int) -> bytes | None:
        made = self._sales.get(order_id)
        return None if made is None else made.sale

    async def size(self) -> Size | None:
        return None

    # -- how -------------------------------------------------------------------------------------------------------

    def _waiting(self, channel: str) -> Iterable[Waiting]:
        return (
            Waiting(order.urgency, order.id)
            for order in self._orders.values()
            if order.channel == channel and order.state is State.WAITING and order.lease is None
        )

    def _sleeping(self, channel: str) -> list[Order]:
        return [o for o in self._orders.values() if o.state is State.SLEEPING and o.channel == channel]

    def _taken(self, order: Order) -> Taken | None:
        if order.event_id not in self._bodies:
            return Taken(order, "", b"")
        return Taken(order, self._events[order.event_id].topic, self._bodies[order.event_id])

    def _dead(self, selection: Selection) -> Iterable[Order | Event]:
        """Dead letters that are selected, in the order of their ids."""
        yield from (o for o in self._orders.values() if o.state is State.DEAD and selects(selection, o))
        yield from (e for e in self._events.values() if is_lost(e) and selects(selection, e))

    def _is_wanted(self, order: Order, wanted: Search) -> bool:
        made = self._sales.get(order.id)
        return (
            begins(wanted.text or "", order.reference, order.external_id)
            and (wanted.email is None or (made is not None and made.email == wanted.email))
            and (not wanted.states or order.state in wanted.states)
            and wanted.storefront in (None, order.storefront)
            and wanted.channel in (None, order.channel)
        )

    def _about(self, arrival: Arrival) -> Sequence[int]:
        key = key_of(arrival)
        return [] if key is None or key not in self._ids else [self._ids[key]]

    def _ledger(self, order_ids: Sequence[int]) -> Ledger:
        loaded = Loaded(
            [self._orders[order_id] for order_id in order_ids if order_id in self._orders],
            self._seen,
            self._events,
            self._bodies,
            self._replays,
        )
        return Ledger(loaded, self._fresh)

    def _save(self, ledger: Ledger) -> None:
        self._orders.update(ledger.leased)
        for order in ledger.changed():
            self._orders[order.id] = order
            self._ids[order.storefront, order.external_id] = order.id
        for kept in ledger.events:
            self._events[kept.event.id] = kept.event
            if kept.body is not None:
                self._bodies[kept.event.id] = kept.body
            if kept.headers:
                self._headers[kept.event.id] = dict(kept.headers)
        for event in ledger.amended.values():
            self._events[event.id] = event
            self._headers.pop(event.id, None)
        for order_id, attempt in ledger.attempts:
            self._attempts[self._attempt_ids.next()] = (order_id, attempt)
        self._sales.update(ledger.sales)
        for order_id, revision, finding in ledger.findings:
            for event in list(self._events.values()):
                if event.order_id == order_id and event.revision == revision:
                    amended = replace(event, disposition=finding.disposition, reasons=finding.reasons)
                    self._events[event.id] = amended
        self._replays.update(ledger.replays)
        self._save_deeds(ledger.deeds, ledger.subjects)
        self._save_senders(ledger.senders())

    def _save_senders(self, senders: Mapping[str, Sender]) -> None:
        for storefront, sent in senders.items():
            before = self._senders.get(storefront, Sender(0, 0))
            self._senders[storefront] = replace(sent, accepted=before.accepted + sent.accepted)

    def _save_deeds(self, deeds: Iterable[tuple[Deed, Sequence[str]]], more: Iterable[tuple[int, str]]) -> None:
        for deed, subjects in deeds:
            self._save_deed(deed, subjects)
        for deed_id, about in more:
            self._subjects[deed_id] = [*self._subjects[deed_id], about]

    def _save_deed(self, deed: Deed, subjects: Sequence[str] = ()) -> int:
        number = len(self._deeds) + 1
        self._deeds.append(replace(deed, id=number))
        self._subjects[number] = subjects
        return number

    # -- forgetting ------------------------------------------------------------------------------------------------

    def _sweep_events(self, event_ids: Sequence[int], cutoffs: Cutoffs) -> Swept:
        events = bodies = 0
        for event in [self._events[event_id] for event_id in event_ids]:
            if is_lost(event):
                continue
            needed = self._unfinished(event.order_id)
            newest_whole = needed is not None and needed.event_id == event.id
            newest = needed is not None and needed.revision == event.revision
            if event.received_at < cutoffs.finished and not newest_whole and not newest:
                bodies += self._forget_event(event.id)
                events += 1
            elif event.received_at < cutoffs.bodies and not newest_whole:
                bodies += self._bodies.pop(event.id, None) is not None
        return Swept(None, events=events, bodies=bodies)

    def _sweep_attempts(self, attempt_ids: Sequence[int], cutoffs: Cutoffs) -> int:
        old = [
            attempt_id
            for attempt_id, (order_id, attempt) in ((i, self._attempts[i]) for i in attempt_ids)
            if attempt.started_at < cutoffs.finished and self._unfinished(order_id) is None
        ]
        for attempt_id in old:
            del self._attempts[attempt_id]
        return len(old)

    def _sweep_orders(self, order_ids: Sequence[int], cutoffs: Cutoffs, swept: Swept) -> Swept:
        for order in [self._orders[order_id] for order_id in order_ids]:
            if order.state not in FINISHED:
                continue
            events = [event for event in self._events.values() if event.order_id == order.id]
            if order.since < cutoffs.finished and all(event.received_at < cutoffs.finished for event in events):
                attempts = [i for i, (order_id, _) in self._attempts.items() if order_id == order.id]
                for attempt_id in attempts:
                    del self._attempts[attempt_id]
                bodies = sum(self._forget_event(event.id) for event in events)
                sales = self._sales.pop(order.id, None) is not None
                del self._orders[order.id], self._ids[order.storefront, order.external_id]
                swept = replace(
                    swept,
                    events=swept.events + len(events),
                    bodies=swept.bodies + bodies,
                    attempts=swept.attempts + len(attempts),
                    orders=swept.orders + 1,
                    sales=swept.sales + sales,
                )
            elif order.since < cutoffs.bodies:
                swept = replace(swept, sales=swept.sales + (self._sales.pop(order.id, None) is not None))
        return swept

    def _unfinished(self, order_id: int | None) -> Order | None:
        order = None if order_id is None else self._orders.get(order_id)
        return None if order is None or order.state in FINISHED else order

    def _forget_event(self, event_id: int) -> bool:
        """Forget it with everything it has; returns whether that was a body too."""
        del self._events[event_id]
        self._headers.pop(event_id, None)
        for digest in [digest for digest, of in self._seen.items() if of == event_id]:
            del self._seen[digest]
        return self._bodies.pop(event_id, None) is not None


def _after_a_crash(order: Order) -> Order:
    certain = order.delivered_digest if order.state not in _UNDER_WAY else None
    return replace(order, lease=None, delivered_digest=certain)


def _held_place(order: Order) -> HeldPlace:
    return (order.since if order.held_since is None else order.held_since), order.id


def _page(rows: Mapping[int, object], after: int, limit: int) -> tuple[Sequence[int], bool]:
    """The next ids above one, and whether there are more."""
    above = nsmallest(limit + 1, (row_id for row_id in rows if row_id > after))
    return above[:limit], len(above) > limit


def _search_place(order: Order, wanted: Search) -> SearchPlace:
    return is_exactly(wanted.text or "", order.reference, order.external_id), order.id


def _is_wanted_event(event: Event, wanted: EventSearch) -> bool:
    return (
        wanted.storefront in (None, event.storefront)
        and (not wanted.dispositions or event.disposition in wanted.dispositions)
        and wanted.order_id in (None, event.order_id)
        and (wanted.since is None or event.received_at >= wanted.since)
        and (wanted.until is None or event.received_at <= wanted.until)
    )


def _dead_since(letter: Order | Event) -> Instant:
    return letter.since if isinstance(letter, Order) else letter.received_at


def _group_of(letter: Order | Event) -> tuple[str, str | None, str]:
    if isinstance(letter, Event):
        return NO_ORDER, None, letter.storefront
    return "" if letter.cause is None else letter.cause.code, letter.channel, letter.storefront


def _said_of(letter: Order | Event) -> str:
    if isinstance(letter, Event):
        return "; ".join(reason.message for reason in letter.reasons)
    return "" if letter.cause is None else letter.cause.message
