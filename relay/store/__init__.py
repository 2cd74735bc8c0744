"""The store's contract: the durable queue, and everything the relay remembers.

Three stores keep it (memory, SQLite; PostgreSQL is to come) and one conformance suite runs on all of them. What an
event or an attempt does to an order is decided by :mod:`relay.core.order`, inside the store's transaction; a store
only finds, keeps and counts. Every method that changes something returns after the commit, never before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.backlog import Waiting
from relay.core.condition import Condition
from relay.core.delivery import TRANSITIONS, Delivery, HeadStarts, Lane, State
from relay.core.events import Doing
from relay.core.instant import Instant
from relay.core.order import Arrival, Disposition, Finding, Order
from relay.core.sale import Reason
from relay.core.trace import LINKS_MAX, Trace


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
    """Of the event whose body follows; empty, like the body, where there is none (yet)."""
    body: bytes = field(repr=False)
    """The newest raw event that is the whole order."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and what it came to."""

    revision: int
    started_at: Instant
    duration_s: float
    outcome: str
    """``sent``, ``fetched``, ``refused``, ``throttled``, ``failed``, ``channel_wrong`` or ``handed_back``."""
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
    """Digest of the sale that Jetti is known to have after this; ``None`` when that is not certain. See
    :attr:`relay.core.order.Order.delivered_digest`."""
    attempt: Attempt | None = None
    sale: bytes | None = field(default=None, repr=False)
    """The sale that was made, if one was: kept as the order's newest."""
    finding: Finding | None = None
    may_be_there: bool = False
    """Whether the attempt may have left something at Jetti."""
    cancel_after_s: float | None = None
    """If everything of the order is delivered by this, and it is cancelled: in so many seconds it is cancelled through
    Jetti's API. ``None``: its sale says it."""
    brought: Arrival | None = field(default=None, repr=False)
    """The document that the attempt fetched: it is kept as an event of the order, and decides, instead of ``after``,
    how the order goes on; see :func:`relay.core.order.fetched`. Dropped if the order is to be fetched again."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The settlement is durable."""

    order: Order
    waiting: Waiting | None
    """The order's place in the backlog, if it waits again at once; of :attr:`Order.channel`, which may be another than
    it was taken from."""


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
    trace: Trace | None = None
    """Where its delivery goes on, if it became a revision, and traces were made."""


@dataclass(frozen=True, slots=True)
class LostEvent:
    """An authentic event from which no order could be read, so that it can be read again."""

    event: Event
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """Those that its source reads an order from."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is remembered of one order, oldest first."""

    order: Order
    events: Sequence[Event]
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Deed:
    """What a person did: kept for ever, in the transaction that did it."""

    at: Instant
    by: str
    what: Doing
    about: str
    """A channel, an order, an event, or what was selected: ``channel main``, ``order:17``, ``code http_422`` … With
    the rate that was set, of a channel: ``channel main: 2.5/s for now``."""
    why: str
    token: str | None = None
    """The name of the API token that was used; ``None`` where none was, and for what was done before these were
    kept."""
    id: int | None = field(default=None, compare=False)
    """Given by the store, greater for each; ``None`` until it is kept."""


NO_ORDER = "no_order"
"""The cause code that events have, as dead letters, from which no order could be read."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: those for which everything that is given holds."""

    code: str | None = None
    """Of the cause; :data:`NO_ORDER` for events from which no order could be read."""
    channel: str | None = None
    """No event without an order has one."""
    storefront: str | None = None
    since: Instant | None = None
    """Dead since then or later."""
    until: Instant | None = None
    """Dead since then or earlier."""

    @property
    def orders(self) -> bool:
        """Whether it can select orders."""
        return self.code != NO_ORDER

    @property
    def events(self) -> bool:
        """Whether it can select events from which no order could be read."""
        return self.code in (None, NO_ORDER) and self.channel is None


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters with one cause, of one channel and storefront."""

    code: str
    channel: str | None
    """``None`` for events from which no order could be read."""
    storefront: str
    count: int
    first_at: Instant
    """Since when the longest dead is dead."""
    last_at: Instant
    message: str
    """Of the newest one's cause."""


@dataclass(frozen=True, slots=True)
class Revival:
    """Orders to be sent on their way again."""

    order_ids: Sequence[int]
    now: Instant
    head_starts: Mapping[str, HeadStarts]
    """By channel; the defaults where a channel is missing."""
    lane: Lane | None = Lane.REPLAY
    """``None``: each in the lane it had."""
    code: str | None = None
    """Only those whose cause has this code."""
    deed: Deed | None = None
    again: bool = False
    """Also those that were sent; and what goes out is sent though Jetti has just that."""


