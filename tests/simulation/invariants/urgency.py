"""Promise 5: what goes first."""

from collections import defaultdict
from math import ceil
from typing import TYPE_CHECKING

from relay.core.delivery import Lane
from relay.core.instant import SECOND
from relay.core.order import Order
from relay.store import Settled, Settlement, Taken
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World

_EPSILON_S = 1e-4


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
