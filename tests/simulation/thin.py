"""The world of a thin storefront: orders that are announced, fetched, delivered and, if they are cancelled, cancelled
through Jetti's API; one channel for each of these."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

from relay.core import cancelling as cancelling_rules
from relay.core import fetched as fetching_rules
from relay.core import instant
from relay.core.cancelling import Found, Wanted
from relay.core.fetched import Fetched, Unfetched
from relay.core.instant import Instant
from relay.core.mapping import Maker
from relay.core.order import Arrival, Order
from relay.core.outcome import Answer, Obtained, Outcome, Result
from relay.core.sale import Reason
from relay.core.sources import FETCHED_TOPIC, Cancel, Headers, Ignore, Mapped, NotUnderstood, Page, Unmappable, Upsert
from relay.core.sources import Request as Asked
from relay.core.sources.native import Native
from relay.core.trace import Trace
from relay.dispatch import Cancelling, Delivering, Errand, Fetching
from relay.dispatch.errand import Leave
from relay.store import Receipt, Store
from relay.store.memory import MemoryStore
from tests.builders import NOW
from tests.simulation.invariants import THIN
from tests.simulation.jetti import Jetti, Reply, Request
from tests.simulation.process import Process, Wire
from tests.simulation.scenario import End
from tests.simulation.shop import Shop
from tests.simulation.storefront import CANCEL, DELIVER, FETCH, Document, Storefront, ThinScenario
from tests.simulation.watch import Watch
from tests.simulation.world import World

_CHANNEL_ID = 7
_WINDOW_S = 86_400.0


class ThinSource(Native):
    """What is fetched is a manual sale, in an envelope with the order's version."""

    def first_request(self, external_id: str) -> Asked:
        return Asked(f"orders/{external_id}")

    def next_request(self, pages: object) -> Asked | None:
        return None

    def assemble(self, pages: Sequence[Page]) -> bytes:
        return pages[0].body

    def identify_fetched(self, body: bytes, *, now: Instant) -> Upsert | Cancel | Ignore | NotUnderstood:
        read = json.loads(body)
        event = Cancel if read["cancelled"] else Upsert
        version = NOW + read["version"] * instant.SECOND
        key = blake2b(body, digest_size=8).hexdigest()
        return event(read["order"]["externalId"], version, key, FETCHED_TOPIC, None, NOW)

    def asks_to_wait_s(self, headers: Headers) -> float | None:
        return None

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        if not body:
            return Unmappable((Reason("", "never fetched"),))
        return super().sale(json.dumps(json.loads(body)["order"]).encode(), topic)


def written(order: str, document: Document) -> bytes:
    """An order as the API says it."""
    sale = {
        "externalId": order,
        "saleDefaults": {"reference": f"#{order}", "notes": document.content},
        "customer": {"firstName": "Ann", "lastName": "Smith", "email": "ann@example.com"},
        "lineItems": [{"externalId": "1", "name": "thing", "quantity": 1, "price": 2, "variant": {"sku": "thing"}}],
    }
    return json.dumps({"version": document.version, "cancelled": document.cancelled, "order": sale}).encode()


@dataclass(slots=True)
class Sale:
    """What Jetti has."""

    id: int
    imported_s: float
    cancelled: int = 0
    """How often it was, by requests of which the later one began when the earlier one had worked."""


class ThinWorld(World):
    """One scenario, under way."""

    every: ClassVar[tuple[type[Watch], ...]] = THIN

    def __init__(
        self, scenario: ThinScenario, disk: MemoryStore | None = None, altered: Callable[[Process], None] | None = None
    ) -> None:
        self.thin = scenario
        self.sales: dict[str, Sale] = {}
        """At Jetti, by external id."""
        super().__init__(scenario, disk, altered)
        self.storefront: Storefront

    def _endpoints(self) -> Mapping[str, Jetti]:
        return {name: Jetti(line, {}, self.chance, self.clock, self.elapsed) for name, line in self.lines.items()}

    def _maker(self) -> Maker:
        off = self.thin.calls_off
        return Maker(ThinSource(), calls_off=off, leaves_cancelled=off)

    def _shop(self) -> Shop:
        self.storefront = Storefront(self, self.thin)
        return self.storefront

    def _process(self, number: int, end: End | None) -> Process:
        return ThinProcess(self, number, end)

    def worked(self, request: Request) -> None:
        """Jetti has done what it was asked."""
        first = request.worked_s is None
        super().worked(request)
        if request.channel == DELIVER and first and request.order not in self.sales:
            takes_s = self.chance.between(0.0, self.thin.imports_s, "import")
            self.sales[request.order] = Sale(len(self.sales) + 1, self.elapsed() + takes_s)
        if request.channel == CANCEL and request.content == "cancel":
            self.sales[request.order].cancelled += 1

    def _died_of_weather(self, order: Order) -> bool:
        """None may."""
        return False

    def follows(self, process: Process, request: Request) -> None:
        """A request was answered, and another one of the same attempt follows."""
        request.outcome = Obtained(200)
        process.open.pop(request.order_id, None)
        self.note(f"request {request.number} is answered", request.channel, request.order)