@dataclass(frozen=True, slots=True)
class Revived:
    """An order that waits again."""

    channel: str
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class Release:
    """Held orders that are to go on."""

    order_ids: Sequence[int]
    now: Instant
    head_starts: Mapping[str, HeadStarts]
    """By channel; the defaults where a channel is missing."""
    channels: Mapping[str, str]
    """The channel that each storefront leads to; where one is missing, its orders stay on theirs."""
    lane: Lane | None = None
    """``None``: in a lane of live traffic."""
    deed: Deed | None = None
    """Who says so: then ``accept_when`` is not asked about these orders again. ``None``: it wants them now."""


@dataclass(frozen=True, slots=True)
class Released:
    """What a release came to."""

    waiting: tuple[Revived, ...] = ()
    """Orders that wait again."""
    marked: tuple[int, ...] = ()
    """Ids of orders that were being asked about anew, or were released before: they are on their way already."""

    @property
    def order_ids(self) -> Sequence[int]:
        """All of them."""
        return [*(revived.waiting.order_id for revived in self.waiting), *self.marked]


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """What is held of one storefront."""

    storefront: str
    count: int
    oldest_at: Instant
    """Since when the longest held is held."""


HeldPlace = tuple[Instant, int]
"""How far one has come among held orders, those held longest first: since when the last one is held, and its id."""
DeadPlace = tuple[Instant, bool, int]
"""How far one has come among dead letters, newest first: since when the last one is dead, whether it is an event, and
its id. It stays good when that one is no dead letter any more, and whatever becomes one meanwhile is before it."""


def dead_place(letter: Order | Event) -> DeadPlace:
    """Where a dead letter is among them, to go on behind it."""
    if isinstance(letter, Event):
        return letter.received_at, True, letter.id
    return letter.since, False, letter.id


SearchPlace = tuple[bool, int]
"""How far one has come in a search for orders: whether still among those that are exactly what was typed, and the id
of the last one looked at."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which orders: those for which everything that is given holds."""

    text: str | None = None
    """Their reference or external id is this, or begins with it; the ``#`` in front may be there or not, here and
    there. Upper and lower case differ. Blank: any."""
    email: bytes | None = None
    """That of who bought, by the newest sale that was made: see :func:`relay.core.search.email_hash`."""
    states: frozenset[State] = frozenset()
    """In one of these; empty: in any."""
    storefront: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class OrdersPage:
    """Some orders that were found, newest first; those that are exactly what was typed before all others."""

    orders: Sequence[Order]
    next: SearchPlace | None
    """Where to go on; ``None``: there are no others. A page may be short, even empty, and have a next one, because
    only so many orders are looked at for each."""


@dataclass(frozen=True, slots=True)
class EventSearch:
    """Which events: those for which everything that is given holds."""

    storefront: str | None = None
    dispositions: frozenset[Disposition] = frozenset()
    """With one of these, as far as is known by now; empty: with any."""
    order_id: int | None = None
    since: Instant | None = None
    """Received then or later."""
    until: Instant | None = None
    """Received then or earlier."""


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Some events that were found, those accepted last first."""

    events: Sequence[Event]
    next: int | None
    """The id of the last one looked at, to go on behind it; ``None``: there are no others. A page may be short, even
    empty, and have a next one, because only so many events are looked at for each."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event, and whether its raw body is still kept: see :meth:`Store.body`."""

    event: Event
    has_body: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """What a storefront has sent since the store was made, whatever was deleted of it since."""

    accepted: int
    """Webhooks, duplicates and those included that say nothing new."""
    last_at: Instant
    """When the latest of them was received."""


@dataclass(frozen=True, slots=True)
class Discarding:
    """What needs nothing, as a person says."""

    deed: Deed
    order_ids: Sequence[int] = ()
    event_ids: Sequence[int] = ()
    states: frozenset[State] = frozenset(state for state in State if State.DISCARDED in TRANSITIONS[state])
    """Only orders that are in one of these: one that lives again is not discarded by who saw it dead."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A bulk replay: durable, and goes on where it was when the relay starts again."""

    id: int
    selection: Selection
    """Its ``until`` is at most the moment it began, so that what dies again meanwhile is not replayed endlessly."""
    begun_at: Instant
    by: str
    why: str
    total: int
    """Dead letters that were selected when it began."""
    revived: int = 0
    left: int = 0
    """Looked at, and left as they are: what they need is not there (no whole webhook, still not understood)."""
    order_id: int = 0
    """Orders up to this id are done."""
    event_id: int = 0
    """Events up to this id are done."""
    ended_at: Instant | None = None
    deed_id: int | None = None
    """The deed that began it, which each order that it revives is found to be a subject of; ``None`` of those from
    before this was kept."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """One step of a replay."""

    replay: Replay
    revived: Sequence[Revived]
    more: bool
    """Whether orders are left that it may select."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What is old enough to be forgotten."""

    bodies: Instant
    """Raw webhooks and sales, which hold personal data, of what is finished: received before this."""
    finished: Instant
    """Events, attempts and finished orders: before this."""


