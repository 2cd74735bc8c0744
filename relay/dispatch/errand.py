"""What a dispatcher does with an order whose turn has come. Pace, circuit and retries are the dispatcher's."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.order import Arrival
from relay.core.outcome import Outcome, Result
from relay.core.trace import Trace
from relay.store import Taken

Leave = Callable[[], Awaitable[None]]
"""Awaited right before each request is written: the last gate of the pace."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an errand, besides how the order's delivery goes on."""

    delivered_digest: bytes | None
    """Digest of the sale that Jetti is known to have after it; ``None`` when that is not certain."""
    sale: bytes | None = field(default=None, repr=False)
    """The sale that was made, if one was."""
    may_be_there: bool = False
    """Whether it may have left something at Jetti."""
    cancel_after_s: float | None = None
    """See :attr:`relay.store.Settlement.cancel_after_s`."""
    brought: Arrival | None = field(default=None, repr=False)
    """The document that it fetched; see :attr:`relay.store.Settlement.brought`."""


@dataclass(frozen=True, slots=True)
class Done:
    """A request, and what it came to."""

    result: Result
    kept: Kept


@dataclass(frozen=True, slots=True)
class Idle:
    """The order needs no request; this is what it comes to."""

    outcome: Outcome
    kept: Kept


class Request(Protocol):
    """What is to be sent for one order: one request, or a few after each other that count as one attempt."""

    async def send(self, leave: Leave, trace: Trace | None) -> Done:
        """Send it: connect, await ``leave()``, write. ``trace``: the place that the other end is shown. Never raises
        for anything the network or the other end does."""
        ...

    def unanswered(self) -> Kept:
        """What is certain if the relay stops before it knows what came of it."""
        ...


class Errand(Protocol):
    """What is done with the orders of one channel."""

    async def prepare(self, taken: Taken) -> Request | Idle:
        """What is to be sent, if anything. Raises :class:`relay.store.StoreError` where it needs to look something up
        and cannot; then the order waits in its old place."""
        ...

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        ...
