"""When a channel is sent to, and when not: circuit, pause, stopwatch; and that a restart forgets nothing of it."""

from collections import defaultdict
from typing import TYPE_CHECKING

from relay.core.breaker import Circuit
from relay.core.condition import Condition
from relay.core.events import CircuitMoved, Happening, ProbeFailed
from relay.core.instant import SECOND
from relay.core.outcome import ChannelWrong, Failed, Outcome, Refused, Sent, Throttled, pause_s
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.scenario import Poison, Weather
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World

_EPSILON_S = 1e-4


class HaltedOnlyProbes(Watch):
    """While a channel is open or halted, one request at a time begins, and not before a probe is due."""

    name = "halted_only_probes"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._moved: dict[str, int] = {}
        """How many requests had begun when the circuit moved."""
        self._due_s: dict[str, float] = {}
        self._probes: dict[str, int] = {}

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, CircuitMoved):
            name = happening.channel
            self._moved[name] = len(self.world.jettis[name].requests)
            self._probes[name] = 0
            self._wait(name, happening.after)
        elif isinstance(happening, ProbeFailed):
            self._probes[happening.channel] += 1
            self._wait(happening.channel, happening.circuit)

    def begun(self, process: Process, request: Request) -> None:
        name = request.channel
        breaker = process.dispatchers[name].condition.breaker
        if not breaker.stands:
            return
        since = self._moved.get(name, 0)
        others = [o for o in process.open.values() if o.channel == name and o.number > since]
        self.require(
            not others, f"{len(others)} other request(s) are open while the channel is {breaker.circuit}",
            channel=name, order=request.order,
        )  # fmt: skip
        due_s = self._due_s.get(name, 0.0)
        self.require(
            request.begun_s >= due_s - _EPSILON_S, f"a probe is due at {due_s:.4f} s", channel=name,
            order=request.order,
        )  # fmt: skip

    def started(self, process: Process) -> None:
        self._due_s.clear()
        for name, jetti in self.world.jettis.items():
            self._moved[name] = len(jetti.requests)
            self._probes[name] = self.world.conditions.get(name, Condition()).breaker.probes

    def resuming(self, channel: str) -> None:
        self._due_s.pop(channel, None)

    def jumped(self) -> None:
        self._due_s.clear()

    def _wait(self, name: str, circuit: Circuit) -> None:
        self._due_s.pop(name, None)
        if circuit is not Circuit.CLOSED:
            policy = self.world.lines[name].channel.breaker
            self._due_s[name] = self.world.elapsed() + policy.interval_s(circuit, self._probes[name])


class LoneFailureDoesNotOpen(Watch):
    """Only as many different orders as the policy says open a channel, with none taken between them; and an order that
    is refused alone halts it once, not again and again."""

    name = "lone_failure_does_not_open"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._failed: dict[str, set[int]] = defaultdict(set)
        self._refused: dict[str, set[int]] = defaultdict(set)
        self._last: dict[str, Request] = {}
        self._halts: dict[tuple[int, str, int], int] = defaultdict(int)

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        name = request.channel
        self._last[name] = request
        match outcome:
            case Sent():
                self._failed[name].clear()
                self._refused[name].clear()
            case Refused():
                self._refused[name].add(request.order_id)
            case Failed() | ChannelWrong():
                self._failed[name].add(request.order_id)
                if isinstance(outcome, ChannelWrong) and self._poison(request) is not Poison.FORBIDDEN:
                    self._halts.clear()  # the channel really was wrong: who else was refused is forgotten
            case _:
                pass

    def started(self, process: Process) -> None:
        for name, kept in self.world.conditions.items():
            self._failed[name] |= set(kept.breaker.failed)
            self._refused[name] |= set(kept.breaker.refused)

    def told(self, process: Process, happening: Happening) -> None:
        if not isinstance(happening, CircuitMoved) or happening.before is not Circuit.CLOSED:
            return
        name, policy = happening.channel, self.world.lines[happening.channel].channel.breaker
        if happening.after is Circuit.OPEN:
            orders = self._failed[name]
            self.require(len(orders) >= policy.failures, f"orders {orders} opened the channel", channel=name)
        elif isinstance(self._last[name].outcome, Refused):
            orders = self._refused[name]
            self.require(len(orders) >= policy.refusals, f"orders {orders} halted the channel", channel=name)
        else:
            last = self._last[name]
            if self._poison(last) is Poison.FORBIDDEN:
                which = process.number, name, last.order_id
                self._halts[which] += last.weather is Weather.CALM
                self.require(
                    self._halts[which] <= 2, f"it alone halted the channel {self._halts[which]} times", channel=name,
                    order=last.order,
                )  # fmt: skip

    def _poison(self, request: Request) -> Poison | None:
        return self.world.shop.poison(request.channel, request.order)


