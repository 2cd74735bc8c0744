"""What must hold, at any time and whatever happens: the promises of the design (2), and what they rest on.

Each says one thing, in terms of what the shop, Jetti and persons see, or of what the store holds; where a rule of the
relay's own is needed to say it (how long a probe waits), its pure function is used and the time is measured here.
"""

from bisect import bisect_left
from collections import defaultdict
from math import ceil, inf
from typing import TYPE_CHECKING

from relay.core.breaker import Circuit
from relay.core.condition import Condition
from relay.core.delivery import Lane, State
from relay.core.events import CircuitMoved, Happening, ProbeFailed
from relay.core.instant import SECOND
from relay.core.order import Arrival, Disposition, Order
from relay.core.outcome import ChannelWrong, Failed, Outcome, Refused, Sent, Throttled, pause_s
from relay.store import Receipt, Revived, Settled, Settlement, Taken, Timeline
from relay.store.places import of_event
from tests.simulation.jetti import MISSING, Request
from tests.simulation.process import Process
from tests.simulation.scenario import Poison, Weather
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World

_EPSILON_S = 1e-4
_PLACES = frozenset(
    {"delivered", "superseded", "waiting", "in flight", "sleeping", "held", "dead", "discarded", "duplicate", "stale",
     "unchanged", "ignored", "quarantined"}
)  # fmt: skip
_COSTS_WRONG, _COSTS_THROTTLE, _COSTS_OUTAGE = (
    "wrong_credential_costs_no_order", "throttle_costs_no_order", "outage_costs_no_order",
)  # fmt: skip


# -- promises 1 and 2 ------------------------------------------------------------------------------------------------


class AcknowledgedIsKept(Watch):
    """Every acknowledged event is in exactly one visible place, and the place tells the truth."""

    name = "acknowledged_is_kept"
    _commits = 0

    def acknowledged(self, receipt: Receipt) -> None:
        self.require(receipt.event_id in self.world.disk._events, f"event {receipt.event_id} is not there")

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        self._commits += 1
        if self._commits % 10 == 0:
            self._look_at(before.id)

    def started(self, process: Process) -> None:
        self._look_at_all()

    def ended(self) -> None:
        self._look_at_all()

    def _look_at_all(self) -> None:
        for event_id in self.world.shop.acknowledged:
            self.require(event_id in self.world.disk._events, f"event {event_id} is gone")
        for order in self.world.orders():
            self._look_at(order.id)

    def _look_at(self, order_id: int) -> None:
        disk = self.world.disk
        order = self.world.order(order_id)
        events = [event for event in disk._events.values() if event.order_id == order_id]
        attempts = [attempt for of, attempt in disk._attempts.values() if of == order_id]
        timeline = Timeline(order, events, attempts)
        revisions = {event.revision for event in events}
        worked = {
            request.revision
            for request in self.world.jettis[order.channel].requests
            if request.order_id == order_id and request.worked_s is not None
        }
        for event in events:
            if event.id not in self.world.shop.acknowledged:
                continue
            place = of_event(event, timeline).name
            true = place in _PLACES
            if place == "superseded":
                true = event.revision is not None and event.revision + 1 in revisions
            elif place == "delivered":
                true = event.revision in worked or order.state is State.SENT
            elif place == "duplicate":
                true = event.duplicate_of in disk._events
            self.require(true, f"event {event.id} is {place}", channel=order.channel, order=order.external_id)


class DispositionsAreTrue(Watch):
    """What is older than what is known is stale, and nothing else is; what came before is a duplicate."""

    name = "dispositions_are_true"

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        shop = self.world.shop
        webhook = shop.webhook(arrival.identified.dedupe_key)
        known = shop.newest.get((webhook.channel, webhook.order))
        expected_duplicate = webhook.key in shop.committed
        stale = not expected_duplicate and known is not None and shop.is_stale(known, webhook)
        self.require(
            (receipt.disposition is Disposition.DUPLICATE) == expected_duplicate
            and (receipt.disposition is Disposition.STALE) == stale,
            f"{webhook} is {receipt.disposition}", channel=webhook.channel, order=webhook.order,
        )  # fmt: skip


