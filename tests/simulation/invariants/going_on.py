"""And it goes on: what may be sent is sent, what sleeps wakes, everything arrives."""

from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING

from relay.core.delivery import State
from relay.core.events import CircuitMoved, Happening
from relay.core.instant import SECOND
from relay.core.order import Order
from relay.core.outcome import Outcome, Throttled, pause_s
from relay.store import Settled, Settlement
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World


class PaceIsUsed(Watch):
    """What may be sent is sent: a channel with orders that wait, and nothing in their way, does not stand still."""

    name = "pace_is_used"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._free_s: dict[str, float] = defaultdict(float)
        """When the channel did something last, or ceased to be in its own way."""
        self._known_s: dict[int, float] = {}
        self._rate: dict[str, float] = {}

    def choosing(self, process: Process, channel: str, order_id: int) -> None:
        self._known_s[order_id] = self.world.known_since.get(order_id, self.world.elapsed())

    def begun(self, process: Process, request: Request) -> None:
        name, now_s = request.channel, request.begun_s
        dispatcher = process.dispatchers[name]
        rate = min(dispatcher.rate, self._rate.get(name, dispatcher.rate))
        known_s = self._known_s.pop(request.order_id, now_s)
        if self._is_free(process, name):
            idle_s = now_s - max(known_s, self._free_s[name], process.born_s)
            self._judge(
                idle_s <= 1.0 + 3.0 / rate, f"nothing was sent for {idle_s} s, at a rate of {rate}", name, request.order
            )
        self._rate[name] = dispatcher.rate
        self._free_at(name, now_s)

    def ticked(self) -> None:
        process, now_s = self.world.process, self.world.elapsed()
        if process is None or not process.alive:
            return
        for name, dispatcher in process.dispatchers.items():
            if not self._is_free(process, name) or dispatcher.in_flight >= dispatcher.channel.in_flight_max:
                self._free_at(name, now_s)
                continue
            patience_s = 3.0 + 3.0 / min(dispatcher.rate, self._rate.get(name, dispatcher.rate))
            waiting = [
                order for order in self.world.orders()
                if order.channel == name and now_s - self.world.known_since.get(order.id, now_s) > patience_s
            ]  # fmt: skip
            if waiting:
                idle_s = now_s - max(self._free_s[name], process.born_s)
                self._judge(
                    idle_s <= patience_s, f"nothing has moved for {idle_s} s, at a rate of {dispatcher.rate}", name,
                    waiting[0].external_id,
                )  # fmt: skip

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        if settlement.token is not None:
            self._free_at(before.channel, self.world.elapsed())

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        if isinstance(outcome, Throttled):
            self._free_at(request.channel, self.world.elapsed() + pause_s(outcome))

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, CircuitMoved):
            self._free_at(happening.channel, self.world.elapsed())

    def resuming(self, channel: str) -> None:
        self._free_s[channel] = self.world.elapsed() + 2.0

    def jumped(self) -> None:
        """Rests are timed by that clock: how long they take from now on is not looked at. (A weakness that is known: a
        rest ends when the clock is set back, and begins anew when it is that time again.)"""
        for name in self.world.lines:
            self._free_at(name, inf)

    def _free_at(self, channel: str, at_s: float) -> None:
        self._free_s[channel] = max(self._free_s[channel], at_s)

    def _is_free(self, process: Process, name: str) -> bool:
        return self.world.store_was_calm_for(10.0) and not process.dispatchers[name].condition.stands(
            self.world.clock.now()
        )

    def _judge(self, holds: bool, said: str, name: str, order: str) -> None:
        self.require(holds, said, channel=name, order=order)


class BreakerOfOneChannelLeavesTheOther(PaceIsUsed):
    """The same, while the other channel is open, halted, paused, resting or full."""

    name = "breaker_of_one_channel_leaves_the_other"

    def _judge(self, holds: bool, said: str, name: str, order: str) -> None:
        process, now = self.world.process, self.world.clock.now()
        others = [] if process is None else [d for other, d in process.dispatchers.items() if other != name]
        if any(other.condition.stands(now) or other.in_flight >= other.channel.in_flight_max for other in others):
            self.require(holds, said, channel=name, order=order)


class SleepersWake(Watch):
    """What sleeps is woken when it is due."""

    name = "sleepers_wake"
    _jumped_s = -1e9

    def ticked(self) -> None:
        world, process = self.world, self.world.process
        if process is None or not process.alive or not world.store_was_calm_for(30.0):
            return
        if world.elapsed() - max(process.born_s, self._jumped_s) < 30.0:
            return
        now = world.clock.now()
        for order in world.orders():
            if order.state is State.SLEEPING:
                late_s = (now - order.due_at) / SECOND
                self.require(
                    late_s < 20.0, f"it should have been woken {late_s} s ago", channel=order.channel,
                    order=order.external_id,
                )  # fmt: skip

    def jumped(self) -> None:
        """A clock that is set forward makes what sleeps late at once; the next poll will tell."""
        self._jumped_s = self.world.elapsed()


class EverythingArrivesInTheEnd(Watch):
    """Once everything is mended, Jetti has the newest state of every order; what is dead has its cause, and nothing
    waits."""

    name = "everything_arrives_in_the_end"

    def ended(self) -> None:
        world = self.world
        for (channel, external_id), newest in world.shop.newest.items():
            (order,) = [o for o in world.orders() if (o.channel, o.external_id) == (channel, external_id)]
            poison = world.shop.poison(channel, external_id)
            about = {"channel": channel, "order": external_id}
            if order.state is State.DISCARDED:
                self.require(order.id in world.persons.discarded, "nobody discarded it", **about)
            elif not newest.whole:
                self.require(order.state is State.DEAD, f"never seen whole, it is {order.state}", **about)
            elif not newest.mappable or poison is not None:
                self.require(
                    order.state is State.DEAD and order.cause is not None,
                    f"it is {order.state} and should be dead: {poison}, {newest}", **about,
                )  # fmt: skip
            else:
                self.require(order.state is State.SENT, f"it is {order.state}: {order.cause}", **about)
                taken = [r for r in world.jettis[channel].requests if r.order == external_id and r.worked_s is not None]
                has = (taken[-1].content, taken[-1].cancelled) if taken else None
                self.require(
                    has == (newest.content, newest.cancelled), f"Jetti has {has}, and the newest is {newest}", **about
                )


class NoDefect(Watch):
    """Nothing raises that should not; the happenings say so. (Told by the world.)"""

    name = "no_defect"

    def told(self, process: Process, happening: Happening) -> None:
        self.exercised += 1
