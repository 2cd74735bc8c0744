"""The side of the sandbox that Jetti does not have: what it has seen, and faults on request, without credentials."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from relay.core import instant
from relay.sandbox import answers
from relay.sandbox.endpoints import respond
from relay.sandbox.faults import Fault
from relay.sandbox.imitation import Imitation
from relay.sandbox.journal import Received
from relay.sandbox.lookup import whole
from relay.sandbox.problems import problem
from relay.sandbox.records import Sale, as_json

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
MAX_LIMIT_WITH_PAYLOAD = 1_000


class Control:
    """The request handlers. ``impose`` puts a fault in force and spares the connection it was asked on."""

    def __init__(
        self,
        imitation: Imitation,
        impose: Callable[[Fault, RequestHandler | None], Awaitable[None]],
        lift: Callable[[], Awaitable[None]],
    ) -> None:
        self._imitation = imitation
        self._impose = impose
        self._lift = lift

    def routes(self) -> Iterable[web.RouteDef]:
        """Where they are."""
        return (
            web.get("/sandbox/state", self.state),
            web.get("/sandbox/requests", self.requests),
            web.get("/sandbox/sales", self.sales),
            web.get("/sandbox/faults", self.faults),
            web.post("/sandbox/faults", self.add_faults),
            web.delete("/sandbox/faults", self.clear_faults),
        )

    async def state(self, request: web.Request) -> web.Response:
        """The counts."""
        return respond(request, answers.ok(self._imitation.state()))

    async def requests(self, request: web.Request) -> web.Response:
        """The import requests after a sequence number."""
        wanted = _page(request)
        if wanted is None:
            return _not_numbers(request)
        after, limit, payload = wanted
        rows = [self._show(received, payload) for received in self._imitation.journal.after(after, limit)]
        return respond(request, answers.ok({"requests": rows}))

    async def sales(self, request: web.Request) -> web.Response:
        """The sales after an id, with the requests that made them what they are."""
        wanted = _page(request)
        if wanted is None:
            return _not_numbers(request)
        after, limit, payload = wanted
        rows = [_show_sale(sale, payload) for sale in self._imitation.account.sales_after(after, limit)]
        return respond(request, answers.ok({"sales": rows}))

    async def faults(self, request: web.Request) -> web.Response:
        """The faults in force."""
        return respond(request, answers.ok(self._imitation.faults.in_force(self._imitation.elapsed())))

    async def add_faults(self, request: web.Request) -> web.Response:
        """One more fault, or a list of them."""
        try:
            given = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
            for fault in given if isinstance(given, list) else [given]:
                await self._impose(fault, request.protocol)
        except ValueError as error:
            return respond(request, answers.refused(problem("sandbox.faults.invalid", 422, str(error))))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """No more faults."""
        await self._lift()
        return await self.faults(request)

    def _show(self, received: Received, payload: bool) -> dict[str, Any]:
        shown = {
            "seq": received.seq,
            "at": received.at,
            "received_at": instant.iso(instant.after(self._imitation.started_at, received.at)),
            "answered_at": received.answered_at,
            "endpoint": received.endpoint,
            "channelId": received.channel_id,
            "externalId": received.external_id or None,
            "reference": received.reference,
            "status": received.status,
            "outcome": received.outcome,
            "digest": received.digest.hex(),
            "traceparent": received.traceparent,
        }
        return shown | {"payload": as_json(received.payload)} if payload else shown


def _show_sale(sale: Sale, payload: bool) -> dict[str, Any]:
    shown = {
        "id": sale.id,
        "channelId": sale.channel_id,
        "externalId": sale.external_id,
        "reference": sale.newest.reference,
        "requests": sale.requests,
        "sequence": sale.sequence,
        "created_at": sale.created_at,
        "updated_at": sale.updated_at,
        "cancellation_status": sale.cancellation_status,
        "cancels": sale.cancels,
        "digest": sale.newest.digest.hex(),
    }
    return shown | {"payload": as_json(sale.newest.payload)} if payload else shown


def _page(request: web.Request) -> tuple[int, int, bool] | None:
    payload = request.query.get("payload") == "true"
    after, limit = whole(request.query.get("after", "0")), whole(request.query.get("limit", str(DEFAULT_LIMIT)))
    if after is None or limit is None:
        return None
    return after, min(limit, MAX_LIMIT_WITH_PAYLOAD if payload else MAX_LIMIT), payload


def _not_numbers(request: web.Request) -> web.Response:
    detail = "after and limit are whole numbers."
    return respond(request, answers.refused(problem("sandbox.page.invalid", 422, detail)))
