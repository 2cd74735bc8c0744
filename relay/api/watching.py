"""What a person watches: the relay's pulse, and what is in an order, masked until they ask for it.

Asking is on record: whoever sees personal data has said who they are and why.
"""

import asyncio
from collections.abc import Mapping
from itertools import islice

from aiohttp import web
from msgspec import UNSET

from relay.api import asked, models, shown
from relay.api.answers import json
from relay.api.looking import find_lost
from relay.api.sessions import token_of
from relay.api.view import View
from relay.clock import Clock
from relay.core.events import Observer, PersonActed
from relay.core.masking import masked_text
from relay.core.problem import Problem
from relay.store import Deed, LostEvent, Store, Timeline

_OFF_LOOP_BYTES = 100_000
"""A larger body is masked in a thread: it would hold up webhooks."""


class Watching:
    """Answers for eyes."""

    def __init__(self, view: View, store: Store, clock: Clock, observe: Observer) -> None:
        self._view = view
        self._store = store
        self._clock = clock
        self._observe = observe

    async def pulse(self, request: web.Request) -> web.Response:
        """Accepted and delivered for each second, and the latest webhooks."""
        pulse, wanted = self._view.pulse, asked.query(request, asked.Since)
        first, seconds = pulse.seconds(None if wanted.after is UNSET else wanted.after)
        return json(
            models.Pulse(
                first=first,
                accepted=[second.accepted for second in seconds],
                delivered=[second.delivered for second in seconds],
                not_delivered=[second.not_delivered for second in seconds],
                storefronts={name: shown.door(door) for name, door in pulse.doors.items()},
                latest=[shown.arrived(one) for one in islice(reversed(pulse.latest), wanted.limit)],
            )
        )

    # -- what is in it ---------------------------------------------------------------------------------------------

    async def content(self, request: web.Request) -> web.Response:
        """What is in an order, masked: the webhook its sale is made of, or the one named, and the newest sale."""
        return json(models.OrderContent(**await _all_masked(await self._order(request, await self._timeline(request)))))

    async def reveal(self, request: web.Request) -> web.Response:
        """The same with nothing masked, on record."""
        wanted = await asked.body(request, asked.Reasoned)
        timeline = await self._timeline(request)
        found = await self._order(request, timeline)
        await self._record(request, wanted, f"order:{timeline.order.id}")
        contents = {name: shown.content_of(body) for name, body in found.items()}
        return json(models.RevealedOrder(**contents, answers=[attempt.excerpt for attempt in timeline.attempts]))

    async def lost_content(self, request: web.Request) -> web.Response:
        """What is in an event from which no order could be read, masked."""
        return json(models.EventContent(**await _all_masked({"body": (await self._lost(request)).body})))

    async def reveal_lost(self, request: web.Request) -> web.Response:
        """The same with nothing masked, on record."""
        wanted = await asked.body(request, asked.Reasoned)
        lost = await self._lost(request)
        await self._record(request, wanted, f"event:{lost.event.id}")
        return json(models.EventContent(body=shown.content_of(lost.body)))

    async def _timeline(self, request: web.Request) -> Timeline:
        order_id = asked.whole(request.match_info["id"])
        timeline = None if order_id is None else await self._store.timeline(order_id)
        if timeline is None:
            raise Problem(404, "unknown-order", f"there is no order:{request.match_info['id'][:20]}")
        return timeline

    async def _order(self, request: web.Request, timeline: Timeline) -> dict[str, bytes | None]:
        wanted, order_id = asked.query(request, asked.OfContent), timeline.order.id
        event_id = wanted.event or timeline.order.event_id
        if wanted.event and event_id not in {event.id for event in timeline.events}:
            raise Problem(404, "unknown-event", f"order:{order_id} has no event:{event_id}")
        body = None if event_id is None else await self._store.body(event_id)
        return {"body": body, "sale": await self._store.sale(order_id)}

    async def _lost(self, request: web.Request) -> LostEvent:
        found = await find_lost(self._store, asked.whole(request.match_info["id"]))
        if found is None:
            raise Problem(404, "unknown-event", f"event:{request.match_info['id'][:20]} is no dead letter")
        return found

    async def _record(self, request: web.Request, wanted: asked.Reasoned, about: str) -> None:
        await self._store.record(Deed(self._clock.now(), wanted.by, "reveal", about, wanted.why, token_of(request)))
        self._observe(PersonActed(wanted.by, "reveal", about, wanted.why))


async def _all_masked(found: Mapping[str, bytes | None]) -> dict[str, object]:
    if sum(len(body or b"") for body in found.values()) > _OFF_LOOP_BYTES:
        return {name: await asyncio.to_thread(_masked_body, body) for name, body in found.items()}
    return {name: _masked_body(body) for name, body in found.items()}


def _masked_body(body: bytes | None) -> object:
    return None if body is None else masked_text(body)
