"""The order APIs of BigCommerce and Squarespace, imitated on the loopback interface: what fetching is tested against.

Imitated are the tokens, the paths, the pages, the documented limits with their headers, and the shape of the refusals;
faults are on request. Orders are whatever the test puts there.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from relay.clock import Clock, SystemClock

BIGCOMMERCE_STORE, BIGCOMMERCE_TOKEN, SQUARESPACE_TOKEN = "x4mpl3", "bc-token-7f21", "sq-token-93aa"
_LIMIT, _LIMIT_MAX = 50, 250


@dataclass(frozen=True, slots=True)
class ApiFault:
    """How the next requests are answered instead."""

    status: int | None = None
    """``None``: as usual, after ``latency_s``."""
    latency_s: float = 0.0
    drop: bool = False
    """Hang up without an answer."""
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    times: int = 1
    path: str = ""
    """Only requests whose path ends so."""


@dataclass(slots=True)
class Allowance:
    """A limit: so many requests in any so many seconds; when exceeded, perhaps nothing for a while."""

    quota: int
    window_s: float
    cool_down_s: float = 0.0
    seen: deque[float] = field(default_factory=deque)
    closed_until: float = 0.0

    def admit(self, at: float) -> bool:
        while self.seen and self.seen[0] <= at - self.window_s:
            self.seen.popleft()
        if at < self.closed_until:
            return False
        if len(self.seen) >= self.quota:
            self.closed_until = at + self.cool_down_s
            return False
        self.seen.append(at)
        return True

    def resets_in_s(self, at: float) -> float:
        return max(0.0, self.seen[0] + self.window_s - at) if self.seen else 0.0


@dataclass(slots=True)
class StorefrontApis:
    """Both APIs on one port, each under its own base address."""

    clock: Clock = field(default_factory=SystemClock)
    bigcommerce_quota: Allowance = field(default_factory=lambda: Allowance(150, 30.0))
    """The Plus and Standard plans."""
    squarespace_quota: Allowance = field(default_factory=lambda: Allowance(300, 60.0, cool_down_s=60.0))
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Path and query of each, in the order they came."""
    traceparents: list[str | None] = field(default_factory=list)
    """What each showed."""
    answers: Counter[int] = field(default_factory=Counter)
    _bigcommerce: dict[str, dict[str, Any]] = field(default_factory=dict)
    _squarespace: dict[str, bytes] = field(default_factory=dict)
    _faults: list[ApiFault] = field(default_factory=list)

    @property
    def requested(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.partition("?")[0] for request in self.requests)

    def put_bigcommerce(
        self,
        order: dict[str, Any],
        *,
        products: list[dict[str, Any]] | None = None,
        shipping_addresses: list[dict[str, Any]] | None = None,
        coupons: list[dict[str, Any]] | None = None,
    ) -> None:
        """This is the order with this id from now on."""
        self._bigcommerce[str(order["id"])] = {
            "order": order,
            "products": products or [],
            "shipping_addresses": shipping_addresses or [],
            "coupons": coupons or [],
        }

    def put_squarespace(self, order: dict[str, Any]) -> None:
        """This is the order with this id from now on."""
        self._squarespace[str(order["id"])] = json.dumps(order).encode()

    def remove(self, external_id: str) -> None:
        """The order is not there any more."""
        self._bigcommerce.pop(external_id, None)
        self._squarespace.pop(external_id, None)

    def impose(self, fault: ApiFault) -> None:
        """Answer the next requests so; faults queue up."""
        self._faults.append(fault)

    async def answer_bigcommerce(self, request: web.Request) -> web.StreamResponse:
        window, at = self.bigcommerce_quota, self.clock.monotonic()
        admitted = window.admit(at)
        headers = {
            "X-Rate-Limit-Time-Window-Ms": str(round(window.window_s * 1000)),
            "X-Rate-Limit-Time-Reset-Ms": str(round(window.resets_in_s(at) * 1000)),
            "X-Rate-Limit-Requests-Quota": str(window.quota),
            "X-Rate-Limit-Requests-Left": str(window.quota - len(window.seen)),
        }
        if request.headers.get("X-Auth-Token") != BIGCOMMERCE_TOKEN:
            return _bigcommerce_refusal(401, "Unauthorized")
        if not admitted:
            return web.json_response({"status": 429, "title": "Too many requests"}, status=429, headers=headers)
        if "json" not in request.headers.get("Accept", ""):
            return web.Response(body=b"<?xml version='1.0'?><order/>", content_type="application/xml")
        known = self._bigcommerce.get(request.match_info["id"])
        name = request.match_info.get("list", "order").replace("shippingaddresses", "shipping_addresses")
        if known is None or name not in known:
            return _bigcommerce_refusal(404, "The requested resource was not found.")
        if name == "order":
            return web.json_response(known["order"], headers=headers)
        limit = min(int(request.query.get("limit", _LIMIT)), _LIMIT_MAX)
        start = (int(request.query.get("page", 1)) - 1) * limit
        found = known[name][start : start + limit]
        return web.json_response(found, headers=headers) if found else web.Response(status=204, headers=headers)

    async def answer_statuses(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-Auth-Token") != BIGCOMMERCE_TOKEN:
            return _bigcommerce_refusal(401, "Unauthorized")
        return web.json_response([{"id": 0, "name": "Incomplete"}])

    async def answer_squarespace(self, request: web.Request) -> web.StreamResponse:
        if not self.squarespace_quota.admit(self.clock.monotonic()):
            return _squarespace_refusal(429, "RATE_LIMITED", "Too many requests")
        if not request.headers.get("User-Agent"):
            return _squarespace_refusal(400, "INVALID_REQUEST_ERROR", "A User-Agent is required")
        if request.headers.get("Authorization") != f"Bearer {SQUARESPACE_TOKEN}":
            return _squarespace_refusal(401, "AUTHORIZATION_ERROR", "You are not authorized to do that.")
        known = self._squarespace.get(request.match_info["id"])
        if known is None:
            return _squarespace_refusal(404, "NOT_FOUND", "The requested order does not exist")
        return web.Response(body=known, content_type="application/json")

    @web.middleware
    async def _as_imposed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        self.traceparents.append(request.headers.get("traceparent"))
        fault = self._next_fault(request.path)
        if fault is not None and fault.latency_s:
            await self.clock.sleep(fault.latency_s)
        if fault is not None and fault.drop:
            assert request.transport is not None
            request.transport.abort()
        if fault is not None and fault.status is not None:
            body = b'{"message":"imposed"}' if fault.body is None else fault.body
            made: web.StreamResponse = web.Response(status=fault.status, body=body, headers=dict(fault.headers))
        else:
            made = await handler(request)
        self.answers[made.status] += 1
        return made

    def _next_fault(self, path: str) -> ApiFault | None:
        for i, fault in enumerate(self._faults):
            if path.endswith(fault.path):
                left = fault.times - 1
                self._faults[i : i + 1] = [_fewer(fault, left)] if left else []
                return fault
        return None


def _fewer(fault: ApiFault, times: int) -> ApiFault:
    return ApiFault(fault.status, fault.latency_s, fault.drop, fault.body, fault.headers, times, fault.path)


def _bigcommerce_refusal(status: int, message: str) -> web.Response:
    return web.json_response([{"status": status, "message": message}], status=status)


def _squarespace_refusal(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"type": kind, "subtype": None, "message": message, "contextId": "c1"}, status=status)


@asynccontextmanager
async def storefront_apis(apis: StorefrontApis | None = None) -> AsyncIterator[StorefrontApis]:
    """Both, running."""
    running = apis or StorefrontApis()
    app = web.Application(middlewares=[running._as_imposed])
    store = f"/stores/{BIGCOMMERCE_STORE}/v2/orders/{{id}}"
    app.router.add_get(store, running.answer_bigcommerce)
    app.router.add_get(f"{store}/{{list}}", running.answer_bigcommerce)
    app.router.add_get(f"/stores/{BIGCOMMERCE_STORE}/v2/order_statuses", running.answer_statuses)
    app.router.add_get("/1.0/commerce/orders/{id}", running.answer_squarespace)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await asyncio.shield(runner.cleanup())
