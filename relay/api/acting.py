"""What may be done. It is on record, with who did it, by which token, and why, in the transaction that did it."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from msgspec.structs import asdict, replace

from relay.api import asked, models, shown
from relay.api.answers import json
from relay.api.looking import find_lost
from relay.api.sessions import token_of
from relay.api.view import View
from relay.clock import Clock
from relay.core import instant
from relay.core.delivery import Lane, State
from relay.core.events import Doing, Observer, PersonActed
from relay.core.order import Order, is_cancelling
from relay.core.problem import Problem
from relay.core.whereabouts import Whereabouts
from relay.store import Deed, Discarding, Release, Revival, Store

_NAMED_MAX = 5
_RELEASED_MAX = 100
"""Held orders that are released by one request which names none of them."""


class Acting:
    """Does what it is told."""

    def __init__(self, view: View, store: Store, clock: Clock, observe: Observer) -> None:
        self._view = view
        self._hands = view.hands
        self._store = store
        self._clock = clock
        self._observe = observe

    # -- channels --------------------------------------------------------------------------------------------------

    async def pause(self, request: web.Request) -> web.Response:
        """Send nothing through a channel until someone resumes it; accepting goes on."""
        name = self._channel(request)
        standing = await asked.body(request, asked.Reasoned)
        pause = self._view.channels()[name].condition.pause
        if pause is not None:
            since = instant.iso(pause.since)[:16].replace("T", " ")
            raise Problem(
                409, "already-paused", f"channel {name} is already paused by {pause.by} since {since} UTC: {pause.why}"
            )
        return await self._move(name, self._hands.pause, standing, token_of(request))

    async def resume(self, request: web.Request) -> web.Response:
        """End whatever keeps a channel from sending: a pause, a rest, an open circuit, a halt."""
        name = self._channel(request)
        standing = await asked.body(request, asked.Standing)
        return await self._move(name, self._hands.resume, standing, token_of(request))

    async def rate(self, request: web.Request) -> web.Response:
        """Send no faster than this through a channel for now, or as configured again."""
        name = self._channel(request)
        wanted = await asked.body(request, asked.Rating)
        if wanted.rate is None and self._view.channels()[name].condition.rate_for_now is None:
            raise Problem(409, "no-rate-for-now", f"channel {name} has no rate for now: nothing to take back")
        try:
            await self._hands.set_rate(name, wanted.rate, wanted.for_s, wanted.by, wanted.why, token_of(request))
        except ValueError as error:
            raise Problem(409, "not-below-configured", f"rate {error}") from None
        view = self._view.channels()[name]
        now, rate = shown.standing(view), round(view.rate, 3)
        return json(models.Rated(channel=name, **asdict(now), rate=rate, configured_rate=view.configured_rate))

    async def _move(
        self,
        name: str,
        move: Callable[[str, str, str, str | None], Awaitable[None]],
        standing: asked.Reasoned | asked.Standing,
        token: str | None,
    ) -> web.Response:
        try:
            await move(name, standing.by, standing.why, token)
        except ValueError as error:
            raise Problem(
                409, "secrets-unreadable", f"channel {name} is as it was: {' '.join(str(error).split())}"
            ) from None
        now = shown.standing(self._view.channels()[name])
        return json(models.NamedStanding(channel=name, **asdict(now)))

    def _channel(self, request: web.Request) -> str:
        name, known = request.match_info["name"], self._view.channels()
        if name not in known:
            raise Problem(404, "unknown-channel", f"no such channel; there are: {', '.join(sorted(known))}")
        return name

    # -- dead letters ----------------------------------------------------------------------------------------------

    async def replay(self, request: web.Request) -> web.Response:
        """Send dead letters on their way again: named ones at once, selected ones as a durable bulk replay."""
        wanted = await asked.body(request, asked.Replaying)
        named = bool(wanted.orders or wanted.events)
        if named and (wanted.criteria or wanted.all):
            raise Problem(422, "mixed-selection", "name orders and events, or select by criteria: not both at once")
        if named:
            return await self._replay_named(wanted, token_of(request))
        if not wanted.criteria and not wanted.all:
            raise Problem(
                422, "selects-everything",
                "nothing is selected: name orders or events, give a code, channel, storefront or since, "
                "or say all: true",
            )  # fmt: skip
        return await self._replay_selected(wanted, token_of(request))

    async def _replay_named(self, wanted: asked.Replaying, token: str | None) -> web.Response:
        now, head_starts = self._clock.now(), self._hands.head_starts
        deed = Deed(now, wanted.by, "replay", _named(wanted.orders, ()), wanted.why, token)
        revived = await self._store.revive(Revival(wanted.orders, now, head_starts, deed=deed))
        for order in revived:
            self._hands.offer(order)
        if revived:
            self._tell(deed)
        events = [event_id for event_id in wanted.events if await self._read_again(event_id, wanted, token)]
        done, left = _done(wanted.orders, wanted.events, [r.waiting.order_id for r in revived], events)
        return json(models.Replayed(replayed=done, left=left))

    async def _read_again(self, event_id: int, wanted: asked.Replaying, token: str | None) -> bool:
        lost = await find_lost(self._store, event_id)
        deed = Deed(self._clock.now(), wanted.by, "replay", _named((), (event_id,)), wanted.why, token)
        if lost is None or await self._hands.read_again(lost, deed) is None:
            return False
        self._tell(deed)
        return True

    async def _replay_selected(self, wanted: asked.Replaying, token: str | None) -> web.Response:
        selected = _selected(wanted)
        deed = Deed(self._clock.now(), wanted.by, "replay", selected, wanted.why, token)
        selection = wanted.selection(deed.at)
        if not await self._store.dead_letters(1, selection):
            raise Problem(404, "no-dead-letters", f"no dead letter has {selected}")
        replay = await self._store.begin_replay(selection, deed)
        self._hands.replay_begun()
        self._tell(deed)
        return json(models.OneReplay(replay=shown.replay(replay)), 202, {"Location": f"/api/replays/{replay.id}"})

    async def discard(self, request: web.Request) -> web.Response:
        """Dead letters that need nothing: they are kept, and not shown among the dead letters any more."""
        wanted = await asked.body(request, asked.Discarding)
        if not wanted.orders and not wanted.events:
            raise Problem(422, "nothing-named", "name the orders or events that are to be discarded, by their ids")
        deed = self._deed(request, wanted, "discard", _named(wanted.orders, wanted.events))
        orders, events = await self._store.discard(Discarding(deed, wanted.orders, wanted.events, _DEAD))
        if orders or events:
            self._tell(deed)
        done, left = _done(wanted.orders, wanted.events, orders, events)
        return json(models.Discarded(discarded=done, left=left))

    # -- held orders -----------------------------------------------------------------------------------------------

    async def release(self, request: web.Request) -> web.Response:
        """Send held orders although their storefront's rule does not want them yet: named ones, or a page of all."""
        wanted = await asked.body(request, asked.Releasing)
        selects = wanted.all or wanted.storefront is not None
        if wanted.orders and selects:
            raise Problem(422, "mixed-selection", "name orders, or select all of a storefront: not both at once")
        if not wanted.orders and not wanted.all:
            raise Problem(
                422, "selects-everything",
                "nothing is selected: name orders, or say all: true, with a storefront if only its orders are meant",
            )  # fmt: skip
        if wanted.orders:
            deed = self._deed(request, wanted, "release", _named(wanted.orders, ()))
            return json(await self._release(deed, wanted.orders, None))
        return await self._release_page(request, wanted)

    async def _release_page(self, request: web.Request, wanted: asked.Releasing) -> web.Response:
        until = wanted.held_until(self._clock.now())
        found = await self._store.held(_RELEASED_MAX + 1, storefront=wanted.storefront, after=wanted.after, until=until)
        page = found[:_RELEASED_MAX]
        of = "every storefront" if wanted.storefront is None else f"storefront {wanted.storefront}"
        if not page and wanted.after is None:
            raise Problem(404, "no-held-orders", f"no order of {of} is held")
        ids = [order.id for order in page]
        deed = self._deed(request, wanted, "release", f"all of {of}: {_named(ids, ())}")
        done = await self._release(deed, ids, Lane.REPLAY)
        more = len(found) > len(page)
        last = page[-1] if more else None
        return json(replace(done, next=None if last is None else (last.held_since or 0, last.id)))

    async def _release(self, deed: Deed, order_ids: Sequence[int], lane: Lane | None) -> models.Released:
        channels = {name: str(storefront["channel"]) for name, storefront in self._view.storefronts.items()}
        released = await self._store.release(Release(order_ids, deed.at, self._hands.head_starts, channels, lane, deed))
        for order in released.waiting:
            self._hands.offer(order)
        if released.order_ids:
            self._tell(deed)
        done, left = _done(order_ids, (), released.order_ids, ())
        return models.Released(released=done, left=left)

    async def discard_held(self, request: web.Request) -> web.Response:
        """Held orders that need nothing, such as those that will never be paid."""
        wanted = await asked.body(request, asked.DiscardingHeld)
        if not wanted.orders:
            raise Problem(422, "nothing-named", "name the orders that are to be discarded, by their ids")
        deed = self._deed(request, wanted, "discard", _named(wanted.orders, ()))
        orders, _ = await self._store.discard(Discarding(deed, wanted.orders, (), _HELD))
        if orders:
            self._tell(deed)
        done, left = _done(wanted.orders, (), orders, ())
        return json(models.Discarded(discarded=done, left=left))

    # -- one order -------------------------------------------------------------------------------------------------

    async def resend(self, request: web.Request) -> web.Response:
        """Send an order's newest state again, though Jetti may have it: at least once, under the same externalId."""
        known, wanted = await self._order(request), await asked.body(request, asked.Reasoned)
        if known.state not in _RESENT or is_cancelling(known.channel):
            raise Problem(409, "not-now", f"order:{known.id} is not sent again: {self._instead(known)}")
        deed = self._deed(request, wanted, "resend", _named((known.id,), ()))
        revival = Revival([known.id], deed.at, self._hands.head_starts, deed=deed, again=True)
        revived = await self._store.revive(revival)
        now = await self._order(request)
        if not revived:
            if now.state in _RESENT:
                raise Problem(
                    409, "body-gone", f"the webhook of order:{known.id} is not kept any more, or was never whole: let "
                    "the shop send it again",
                )  # fmt: skip
            raise Problem(409, "not-now", f"order:{known.id} has moved on meanwhile: {self._instead(now)}")
        for order in revived:
            self._hands.offer(order)
        self._tell(deed)
        channels = self._view.channels()
        return json(models.Resent(order=shown.order(now, channels, self._whereabouts(now))))

    async def discard_order(self, request: web.Request) -> web.Response:
        """A dead or held order that needs nothing."""
        known, wanted = await self._order(request), await asked.body(request, asked.Reasoned)
        deed = self._deed(request, wanted, "discard", _named((known.id,), ()))
        orders, _ = await self._store.discard(Discarding(deed, [known.id], (), _DEAD | _HELD))
        if not orders:
            now = self._whereabouts(await self._order(request))
            raise Problem(
                409, "not-now", f"order:{known.id} is neither dead nor held, so there is nothing to discard: it is "
                f"{now.place}. {now.words}",
            )  # fmt: skip
        self._tell(deed)
        done, left = _done([known.id], (), orders, ())
        return json(models.Discarded(discarded=done, left=left))

    async def _order(self, request: web.Request) -> Order:
        order_id = asked.whole(request.match_info["id"])
        timeline = None if order_id is None else await self._store.timeline(order_id, limit=1)
        if timeline is None:
            raise Problem(404, "unknown-order", f"there is no order:{request.match_info['id'][:20]}")
        return timeline.order

    def _whereabouts(self, order: Order) -> Whereabouts:
        return shown.whereabouts_of(order, self._view.channels(), self._clock.now())

    def _instead(self, order: Order) -> str:
        """Why an order is not sent again, and what can be done."""
        if is_cancelling(order.channel):
            return "it is cancelled at Jetti by a call of its own"
        match order.state:
            case State.HELD:
                return f"it is held; release it: POST /api/held/release with orders [{order.id}]"
            case State.IGNORED:
                return "its storefront's rules do not want its newest state; its next webhook makes it live again"
            case _:
                return f"it is on its way already. {self._whereabouts(order).words}"

    # -- the record ------------------------------------------------------------------------------------------------

    def _deed(self, request: web.Request, wanted: asked.Asked, what: Doing, about: str) -> Deed:
        return Deed(self._clock.now(), wanted.by, what, about, wanted.why, token_of(request))

    def _tell(self, deed: Deed) -> None:
        self._observe(PersonActed(deed.by, deed.what, deed.about, deed.why))


