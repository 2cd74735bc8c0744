"""Promises 3 and 4: what is sent, how often, and in what order."""

from typing import TYPE_CHECKING

from relay.core.order import Order
from relay.store import Revived, Settled, Settlement, Taken
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.world import World


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
