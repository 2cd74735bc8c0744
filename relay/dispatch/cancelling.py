"""The errand of a channel's cancellations: look a delivered order's sale up at Jetti, and cancel it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from relay.core import manual_sale
from relay.core.manual_sale import Head
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import Order
from relay.core.outcome import Cause, Refused, Result
from relay.core.trace import Trace
from relay.dispatch.errand import Done, Idle, Kept, Leave
from relay.store import Store, Taken

_UNKNOWN = Cause(
    "sale_unknown",
    "its sale is not remembered, and cannot be made again: cancel it at Jetti by hand, and discard this",
)


class Wire(Protocol):
    """The way to Jetti's API."""

    async def cancel(self, external_id: str, leave: Leave, trace: Trace | None) -> Result:
        """Look a sale up, and cancel it unless it is cancelled already; ``leave()`` is awaited before each request.
        Never raises for anything the network or the other end does."""
        ...

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        ...


class Cancelling:
    """Cancels orders whose newest state is delivered."""

    def __init__(self, store: Store, makers: Callable[[str], Maker | None], wire: Wire) -> None:
        self._store = store
        self._makers = makers
        self._wire = wire

    async def prepare(self, taken: Taken) -> "_Cancellation | Idle":
        """Under which id Jetti has the order: as it was sent last, and only if that is forgotten as it would be sent
        now."""
        order = taken.order
        external_id = _id_in(await self._store.sale(order.id)) or _id_in(self._made(taken))
        if external_id is None:
            return Idle(Refused(_UNKNOWN), Kept(order.delivered_digest))
        return _Cancellation(order, external_id, self._wire)

    async def read_secrets(self) -> None:
        """See :class:`Wire`."""
        await self._wire.read_secrets()

    def _made(self, taken: Taken) -> bytes | None:
        maker = self._makers(taken.order.storefront)
        always = None if maker is None else replace(maker, skip_unchanged=False, leaves_cancelled=False)
        made = conclude(always, taken.order, taken.topic, taken.body)
        return made.sale if isinstance(made, Made) else None


@dataclass(frozen=True, slots=True)
class _Cancellation:
    """One sale, about to be cancelled."""

    order: Order
    external_id: str
    wire: Wire

    async def send(self, leave: Leave, trace: Trace | None) -> Done:
        """See :class:`relay.dispatch.errand.Request`; a look-up, and perhaps the cancel call after it."""
        return Done(await self.wire.cancel(self.external_id, leave, trace), self.unanswered())

    def unanswered(self) -> Kept:
        """What its sale says is not touched by it."""
        return Kept(self.order.delivered_digest)


def _id_in(sale: bytes | None) -> str | None:
    head = None if sale is None else manual_sale.head(sale)
    return head.external_id if isinstance(head, Head) else None