# -- promises 3 and 4 ------------------------------------------------------------------------------------------------


class OneInFlight(Watch):
    """A living process never has two requests open for one order."""

    name = "one_in_flight"

    def begun(self, process: Process, request: Request) -> None:
        already = process.open.get(request.order_id)
        self.require(
            already is None, f"request {request.number} begins while {already} is open", channel=request.channel,
            order=request.order,
        )  # fmt: skip


class OnlyInFlightIsSentAgain(Watch):
    """What was recorded as sent is not sent again, unless it was revived; nothing is sent again that was not settled,
    except by a new process."""

    name = "only_in_flight_is_sent_again"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._sent: set[tuple[int, int]] = set()
        self._open: dict[tuple[int, int], int] = {}

    def begun(self, process: Process, request: Request) -> None:
        which = request.order_id, request.revision
        again = which in self._sent or which in self._open
        if again or self.exercised == 0:
            by = self._open.get(which)
            self.require(
                which not in self._sent and by != process.number,
                f"revision {request.revision} is sent again by process {process.number}: "
                f"{'it was recorded as sent' if which in self._sent else 'it has not been settled'}",
                channel=request.channel, order=request.order,
            )  # fmt: skip
        self._open[which] = process.number

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        which = settlement.order_id, settlement.after.revision
        if settled is None or settlement.attempt is None:
            return
        self._open.pop(which, None)
        if settlement.attempt.outcome == "sent":
            self._sent.add(which)

    def revived(self, revived: Revived) -> None:
        order_id = revived.waiting.order_id
        self._sent = {which for which in self._sent if which[0] != order_id}


class NeverBackwards(Watch):
    """For one order, the revisions and the versions that begin at Jetti never decrease."""

    name = "never_backwards"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._begun: dict[int, tuple[int, int]] = {}
        self._leased: dict[int, int] = {}

    def taken(self, process: Process, taken: Taken) -> None:
        event = None if taken.order.event_id is None else self.world.disk._events.get(taken.order.event_id)
        self._leased[taken.order.id] = (event.version or 0) if event is not None else 0

    def begun(self, process: Process, request: Request) -> None:
        now = request.revision, self._leased.get(request.order_id, 0)
        before = self._begun.get(request.order_id, (0, 0))
        self.require(
            now[0] >= before[0] and now[1] >= before[1], f"revision and version {now} begin after {before}",
            channel=request.channel, order=request.order,
        )  # fmt: skip
        self._begun[request.order_id] = now


class SameExternalId(Watch):
    """What is sent bears the id of the order that was leased for it, on that order's channel."""

    name = "same_external_id"

    def begun(self, process: Process, request: Request) -> None:
        taken = process.taken.get((request.channel, request.order))
        leased = None if taken is None else self.world.order(taken.order.id).lease
        self.require(
            taken is not None and leased is not None and taken.order.token == leased.token,
            f"request {request.number} bears {request.order}, which is not leased",
            channel=request.channel, order=request.order,
        )  # fmt: skip


class NewestIsSent(Watch):
    """What is sent is the newest state that was known when its delivery was leased."""

    name = "newest_is_sent"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._leased: dict[int, tuple[str, bool]] = {}

    def taken(self, process: Process, taken: Taken) -> None:
        newest = self.world.shop.newest[taken.order.channel, taken.order.external_id]
        self._leased[taken.order.id] = newest.content, newest.cancelled

    def begun(self, process: Process, request: Request) -> None:
        expected, sent = self._leased.get(request.order_id), (request.content, request.cancelled)
        self.require(
            sent == expected, f"{sent} is sent, and the newest was {expected}", channel=request.channel,
            order=request.order,
        )  # fmt: skip


# -- promise 5 -------------------------------------------------------------------------------------------------------


class NewFirst(Watch):
    """What is chosen is the most urgent of all that waits and that the process has been told of."""

    name = "new_first"

    def choosing(self, process: Process, channel: str, order_id: int) -> None:
        chosen = self.world.order(order_id)
        for other in self.world.passed_over(chosen):
            self.require(
                (chosen.urgency, chosen.id) <= (other.urgency, other.id),
                f"{chosen.external_id} (urgency {chosen.urgency}) is chosen, and {other.external_id} "
                f"(urgency {other.urgency}) has waited since {self.world.known_since[other.id]:.4f} s",
                channel=channel, order=other.external_id,
            )  # fmt: skip


