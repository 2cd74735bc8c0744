"""A storefront whose webhooks only name an order: what its orders are like at any moment, what it announces, and what a
seed makes of both.

Its webhooks bear no version, and the second they were made in is all that tells them apart: two changes of one second
are announced by what looks like one webhook. They come late, repeated and out of order. Its API may read a replica that
lags behind.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from relay.core.instant import SECOND
from relay.core.order import Arrival, Disposition, cancelling, fetching
from relay.core.sources import Fetch
from relay.store import Receipt
from tests.builders import NOW
from tests.simulation.chance import Chance
from tests.simulation.scenario import (
    BOUNDARIES,
    HOUR_S,
    End,
    Line,
    Scenario,
    Weather,
    Webhook,
    drawn_acts,
    drawn_ends,
    drawn_line,
    drawn_troubles,
)
from tests.simulation.shop import Shop

if TYPE_CHECKING:
    from tests.simulation.world import World

NAME = "shop"
DELIVER, FETCH, CANCEL = "main", fetching(NAME), cancelling("main")

_REQUESTS = tuple(
    f"{what} {where}" for what in ("fetch", "look-up", "cancel") for where in ("asked", "begun", "answered")
)
THIN_BOUNDARIES = (*_REQUESTS, *BOUNDARIES, "cancel worked", "sale asked", "sale done")
"""Where a relay can be stopped that fetches and cancels, too."""
_AWRY = ("302", "404", "missing", "422")
"""What a wrong endpoint answers that, said of one order, is about that order."""


@dataclass(frozen=True, slots=True)
class Document:
    """An order, from one moment on."""

    at_s: float
    content: str
    cancelled: bool

    @property
    def version(self) -> int:
        """When it was changed, to the second, as storefronts say it."""
        return 1 + int(self.at_s)


@dataclass(frozen=True, slots=True)
class ThinOrder:
    """An order's life."""

    name: str
    documents: tuple[Document, ...]
    gone_s: float | None = None
    """When it was deleted."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The API reads a replica that is late, for a while."""

    from_s: float
    until_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class ThinScenario(Scenario):
    """One life of such a shop."""

    orders: tuple[ThinOrder, ...]
    lags: tuple[Lag, ...]
    wait_s: float
    """For how long an order sleeps before it is fetched."""
    calls_off: bool
    """Whether a cancellation is a call of its own."""
    cancel_after_s: float
    imports_s: float
    """How long Jetti takes at the most, before what it was sent is a sale."""
    pages: int
    """Requests that one order takes."""


class Storefront(Shop):
    """One storefront."""

    def __init__(self, world: "World", scenario: ThinScenario) -> None:
        super().__init__(world)
        self._scenario = scenario
        self.orders = {order.name: order for order in scenario.orders}
        self.announced: dict[str, list[float]] = {}
        """When the webhooks came that are no duplicates, in the order in which they were committed, seconds."""

    def document(self, order: str, *, newest: bool = False, now_s: float | None = None) -> Document | None:
        """What the API says of an order now; ``newest``: what is true of it. ``None``: it is not there."""
        known = self.orders[order]
        now_s = self._world.elapsed() if now_s is None else now_s
        if known.gone_s is not None and known.gone_s <= now_s:
            return None
        at_s = now_s if newest or self._world.mended else now_s - self._lag_s(now_s)
        return known.documents[max(0, bisect_right(known.documents, at_s, key=lambda document: document.at_s) - 1)]

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        webhook = self.webhook(arrival.identified.dedupe_key)
        if receipt.disposition is not Disposition.DUPLICATE:
            self.committed[webhook.key] = receipt.event_id
            self.announced.setdefault(webhook.order, []).append((arrival.received_at - NOW) / SECOND)

    async def trickle(self, channel: str) -> None:
        """One more new order."""
        if channel != FETCH:
            return
        self._trickled += 1
        order, now_s = f"t{self._trickled}", self._world.elapsed()
        self.orders[order] = ThinOrder(order, (Document(now_s, "A", cancelled=False),))
        webhook = _hook(order, now_s, f"{order}-0")
        self._by_key[webhook.key] = webhook
        await self._post(webhook)

    def _lag_s(self, now_s: float) -> float:
        return max((lag.lag_s for lag in self._scenario.lags if lag.from_s <= now_s < lag.until_s), default=0.0)

    def _arrival(self, webhook: Webhook) -> Arrival:
        world = self._world
        return Arrival(
            NAME, FETCH, Fetch(webhook.order, None, webhook.key, "order/updated"), b"{}", world.clock.now(),
            world.lines[FETCH].channel.head_starts, fetch_after_s=self._scenario.wait_s,
        )  # fmt: skip


