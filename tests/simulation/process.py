"""One life of the relay, behind a fence through which nothing of it passes once it is dead.

A process dies between two steps and knows nothing of it: its calls of the store take no effect and do not return, its
requests go on at Jetti without it, nothing that it says is heard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import State
from relay.core.events import Happening
from relay.core.instant import Instant
from relay.core.order import Arrival, Order
from relay.core.outcome import Answer, Cause, Failed, Result, judge
from relay.core.trace import Trace
from relay.dispatch import Delivering, Dispatcher, Errand
from relay.dispatch.errand import Leave
from relay.inspector import Inspector
from relay.store import Deed, Receipt, Revival, Revived, Settled, Settlement, Store, StoreFailed, Taken
from tests.simulation.jetti import Jetti, Reply, Request
from tests.simulation.scenario import End

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")


class Process:
    """The dispatchers and the inspector, as ``relay.app`` puts them together, and how they end."""

    def __init__(self, world: "World", number: int, end: End | None) -> None:
        self.world, self.number, self.end = world, number, end
        self.alive = True
        self.died = asyncio.Event()
        self.born_s = world.elapsed()
        self.open: dict[int, Request] = {}
        """Requests that it has begun and not heard of yet, by their order's id."""
        self.taken: dict[tuple[str, str], Taken] = {}
        """What it has leased, by channel and external id."""
        self.fence = Fence(self)
        store = cast("Store", self.fence)
        self.dispatchers = {
            line.channel.name: Dispatcher(
                line.channel,
                store,
                self.errand(line.channel.name, store),
                world.clock,
                self.observe,
                lambda: world.chance.draw("jitter"),
                self.onward,
            )
            for line in world.scenario.lines
        }
        self.inspector = Inspector(store, world.makers, world.clock, self.observe, self.onward)
        world.altered(self)
        self._running = [asyncio.create_task(d.run()) for d in self.dispatchers.values()]
        self._running.append(asyncio.create_task(self.inspector.run()))
        for task in self._running:
            task.add_done_callback(self._stopped)

    def errand(self, channel: str, store: Store) -> Errand:
        """What is done on a channel."""
        return Delivering(store, self.world.makers, Wire(self, self.world.jettis[channel]))

    # -- living ----------------------------------------------------------------------------------------------------

    def onward(self, settled: Settled) -> None:
        """An order goes on on another channel."""
        order = settled.order
        if settled.waiting is not None:
            self.dispatchers[order.channel].offer(settled.waiting)
            self.inspector.offer(order.id)
        elif order.state is State.SLEEPING:
            self.dispatchers[order.channel].asleep(order.due_at)

    def observe(self, happening: Happening) -> None:
        if self.alive:
            self.inspector(happening)
            self.world.told(self, happening)

    async def handle(self, arrival: Arrival) -> Receipt:
        """A webhook comes in: accepted, handed on, and answered when this returns. Raises ``StoreError``."""
        receipt = await self.fence.accept(arrival)
        if receipt.waiting is not None:
            self.dispatchers[arrival.channel].offer(receipt.waiting)
        if receipt.order_id is not None and receipt.revision is not None:
            self.inspector.offer(receipt.order_id)
        return receipt

    def passes(self, boundary: str) -> None:
        """It comes by a place where it may be stopped."""
        if not self.alive:
            return
        end = self.end
        if end is not None and end.boundary == boundary and self.world.elapsed() >= self.born_s + end.after_s:
            self.die(boundary)

    async def lives(self) -> None:
        """Return if it does."""
        if not self.alive:
            await asyncio.get_running_loop().create_future()

    # -- dying -----------------------------------------------------------------------------------------------------

    def die(self, where: str) -> None:
        """At once, and without a word."""
        if self.alive:
            self.world.dies(self, where)
            self.alive = False
            self.died.set()

    async def tidy(self) -> None:
        """Take away what is left of a dead process."""
        tasks = [*self._running, *(task for d in self.dispatchers.values() for task in d._sending)]
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.001)

    async def stop(self, grace_s: float) -> None:
        """In an orderly way, as ``relay.app`` does."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*(dispatcher.finish(grace_s) for dispatcher in self.dispatchers.values()))

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if self.alive and not task.cancelled() and (error := task.exception()) is not None:
            self.world.defect(f"a loop of the relay ended: {error!r}")


class Fence:
    """The store, as a process sees it: it takes its time, fails now and then, and outlives the process."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world
        self._disk = process.world.disk

    async def accept(self, arrival: Arrival, *, share: float = 1.0) -> Receipt:
        receipt = await self._ask(
            "accept", lambda: self._disk.accept(arrival), lambda receipt: self._world.accepted(arrival, receipt)
        )
        if receipt.waiting is not None and receipt.order_id is not None:
            self._world.known(self._process, [receipt.waiting])
        return receipt

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        self._world.choosing(self._process, channel, candidates[0])
        try:
            return await self._ask(
                "take",
                lambda: self._disk.take(channel, candidates),
                lambda taken: None if taken is None else self._world.taken(self._process, taken),
            )
        finally:
            self._world.chosen(self._process, candidates[0])

    async def look(self, order_id: int) -> Taken | None:
        return await self._ask("look", lambda: self._disk.look(order_id))

    async def settle(self, settlement: Settlement) -> Settled | None:
        channel = self._in_flight(settlement.order_id).channel
        if self._process.alive:
            stands = self._process.dispatchers[channel].condition.breaker.stands
            self._world.settling(settlement, stands=stands)

        async def do() -> tuple[Settled | None, Order]:
            before = self._in_flight(settlement.order_id)
            return await self._disk.settle(settlement), before

        settled, _ = await self._ask("settle", do, lambda done: self._world.settled(self._process, settlement, *done))
        if settled is not None and settled.waiting is not None:
            self._world.known(self._process, [settled.waiting])
        return settled

    def _in_flight(self, order_id: int) -> Order:
        """On the channel that it was taken from; it may have moved on meanwhile."""
        order = self._world.order(order_id)
        return order if order.lease is None else replace(order, channel=order.lease.channel)

    async def sale(self, order_id: int) -> bytes | None:
        return await self._ask("sale", lambda: self._disk.sale(order_id))

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        self._world.loading(self._process, channel)
        head = await self._ask("head", lambda: self._disk.head(channel, limit))
        self._world.known(self._process, head)
        return head

    async def wake(self, channel: str, now: Instant, limit: int, *, beyond: Instant | None = None) -> Sequence[Waiting]:
        woken = await self._ask("wake", lambda: self._disk.wake(channel, now, limit, beyond=beyond), self._world.woken)
        self._world.known(self._process, woken)
        return woken

    async def sleepers_due(self, channel: str) -> tuple[Instant, Instant] | None:
        return await self._ask("sleepers_due", lambda: self._disk.sleepers_due(channel))

    async def conditions(self) -> Mapping[str, Condition]:
        return await self._ask("conditions", self._disk.conditions)

    async def keep(self, channel: str, condition: Condition, deed: Deed | None = None) -> None:
        await self._ask(
            "keep",
            lambda: self._disk.keep(channel, condition, deed),
            lambda _: self._world.kept(self._process, channel, condition),
        )

    async def revive(self, revival: Revival) -> Sequence[Revived]:
        revived = await self._ask(
            "revive", lambda: self._disk.revive(revival), lambda revived: self._world.revived(revival, revived)
        )
        self._world.known(self._process, [one.waiting for one in revived])
        return revived

    async def _ask(
        self, method: str, do: Callable[[], Awaitable[T]], committed: Callable[[T], None] | None = None
    ) -> T:
        process, world = self._process, self._world
        process.passes(f"{method} asked")
        await process.lives()
        await world.clock.sleep(world.store_takes_s(method))
        await process.lives()
        if world.store_fails():
            raise StoreFailed("disk I/O error")
        result = await do()
        if committed is not None:
            committed(result)
        process.passes(f"{method} done")
        await process.lives()
        await world.clock.sleep(world.store_takes_s(method))
        await process.lives()
        return result


