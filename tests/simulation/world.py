"""Everything together, for one seed: the shop, Jetti, persons, one relay after the other on one store; watched."""

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, ClassVar

from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import State
from relay.core.events import AttemptMade, EventFound, Happening, PermitTaken, Unexpected
from relay.core.mapping import Maker
from relay.core.order import Arrival, Order
from relay.core.outcome import Cancelled, Obtained, Outcome, Sent, Throttled, name_of
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable
from relay.core.sources.native import Native
from relay.store import Receipt, Revival, Revived, Settled, Settlement, Taken
from relay.store.memory import MemoryStore
from tests.simulated import LoopClock
from tests.simulation.chance import Chance
from tests.simulation.history import History
from tests.simulation.invariants import EVERY
from tests.simulation.jetti import Jetti, Request
from tests.simulation.persons import Persons
from tests.simulation.process import Process
from tests.simulation.scenario import HOUR_S, End, Poison, Scenario, Webhook
from tests.simulation.shop import UNMAPPABLE, Shop
from tests.simulation.watch import Broken, Watch

TICK_S = 10.0
PATIENCE_S = 24 * HOUR_S
"""So long everything may take to arrive once everything is mended."""
_TRICKLE_S = 60.0
_UNDER_WAY = (State.WAITING, State.SLEEPING)


@dataclass(slots=True)
class Figures:
    """What one scenario, or many, have exercised."""

    invariants: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    """By the boundary at which a process died."""
    weather: Counter[str] = field(default_factory=Counter)
    """Requests, by what they met."""
    totals: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Figures") -> None:
        for mine, others in (
            (self.invariants, other.invariants), (self.crashes, other.crashes), (self.weather, other.weather),
            (self.totals, other.totals),
        ):  # fmt: skip
            mine.update(others)


class Source(Native):
    """Manual sales; a body that says so cannot be mapped."""

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        if body.startswith(UNMAPPABLE):
            return Unmappable((Reason("/x", "cannot be mapped"),))
        return super().sale(body, topic)


