"""Orders that are fetched before they are delivered, and cancelled after it."""

import json
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from relay.core.delivery import State
from relay.core.order import Order
from relay.core.outcome import ChannelWrong, Outcome, Refused, Throttled
from relay.core.sources import Cancel
from relay.store import Settled, Settlement, Taken
from tests.simulation.jetti import Request
from tests.simulation.process import Process
from tests.simulation.storefront import CANCEL, DELIVER, FETCH
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.thin import ThinWorld

_EPSILON_S = 0.02
_SUCCEEDED = frozenset(("sent", "fetched", "cancelled"))


class NewestOfTheStorefrontArrives(Watch):
    """Once everything is mended, Jetti has the newest state of every order at the storefront, whatever was announced
    when; an order that Jetti never had before it was cancelled is left unsent; one that is gone is a dead letter."""

    name = "newest_of_the_storefront_arrives"

    def ended(self) -> None:
        world = cast("ThinWorld", self.world)
        known = {order.external_id: order for order in world.orders()}
        for name, life in world.storefront.orders.items():
            order, true = known[name], world.storefront.document(name, newest=True)
            worked = [r for r in world.jettis[DELIVER].requests if r.order == name and r.worked_s is not None]
            said = f"it is {order.state} ({order.cause}); {true}; Jetti has {worked[-1] if worked else None}"
            if true is None:
                ok = order.state in (State.DEAD, State.SENT, State.IGNORED)
                ok &= not worked or worked[-1].content in {document.content for document in life.documents}
            elif true.cancelled and world.thin.calls_off and not worked:
                ok = order.state is State.IGNORED
            else:
                says_cancelled = true.cancelled and not world.thin.calls_off
                ok = order.state is State.SENT and bool(worked)
                ok = ok and (worked[-1].content, worked[-1].cancelled) == (true.content, says_cancelled)
            self.require(ok, said, channel=order.channel, order=name)


class NeverToAnOlderState(Watch):
    """What begins at Jetti is never older than what began before, although the storefront's replica may be."""

    name = "never_to_an_older_state"

    def __init__(self, world: "ThinWorld") -> None:
        super().__init__(world)
        self._version: dict[str, int] = {}

    def begun(self, process: Process, request: Request) -> None:
        if request.channel == DELIVER:
            version = json.loads(process.taken[DELIVER, request.order].body)["version"]
            before = self._version.get(request.order, 0)
            self.require(version >= before, f"{version} after {before}", channel=DELIVER, order=request.order)
            self._version[request.order] = version


class OneFetchForABurst(Watch):
    """An order is read as often as it was announced at the most, and not again before the wait is over."""

    name = "one_fetch_for_a_burst"

    def __init__(self, world: "ThinWorld") -> None:
        super().__init__(world)
        self._leased_s: dict[str, float] = {}
        self._before_s: dict[str, float] = {}
        self._reads: Counter[str] = Counter()

    def taken(self, process: Process, taken: Taken) -> None:
        if taken.order.channel == FETCH:
            self._leased_s[taken.order.external_id] = self.world.elapsed()

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        attempt, name = settlement.attempt, before.external_id
        if before.channel != FETCH or settled is None or attempt is None or attempt.outcome != "fetched":
            return
        world = cast("ThinWorld", self.world)
        at_s = self._leased_s[name]
        self._reads[name] += 1
        announced, since_s = len(world.storefront.announced[name]), at_s - self._before_s.get(name, -1e9)
        self.require(
            self._reads[name] <= announced, f"it is read {self._reads[name]} times, announced {announced} times",
            channel=FETCH, order=name,
        )  # fmt: skip
        self.require(
            since_s >= world.thin.wait_s - _EPSILON_S, f"it is read again after {since_s} s", channel=FETCH, order=name
        )
        self._before_s[name] = at_s


class ReadOnlyWhenTheSecondIsOver(Watch):
    """An order is not read before it has waited: what changes within the second of a webhook is announced by none."""

    name = "read_only_when_the_second_is_over"

    def begun(self, process: Process, request: Request) -> None:
        world = cast("ThinWorld", self.world)
        if request.channel == FETCH:
            if self._is_excused(process, request):
                return
            waited_s = request.begun_s - world.storefront.announced[request.order][-1]
            about = {"channel": FETCH, "order": request.order}
            leased = process.taken[FETCH, request.order].order
            if world.order(leased.id).revision == leased.revision:  # else it is read again
                least_s = min(1.0, world.thin.wait_s) - _EPSILON_S
                self.require(waited_s >= least_s, f"it is read {waited_s} s after it was announced", **about)

    def _is_excused(self, process: Process, request: Request) -> bool:
        """Two weaknesses that are known: an order that is announced again and again is read once it has waited for
        several times as long; and one that was parked or failed is tried again when its time has come, or its channel
        works again, also if it was announced anew just then."""
        world, order = cast("ThinWorld", self.world), process.taken[FETCH, request.order].order
        announced = world.storefront.announced[request.order]
        waits = [later - earlier < world.thin.wait_s for earlier, later in pairwise(announced[-6:])]
        return order.cause is not None or (len(waits) > 2 and all(waits[-3:]))


