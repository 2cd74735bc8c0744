"""Promise 7: what costs an order nothing."""

from typing import TYPE_CHECKING

from relay.core.delivery import State
from relay.core.instant import SECOND
from relay.core.order import Order
from relay.core.outcome import ChannelWrong, Outcome, Refused, Sent, Throttled
from relay.store import Settled, Settlement
from tests.simulation.jetti import MISSING, Request
from tests.simulation.process import Process
from tests.simulation.scenario import Poison, Weather
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World

COSTS_WRONG, COSTS_THROTTLE, COSTS_OUTAGE = (
    "wrong_credential_costs_no_order", "throttle_costs_no_order", "outage_costs_no_order",
)  # fmt: skip


class CostsNoOrder(Watch):
    """Neither throttles, nor wrong credentials, nor outages cost an attempt or an order; counted by what they were."""

    name = "outage_costs_no_order"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._answers: dict[int, Outcome] = {}
        self._refused: dict[tuple[int, int], str] = {}
        """By process and order: the code with which it was refused first, unless it was taken since."""
        self._excused: set[int] = set()

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        order_id, which = request.order_id, (process.number, request.order_id)
        self._answers[order_id] = outcome
        self._excused.discard(order_id)
        if isinstance(outcome, Refused | ChannelWrong):
            # A weakness that is known: an order that was refused for what it says is taken for its own culprit when it
            # is the first, after others were taken, to meet a channel that is wrong.
            if self._refused.setdefault(which, outcome.cause.code) != outcome.cause.code:
                self._excused.add(order_id)
        elif isinstance(outcome, Sent):
            self._refused.pop(which, None)

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
            self._count(COSTS_THROTTLE, cost == 0, f"a throttle cost {cost} attempts", **about)
        elif isinstance(outcome, ChannelWrong) and poison is not Poison.FORBIDDEN and before.id not in self._excused:
            self._count(COSTS_WRONG, cost == 0, f"a wrong channel cost {cost} attempts", **about)
        elif stands and not isinstance(outcome, Sent):
            self._count(COSTS_OUTAGE, cost == 0, f"{outcome} cost {cost} attempts while the circuit stood", **about)
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
            case _:
                right = False
        right |= isinstance(outcome, Refused) and code in ("http_422", MISSING) and self._item_was_unknown(order)
        name = COSTS_OUTAGE
        if isinstance(outcome, Throttled):
            name = COSTS_THROTTLE
        elif isinstance(outcome, ChannelWrong):
            name = COSTS_WRONG
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
