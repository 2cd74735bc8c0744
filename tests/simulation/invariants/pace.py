"""Promise 6: how fast."""

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from relay.core.breaker import Circuit
from relay.core.condition import Condition
from relay.core.events import CircuitMoved, Happening
from relay.core.outcome import Outcome, Throttled, pause_s
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World

_EPSILON_S = 1e-4


class PaceKept(Watch):
    """In no one-second window more requests than the rate and the burst, over restarts too."""

    name = "pace_kept"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._begun: dict[str, list[float]] = defaultdict(list)

    def begun(self, process: Process, request: Request) -> None:
        times = self._begun[request.channel]
        times.append(request.begun_s)
        pace = self.world.lines[request.channel].channel.pace
        in_window = len(times) - bisect_left(times, request.begun_s - 1.0 + 1e-9)
        self.require(
            in_window <= pace.sync_rate + pace.burst,
            f"{in_window} requests in a second, at a rate of {pace.sync_rate} and a burst of {pace.burst}",
            channel=request.channel, order=request.order,
        )  # fmt: skip


class NoLockstep(Watch):
    """Evenly spaced, also by those who come back together when an outage is over."""

    name = "no_lockstep"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._closed_s: dict[str, float] = {}
        self._last_s: dict[str, float] = {}

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, CircuitMoved) and happening.after is Circuit.CLOSED:
            self._closed_s[happening.channel] = self.world.elapsed()

    def begun(self, process: Process, request: Request) -> None:
        name, now_s = request.channel, request.begun_s
        channel = self.world.lines[name].channel
        gap_s = now_s - self._last_s.get(name, -1e9)
        self._last_s[name] = now_s
        if channel.pace.burst == 1 and now_s - self._closed_s.get(name, -1e9) < 60.0:
            self.require(gap_s >= 0.7 / channel.ceiling, f"{gap_s} s between two requests", channel=name)


class RateBetweenFloorAndCeiling(Watch):
    """The rate is never below its floor and never above its ceiling, and comes back when the weather is calm."""

    name = "rate_between_floor_and_ceiling"

    def begun(self, process: Process, request: Request) -> None:
        dispatcher = process.dispatchers[request.channel]
        ceiling = dispatcher.ceiling
        floor = ceiling * dispatcher.channel.pace.floor
        self.require(floor - 1e-9 <= dispatcher.rate <= ceiling, f"the rate is {dispatcher.rate}")


class RestingSendsNothing(Watch):
    """While a throttle keeps the channel from sending, no request begins."""

    name = "resting_sends_nothing"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._until_s: dict[str, float] = {}

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        if isinstance(outcome, Throttled) and self.world.must_rest:
            until_s = self.world.elapsed() + pause_s(outcome)
            self._until_s[request.channel] = max(until_s, self._until_s.get(request.channel, 0.0))

    def begun(self, process: Process, request: Request) -> None:
        until_s = self._until_s.get(request.channel)
        if until_s is not None:
            self.require(
                request.begun_s >= until_s - _EPSILON_S, f"the channel rests until {until_s:.4f} s",
                channel=request.channel, order=request.order,
            )  # fmt: skip

    def started(self, process: Process) -> None:
        """What was not kept before a crash is not known after it."""
        now = self.world.clock.now()
        for name in list(self._until_s):
            kept = self.world.conditions.get(name, Condition()).tempo
            self._until_s[name] = min(self._until_s[name], self.world.elapsed() + kept.resting_s(now))

    def resuming(self, channel: str) -> None:
        self._until_s.pop(channel, None)

    def jumped(self) -> None:
        self._until_s.clear()