class ThinProcess(Process):
    """One life of a relay that fetches and cancels."""

    world: ThinWorld

    def errand(self, channel: str, store: Store) -> Errand:
        world, endpoint = self.world, self.world.jettis[channel]
        match channel:
            case "main":
                wait_s = world.thin.cancel_after_s
                return Delivering(store, world.makers, Wire(self, endpoint), cancel_after_s=wait_s)
            case _ if channel == CANCEL:
                return Cancelling(store, world.makers, CancelWire(self, endpoint))
            case _:
                starts = world.lines[DELIVER].channel.head_starts
                return Fetching(
                    FetchWire(self, endpoint), ThinSource(), DELIVER, starts, _WINDOW_S, world.clock, self.observe
                )

    async def handle(self, arrival: Arrival) -> Receipt:
        receipt = await self.fence.accept(arrival)
        if receipt.waiting is not None:
            self.dispatchers[FETCH].offer(receipt.waiting)
        self.dispatchers[FETCH].asleep(instant.after(self.world.clock.now(), self.world.thin.wait_s))
        return receipt


class FetchWire(Wire):
    """The way to the storefront's API."""

    _process: ThinProcess

    async def fetch(self, external_id: str, leave: Leave, _: Trace | None) -> Fetched | Unfetched:
        world, process = self._process.world, self._process
        document: Document | None = None
        for left in reversed(range(world.thin.pages)):
            request, reply = await self.exchange("fetch", lambda: self._jetti.noted(external_id, process.number), leave)
            if document is None:
                document = world.storefront.document(external_id, now_s=request.begun_s)
            outcome = self._judged(reply, external_id, document)
            if not isinstance(outcome, Page):
                world.answered(process, request, outcome)
                return outcome
            if left:
                world.follows(process, request)
            else:
                world.answered(process, request, Obtained(200))
        assert document is not None
        return Fetched(written(external_id, document))

    def _judged(self, reply: Reply, order: str, document: Document | None) -> Page | Unfetched:
        said = reply.said
        if not isinstance(said, Answer):
            return said  # type: ignore[return-value] # what a broken connection comes to is among both
        asked = Asked(f"orders/{order}")
        answer = fetching_rules.Reply(said.status, {}, said.body)
        if said.retry_after is not None:
            answer = fetching_rules.Reply(said.status, {"Retry-After": said.retry_after}, said.body)
        if said.status == 200:
            answer = fetching_rules.Reply(404, {}, b"") if document is None else fetching_rules.Reply(200, {}, b"{}")
        return fetching_rules.judge(asked, answer, None, now=self._world.clock.now())


class CancelWire(Wire):
    """The way to Jetti's API."""

    _process: ThinProcess

    async def cancel(self, external_id: str, leave: Leave, _: Trace | None) -> Result:
        process, world, jetti = self._process, self._process.world, self._jetti
        request, reply = await self.exchange(
            "look-up", lambda: jetti.noted(external_id, process.number, content="look-up"), leave
        )
        found = self._found(reply, external_id, request.begun_s)
        if not isinstance(found, Found):
            world.answered(process, request, found)
            return Result(found, 0.0)
        world.follows(process, request)
        request, reply = await self.exchange(
            "cancel", lambda: jetti.noted(external_id, process.number, content="cancel"), leave
        )
        said = reply.said
        outcome = cancelling_rules.cancelled(said, now=world.clock.now()) if isinstance(said, Answer) else said
        world.answered(process, request, outcome)
        return Result(outcome, 0.0)

    def _found(self, reply: Reply, order: str, at_s: float) -> Found | Outcome:
        said, world = reply.said, self._process.world
        if not isinstance(said, Answer):
            return said
        if said.status == 200:
            sale = world.sales.get(order)
            rows = [] if sale is None or sale.imported_s > at_s else [
                {"id": sale.id, "externalId": order, "channelId": _CHANNEL_ID, "cancelled": sale.cancelled > 0}
            ]  # fmt: skip
            said = Answer(200, json.dumps(rows).encode())
        return cancelling_rules.found(said, Wanted(order, _CHANNEL_ID), now=world.clock.now())
