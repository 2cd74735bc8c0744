"""What the relay tells about itself, as frozen values. Logic emits them; metrics and logs subscribe.

(An *event* in the product's sense is an accepted webhook. What is told here are happenings.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from relay.core.breaker import Circuit
from relay.core.delivery import Lane, State
from relay.core.instant import Instant
from relay.core.order import Disposition
from relay.core.outcome import Cause
from relay.core.sale import Reason
from relay.core.trace import Trace


@dataclass(frozen=True, slots=True)
class EventAccepted:
    """A webhook was committed and is about to be answered with a 2xx."""

    storefront: str
    topic: str
    disposition: Disposition
    event_id: int
    order: str | None
    """The order's external id."""
    reference: str | None
    revision: int | None
    duplicate_of: int | None
    bytes: int
    duration_s: float
    """From the request's head to the commit."""
    reasons: tuple[Reason, ...] = ()
    """Why it is quarantined: no order can be read from it."""
    path: str = ""
    """Where it was sent to, printable and bounded; only where traces are made."""
    commit_s: float = 0.0
    """Of the duration, until the store had committed it."""
    trace: Trace | None = None
    """Its span's place; only where traces are made."""
    channel: str = ""
    """Where its order is to go: it is fetched first where that is ``fetch:…``."""
    order_id: int | None = None
    """The order's id in the relay, as in ``order:17``."""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request was answered with something else than a 2xx."""

    storefront: str
    """``unknown`` when the path names none that is configured."""
    status: int
    type: str
    """Last part of the problem's ``type``: ``bad-signature``, ``body-too-large`` …"""
    detail: str
    """May say more than the answer did."""
    duration_s: float
    path: str = ""
    """What was asked for, printable and bounded; empty where no request could be read."""
    trace: Trace | None = None
    """Its span's place; only of who has proved who they are."""
    reasons: tuple[Reason, ...] = ()
    """What is wrong with a manual sale: nothing else remembers it, because nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """A storefront's greeting was answered with a 2xx, and nothing of it is kept."""

    storefront: str
    words: str


@dataclass(frozen=True, slots=True)
class EventFound:
    """Mapping an event said more of it than accepting could."""

    channel: str
    storefront: str
    order: str
    reference: str | None
    revision: int
    disposition: Disposition
    """``unchanged``, ``held``, ``ignored`` or ``quarantined``."""
    reasons: tuple[Reason, ...] = ()
    trace: Trace | None = None
    """The place of the span in which it was mapped."""
    order_id: int | None = None
    """As in :class:`EventAccepted`."""


@dataclass(frozen=True, slots=True)
class SaleMade:
    """An order's newest state was made into what is to be sent; told only where traces are made."""

    channel: str
    storefront: str
    order: str
    revision: int
    began_at: Instant
    duration_s: float
    to_be_sent: bool
    """Whether something is to be sent at all."""
    trace: Trace


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """A request was sent, and what came of it is recorded: an outcome, or that the relay stopped before there was one
    (``handed_back``)."""

    channel: str
    storefront: str
    order_id: int
    order: str
    reference: str | None
    revision: int
    lane: Lane
    outcome: str
    status: int | None
    code: str
    message: str
    duration_s: float
    attempts: int
    """Attempts that counted so far, this one included if it did."""
    accepted_to_sent_s: float | None
    """From the oldest event it carries to the answer; only where it was sent."""
    state: State
    """The order's state after it."""
    due_at: Instant
    started_at: Instant = 0
    trace: Trace | None = None
    """Its span's place."""
    links: tuple[Trace, ...] = ()
    """The places of other events that it carries: those that were merged into it."""


@dataclass(frozen=True, slots=True)
class ChannelThrottled:
    """A channel was too fast: it rests for a while, and goes on more slowly; its orders lose nothing."""

    channel: str
    seconds: float
    """For how long nothing is sent."""
    cause: Cause
    rate: float
    """Requests per second afterwards."""