@dataclass(frozen=True, slots=True)
class SweepPlace:
    """How far a sweep has come; ids of the rows looked at last."""

    event_id: int = 0
    order_id: int = 0
    attempt_id: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """One step of a sweep: how many of each were deleted, and where to go on."""

    place: SweepPlace | None
    """``None``: the sweep is complete."""
    events: int = 0
    bodies: int = 0
    attempts: int = 0
    orders: int = 0
    sales: int = 0
    held_s: float = 0.0
    """How long the writer was held, seconds."""


@dataclass(frozen=True, slots=True)
class Size:
    """What the store takes, and what its disk has left, bytes."""

    store: int
    """The database file."""
    wal: int
    """The write-ahead log beside it."""
    unused: int
    """Inside the file, and not returned to the file system yet."""
    disk_free: int
    """For this user."""


Tally = Mapping[tuple[str, State, Lane], int]
"""How many orders are in each state, by channel, state and lane. Exact, and kept, not counted."""
DeadTally = Mapping[tuple[str | None, str], int]
"""How many dead letters there are, by channel (``None`` for events from which no order could be read) and code of the
cause; none that has none. Exact, and kept, not counted."""


class Store(Protocol):
    """What the relay needs of a store. Every look-up on the hot path is answered by an index."""

    async def accept(self, arrival: Arrival, *, share: float = 1.0) -> Receipt:
        """Keep an authentic webhook; durable when this returns. Deduplicated in the same transaction.

        ``share``: how much of the commit queue may be in use for it to be let in, from 0 to 1.

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

    async def ahead_of(self, place: Waiting, channel: str, limit: int) -> int:
        """How many deliveries that wait for the channel, and are not in flight, are more urgent than this place;
        counted up to ``limit``."""
        ...

    async def wake(self, channel: str, now: Instant, limit: int, *, beyond: Instant | None = None) -> Sequence[Waiting]:
        """Let sleeping deliveries wait whose time has come, the longest due first.

        Also those that are due later than ``beyond``, which no delivery may be: they have outlived a clock that was
        set back.
        """
        ...

    async def sleepers_due(self, channel: str) -> tuple[Instant, Instant] | None:
        """When the first and the last sleeping delivery is due; ``None`` if none sleeps."""
        ...

    async def conditions(self) -> Mapping[str, Condition]:
        """Every channel's condition that was kept."""
        ...

    async def keep(self, channel: str, condition: Condition, deed: Deed | None = None) -> None:
        """Keep a channel's condition; and, in the same transaction, who changed it."""
        ...

    async def revive(self, revival: Revival) -> Sequence[Revived]:
        """Let dead or discarded orders wait again (``again``: sent ones, too) that have a whole webhook or are fetched;
        the others are left as they are."""
        ...

    async def discard(self, discarding: Discarding) -> tuple[Sequence[int], Sequence[int]]:
        """Discard orders that are in one of the states named and not leased, and events from which no order could be
        read; returns the ids of the orders and of the events that were."""
        ...

    async def release(self, release: Release) -> Released:
        """Let held orders wait again that have a whole webhook; the others are left as they are."""
        ...

    async def understood(self, event_id: int, arrival: Arrival, deed: Deed | None = None) -> Receipt | None:
        """An event from which no order could be read is understood at last: it does to its order what it would have
        done, in the ``replay`` lane. ``arrival.received_at`` is now; the event keeps the time it came at. ``None`` if
        the event is not such a one (any more). ``deed``: who had it read again."""
        ...

    async def begin_replay(self, selection: Selection, deed: Deed) -> Replay:
        """Begin a bulk replay of what is selected and dead by ``deed.at``."""
        ...

    async def advance_replay(
        self, replay_id: int, *, limit: int, now: Instant, head_starts: Mapping[str, HeadStarts]
    ) -> Advanced | None:
        """Revive the next orders of a replay, and remember in the same transaction how far it is. ``None`` if it has
        ended or there is none of this id."""
        ...

    async def note_replay(
        self, replay_id: int, *, event_id: int, revived: int, left: int, ended_at: Instant | None
    ) -> Replay | None:
        """Remember how far a replay is with events that name no order: the last one looked at, how many more were
        revived and left. ``None`` if it has ended or there is none of this id."""
        ...

    async def replays(self, limit: int = 20, *, running: bool = False, after: int | None = None) -> Sequence[Replay]:
        """Bulk replays, newest first; ``running``: only those that have not ended; ``after``: only those before the
        one of this id."""
        ...

    async def replay(self, replay_id: int) -> Replay | None:
        """How far one bulk replay is."""
        ...

    async def record(self, deed: Deed) -> None:
        """Keep what a person did, where no other method does."""
        ...

    async def deeds(self, limit: int = 100, *, after: int | None = None, about: str | None = None) -> Sequence[Deed]:
        """What persons did, newest first. ``after``: only what was done before the one of this id; ``about``: only what
        is exactly about this, such as ``order:17``, or was done to that among others."""
        ...

    async def sweep(self, cutoffs: Cutoffs, place: SweepPlace, *, limit: int) -> Swept:
        """Delete what is finished and old enough among the next ``limit`` rows: see
        :mod:`relay.housekeeping` for what that is. Never what an unfinished order needs."""
        ...

    async def shrink(self, most_bytes: int) -> int:
        """Return space that is not used to the file system, at most so many bytes; returns how many were."""
        ...

    async def size(self) -> Size | None:
        """What the store takes; ``None`` if it has no disk."""
        ...

    async def tally(self) -> Tally:
        """How many orders are in which state."""
        ...

    async def dead_tally(self) -> DeadTally:
        """How many dead letters there are, by channel and cause."""
        ...

    async def storefronts(self) -> Mapping[str, Sender]:
        """What each storefront has sent that ever sent anything; kept, not counted."""
        ...

    async def oldest_due(self) -> Mapping[tuple[str, Lane], Instant]:
        """Since when the most urgent delivery of each channel and lane has been due: that is the longest, but where
        orders are fetched, which keep their place when a further webhook lets them sleep anew."""
        ...

    async def find(self, reference: str, limit: int = 20) -> Sequence[Order]:
        """Orders by reference (``#1001``) or external id, newest first."""
        ...

    async def search(self, wanted: Search, *, limit: int = 20, after: SearchPlace | None = None) -> OrdersPage:
        """Orders that are wanted, beyond ``after``: newest first, that is by their ids; but those that are exactly
        ``wanted.text`` before those that only begin with it."""
        ...

    async def event(self, event_id: int) -> KeptEvent | None:
        """One event, of whatever order or none."""
        ...

    async def events(self, wanted: EventSearch, *, limit: int = 100, after: int | None = None) -> EventsPage:
        """Events that are wanted, those accepted last first, that is by their ids: those before the one of id
        ``after``."""
        ...

    async def timeline(self, order_id: int, limit: int = 1000) -> Timeline | None:
        """One order's events and attempts."""
        ...

    async def traces(self, order: Order, limit: int = LINKS_MAX) -> Sequence[Trace]:
        """Where a delivery of the order goes on, and what else it carries: the places that were kept with the events
        that became the revisions after the delivered one (with the newest where there is none after it), the newest
        first. Of its last ``limit`` events."""
        ...

    async def dead_letters(
        self, limit: int = 100, selection: Selection = EVERYTHING, *, after: DeadPlace | None = None
    ) -> Sequence[Order | Event]:
        """What needs a person: dead orders, and authentic events from which no order could be read. Newest first;
        beyond ``after``, see :func:`dead_place`."""
        ...

    async def dead_groups(self) -> Sequence[DeadGroup]:
        """Dead letters by cause, the largest group first."""
        ...

    async def held_groups(self) -> Sequence[HeldGroup]:
        """What is held, by storefront; kept, not counted."""
        ...

    async def held(
        self,
        limit: int = 100,
        *,
        storefront: str | None = None,
        after: HeldPlace | None = None,
        until: Instant | None = None,
    ) -> Sequence[Order]:
        """Held orders, those held longest first: beyond ``after``, and held since ``until`` or longer."""
        ...

    async def held_whole(self, storefront: str, *, after: HeldPlace | None, limit: int) -> Sequence[Taken]:
        """The same of one storefront, with what their sales are made from; an empty body where that is not kept."""
        ...

    async def lost(self, *, after: int, limit: int, selection: Selection = EVERYTHING) -> Sequence[LostEvent]:
        """Events from which no order could be read, with what is needed to read them again; ids above ``after``, in
        their order."""
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