_DEAD = frozenset({State.DEAD})
"""An order that lives again (a newer webhook came) is not discarded by who saw it dead."""
_HELD = frozenset({State.HELD})
_RESENT = frozenset({State.SENT, State.DEAD, State.DISCARDED})


def _named(orders: Sequence[int], events: Sequence[int]) -> str:
    """As the commands take them: ``order:17``, ``order:17, order:18 and 30 more, event:4``."""
    parts = []
    for what, ids in (("order", orders), ("event", events)):
        if ids:
            some = ", ".join(f"{what}:{one}" for one in ids[:_NAMED_MAX])
            more = f" and {len(ids) - _NAMED_MAX} more" if len(ids) > _NAMED_MAX else ""
            parts.append(f"{some}{more}")
    return ", ".join(parts)


def _selected(wanted: asked.Replaying) -> str:
    """``code http_422, channel main``."""
    criteria = {name: getattr(wanted, name) for name in asked.CRITERIA}
    given = [f"{name} {value}" for name, value in criteria.items() if value is not None]
    return ", ".join(given) or "any cause"


def _done(
    orders: Sequence[int], events: Sequence[int], orders_done: Sequence[int], events_done: Sequence[int]
) -> tuple[models.Ids, models.Ids]:
    """Which were, and which were left as they are."""
    left = models.Ids(orders=sorted(set(orders) - set(orders_done)), events=sorted(set(events) - set(events_done)))
    return models.Ids(orders=sorted(orders_done), events=sorted(events_done)), left
