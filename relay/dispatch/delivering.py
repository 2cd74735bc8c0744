"""The errand of a Jetti channel: make the order's sale, and send it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from relay.core.mapping import Made, Maker, conclude
from relay.core.order import Order, known_at_jetti, may_have_left
from relay.core.outcome import Result
from relay.core.trace import Trace
from relay.dispatch.errand import Done, Idle, Kept, Leave
from relay.store import Store, Taken


class Wire(Protocol):
    """The way to a channel's endpoint."""

    async def send(self, sale: bytes, leave: Leave, trace: Trace | None) -> Result:
        """Send one sale: connect, await ``leave()``, write. Never raises for anything the network or the other end
        does."""
        ...

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        ...


class Delivering:
    """Delivers orders to Jetti."""

    def __init__(
        self, store: Store, makers: Callable[[str], Maker | None], wire: Wire, *, cancel_after_s: float = 0.0
    ) -> None:
        """``cancel_after_s``: for so long after it was sent, nothing is cancelled through Jetti's API, seconds."""
        self._store = store
        self._makers = makers
        self._wire = wire
        self._cancel_after_s = cancel_after_s

    async def prepare(self, taken: Taken) -> "_Delivery | Idle":
        """The sale of the order's newest state; nothing, where it cannot be made or says nothing new."""
        order = taken.order
        maker, last = self._makers(order.storefront), None
        if maker is not None and maker.looks_back:
            last = await self._store.sale(order.id)
        made = conclude(maker, order, taken.topic, taken.body, last)
        calls_off = maker is not None and maker.calls_off
        if isinstance(made, Made):
            return _Delivery(order, made, self._wire, self._cancel_after_s if calls_off else None)
        return Idle(made, Kept(known_at_jetti(order, made, None), cancel_after_s=0.0 if calls_off else None))

    async def read_secrets(self) -> None:
        """See :class:`Wire`."""
        await self._wire.read_secrets()


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One sale, about to be sent."""

    order: Order
    made: Made
    wire: Wire
    cancel_after_s: float | None

    async def send(self, leave: Leave, trace: Trace | None) -> Done:
        """See :class:`relay.dispatch.errand.Request`."""
        result = await self.wire.send(self.made.sale, leave, trace)
        known = known_at_jetti(self.order, result.outcome, self.made.digest)
        left = may_have_left(result.outcome)
        return Done(result, Kept(known, self.made.sale, left, cancel_after_s=self.cancel_after_s))

    def unanswered(self) -> Kept:
        """Jetti may have taken it or not."""
        return Kept(None, may_be_there=True)
