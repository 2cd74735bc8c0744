"""The private listener: health, metrics, and looking at what the relay holds."""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from relay.clock import Clock
from relay.core import instant
from relay.core.delivery import Lane, State
from relay.core.events import Observer, Unexpected
from relay.core.order import Order
from relay.core.outcome import Trouble
from relay.core.problem import CONTENT_TYPE, Problem
from relay.store import Attempt, Event, Store, StoreError, Tally, Timeline
from relay.store.places import of_event, of_order

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOUND_MAX = 20
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What is shown of a channel besides its backlog."""

    mode: str
    rate: float
    """Requests per second it is allowed at present."""
    in_flight: int
    paused_s: float
    paused_cause: str = ""
    trouble: Trouble | None = None
    """What the latest attempts came to, if none of them got through."""


@dataclass(frozen=True, slots=True)
class View:
    """What the API is shown of the running relay."""

    version: str
    started_at: int
    store_url: str
    storefronts: Mapping[str, Mapping[str, str]]
    channels: Callable[[], Mapping[str, ChannelView]]
    not_ready: Callable[[], Sequence[str]]
    """Why the relay is not ready; empty when it is."""
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    """The text that Prometheus scrapes, and its content type."""
    token: str | None = field(default=None, repr=False)


def api(view: View, store: Store, clock: Clock, observe: Observer) -> web.Application:
    """The private listener's application."""
    looking = _Looking(view, store, clock)
    app = web.Application(middlewares=[_problems(observe), _guard(view.token)])
    app.router.add_get("/healthz", looking.healthz)
    app.router.add_get("/readyz", looking.readyz)
    app.router.add_get("/metrics", looking.metrics)
    app.router.add_get("/api/status", looking.status)
    app.router.add_get("/api/orders", looking.orders)
    app.router.add_get("/api/orders/{id}", looking.order)
    app.router.add_get("/api/dead-letters", looking.dead_letters)
    return app


class _Looking:
    def __init__(self, view: View, store: Store, clock: Clock) -> None:
        self._view = view
        self._store = store
        self._clock = clock

    async def healthz(self, _: web.Request) -> web.Response:
        """The process answers; nothing more is said."""
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether events would be accepted, and if not, why."""
        reasons = list(self._view.not_ready())
        return _json({"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        """For Prometheus."""
        text, content_type = await self._view.metrics()
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def status(self, _: web.Request) -> web.Response:
        """The operator's one look."""
        now = self._clock.now()
        tally, oldest = await self._store.tally(), await self._store.oldest_due()
        reasons = list(self._view.not_ready())
        return _json(
            {
                "version": self._view.version,
                "started_at": instant.iso(self._view.started_at),
                "now": instant.iso(now),
                "ready": not reasons,
                "reasons": reasons,
                "store": self._view.store_url,
                "storefronts": self._view.storefronts,
                "channels": {
                    name: _channel(name, channel, tally, oldest, now) for name, channel in self._view.channels().items()
                },
                "events_without_order": await self._store.lost_events(),
            }
        )

    async def orders(self, request: web.Request) -> web.Response:
        """Orders by reference or external id."""
        reference = request.query.get("reference", "").strip()
        if not reference or not reference.isprintable():
            raise Problem(400, "no-reference", "say which order: /api/orders?reference=%231001")
        found = await self._store.find(reference, _FOUND_MAX)
        if not found and not reference.startswith("#"):
            found = await self._store.find(f"#{reference}", _FOUND_MAX)
        return _json({"orders": [_order(order) for order in found]})

    async def order(self, request: web.Request) -> web.Response:
        """One order's timeline, by the relay's own id."""
        order_id = _whole(request.match_info["id"])
        timeline = None if order_id is None else await self._store.timeline(order_id)
        if timeline is None:
            raise Problem(404, "unknown-order", "no such order: look it up with /api/orders?reference=…")
        return _json(_timeline(timeline))

    async def dead_letters(self, request: web.Request) -> web.Response:
        """What needs a person."""
        asked = _whole(request.query.get("limit", "100"))
        dead = await self._store.dead_letters(100 if asked is None else min(asked, 1000))
        return _json({"dead_letters": [_order(d) if isinstance(d, Order) else _event(d, None) for d in dead]})