class TroubleCostsNoAttempt(Watch):
    """Whatever the storefront's API or Jetti's is like: it costs no attempt and no order. Only what is gone is dead."""

    name = "trouble_costs_no_attempt"

    def __init__(self, world: "ThinWorld") -> None:
        super().__init__(world)
        self._answers: dict[int, Outcome] = {}

    def answered(self, process: Process, request: Request, outcome: Outcome) -> None:
        self._answers[request.order_id] = outcome

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        if settlement.attempt is None or settled is None:
            return
        outcome, attempt = self._answers.pop(before.id, None), settlement.attempt
        cost, about = (
            settlement.after.attempts - before.attempts,
            {"channel": before.channel, "order": before.external_id},
        )
        if isinstance(outcome, Throttled | ChannelWrong) or (stands and attempt.outcome not in _SUCCEEDED):
            refused = isinstance(outcome, Refused)
            self.require(refused or cost == 0, f"{outcome} cost {cost} attempts", **about)
        if settlement.after.state is State.DEAD:
            gone = cast("ThinWorld", self.world).storefront.document(before.external_id, newest=True) is None
            right = gone and before.channel == FETCH and isinstance(outcome, Refused)
            self.require(right, f"it is dead: {settlement.after.cause}", **about)


class CancelledWhenItsNewestIsDelivered(Watch):
    """What is cancelled at Jetti is what Jetti has the newest state of."""

    name = "cancelled_when_its_newest_is_delivered"

    def begun(self, process: Process, request: Request) -> None:
        if request.channel != CANCEL:
            return
        taken = process.taken[CANCEL, request.order]
        newest = json.loads(taken.body)
        worked = [r for r in self.world.jettis[DELIVER].requests if r.order == request.order and r.worked_s is not None]
        self.require(
            newest["cancelled"]
            and bool(worked)
            and worked[-1].content == newest["order"]["saleDefaults"]["notes"]
            and taken.order.delivered_revision == taken.order.revision,
            f"Jetti has {worked[-1] if worked else None}, and the newest is {newest}",
            channel=CANCEL, order=request.order,
        )  # fmt: skip


class CancelledOnce(Watch):
    """A sale is cancelled once: not again when that can be seen; and in the end exactly those are that should be."""

    name = "cancelled_once"

    def begun(self, process: Process, request: Request) -> None:
        if request.content != "cancel" or request.channel != CANCEL:
            return
        earlier = [r for r in self.world.jettis[CANCEL].requests if r.order == request.order and r is not request]
        looked = next(r for r in reversed(earlier) if r.content == "look-up")
        again = [r for r in earlier if r.content == "cancel" and r.worked_s is not None and r.worked_s < looked.begun_s]
        self.require(not again, f"it was cancelled by {again}", channel=CANCEL, order=request.order)

    def ended(self) -> None:
        world = cast("ThinWorld", self.world)
        for name in world.storefront.orders:
            true, sale = world.storefront.document(name, newest=True), world.sales.get(name)
            if world.thin.calls_off and true is not None and sale is not None:
                about = f"cancelled {sale.cancelled} times, and the storefront says {true}"
                self.require((sale.cancelled > 0) == true.cancelled, about, channel=CANCEL, order=name)


class CancelledBeforehandIsLeft(Watch):
    """Nothing is sent of an order that is cancelled and that Jetti certainly never had."""

    name = "cancelled_beforehand_is_left"

    def __init__(self, world: "ThinWorld") -> None:
        super().__init__(world)
        self._uncertain: set[str] = set()
        """Orders that were under way when a process died: a store may not know which of them were in flight. And those
        of which a cancellation is the first that was read: Jetti may have had them before there was a relay."""

    def settled(
        self, process: Process, settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        if settlement.brought is None or settled is None or before.event_id is not None:
            return
        if settled.order.event_id is not None and isinstance(settlement.brought.identified, Cancel):
            self._uncertain.add(before.external_id)

    def started(self, process: Process) -> None:
        if process.number > 1:
            under_way = (State.WAITING, State.SLEEPING)
            self._uncertain |= {order.external_id for order in self.world.orders() if order.state in under_way}

    def begun(self, process: Process, request: Request) -> None:
        world = cast("ThinWorld", self.world)
        if request.channel != DELIVER or not world.thin.calls_off:
            return
        if not json.loads(process.taken[DELIVER, request.order].body)["cancelled"]:
            return
        earlier = [r for r in world.jettis[DELIVER].requests if r.order == request.order and r is not request]
        if request.order in self._uncertain:
            return
        self.require(
            any(self._may_have_left(r.outcome) for r in earlier), "Jetti certainly never had it", channel=DELIVER,
            order=request.order,
        )  # fmt: skip

    @staticmethod
    def _may_have_left(outcome: Outcome | None) -> bool:
        nothing = isinstance(outcome, ChannelWrong) or (isinstance(outcome, Throttled) and outcome.cause.status == 429)
        return not nothing
