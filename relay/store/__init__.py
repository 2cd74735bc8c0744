"""The store's contract: the durable queue, and everything the relay remembers.

Three stores keep it (memory, SQLite; PostgreSQL is to come) and one conformance suite runs on all of them. What an
event or an attempt does to an order is decided by :mod:`relay.core.order`, inside the store's transaction; a store
only finds, keeps and counts. Every method that changes something returns after the commit, never before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.backlog import Waiting
from relay.core.delivery import Delivery, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.order import Arrival, Disposition, Finding, Order
from relay.core.sale import Reason


class StoreError(Exception):
    """The store did not do what it was asked; nothing was acknowledged."""


class StoreFull(StoreError):
    """As many requests wait for a commit as may; come back in a moment."""


class StoreFailed(StoreError):
    """The transaction could not be committed (I/O error, full or missing disk); nothing of it is kept."""


class StoreOwned(StoreError):
    """Another process owns this store."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival, now that it is durable."""

    event_id: int
    disposition: Disposition
    order_id: int | None = None
    revision: int | None = None
    """The revision the event became."""
    duplicate_of: int | None = None
    waiting: Waiting | None = None
    """The order's place in the backlog, if this event put it there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery leased to whoever asked, with all that is needed to make and send its sale."""

    order: Order
    """As of the lease; ``order.lease`` holds the token to show when settling."""
    topic: str
    """Of the event whose body follows."""
    body: bytes = field(repr=False)
    """The newest raw event that is the whole order."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and what it came to."""

    revision: int
    started_at: Instant
    duration_s: float
    outcome: str
    """``sent``, ``refused``, ``throttled``, ``failed``, ``channel_wrong`` or ``handed_back``."""
    status: int | None = None
    code: str = ""
    message: str = ""
    excerpt: str = ""
    """The beginning of what was answered."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a delivery goes on."""

    order_id: int
    token: int | None
    """The lease's. ``None`` from the inspector, which leases nothing: then the settlement is dropped if the order was
    leased, or moved on, in the meantime."""
    after: Delivery
    now: Instant
    head_starts: HeadStarts
    delivered_digest: bytes | None
    """Digest of the sale that Jetti is known to have after this; ``None`` when that is not certain."""
    attempt: Attempt | None = None
    sale: bytes | None = field(default=None, repr=False)
    """The sale that was made, if one was: kept as the order's newest."""
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The settlement is durable."""

    order: Order
    waiting: Waiting | None
    """The order's place in the backlog, if it waits again at once."""


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted webhook, as remembered."""

    id: int
    storefront: str
    topic: str
    received_at: Instant
    disposition: Disposition
    order_id: int | None
    version: Instant | None
    revision: int | None
    duplicate_of: int | None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is remembered of one order, oldest first."""

    order: Order
    events: Sequence[Event]
    attempts: Sequence[Attempt]


Tally = Mapping[tuple[str, State, Lane], int]
"""How many orders are in each state, by channel, state and lane. Exact, and kept, not counted."""


class Store(Protocol):
    """What the relay needs of a store. Every look-up on the hot path is answered by an index."""

    async def accept(self, arrival: Arrival) -> Receipt:
        """Keep an authentic webhook; durable when this returns. Deduplicated in the same transaction.

        Raises :class:`StoreFull` or :class:`StoreFailed`; then nothing is kept and nothing may be acknowledged.
        """
        ...

    async def take(self, channel: str, candidates: Sequence[int]) -> Taken | None:
        """Lease the first of the candidates (order ids, most urgent first) that still waits and is not leased."""
        ...

    async def look(self, order_id: int) -> Taken | None:
        """What :meth:`take` would give, without a lease; ``None`` if the order does not wait or is leased."""
        ...

    async def settle(self, settlement: Settlement) -> Settled | None:
        """Record how a delivery goes on and end its lease; ``None`` if the lease is not the order's any more."""
        ...

    async def head(self, channel: str, limit: int) -> Sequence[Waiting]:
        """The most urgent of what waits for the channel, in order of urgency."""
        ...

    async def wake(self, channel: str, now: Instant, limit: int) -> Sequence[Waiting]:
        """Let sleeping deliveries wait whose time has come, the longest due first."""
        ...

    async def next_due(self, channel: str) -> Instant | None:
        """When the next sleeping delivery is due."""
        ...

    async def tally(self) -> Tally:
        """How many orders are in which state."""
        ...

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        """Since when the longest waiting delivery of each channel and lane has been due."""
        ...

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        """Orders by reference (``#1001``) or external id, newest first."""
        ...

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        """One order's events and attempts."""
        ...

    async def dead_letters(self, limit: int = 100) -> Sequence[Order | Event]:
        """What needs a person: dead orders, and authentic events from which no order could be read. Newest first."""
        ...

    async def lost_events(self, limit: int = 10_000) -> int:
        """How many authentic events there are from which no order could be read; counted up to ``limit``."""
        ...

    async def body(self, event_id: int) -> bytes | None:
        """An event's raw body; ``None`` once its retention has ended."""
        ...

    async def sale(self, order_id: int) -> bytes | None:
        """The newest sale that was made of the order."""
        ...

    async def probe(self) -> None:
        """Commit something that changes nothing: a store that failed finds out whether it works again."""
        ...

    def failure(self) -> str | None:
        """Why the store cannot commit at present; ``None`` when it can."""
        ...

    async def close(self) -> None:
        """Finish what was asked, and let go of the store."""
        ...