class Wire:
    """The way to one channel's endpoint: what the real destination does, without a network."""

    def __init__(self, process: Process, jetti: Jetti) -> None:
        self._process, self._world, self._jetti = process, process.world, jetti
        jetti.used_secret = jetti.file_secret

    async def read_secrets(self) -> None:
        if self._world.chance.draw("secrets", self._jetti.name) < 0.1 and not self._jetti.mended:
            raise ValueError("the file of the secret cannot be read")
        self._jetti.used_secret = self._jetti.file_secret

    async def send(self, sale: bytes, leave: Leave, _: Trace | None) -> Result:
        request, reply = await self.exchange("send", lambda: self._jetti.begin(sale, self._process.number), leave)
        outcome = reply.said
        if isinstance(outcome, Answer):
            outcome = judge(outcome, now=self._world.clock.now())
        self._world.answered(self._process, request, outcome)
        status = reply.said.status if isinstance(reply.said, Answer) else None
        return Result(outcome, self._world.elapsed() - request.begun_s, status)

    async def exchange(self, name: str, begin: Callable[[], Request], leave: Leave) -> tuple[Request, Reply]:
        """One request, and what the relay hears of it."""
        await leave()
        process, world = self._process, self._world
        process.passes(f"{name} asked")
        await process.lives()
        request = begin()
        reply = self._jetti.reply(request)
        world.begun(process, request)
        if reply.works_after_s is not None:
            asyncio.get_running_loop().call_later(reply.works_after_s, self._works, name, request)
        process.passes(f"{name} begun")
        await process.lives()
        timeout_s = world.lines[request.channel].timeout_s
        await world.clock.sleep(min(reply.after_s, timeout_s))
        process.passes(f"{name} answered")
        await process.lives()
        return request, reply if reply.after_s < timeout_s else replace(reply, said=_TIMEOUT)

    def _works(self, name: str, request: Request) -> None:
        self._world.worked(request)
        if request.outcome is None:
            self._process.passes(f"{name} worked")


_TIMEOUT = Failed(Cause("timeout", "no answer in time: whether it worked is unknown"))