class NothingStarves(Watch):
    """Nothing is overtaken by what became due later than it by more than the difference of their head starts."""

    name = "nothing_starves"

    def choosing(self, process: Process, channel: str, order_id: int) -> None:
        chosen = self.world.order(order_id)
        starts = self.world.lines[channel].channel.head_starts
        for other in self.world.passed_over(chosen):
            if other.lane is not Lane.NEW:
                ahead_s = starts.seconds(chosen.lane) - starts.seconds(other.lane)
                later_s = (chosen.due_at - other.due_at) / SECOND
                self.require(
                    later_s <= ahead_s + _EPSILON_S,
                    f"{chosen.external_id} became due {later_s} s after {other.external_id}, and is chosen before it",
                    channel=channel, order=other.external_id,
                )  # fmt: skip


class ChoicesStayFresh(Watch):
    """Between a choice and its request there are no more deliveries than may be, nor are there in flight."""

    name = "choices_stay_fresh"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._leased: dict[str, set[int]] = defaultdict(set)
        """Neither begun nor settled."""

    def started(self, process: Process) -> None:
        self._leased.clear()

    def taken(self, process: Process, taken: Taken) -> None:
        name = taken.order.channel
        channel = self.world.lines[name].channel
        self._leased[name].add(taken.order.id)
        leased, most = len(self._leased[name]), max(channel.pace.burst, ceil(0.05 * channel.ceiling))
        self.require(leased <= most, f"{leased} deliveries are chosen, and have not begun", channel=name)

    def begun(self, process: Process, request: Request) -> None:
        name = request.channel
        self._leased[name].discard(request.order_id)
        begun = 1 + sum(other.channel == name for other in process.open.values())
        most = self.world.lines[name].channel.in_flight_max
        self.require(begun <= most, f"{begun} requests are in flight, and {most} may be", channel=name)

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        self._leased[before.channel].discard(before.id)


# -- promise 6 -------------------------------------------------------------------------------------------------------


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
        if isinstance(outcome, Throttled):
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


# -- promise 7 -------------------------------------------------------------------------------------------------------


class CostsNoOrder(Watch):
    """Neither throttles, nor wrong credentials, nor outages cost an attempt or an order; counted by what they were."""

    name = "outage_costs_no_order"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._answers: dict[int, Outcome] = {}
        self._suspected: set[tuple[int, int]] = set()
        """Process and order: the order has been refused, and was not taken since."""
        self._excused: set[int] = set()

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        order_id = request.order_id
        self._answers[order_id] = outcome
        which = process.number, order_id
        if isinstance(outcome, Refused | ChannelWrong):
            # A weakness that is known (tests/test_suspects.py has it): an order that a wrong channel, or what it said,
            # had refused once before is taken for its own culprit when it is the first to meet the next wrong channel.
            (self._excused.add if which in self._suspected else self._excused.discard)(order_id)
            self._suspected.add(which)
        elif isinstance(outcome, Sent):
            self._suspected.discard(which)

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        if settlement.attempt is None or settled is None:
            return
        outcome = self._answers.pop(before.id, None)
        cost = settlement.after.attempts - before.attempts
        about = {"channel": before.channel, "order": before.external_id}
        poison = self.world.shop.poison(before.channel, before.external_id)
        if isinstance(outcome, Throttled):
            self._count(_COSTS_THROTTLE, cost == 0, f"a throttle cost {cost} attempts", **about)
        elif isinstance(outcome, ChannelWrong) and poison is not Poison.FORBIDDEN and before.id not in self._excused:
            self._count(_COSTS_WRONG, cost == 0, f"a wrong channel cost {cost} attempts", **about)
        elif stands and not isinstance(outcome, Sent):
            self._count(_COSTS_OUTAGE, cost == 0, f"{outcome} cost {cost} attempts while the circuit stood", **about)
        if settlement.after.state is State.DEAD:
            self._dead(settled.order, settlement, poison, outcome, about)

    def _dead(
        self, order: Order, settlement: Settlement, poison: Poison | None, outcome: Outcome | None,
        about: dict[str, str],
    ) -> None:  # fmt: skip
        cause = settlement.after.cause
        code, said = ("", "") if cause is None else (cause.code, cause.message)
        gave_up = said.startswith("gave up")
        match poison:
            case Poison.REFUSED:
                right = code == "http_422"
            case Poison.MISSING:
                right = code == MISSING
            case Poison.FAILS | Poison.FORBIDDEN:
                right = gave_up
            case None:
                right = False
        right |= isinstance(outcome, Refused) and code in ("http_422", MISSING) and self._item_was_unknown(order)
        name = _COSTS_OUTAGE
        if isinstance(outcome, Throttled):
            name = _COSTS_THROTTLE
        elif isinstance(outcome, ChannelWrong):
            name = _COSTS_WRONG
        self._count(name, right, f"it is dead: {code}: {said}", **about)

    def _item_was_unknown(self, order: Order) -> bool:
        requests = self.world.jettis[order.channel].requests
        newest = next(r for r in reversed(requests) if r.order_id == order.id)
        return newest.weather is Weather.UNKNOWN

    def _count(self, name: str, holds: bool, said: str, *, channel: str, order: str) -> None:
        if name == self.name:
            self.require(holds, said, channel=channel, order=order)
            return
        self.world.figures.invariants[name] += 1
        if not holds:
            self.world.broken(name, said, channel, order)