def drawn_thin(seed: int) -> ThinScenario:
    """The scenario that a seed means."""
    chance = Chance(seed)
    draw = chance.stream("thin")
    active_s = draw.uniform(0.5, 2.0) * HOUR_S
    calls_off = draw.random() < 0.75
    wait_s = draw.choice([1.6, 2.0, 5.0])
    cancel_after_s = draw.choice([0.0, 5.0, 60.0])
    lines = _lines(seed, active_s, chance, wait_s, cancel_after_s)
    lags = _lags(draw, active_s, wait_s)
    orders = _orders(draw, active_s)
    hooks = _hooks(draw, orders, lags, active_s)
    first_ends = _first_ends(seed, chance.stream("first end"))
    return ThinScenario(
        seed=seed,
        lines=lines if calls_off else lines[:2],
        webhooks=tuple(hooks),
        poison={},
        troubles=drawn_troubles(chance.stream("store"), active_s),
        ends=(*first_ends, *drawn_ends(seed, chance.stream("ends"), hooks, THIN_BOUNDARIES)),
        acts=tuple(
            act for act in drawn_acts(chance.stream("persons"), lines[: 3 if calls_off else 2], active_s)
            if act.what in ("pause", "resume")
        ),
        jumps=(),
        active_s=active_s,
        orders=orders,
        lags=lags,
        wait_s=wait_s,
        calls_off=calls_off,
        cancel_after_s=cancel_after_s,
        imports_s=draw.choice([0.0, 10.0, 120.0]),
        pages=draw.choice([1, 1, 2, 3]),
    )  # fmt: skip


def _lines(seed: int, active_s: float, chance: Chance, wait_s: float, cancel_after_s: float) -> tuple[Line, ...]:
    """The channel to Jetti, the one on which orders are fetched, the one on which they are cancelled."""
    lines = [drawn_line(seed + number, number, active_s, chance) for number in range(3)]
    starts = lines[0].channel.head_starts
    waits = (0.0, wait_s, cancel_after_s)
    return tuple(
        replace(
            line,
            channel=replace(line.channel, name=name, head_starts=starts, wait_s=waiting_s),
            spells=tuple(
                spell for spell in line.spells if spell.weather is not Weather.UNKNOWN and spell.how not in _AWRY
            ),
        )
        for line, name, waiting_s in zip(lines, (DELIVER, FETCH, CANCEL), waits, strict=True)
    )


def _first_ends(seed: int, draw: Random) -> tuple[End, ...]:
    """Most often a relay is stopped inside one of the requests that only it makes."""
    if seed % 4 == 0:
        return ()
    return (
        End(
            draw.choice([0.0, 600.0, 1800.0]) * draw.random(),
            _REQUESTS[seed % len(_REQUESTS)],
            draw.choice([0.0, 30.0]),
        ),
    )


def _lags(draw: Random, active_s: float, wait_s: float) -> tuple[Lag, ...]:
    """Mostly by less than what the relay waits for, which is what it waits for; and now and then by far more."""
    lags = []
    for _ in range(draw.choice([0, 1, 1, 2])):
        from_s = draw.uniform(0.0, active_s)
        # Two changes of one second look like one: the first is fetched only when the second can be read, too.
        lag_s = draw.choice([wait_s - 1.1, wait_s - 1.1, 30.0, 600.0])
        lags.append(Lag(from_s, min(active_s, from_s + draw.choice([60.0, 600.0, 1800.0])), lag_s))
    return tuple(lags)


def _orders(draw: Random, active_s: float) -> tuple[ThinOrder, ...]:
    times = [draw.uniform(0.0, 0.9 * active_s) for _ in range(draw.randint(5, 20))]
    for _ in range(draw.randint(1, 2)):
        burst_s = draw.uniform(0.0, 0.8) * active_s
        times += [burst_s + draw.uniform(0.0, draw.choice([0.0, 1.0, 30.0])) for _ in range(draw.randint(3, 15))]
    gone = set(draw.sample(range(len(times)), draw.choice([0, 0, 1, 2])))
    return tuple(_order(draw, f"o{n}", at_s, active_s, is_gone=n in gone) for n, at_s in enumerate(times))


def _order(draw: Random, name: str, at_s: float, active_s: float, *, is_gone: bool) -> ThinOrder:
    documents, cancelled = list[Document](), False
    steps = draw.choice([(0.0, 0.3, 1.0), (1.0, 60.0), (60.0, 1800.0)])
    most = draw.choice([1, 2, 3, 5]) if draw.random() < 0.93 else 40  # one that is being edited, perhaps
    for n in range(most):
        cancelled |= draw.random() < (0.3 if n == most - 1 else 0.05)
        documents.append(Document(at_s, draw.choice("AB") if draw.random() < 0.3 else f"v{n}", cancelled))
        at_s = min(active_s, at_s + draw.choice(steps) * draw.random())
    gone_s = None
    if is_gone:
        gone_s = draw.choice([documents[0].at_s, documents[-1].at_s + draw.choice([0.5, 5.0, 600.0])])
    return ThinOrder(name, tuple(documents), gone_s)


def _hooks(draw: Random, orders: Sequence[ThinOrder], lags: Sequence[Lag], active_s: float) -> list[Webhook]:
    """Each change is announced, sooner or later; and what was read from a replica that lagged by more than the relay
    waits is announced again, because sooner or later something happens to every order."""
    hooks = []
    for order in orders:
        for document in order.documents:
            key = f"{order.name}-{int(document.at_s)}"
            for _ in range(2 if draw.random() < 0.15 else 1):
                late_s = (
                    draw.choice([0.0, 0.1, 1.0, 30.0, 600.0] if draw.random() < 0.3 else [0.0, 0.1]) * draw.random()
                )
                hooks.append(_hook(order.name, document.at_s + late_s, key))
        for n, lag in enumerate(lags):
            hooks.append(_hook(order.name, max(lag.until_s, order.documents[-1].at_s) + 1.0, f"{order.name}-again-{n}"))
    return sorted(hooks, key=lambda hook: hook.at_s)


def _hook(order: str, at_s: float, key: str) -> Webhook:
    return Webhook(at_s, FETCH, order, "hook", None, key, "")