def _channel(
    name: str, channel: ChannelView, tally: Tally, oldest: Mapping[tuple[str, Lane], int], now: int
) -> dict[str, object]:
    count = {state: sum(tally.get((name, state, lane), 0) for lane in Lane) for state in State}
    to_send = count[State.WAITING] + count[State.SLEEPING]
    return {
        "mode": channel.mode,
        "rate": channel.rate,
        "in_flight": channel.in_flight,
        "paused_s": round(channel.paused_s, 1),
        "paused_cause": channel.paused_cause,
        "trouble": _trouble(channel.trouble),
        "waiting": {lane.value: tally.get((name, State.WAITING, lane), 0) for lane in Lane},
        "oldest_due_age_s": {
            lane.value: max(0.0, instant.seconds_between(oldest.get((name, lane), now), now)) for lane in Lane
        },
        "orders": {state.value: orders for state, orders in count.items()},
        "drain_s": _drain_s(channel, to_send),
    }


def _trouble(trouble: Trouble | None) -> dict[str, object] | None:
    if trouble is None:
        return None
    return {
        "outcome": trouble.outcome,
        "code": trouble.cause.code,
        "message": trouble.cause.message,
        "since": instant.iso(trouble.since),
        "attempts": trouble.attempts,
    }


def _drain_s(channel: ChannelView, to_send: int) -> float | None:
    """When the backlog will be gone if nothing more arrives; unknown while nothing gets through."""
    if not to_send:
        return 0.0
    if channel.trouble is not None and channel.trouble.outcome != "throttled":
        return None
    return round(channel.paused_s + to_send / channel.rate, 1)


def _order(order: Order) -> dict[str, object]:
    place = of_order(order)
    return {
        "id": order.id,
        "storefront": order.storefront,
        "external_id": order.external_id,
        "reference": order.reference,
        "channel": order.channel,
        "revision": order.revision,
        "delivered_revision": order.delivered_revision,
        "state": order.state.value,
        "lane": order.lane.value,
        "place": place.name,
        "why": place.words,
        "cancelled_at": None if order.cancelled_at is None else instant.iso(order.cancelled_at),
        "due_at": instant.iso(order.due_at),
        "attempts": order.attempts,
        "cause": None if order.cause is None else {"code": order.cause.code, "message": order.cause.message},
    }


def _event(event: Event, timeline: Timeline | None) -> dict[str, object]:
    place = of_event(event, timeline)
    return {
        "event": event.id,
        "storefront": event.storefront,
        "topic": event.topic,
        "received_at": instant.iso(event.received_at),
        "version": None if event.version is None else instant.iso(event.version),
        "disposition": event.disposition.value,
        "revision": event.revision,
        "duplicate_of": event.duplicate_of,
        "place": place.name,
        "why": place.words,
        "reasons": [{"pointer": reason.pointer, "detail": reason.message} for reason in event.reasons],
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "revision": attempt.revision,
        "started_at": instant.iso(attempt.started_at),
        "duration_s": round(attempt.duration_s, 4),
        "outcome": attempt.outcome,
        "status": attempt.status,
        "code": attempt.code,
        "message": attempt.message,
        "excerpt": attempt.excerpt,
    }


def _timeline(timeline: Timeline) -> dict[str, object]:
    return {
        "order": _order(timeline.order),
        "events": [_event(event, timeline) for event in timeline.events],
        "attempts": [_attempt(attempt) for attempt in timeline.attempts],
    }


def _whole(text: str) -> int | None:
    """A number that fits 64 bits; ``None`` for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def _guard(token: str | None) -> Middleware:
    expected = None if token is None else token.encode()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if expected is not None and request.path not in _OPEN_PATHS:
            scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
            given = shown.strip().encode("utf-8", "surrogateescape")
            if scheme.lower() != "bearer" or not hmac.compare_digest(expected, given):
                raise Problem(
                    401,
                    "bad-credential",
                    "Authorization: Bearer is missing or is not private.token",
                    {"WWW-Authenticate": "Bearer"},
                )
        return await handler(request)

    return guard


def _problems(observe: Observer) -> Middleware:
    @web.middleware
    async def answer(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            found = problem
        except web.HTTPException as error:
            headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            found = Problem(error.status, "unknown-path" if error.status == 404 else "http", error.reason, headers)
        except StoreError as error:
            found = Problem(503, "store-failed", str(error), {"Retry-After": "5"})
        except Exception as error:  # noqa: BLE001 - answered and told, whatever it is
            observe(Unexpected("api", error))
            found = Problem(500, "internal", "an unexpected error of the relay; it has been logged")
        return web.Response(body=found.encode(), status=found.status, content_type=CONTENT_TYPE, headers=found.headers)

    return answer