class PausedSendsNothing(Watch):
    """After a pause was confirmed, and before someone resumes, no request begins; over restarts too."""

    name = "paused_sends_nothing"

    def begun(self, process: Process, request: Request) -> None:
        if request.channel in self.world.persons.paused:
            self.require(False, "the channel is paused", channel=request.channel, order=request.order)

    def ticked(self) -> None:
        """It could have been broken where something waits."""
        if self.world.persons.paused:
            waiting = {self.world.order(order_id).channel for order_id in self.world.known_since}
            self.exercised += len(waiting & self.world.persons.paused)


class AgeStandsStill(Watch):
    """The stopwatch of a channel does not run while it is paused, resting, open or halted, or nothing lives."""

    name = "age_stands_still"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._ran_s: dict[str, float] = defaultdict(float)
        self._looked_s = 0.0
        self._stands: set[str] = set()
        self._paused: set[str] = set()
        self._rests_until_s: dict[str, float] = {}
        self._base_us: dict[str, int] = {}

    def started(self, process: Process) -> None:
        self._looked_s = self.world.elapsed()
        for name in self.world.lines:
            kept = self.world.conditions.get(name, Condition())
            self._base_us[name], self._ran_s[name] = kept.running_us, 0.0
            self._stands.discard(name)
            if kept.breaker.stands:
                self._stands.add(name)
            self._rests_until_s[name] = self.world.elapsed() + kept.tempo.resting_s(self.world.clock.now())

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, CircuitMoved):
            self._look(process)
            (self._stands.discard if happening.after is Circuit.CLOSED else self._stands.add)(happening.channel)

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        if isinstance(outcome, Throttled) and self.world.must_rest:
            self._look(process)
            until_s = self.world.elapsed() + pause_s(outcome)
            self._rests_until_s[request.channel] = max(until_s, self._rests_until_s.get(request.channel, 0.0))

    def paused(self, channel: str) -> None:
        self._look(self.world.process)
        self._paused.add(channel)

    def resuming(self, channel: str) -> None:
        self._look(self.world.process)
        self._paused.discard(channel)
        self._stands.discard(channel)
        self._rests_until_s.pop(channel, None)

    def jumped(self) -> None:
        self._look(self.world.process)
        self._rests_until_s.clear()

    def ticked(self) -> None:
        self._look(self.world.process)

    def kept(self, process: Process, channel: str, condition: Condition) -> None:
        self._look(process)
        base_us = self._base_us[channel]
        self.require(condition.running_us >= base_us, "the stopwatch was set back", channel=channel)
        ran_s = (condition.running_us - base_us) / SECOND
        self.require(
            ran_s <= self._ran_s[channel] + 0.5,
            f"the stopwatch ran {ran_s} s, and the channel for {self._ran_s[channel]} s", channel=channel,
        )  # fmt: skip

    def _look(self, process: Process | None) -> None:
        now_s = self.world.elapsed()
        since_s, self._looked_s = self._looked_s, now_s
        if process is None or not process.alive:
            return
        for name in self.world.lines:
            if name not in self._stands and name not in self._paused:
                self._ran_s[name] += max(0.0, now_s - max(since_s, self._rests_until_s.get(name, 0.0)))


class ConditionSurvives(Watch):
    """A new process goes on with the circuit, the pause, the rest and the rate that were kept; and what stood for some
    seconds was kept."""

    name = "condition_survives"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._looked: set[tuple[int, str]] = set()
        self._moved_s: dict[str, float] = {}

    def told(self, process: Process, happening: Happening) -> None:
        if isinstance(happening, CircuitMoved):
            self._moved_s[happening.channel] = self.world.elapsed()

    def resuming(self, channel: str) -> None:
        self._moved_s[channel] = self.world.elapsed()

    def dies(self, process: Process) -> None:
        if not self.world.store_was_calm_for(10.0) or self.world.elapsed() - process.born_s < 10.0:
            return
        for name, dispatcher in process.dispatchers.items():
            now = dispatcher.condition.breaker.circuit
            if self.world.elapsed() - self._moved_s.get(name, -1e9) > 5.0:
                kept = self.world.conditions.get(name, Condition()).breaker.circuit
                self.require(now is kept, f"it is {now}, and {kept} was kept", channel=name)

    def loading(self, process: Process, channel: str) -> None:
        if (process.number, channel) in self._looked:
            return
        self._looked.add((process.number, channel))
        now = process.dispatchers[channel].condition
        kept = self.world.conditions.get(channel, Condition())
        self.require(now.breaker.circuit is kept.breaker.circuit, f"{now} follows {kept}", channel=channel)
        if not self.world.persons.are_busy:
            self.require(now.pause == kept.pause, f"{now.pause} follows {kept.pause}", channel=channel)
        self.require(
            (now.tempo.share, now.tempo.rests_until) == (kept.tempo.share, kept.tempo.rests_until),
            f"{now.tempo} follows {kept.tempo}", channel=channel,
        )  # fmt: skip
        if channel in self.world.persons.paused:
            self.require(now.pause is not None, "a pause was forgotten", channel=channel)
