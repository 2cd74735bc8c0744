"""What may be looked at. Nothing here changes anything."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar

import msgspec
from aiohttp import web

from relay.api import asked, cursors, models, shown
from relay.api.answers import json
from relay.api.view import ChannelView, View
from relay.clock import Clock
from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.delivery import State
from relay.core.order import Order
from relay.core.problem import Problem
from relay.core.sources import FETCHED_TOPIC
from relay.core.whereabouts import COUNTED_MAX, Whereabouts
from relay.store import Event, LostEvent, Store, Timeline, dead_place

_COUNTED_FOR = 20
"""Of so many orders on a page it is counted how many leave before each."""
_AT_ONCE = 25
"""Of a long list, so many are shown before webhooks have their turn: about a millisecond."""
_SHORT = 100
"""A list of no more is short."""
_DEEDS_MAX = 1000
"""Of what persons did about one order, the newest are shown."""


_Known = TypeVar("_Known")
_Shown = TypeVar("_Shown")


class Looking:
    """Answers to questions."""

    def __init__(self, view: View, store: Store, clock: Clock) -> None:
        self._view = view
        self._store = store
        self._clock = clock
        self._long_list = asyncio.Lock()

    # -- the relay itself ------------------------------------------------------------------------------------------

    async def healthz(self, _: web.Request) -> web.Response:
        """The process answers; nothing more is said."""
        return json(models.Health(status="ok"))

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether events would be accepted, and if not, why."""
        reasons = list(self._view.not_ready())
        found = models.Readiness(status="not ready" if reasons else "ready", reasons=reasons)
        return json(found, 503 if reasons else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        """For Prometheus."""
        text, content_type = await self._view.metrics()
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def status(self, _: web.Request) -> web.Response:
        """The operator's one look."""
        now = self._clock.now()
        tally, oldest = await self._store.tally(), await self._store.oldest_due()
        lost, running = await self._store.lost_events(), await self._store.replays(running=True)
        held = await self._store.held_groups()
        reasons, limits = list(self._view.not_ready()), self._view.limits()
        dead = sum(orders for (_, state, _), orders in tally.items() if state is State.DEAD)
        return json(
            models.Status(
                version=self._view.version,
                started_at=instant.iso(self._view.started_at),
                now=instant.iso(now),
                ready=not reasons,
                reasons=reasons,
                store=self._view.store_url,
                storefronts={
                    name: models.Storefront(
                        kind=str(storefront["kind"]),
                        channel=str(storefront["channel"]),
                        accept_when=storefront["accept_when"],
                        refused=[limit.words for limit in limits if name in limit.refused],
                    )
                    for name, storefront in self._view.storefronts.items()
                },
                channels={
                    name: shown.channel(name, channel, tally, oldest, now, await self._latest(channel))
                    for name, channel in self._view.channels().items()
                },
                limits=[shown.limit(limit) for limit in limits],
                held=[shown.held_group(group, now) for group in held],
                dead_letters=dead + lost,
                events_without_order=lost,
                replays=[shown.replay(replay) for replay in running],
            )
        )

    async def _latest(self, channel: ChannelView) -> Order | None:
        """The newest of the orders for which a channel is open, or is halted after one refusal for all of them."""
        order_id = channel.latest_order_id
        timeline = None if order_id is None else await self._store.timeline(order_id, limit=1)
        return None if timeline is None else timeline.order

    # -- orders ----------------------------------------------------------------------------------------------------

    async def orders(self, request: web.Request) -> web.Response:
        """Orders that are looked for."""
        wanted = asked.query(request, asked.FindOrders)
        async with self._in_turn(wanted.limit):
            return await self._orders(wanted)

    async def _orders(self, wanted: asked.FindOrders) -> web.Response:
        channels = self._view.channels()
        search, place = wanted.search, wanted.place
        found = await self._store.search(search, limit=wanted.limit, after=None if place is None else place[:2])
        # What is exactly what was typed is before all others.
        meant = [order for order in found.orders if wanted.is_meant(order)]
        more = found.next is not None and (not wanted.is_exact or found.next[0])
        aheads = await self._aheads(meant) if len(meant) <= _COUNTED_FOR else {}
        now = self._clock.now()

        def one(order: Order) -> models.Order:
            return shown.order(order, channels, shown.whereabouts_of(order, channels, now, aheads.get(order.id)))

        return json(
            models.Orders(
                orders=await self._one_by_one(meant, one),
                next=cursors.encoded(found.next[1], flag=found.next[0]) if found.next is not None and more else None,
            )
        )

    async def order(self, request: web.Request) -> web.Response:
        """One order's timeline, by the relay's own id; with ``raw=true`` what is in it, too."""
        wanted = asked.query(request, asked.OfTimeline)
        order_id = asked.whole(request.match_info["id"])
        timeline = None if order_id is None else await self._store.timeline(order_id)
        if timeline is None or order_id is None:
            raise Problem(404, "unknown-order", f"there is no order:{request.match_info['id'][:20]}")
        channels = self._view.channels()
        where = await self._whereabouts(timeline.order, channels)
        deeds = await self._store.deeds(_DEEDS_MAX, about=f"order:{order_id}")
        mask = wanted.masked or asked.IN_SESSION in request  # who signed in sees personal data on record only
        found = shown.timeline(timeline, deeds, channels, where, mask=mask)
        if wanted.raw:
            event_id = _shown_event(timeline)
            body = None if event_id is None else await self._store.body(event_id)
            sale = await self._store.sale(order_id)
            found = msgspec.structs.replace(found, body=shown.content_of(body), sale=shown.content_of(sale))
        return json(found)

    async def _aheads(self, orders: Sequence[Order]) -> dict[int, int]:
        """How many leave before each, by id; once as many are counted as for one order, the others are not counted."""
        aheads: dict[int, int] = {}
        for order in orders:
            if sum(aheads.values()) > COUNTED_MAX:
                break
            if (ahead := await self._ahead(order)) is not None:
                aheads[order.id] = ahead
        return aheads

    async def _ahead(self, order: Order) -> int | None:
        if order.state is not State.WAITING or order.lease is not None:
            return None
        return await self._store.ahead_of(Waiting(order.urgency, order.id), order.channel, COUNTED_MAX + 1)

    async def _one_by_one(self, known: Sequence[_Known], show: Callable[[_Known], _Shown]) -> list[_Shown]:
        """A list that may be long: webhooks have their turns meanwhile."""
        found = [show(one) for one in known[:_AT_ONCE]]
        for place in range(_AT_ONCE, len(known), _AT_ONCE):
            await self._clock.sleep(0)
            found += map(show, known[place : place + _AT_ONCE])
        return found

    def _in_turn(self, limit: int) -> AbstractAsyncContextManager[None]:
        """One long list is read and made at a time: several would share the interpreter with webhooks."""
        return nullcontext() if limit <= _SHORT else self._long_list

    async def _whereabouts(self, order: Order, channels: Mapping[str, ChannelView]) -> Whereabouts:
        """Where an order is, and how many leave before it."""
        ahead = await self._ahead(order)
        return shown.whereabouts_of(order, channels, self._clock.now(), ahead)

    # -- events ----------------------------------------------------------------------------------------------------

    async def events(self, request: web.Request) -> web.Response:
        """Events that are looked for."""
        wanted = asked.query(request, asked.FindEvents)
        found = await self._store.events(wanted.search, limit=wanted.limit, after=_id_of(wanted.place))
        timelines = await self._timelines(found.events)
        return json(
            models.Events(
                events=[
                    shown.found_event(event, timelines.get(0 if event.order_id is None else event.order_id))
                    for event in found.events
                ],
                next=None if found.next is None else cursors.encoded(found.next),
            )
        )

    async def _timelines(self, events: Iterable[Event]) -> Mapping[int, Timeline]:
        """Of the orders that they are about, which say where an event is."""
        found = {}
        for order_id in {event.order_id for event in events if event.order_id is not None}:
            timeline = await self._store.timeline(order_id)
            if timeline is not None:
                found[order_id] = timeline
        return found

    async def event(self, request: web.Request) -> web.Response:
        """One event, of whatever order or none."""
        event_id = asked.whole(request.match_info["id"])
        kept = None if event_id is None else await self._store.event(event_id)
        if kept is None:
            raise Problem(404, "unknown-event", f"there is no event:{request.match_info['id'][:20]}")
        timeline = (await self._timelines([kept.event])).get(kept.event.order_id or 0)
        order, channels = None, self._view.channels()
        if timeline is not None:
            order = shown.order(timeline.order, channels, await self._whereabouts(timeline.order, channels))
        return json(models.OneEvent(event=shown.event(kept.event, timeline), order=order, has_body=kept.has_body))

    async def storefronts(self, _: web.Request) -> web.Response:
        """What each storefront is, and what came from it."""
        senders, limits, doors = await self._store.storefronts(), self._view.limits(), self._view.pulse.doors
        held = {group.storefront: group.count for group in await self._store.held_groups()}
        known = self._view.storefronts
        names = sorted({*known, *senders})
        return json(
            models.Storefronts(
                storefronts=[
                    shown.sender(
                        name, known.get(name), senders.get(name), doors.get(name),
                        refused=[limit.words for limit in limits if name in limit.refused], held=held.get(name, 0),
                    )
                    for name in names
                ]
            )
        )  # fmt: skip

    # -- dead letters ----------------------------------------------------------------------------------------------

    async def dead_letters(self, request: web.Request) -> web.Response:
        """What needs a person."""
        wanted = asked.query(request, asked.SomeDead)
        async with self._in_turn(wanted.limit):
            return await self._dead_letters(wanted)

    async def _dead_letters(self, wanted: asked.SomeDead) -> web.Response:
        place = wanted.place
        after = None if place is None else (place[1], place[0], place[2])
        found = await self._store.dead_letters(wanted.limit + 1, wanted.selection, after=after)
        dead = found[: wanted.limit]
        channels, now = self._view.channels(), self._clock.now()

        def one(letter: Order | Event) -> models.Order | models.Event:
            if isinstance(letter, Order):
                return shown.order(letter, channels, shown.whereabouts_of(letter, channels, now))
            return shown.event(letter, None)

        return json(
            models.DeadLetters(
                dead_letters=await self._one_by_one(dead, one),
                next=_dead_cursor(dead[-1]) if len(found) > len(dead) else None,
            )
        )

    async def dead_groups(self, _: web.Request) -> web.Response:
        """The same by cause."""
        return json(models.DeadGroups(groups=[shown.group(group) for group in await self._store.dead_groups()]))

    async def lost_event(self, request: web.Request) -> web.Response:
        """An event from which no order could be read; with ``raw=true`` what is in it, too."""
        raw = asked.query(request, asked.Raw).raw
        found = await find_lost(self._store, asked.whole(request.match_info["id"]))
        if found is None:
            raise Problem(
                404, "unknown-event",
                f"event:{request.match_info['id'][:20]} is no dead letter: an order was read from it, it was "
                "discarded, or there is none",
            )  # fmt: skip
        return json(shown.lost(found, raw=raw))

    # -- held orders -----------------------------------------------------------------------------------------------

    async def held(self, request: web.Request) -> web.Response:
        """What is not wanted yet by its storefront's rule: by storefront, and the orders, those held longest first."""
        wanted = asked.query(request, asked.SomeHeld)
        async with self._in_turn(wanted.limit):
            return await self._held(wanted)

    async def _held(self, wanted: asked.SomeHeld) -> web.Response:
        now = self._clock.now()
        storefront = wanted.storefront or None
        groups = await self._store.held_groups()
        place = wanted.place
        found = await self._store.held(
            wanted.limit + 1, storefront=storefront, after=None if place is None else place[1:]
        )
        orders = found[: wanted.limit]
        last = orders[-1] if len(found) > len(orders) else None
        channels = self._view.channels()
        return json(
            models.Held(
                now=instant.iso(now),
                groups=[shown.held_group(g, now) for g in groups if storefront in (None, g.storefront)],
                held=await self._one_by_one(orders, lambda order: shown.held(order, channels, now)),
                next=None if last is None else cursors.encoded(last.held_since or 0, last.id),
            )
        )

    # -- what is being done, and was done --------------------------------------------------------------------------

    async def replays(self, request: web.Request) -> web.Response:
        """Bulk replays, newest first."""
        wanted = asked.query(request, asked.SomeReplays)
        found = await self._store.replays(wanted.limit + 1, after=_id_of(wanted.place))
        some = found[: wanted.limit]
        return json(
            models.Replays(
                replays=[shown.replay(replay) for replay in some],
                next=_cursor_of(some[-1].id) if len(found) > len(some) else None,
            )
        )

    async def replay(self, request: web.Request) -> web.Response:
        """How far a bulk replay is."""
        replay_id = asked.whole(request.match_info["id"])
        replay = None if replay_id is None else await self._store.replay(replay_id)
        if replay is None:
            raise Problem(404, "unknown-replay", "there is no such replay")
        return json(models.OneReplay(replay=shown.replay(replay)))

    async def deeds(self, request: web.Request) -> web.Response:
        """What persons did, newest first."""
        wanted = asked.query(request, asked.SomeDeeds)
        found = await self._store.deeds(wanted.limit + 1, after=_id_of(wanted.place), about=wanted.about or None)
        some = found[: wanted.limit]
        return json(
            models.Deeds(
                deeds=[shown.deed(deed) for deed in some],
                next=_cursor_of(some[-1].id) if len(found) > len(some) else None,
            )
        )


def _id_of(place: cursors.Place | None) -> int | None:
    """Of a list that goes by ids."""
    return None if place is None else place[1]


def _cursor_of(last_id: int | None) -> str | None:
    return None if last_id is None else cursors.encoded(last_id)


def _dead_cursor(letter: Order | Event) -> str:
    at, is_event, its_id = dead_place(letter)
    return cursors.encoded(at, its_id, flag=is_event)


async def find_lost(store: Store, event_id: int | None) -> LostEvent | None:
    """The event of this id, if it is one from which no order could be read."""
    if not event_id:
        return None
    found = await store.lost(after=event_id - 1, limit=1)
    return found[0] if found and found[0].event.id == event_id else None


def _shown_event(timeline: Timeline) -> int | None:
    """The event whose body says what is known of the order: what its sale is made of, or what was fetched and is none
    to make one of."""
    order = timeline.order
    if order.state is State.DEAD and order.to_be_fetched:
        fetched = [event.id for event in timeline.events if event.topic == FETCHED_TOPIC]
        return fetched[-1] if fetched else None
    return order.event_id