class World:
    """One scenario, under way."""

    every: ClassVar[tuple[type[Watch], ...]] = EVERY
    """What must hold in it."""

    def __init__(
        self, scenario: Scenario, disk: MemoryStore | None = None, altered: Callable[[Process], None] | None = None
    ) -> None:
        """``disk`` and ``altered``: something is wrong with the relay, to see that it is noticed."""
        self.scenario = scenario
        self.chance = Chance(scenario.seed)
        self.clock = LoopClock()
        self._born_s = self.clock.monotonic()
        self.history = History()
        self.disk = disk or MemoryStore()
        self.altered = altered or (lambda process: None)
        self.lines = {line.channel.name: line for line in scenario.lines}
        self.jettis = self._endpoints()
        maker = self._maker()
        self.makers: Callable[[str], Maker | None] = lambda _: maker
        self.shop = self._shop()
        self.persons = Persons(self)
        self.process: Process | None = None
        self.known_since: dict[int, float] = {}
        """Orders that wait and that the living process knows of, since when (seconds)."""
        self.being_taken: set[int] = set()
        self.conditions: dict[str, Condition] = {}
        """As they were kept last."""
        self.figures = Figures()
        self._mended = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stood: dict[tuple[int, int | None], bool] = {}
        self.must_rest = False
        """Whether what was answered last is a throttle that the channel has to heed. (One of an order that was
        throttled before, and not taken since, may be taken for that order's own.)"""
        self._throttled: set[tuple[int, str, int]] = set()
        self.watches: list[Watch] = [watch(self) for watch in self.every]
        moments = [name for name, value in vars(Watch).items() if callable(value) and name != "require"]
        self._interested = {
            moment: [w for w in self.watches if getattr(type(w), moment) is not getattr(Watch, moment)]
            for moment in moments
            if not moment.startswith("_")
        }

    def _endpoints(self) -> Mapping[str, Jetti]:
        return {
            name: Jetti(line, self.scenario.poison, self.chance, self.clock, self.elapsed)
            for name, line in self.lines.items()
        }

    def _maker(self) -> Maker:
        return Maker(Source())

    def _shop(self) -> Shop:
        return Shop(self)

    def _process(self, number: int, end: End | None) -> Process:
        return Process(self, number, end)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def mended(self) -> bool:
        return self._mended.is_set()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.clock.monotonic() - self._born_s

    def order(self, order_id: int) -> Order:
        return self.disk._orders[order_id]

    def orders(self) -> Sequence[Order]:
        return list(self.disk._orders.values())

    def passed_over(self, chosen: Order) -> Iterator[Order]:
        """What waited, and the process knew of it, when it made another choice.

        Nothing, where the process did not know yet that its choice waits again: a place that the order had before it
        was taken last may still be in the window, when the window was filled while the order was being taken. A
        weakness that is known: it lets one order go before its time.
        """
        now_s = self.elapsed()
        if chosen.state is not State.WAITING or chosen.lease is not None or chosen.id not in self.known_since:
            return
        already, tried = self._already_chosen(chosen.channel), self._tried(chosen.channel)
        for order_id, since_s in self.known_since.items():
            order = self.order(order_id)
            waits = order.state is State.WAITING and order.lease is None and order.channel == chosen.channel
            if (
                waits
                and since_s < now_s
                and order_id not in already
                and order_id not in tried
                and order_id != chosen.id
            ):
                yield order

    def _tried(self, channel: str) -> Container[int]:
        """Who met the channel since it stands, or was throttled since one was taken, goes behind who has not."""
        return () if self.process is None else self.process.dispatchers[channel]._governor.tried

    def _already_chosen(self, channel: str) -> set[int]:
        """Orders that are chosen and not leased yet: being taken, or about to be, later in this very instant."""
        tasks = [] if self.process is None else self.process.dispatchers[channel]._sending
        coroutines = {task.get_name(): task.get_coro() for task in tasks}
        names = [
            name for name, coroutine in coroutines.items()
            if isinstance(coroutine, Coroutine) and getcoroutinestate(coroutine) == CORO_CREATED
        ]  # fmt: skip
        return self.being_taken | {int(name.rpartition("-")[2]) for name in names}

    def name_of(self, order_id: int) -> str:
        order = self.disk._orders.get(order_id)
        return "?" if order is None else order.external_id

    def store_takes_s(self, method: str) -> float:
        """How long half a call takes."""
        return self.chance.draw("store", method) * (0.004 + (self._trouble() or 0.0))

    def store_fails(self) -> bool:
        return self._trouble() == 0.0

    def store_was_calm_for(self, seconds: float) -> bool:
        now_s = self.elapsed()
        return self.mended_for(seconds) or not any(
            t.from_s <= now_s and now_s - seconds < t.until_s + 4 * t.stall_s for t in self.scenario.troubles
        )

    def mended_for(self, seconds: float) -> bool:
        return self.mended and self.elapsed() - self.mended_s > seconds + 30.0

    def _trouble(self) -> float | None:
        now_s = self.elapsed()
        if self.mended:
            return None
        return next((t.stall_s for t in self.scenario.troubles if t.from_s <= now_s < t.until_s), None)

    # -- a run -----------------------------------------------------------------------------------------------------

    async def run(self) -> Figures:
        """Live through it. Raises :class:`Broken`."""
        living = asyncio.create_task(self._live())
        try:
            await asyncio.wait({living, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            living.result()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            if self.process is not None:
                self.process.alive = False
                await self.process.tidy()
        self._failed.cancel()
        self._count()
        return self.figures

    def _count(self) -> None:
        for watch in self.watches:
            self.figures.invariants[watch.name] += watch.exercised
        totals = self.figures.totals
        totals["scenarios"] += 1
        totals["simulated seconds"] += round(self.elapsed())
        totals["orders"] += len(self.orders())
        totals["events"] += len(self.shop.acknowledged)
        totals["requests"] += sum(len(jetti.requests) for jetti in self.jettis.values())

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._lives()), tasks.create_task(self._ticks())]
            acting = [tasks.create_task(act) for act in (self.shop.run(), self.persons.run(), self._jumps())]
            await self.clock.sleep(self.scenario.active_s)
            self._mend()
            await asyncio.wait(acting)
            await self._arrive()
            self._tell("ended")
            for task in background:
                task.cancel()

    def _mend(self) -> None:
        self.mended_s = self.elapsed()
        self._mended.set()
        for jetti in self.jettis.values():
            jetti.mend()
        self.note("everything is mended")

    async def _arrive(self) -> None:
        """Time enough for everything to arrive; a new order comes now and then."""
        for name in self.lines:
            if name in self.persons.paused or self.chance.draw("last resume") < 0.5:
                await self.persons.resume(name)
        until_s = self.elapsed() + PATIENCE_S
        while self.elapsed() < until_s:
            await self.clock.sleep(_TRICKLE_S)
            if not self._is_anything_under_way():
                return
            for name in self.lines:
                await self.shop.trickle(name)
                await self.persons.replay(name, [order for order in self.orders() if self._died_of_weather(order)])

    def _is_anything_under_way(self) -> bool:
        return self.shop.under_way > 0 or any(
            order.state in _UNDER_WAY or self._died_of_weather(order) for order in self.orders()
        )

    def _died_of_weather(self, order: Order) -> bool:
        """It was refused as every order was, or with too few others to halt the channel: a person sends it again."""
        code = "" if order.cause is None else order.cause.code
        poison = self.shop.poison(order.channel, order.external_id)
        curable = code not in ("unmappable", "never_seen") and poison is None
        return order.state is State.DEAD and curable

    async def _lives(self) -> None:
        """One life of the relay after the other."""
        ends = iter(self.scenario.ends)
        number = 0
        while True:
            number += 1
            end = None if self.mended else next(ends, None)
            self.known_since.clear()
            self.being_taken.clear()
            self._stood.clear()
            self.process = process = self._process(number, end)
            self.note(f"process {number} begins to live; it ends {end}")
            self._tell("started", process)
            await self._end(process, end)
            await process.tidy()
            self.disk = self.disk.restarted()
            if end is not None:
                await self.clock.sleep(end.down_s)

    async def _end(self, process: Process, end: End | None) -> None:
        if end is None:
            await process.died.wait()
            return
        about_s = end.after_s if end.boundary is None else end.after_s + HOUR_S
        waits = [asyncio.create_task(event.wait()) for event in (process.died, self._mended)]
        try:
            await asyncio.wait(waits, timeout=about_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.mended:
            process.end = None
            await process.died.wait()
        elif process.alive and end.graceful:
            self.figures.crashes["orderly"] += 1
            await process.stop(self.chance.between(0.0, 3.0, "grace"))
            process.die("in good order")
        else:
            process.die("anywhere")

    async def _ticks(self) -> None:
        while True:
            await self.clock.sleep(TICK_S)
            self._tell("ticked")

    async def _jumps(self) -> None:
        for jump in self.scenario.jumps:
            await self.clock.sleep(max(0.0, jump.at_s - self.elapsed()))
            self.clock.set_back(jump.back_s)
            self.note(f"the clock is set back by {jump.back_s} s")
            self._tell("jumped")

    # -- what happens ----------------------------------------------------------------------------------------------

    def _tell(self, moment: str, *what: Any, **more: Any) -> None:
        for watch in self._interested[moment]:
            getattr(watch, moment)(*what, **more)

    def note(self, text: str, channel: str | None = None, order: str | None = None) -> None:
        self.history.note(self.elapsed(), text, channel, order)

    def broken(self, name: str, said: str, channel: str | None, order: str | None) -> None:
        if not self._failed.done():
            told = self.history.told(channel, order)
            self._failed.set_exception(Broken(self.scenario.seed, name, self.elapsed(), said, told))

    def defect(self, said: str) -> None:
        self.broken("no_defect", said, None, None)

    def dies(self, process: Process, where: str) -> None:
        self._tell("dies", process)
        self.figures.crashes[where] += 1
        self.note(f"process {process.number} dies: {where}")

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, Unexpected):
            self.defect(f"{happening.where}: {happening.error!r}")
        if not isinstance(happening, PermitTaken | AttemptMade | EventFound):
            self.note(repr(happening), getattr(happening, "channel", None))
        self._tell("told", process, happening)

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        webhook = self.shop.webhook(arrival.identified.dedupe_key)
        self.note(f"{webhook.key} is committed: {receipt}; {webhook}", webhook.channel, webhook.order)
        self._tell("accepted", arrival, receipt)
        self.shop.accepted(arrival, receipt)

    def acknowledged(self, webhook: Webhook, receipt: Receipt) -> None:
        self.note(f"event {receipt.event_id} is acknowledged", webhook.channel, webhook.order)
        self._tell("acknowledged", receipt)

    def known(self, process: Process, places: Sequence[Waiting]) -> None:
        """The process is about to be told of orders that wait."""
        if not process.alive:
            return
        for place in places:
            order = self.order(place.order_id)
            if order.state is State.WAITING and order.lease is None and order.urgency == place.urgency:
                self.known_since.setdefault(order.id, self.elapsed())

    def loading(self, process: Process, channel: str) -> None:
        if process.alive:
            self._tell("loading", process, channel)

    def choosing(self, process: Process, channel: str, order_id: int) -> None:
        if process.alive:
            self._tell("choosing", process, channel, order_id)
            self.being_taken.add(order_id)

    def chosen(self, process: Process, order_id: int) -> None:
        if process.alive:
            self.being_taken.discard(order_id)

    def taken(self, process: Process, taken: Taken) -> None:
        order = taken.order
        self.known_since.pop(order.id, None)
        process.taken[order.channel, order.external_id] = taken
        self.note(
            f"revision {order.revision} is leased, lane {order.lane}, urgency {order.urgency}", order.channel,
            order.external_id,
        )  # fmt: skip
        self._tell("taken", process, taken)

    def begun(self, process: Process, request: Request) -> None:
        taken = process.taken.get((request.channel, request.order))
        if taken is not None:
            request.order_id, request.revision = taken.order.id, taken.order.revision
        self.figures.weather[request.weather] += 1
        said = f"request {request.number} begins: revision {request.revision}, {request.content!r}"
        self.note(f"{said}, {request.weather}", request.channel, request.order)
        self._tell("begun", process, request)
        process.open[request.order_id] = request

    def worked(self, request: Request) -> None:
        request.worked_s = self.elapsed()
        self.note(f"request {request.number} has worked", request.channel, request.order)

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        request.outcome = outcome
        process.open.pop(request.order_id, None)
        self.note(f"request {request.number} is answered: {name_of(outcome)} {outcome}", request.channel, request.order)
        which = process.number, request.channel, request.order_id
        self.must_rest = isinstance(outcome, Throttled) and which not in self._throttled
        if isinstance(outcome, Throttled):
            self._throttled.add(which)
        elif isinstance(outcome, Sent | Obtained | Cancelled):
            self._throttled.discard(which)
        self._tell("answered", process, request, outcome)

    def settling(self, settlement: Settlement, *, stands: bool) -> None:
        """Whether the circuit stood when it was decided; the store may have to be asked again and again."""
        self._stood.setdefault((settlement.order_id, settlement.token), stands)

    def settled(self, process: Process, settlement: Settlement, settled: Settled | None, before: Order) -> None:
        stands = self._stood.pop((settlement.order_id, settlement.token), False)
        after, name = settlement.after, "no attempt" if settlement.attempt is None else settlement.attempt.outcome
        said = "in vain" if settled is None else f"{settled.order.state}, {settled.order.attempts} attempts"
        self.note(f"revision {after.revision} is settled ({name}): {said}", before.channel, before.external_id)
        if settled is not None:
            self.known_since.pop(before.id, None)
        self._tell("settled", process, settlement, settled, before, stands=stands)

    def woken(self, places: Sequence[Waiting]) -> None:
        for place in places:
            order = self.order(place.order_id)
            self.note("wakes", order.channel, order.external_id)

    def kept(self, process: Process, channel: str, condition: Condition) -> None:
        self.conditions[channel] = condition
        self._tell("kept", process, channel, condition)

    def revived(self, revival: Revival, revived: Sequence[Revived]) -> None:
        for one in revived:
            self.note(f"is revived, lane {revival.lane}", one.channel, self.name_of(one.waiting.order_id))
            self._tell("revived", one)

    def paused(self, channel: str) -> None:
        self.note("is paused", channel)
        self._tell("paused", channel)

    def resuming(self, channel: str) -> None:
        self.note("ann resumes", channel)
        self._tell("resuming", channel)


__all__ = ["Figures", "Poison", "World"]
