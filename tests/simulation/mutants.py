"""Relays with one thing wrong, each with the invariant that must notice: a watch that never barks is no watch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from relay.core import breaker as breaker_rules
from relay.core import cancelling as cancelling_rules
from relay.core import order as order_rules
from relay.core import version as versions
from relay.core.backlog import Backlog, Waiting
from relay.core.breaker import Breaker
from relay.core.condition import Condition
from relay.core.delivery import Delivery
from relay.core.instant import Instant
from relay.core.mapping import Maker
from relay.core.order import Accepted, Arrival, Order
from relay.core.outcome import Failed, Outcome, Sent, Throttled
from relay.core.pace import Tempo
from relay.core.sources import Cancel, Upsert
from relay.dispatch import Dispatcher
from relay.dispatch.channel import Permits
from relay.dispatch.errand import Leave
from relay.dispatch.governor import Governor, Judged
from relay.store import Receipt, Settled, Settlement, Taken
from relay.store.memory import MemoryStore
from tests.simulation.process import Process


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is wrong, and what must be said of it."""

    name: str
    noticed_by: tuple[str, ...]
    """The invariant; more than one where it is a matter of chance which of them sees it first."""
    disk: type[MemoryStore] = MemoryStore
    altered: Callable[[Process], None] | None = None
    patches: tuple[tuple[Any, str, Any], ...] = ()
    thin: bool = False
    """Whether it is to be seen with orders that are fetched, and cancelled."""
    seed: int = 0
    """One that shows it, or did; others are tried after it."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While it is."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in self.patches]
        for owner, name, value in self.patches:
            setattr(owner, name, value)
        try:
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)


# -- stores ----------------------------------------------------------------------------------------------------------


class _Restarting(MemoryStore):
    """Stays what it is when it is restarted."""

    def restarted(self) -> "MemoryStore":
        again = type(self)()
        vars(again).update(vars(super().restarted()))
        return again


class LeasesTwice(_Restarting):
    """Gives a lease to whoever asks, and names leased orders among those that wait."""

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        leased = [
            Waiting(o.urgency, o.id) for o in self._orders.values() if o.lease is not None and o.channel == channel
        ]
        return sorted([*leased, *await super().head(channel, limit)])[:limit]

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        for order_id in candidates:
            self._orders[order_id] = replace(self._orders[order_id], lease=None)
        return await super().take(channel, candidates)


class ForgetsThatItWasSent(_Restarting):
    """Says that a success is recorded, and lets the order wait."""

    async def settle(self, settlement: Settlement) -> Settled | None:
        before = self._orders[settlement.order_id]
        settled = await super().settle(settlement)
        if settled is None or settlement.attempt is None or settlement.attempt.outcome != "sent" or before.id % 5:
            return settled
        self._orders[before.id] = again = replace(before, lease=None)
        return Settled(again, Waiting(again.urgency, again.id))


class IgnoresVersions(_Restarting):
    """Whatever comes later is newer."""

    async def accept(self, arrival: Arrival, *, share: float = 1.0) -> Receipt:
        about = arrival.identified
        if isinstance(about, Upsert | Cancel):
            arrival = replace(arrival, identified=replace(about, version=None))
        return await super().accept(arrival)


class SendsTheFirst(_Restarting):
    """Gives the first body of an order instead of its newest."""

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        taken = await super().take(channel, candidates)
        if taken is None:
            return None
        first = next(event for event in self._events.values() if event.order_id == taken.order.id)
        return replace(taken, body=self._bodies[first.id])


class LosesTheLast(_Restarting):
    """Acknowledges before it has written."""

    def restarted(self) -> MemoryStore:
        again = super().restarted()
        for event_id in list(again._events)[-3:]:
            del again._events[event_id]
        return again


class ForgetsConditions(_Restarting):
    """Keeps no condition."""

    def restarted(self) -> MemoryStore:
        again = super().restarted()
        again._conditions.clear()
        return again


class SleepsForEver(_Restarting):
    """Wakes nobody."""

    async def wake(self, channel: str, now: Instant, limit: int, *, beyond: Instant | None = None) -> Sequence[Waiting]:
        return []

    async def sleepers_due(self, channel: str) -> tuple[Instant, Instant] | None:
        return None


# -- rules -----------------------------------------------------------------------------------------------------------


def _doubles_the_rate(process: Process) -> None:
    for dispatcher in process.dispatchers.values():
        pace = replace(dispatcher.channel.pace, sync_rate=dispatcher.channel.pace.sync_rate * 2.0)
        for bucket in ("_permits", "_gate", "_at_the_wire"):
            setattr(dispatcher, bucket, Permits(pace, dispatcher.channel.mode))


async def _begins_full(self: Permits) -> None:
    """A new process has a whole bucket."""


_judge = Governor.judge
_most_urgent = Backlog.most_urgent


def _counts_throttles(self: Governor, order: Order, number: int, outcome: Outcome, *, probe: bool) -> Judged:
    judged = _judge(self, order, number, outcome, probe=probe)
    return replace(judged, outcome=Failed(outcome.cause)) if isinstance(outcome, Throttled) else judged


def _counts_while_it_stands(self: Governor, order: Order, number: int, outcome: Outcome, *, probe: bool) -> Judged:
    judged = _judge(self, order, number, outcome, probe=probe)
    return replace(judged, channel=replace(judged.channel, park_s=None))


def _remembers_every_failure(run: tuple[int, ...], order_id: int) -> tuple[int, ...]:
    return (*run, order_id)


def _begins_always(self: Governor, probe: bool) -> int:
    self._begun += 1
    return self._begun


def _chooses_always(self: Governor) -> bool:
    return False


async def _ready_always(self: Governor) -> None:
    """Whatever stands in the way."""


def _takes_the_least_urgent(self: Backlog) -> Waiting | None:
    if len(self._window) < 2:
        return _most_urgent(self)
    last = self._window.pop()
    del self._known[last.order_id]
    return last


def _never_rests(self: Tempo, now: Instant) -> float:
    return 0.0


def _probes_at_once(self: Breaker, now: Instant) -> float:
    return 0.0


def _runs_always(self: Governor) -> None:
    at = self._clock.monotonic()
    passed_s, self._ticked_at = at - self._ticked_at, at
    condition = self._condition
    self._condition = replace(condition, running_us=condition.running_us + round(passed_s * 1e6))


def _forgets_its_pause(self: Condition) -> Condition:
    return replace(self, pause=None)


def _refills_nothing(self: Dispatcher, waiting: Waiting) -> None:
    self._backlog.offer(waiting)
    self._news.set()


async def _keeps_what_it_has_not_read(self: Governor) -> None:
    await self._store.keep(self._channel.name, self.condition)


def _counts_who_was_taken(self: Governor, order_id: int, outcome: Outcome) -> None:
    if self._condition.breaker.stands or isinstance(outcome, Throttled):
        self._tried.add(order_id)
        self._wronged.add(order_id)
    elif isinstance(outcome, Sent):
        self._tried.clear()


def _leaks_a_choice(self: Governor, probe: bool) -> None:
    """A probe that is done with is never told of."""


def _calls_it_sent(self: Delivery, outcome: Outcome, **more: Any) -> Delivery:
    return _delivery_after(self, Sent(200) if isinstance(outcome, Failed) else outcome, **more)


_delivery_after = Delivery.after


def _takes_what_it_read(order: Order, arrival: Arrival, *, event_id: int) -> Accepted | None:
    if order.lease is not None:
        order = replace(order, lease=replace(order.lease, revision=order.revision))
    return _fetched(order, arrival, event_id=event_id)


def _never_older(one: Any, other: Any) -> bool:
    return False


def _announces_at_once(order: Order, arrival: Arrival) -> Accepted:
    return _announced(order, replace(arrival, fetch_after_s=0.0))


def _never_early(order: Order, arrival: Arrival) -> bool:
    return False


def _calls_nothing_off(order: Order, after: Delivery, **more: Any) -> Order:
    return _settled(order, after, **{**more, "cancel_after_s": None})


def _finds_it_always(ours: Any, wanted: Any, status: int) -> Any:
    return _which([structs.replace(row, cancelled=False) for row in ours], wanted, status)


def _leaves_none(self: Maker, order: Order) -> bool:
    return False


def _calls_off_at_once(order: Order, arrival: Arrival, event: Any, event_id: int) -> Accepted:
    accepted = _read(order, arrival, event, event_id)
    changed = accepted.order
    if changed.cancelled_at is None or not changed.delivered_revision:
        return accepted
    return replace(accepted, order=replace(changed, channel=order_rules.cancelling(changed.channel)))


def _leaves_at_will(self: Dispatcher) -> Leave:
    async def leave() -> None:
        """Whatever the pace is."""

    return leave


_fetched, _announced, _read, _settled, _which = (
    order_rules.fetched, order_rules._announced, order_rules._read, order_rules.settled, cancelling_rules._which,
)  # fmt: skip

MUTANTS = (
    Mutant("a lease is given twice", ("one_in_flight", "same_external_id"), LeasesTwice),
    Mutant("a success is forgotten", ("only_in_flight_is_sent_again",), ForgetsThatItWasSent),
    Mutant("versions are ignored", ("dispositions_are_true",), IgnoresVersions),
    Mutant("an old body is sent", ("newest_is_sent",), SendsTheFirst),
    Mutant("what was acknowledged is lost with the process", ("acknowledged_is_kept",), LosesTheLast),
    Mutant("a failure is recorded as a success", ("acknowledged_is_kept", "outage_costs_no_order"),
           patches=((Delivery, "after", _calls_it_sent),)),
    Mutant("the condition is not kept", ("condition_survives", "age_stands_still"), ForgetsConditions),
    Mutant("a pause is forgotten with the process", ("condition_survives", "paused_sends_nothing"),
           patches=((Condition, "restarted", _forgets_its_pause),), seed=6),
    Mutant("nobody is woken", ("sleepers_wake",), SleepsForEver),
    Mutant("twice the rate", ("pace_kept",), altered=_doubles_the_rate),
    Mutant("a new process has a whole bucket", ("pace_kept",),
           patches=((Permits, "begin_spent", _begins_full),), seed=25),
    Mutant("throttles count as attempts", ("throttle_costs_no_order",),
           patches=((Governor, "judge", _counts_throttles),), seed=7),
    Mutant("outages count as attempts", ("outage_costs_no_order",),
           patches=((Governor, "judge", _counts_while_it_stands),)),
    Mutant("one order opens the channel", ("lone_failure_does_not_open",),
           patches=((breaker_rules, "_with", _remembers_every_failure),)),
    Mutant("the least urgent goes first", ("new_first", "nothing_starves"),
           patches=((Backlog, "most_urgent", _takes_the_least_urgent),)),
    Mutant("a throttle is not waited for", ("resting_sends_nothing",),
           patches=((Tempo, "resting_s", _never_rests),), seed=7),
    Mutant("probes do not wait", ("halted_only_probes",), patches=((Breaker, "probe_in_s", _probes_at_once),)),
    Mutant("nothing stops the loop", ("halted_only_probes", "paused_sends_nothing", "resting_sends_nothing"),
           patches=((Governor, "begin", _begins_always), (Governor, "choose", _chooses_always),
                    (Governor, "ready", _ready_always))),
    Mutant("the stopwatch never stands still", ("age_stands_still",), patches=((Governor, "_tick", _runs_always),)),
    Mutant("an empty window is not refilled", ("pace_is_used",), patches=((Dispatcher, "offer", _refills_nothing),)),
    Mutant("a condition is kept before it was read", ("age_stands_still", "condition_survives"),
           patches=((Governor, "keep", _keeps_what_it_has_not_read),), seed=43),
    Mutant("who was taken counts among those who met a halted channel", ("lone_failure_does_not_open",),
           patches=((Governor, "_note_tried", _counts_who_was_taken),), seed=36),
    Mutant("what was announced while it was read is not read again",
           ("newest_of_the_storefront_arrives",), patches=((order_rules, "fetched", _takes_what_it_read),), thin=True),
    Mutant("whatever is read is newer", ("never_to_an_older_state",),
           patches=((versions, "is_older", _never_older),), thin=True, seed=121),
    Mutant("announced orders are read at once", ("read_only_when_the_second_is_over", "one_fetch_for_a_burst"),
           patches=((order_rules, "_announced", _announces_at_once),), thin=True),
    Mutant("what looks like a webhook after which an order was read early is a duplicate",
           ("newest_of_the_storefront_arrives",), patches=((order_rules, "may_be_read_early", _never_early),),
           thin=True, seed=860191),
    Mutant("a cancelled order is not called off", ("cancelled_once",),
           patches=((order_rules, "settled", _calls_nothing_off),), thin=True),
    Mutant("a sale is called off without looking", ("cancelled_once",),
           patches=((cancelling_rules, "_which", _finds_it_always),), thin=True),
    Mutant("what is cancelled beforehand is sent", ("cancelled_beforehand_is_left",),
           patches=((Maker, "leaves", _leaves_none),), thin=True),
    Mutant("an order is called off before its newest state is delivered", ("cancelled_when_its_newest_is_delivered",),
           patches=((order_rules, "_read", _calls_off_at_once),), thin=True),
    Mutant("pages are not paced", ("pace_kept", "resting_sends_nothing"),
           patches=((Dispatcher, "_leaving", _leaves_at_will),), thin=True),
    Mutant("outages of an API count as attempts", ("trouble_costs_no_attempt",),
           patches=((Governor, "judge", _counts_while_it_stands),), thin=True),
    Mutant("a probe is never done with", ("everything_arrives_in_the_end",),
           patches=((Governor, "unchosen", _leaks_a_choice),)),
)  # fmt: skip
