"""The errand of a thin storefront: read an order from its API, and hand its document on to the order's channel."""

from dataclasses import dataclass
from typing import Protocol

from relay.clock import Clock
from relay.core.delivery import HeadStarts
from relay.core.events import Observer, Unexpected
from relay.core.fetched import Fetched, Unfetched
from relay.core.order import Arrival, Order
from relay.core.outcome import Obtained, Result
from relay.core.sale import Reason
from relay.core.sources import FETCHED_TOPIC, Cancel, Ignore, NotUnderstood, Thin, Upsert
from relay.core.trace import Trace
from relay.dispatch.errand import Done, Kept, Leave
from relay.store import Taken

_OK = 200


class Api(Protocol):
    """The way to a storefront's API."""

    async def fetch(self, external_id: str, leave: Leave, trace: Trace | None) -> Fetched | Unfetched:
        """Read one order, awaiting ``leave()`` before each request. Never raises for anything the network or the other
        end does."""
        ...

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        ...


@dataclass(frozen=True, slots=True)
class Fetching:
    """Fetches the orders of one storefront."""

    api: Api
    source: Thin
    channel: str
    """Where they go on."""
    head_starts: HeadStarts
    """Of that channel."""
    new_order_window_s: float
    clock: Clock
    observe: Observer

    async def prepare(self, taken: Taken) -> "_Reading":
        """All that is needed is the order's id."""
        return _Reading(self, taken.order)

    async def read_secrets(self) -> None:
        """See :class:`Api`."""
        await self.api.read_secrets()

    def arrived(self, order: Order, body: bytes, trace: Trace | None = None) -> Arrival:
        """An order's document, as a store takes it."""
        return Arrival(
            storefront=order.storefront,
            channel=self.channel,
            identified=self._identified(order, body),
            body=body,
            received_at=self.clock.now(),
            head_starts=self.head_starts,
            new_order_window_s=self.new_order_window_s,
            trace=trace,
        )

    def _identified(self, order: Order, body: bytes) -> Upsert | Cancel | Ignore | NotUnderstood:
        try:
            return self.source.identify_fetched(body, now=self.clock.now())
        except Exception as error:  # noqa: BLE001 - a defect must cost one dead letter, never the channel
            self.observe(Unexpected(f"reading the document of order {order.id}", error))
            said = f"reading it raised {type(error).__name__}, which it never should: report it"
            return NotUnderstood((Reason("", said),), "", FETCHED_TOPIC)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One order, about to be read."""

    errand: Fetching
    order: Order

    async def send(self, leave: Leave, trace: Trace | None) -> Done:
        """See :class:`relay.dispatch.errand.Request`; several requests, where the API has an order in several pages."""
        clock, waited_s = self.errand.clock, 0.0

        async def leave_timed() -> None:
            nonlocal waited_s
            asked_at = clock.monotonic()
            await leave()
            waited_s += clock.monotonic() - asked_at

        started_at = clock.monotonic()
        got = await self.errand.api.fetch(self.order.external_id, leave_timed, trace)
        took_s = max(0.0, clock.monotonic() - started_at - waited_s)
        known = self.order.delivered_digest
        if isinstance(got, Fetched):
            brought = self.errand.arrived(self.order, got.body, trace)
            return Done(Result(Obtained(_OK), took_s, _OK), Kept(known, brought=brought))
        return Done(Result(got, took_s, got.cause.status), Kept(known))

    def unanswered(self) -> Kept:
        """Reading changes nothing, at the storefront or at Jetti."""
        return Kept(self.order.delivered_digest)