class OneRefusalForAllCostsNoOrder(Watch):
    """When order after order is refused for the same reason, the channel is halted and they are revived."""

    name = "one_refusal_for_all_costs_no_order"

    def ticked(self) -> None:
        world = self.world
        process = world.process
        if process is None or not process.alive or not world.store_was_calm_for(20.0):
            return
        for name, dispatcher in process.dispatchers.items():
            breaker = dispatcher.condition.breaker
            if not breaker.halted_by_refusals or world.elapsed() - process.born_s < 20.0 or world.scenario.jumps:
                continue
            if breaker.since is None or world.clock.now() - breaker.since < 20 * SECOND:
                continue
            for order_id in breaker.refused:
                order = world.order(order_id)
                dead = order.state is State.DEAD and order.cause is not None and order.cause.code == breaker.refusal
                self.require(not dead, "it is dead, of what halted the channel", channel=name, order=order.external_id)


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
            if self.world.shop.poison(name, last.order) is Poison.FORBIDDEN:
                which = process.number, name, last.order_id
                self._halts[which] += last.weather is Weather.CALM
                self.require(
                    self._halts[which] <= 2, f"it alone halted the channel {self._halts[which]} times", channel=name,
                    order=last.order,
                )  # fmt: skip


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
        if isinstance(outcome, Throttled):
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
        self.require(now.pause == kept.pause, f"{now.pause} follows {kept.pause}", channel=channel)
        self.require(
            (now.tempo.share, now.tempo.rests_until) == (kept.tempo.share, kept.tempo.rests_until),
            f"{now.tempo} follows {kept.tempo}", channel=channel,
        )  # fmt: skip
        if channel in self.world.persons.paused:
            self.require(now.pause is not None, "a pause was forgotten", channel=channel)


# -- and it goes on --------------------------------------------------------------------------------------------------


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


EVERY: tuple[type[Watch], ...] = (
    AcknowledgedIsKept, DispositionsAreTrue, OneInFlight, OnlyInFlightIsSentAgain, NeverBackwards, SameExternalId,
    NewestIsSent, NewFirst, NothingStarves, ChoicesStayFresh, PaceKept, NoLockstep, RateBetweenFloorAndCeiling,
    RestingSendsNothing, CostsNoOrder, OneRefusalForAllCostsNoOrder, HaltedOnlyProbes, LoneFailureDoesNotOpen,
    PausedSendsNothing, AgeStandsStill, ConditionSurvives, PaceIsUsed, BreakerOfOneChannelLeavesTheOther, SleepersWake,
    EverythingArrivesInTheEnd, NoDefect,
)  # fmt: skip
NAMES = (*(watch.name for watch in EVERY), _COSTS_WRONG, _COSTS_THROTTLE)
"""Every invariant there is."""
