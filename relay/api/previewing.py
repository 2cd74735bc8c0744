"""What would become of a webhook, or of an order as it is mapped now. Nothing is kept, and nobody is asked."""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from relay.api import asked, models
from relay.api.answers import json
from relay.api.view import View
from relay.clock import Clock
from relay.core import masking
from relay.core.preview import NoTopicHeader, Preview, Previewer
from relay.core.problem import Problem
from relay.store import Store, Timeline

_FORMS = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
"""What a page of another site can send without being asked whether it may."""
_OURS = frozenset({"authorization", "cookie", "host", "content-length", "transfer-encoding", "connection"})
"""Headers of the request itself, which are no part of the webhook."""


class Previewing:
    """Tries what it is given. One at a time: a very large order takes seconds of a core that accepting also needs."""

    def __init__(self, view: View, store: Store, clock: Clock) -> None:
        self._view = view
        self._store = store
        self._clock = clock
        self._busy = False

    async def webhook(self, request: web.Request) -> web.Response:
        """The body and headers of a webhook; ``?topic=`` stands for the header of its topic."""
        previewer, wanted = self._previewer(request.match_info["name"]), asked.query(request, asked.OfWebhook)
        if request.content_type in _FORMS:
            raise Problem(
                415, "not-json", f"Content-Type is {request.content_type}; send the webhook's own, application/json"
            )
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in _OURS)
        body = await asked.webhook(request, self._view.body_max_bytes)
        now, topic = self._clock.now(), wanted.header

        def tried() -> Preview:
            try:
                return previewer.preview(headers, body, now=now, topic=topic)
            except NoTopicHeader as error:
                raise Problem(422, "invalid-request", f"?topic={error}: leave it out") from None

        return await self._answer(tried, masked=wanted.masked)

    async def order(self, request: web.Request) -> web.Response:
        """An order by the relay's own id: what it would be sent as now, of its newest whole webhook."""
        masked = asked.query(request, asked.Masked).masked
        order_id = asked.whole(request.match_info["id"])
        timeline = None if order_id is None else await self._store.timeline(order_id)
        if timeline is None or order_id is None:
            raise Problem(404, "unknown-order", f"there is no order:{request.match_info['id'][:20]}")
        known = timeline.order
        previewer = self._previewer(known.storefront)
        body = None if known.event_id is None else await self._store.body(known.event_id)
        if body is None:
            raise Problem(
                409, "body-gone", "its webhook is not kept any more, or was never whole: let the shop send it again"
            )
        last, now, topic = await self._store.sale(order_id), self._clock.now(), _topic(timeline)
        return await self._answer(
            lambda: previewer.preview_order(known, topic, body, last, now=now),
            masked=masked,
        )

    def _previewer(self, name: str) -> Previewer:
        known = self._view.previewers
        if name not in known:
            raise Problem(404, "unknown-storefront", f"no such storefront; there are: {', '.join(sorted(known))}")
        return known[name]

    async def _answer(self, tried: Callable[[], Preview], *, masked: bool) -> web.Response:
        if self._busy:
            raise Problem(503, "busy", "another preview is being made: come again", {"Retry-After": "1"})
        self._busy = True
        try:
            return json(await asyncio.to_thread(lambda: _shown(tried(), masked=masked)))
        finally:
            self._busy = False


def _shown(preview: Preview, *, masked: bool) -> models.Preview:
    found = preview.members()
    return msgspec.convert(_masked(preview, found) if masked else found, models.Preview)


def _masked(preview: Preview, found: dict[str, object]) -> dict[str, object]:
    sale = None if preview.made is None else masking.masked(msgspec.json.decode(preview.made.sale))
    lost = found["not_carried_over"]
    if isinstance(lost, dict):
        lost = lost | {"groups": [group | {"value": masking.MASK} for group in lost["groups"]]}
    return found | {"sale": sale, "not_carried_over": lost}


def _topic(timeline: Timeline) -> str:
    """Of the event that the order's sale is made of."""
    return next((event.topic for event in timeline.events if event.id == timeline.order.event_id), "")