@dataclass(frozen=True, slots=True)
class CircuitMoved:
    """A channel's circuit opened, halted or closed; see :mod:`relay.core.breaker`."""

    channel: str
    before: Circuit
    after: Circuit
    cause: Cause | None
    """Why it is open or halted; ``None`` when it closed."""


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A channel that is open or halted was tried with one order, in vain."""

    channel: str
    circuit: Circuit
    cause: Cause
    next_s: float
    """Seconds until the next probe."""


Doing = Literal["pause", "resume", "rate", "replay", "resend", "discard", "release", "reveal"]
"""What persons do that is on record."""
DOINGS: tuple[Doing, ...] = get_args(Doing)


@dataclass(frozen=True, slots=True)
class PersonActed:
    """Someone did something that is on record."""

    by: str
    what: Doing
    about: str
    why: str


@dataclass(frozen=True, slots=True)
class DoorMoved:
    """New events began, or ceased, to be refused for want of room."""

    limit: str
    """``queue``, ``disk`` or ``backlog``."""
    storefronts: tuple[str, ...]
    """Those that are refused now; empty: none any more."""
    words: str
    """How much there is, and how much there may be."""


@dataclass(frozen=True, slots=True)
class Housekept:
    """A sweep of the store is complete: how many of each were deleted."""

    events: int
    bodies: int
    attempts: int
    orders: int
    sales: int
    returned_bytes: int
    held_max_s: float
    """The longest that the writer was held by one step."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class ReplayAdvanced:
    """A bulk replay went on, or ended."""

    replay: int
    revived: int
    left: int
    """Looked at and left as they are."""
    total: int
    ended: bool


@dataclass(frozen=True, slots=True)
class HeldWanted:
    """Held orders were released, because their storefront's ``accept_when`` rule wants them by now."""

    storefront: str
    released: int
    left: int
    """Looked at, and still held."""


@dataclass(frozen=True, slots=True)
class PermitTaken:
    """A channel's loop was allowed to send."""

    channel: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class Committed:
    """The store committed what had gathered, in one transaction."""

    requests: int
    """How many were answered by it."""
    duration_s: float
    """From its first statement until it was on the disk."""


@dataclass(frozen=True, slots=True)
class LoopLate:
    """The event loop's pulse: by how much a timer fired too late."""

    late_s: float


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """The store did not do what it was asked."""

    what: str
    error: str


@dataclass(frozen=True, slots=True)
class Unexpected:
    """A defect of ours: something raised that should not have. Nothing is lost, but someone should look."""

    where: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Started:
    """The relay runs, and listens."""

    version: str
    public_url: str
    private_url: str
    store_url: str
    storefronts: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about the configuration that the operator should know before it costs orders."""

    what: str
    remedy: str
    is_wrong: bool = False
    """Whether it must not stay so: a secret that everyone knows."""


@dataclass(frozen=True, slots=True)
class ExportMoved:
    """Traces began, or ceased, not to get to their collector. Nothing else depends on them."""

    failing: bool
    why: str
    lost: int
    """Spans that did not get there since they began not to."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """No new events from here on; what is in flight may still finish."""

    grace_s: float
    """For so long, seconds."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Everything is closed, the store included."""


Happening = (
    EventAccepted
    | RequestRefused
    | Greeted
    | EventFound
    | SaleMade
    | AttemptMade
    | ChannelThrottled
    | CircuitMoved
    | ProbeFailed
    | PersonActed
    | DoorMoved
    | Housekept
    | ReplayAdvanced
    | HeldWanted
    | PermitTaken
    | Committed
    | LoopLate
    | StoreTrouble
    | Unexpected
    | Started
    | Warned
    | ExportMoved
    | Stopping
    | Stopped
)

Observer = Callable[[Happening], None]
"""Is told of everything, at once, in the event loop: must be quick and must not raise."""
