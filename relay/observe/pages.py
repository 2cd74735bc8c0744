"""The runbook's pages, by the names that log lines and alerts give: ``docs/how-to/runbook/<name>.md``."""

from enum import StrEnum

from relay.core.breaker import Circuit
from relay.core.delivery import State
from relay.core.events import (
    AttemptMade,
    ChannelThrottled,
    CircuitMoved,
    DoorMoved,
    EventAccepted,
    EventFound,
    Happening,
    PersonActed,
    ProbeFailed,
    ReplayAdvanced,
    RequestRefused,
    StoreTrouble,
    Unexpected,
)
from relay.core.order import Disposition


class Page(StrEnum):
    """What to do when something is wrong."""

    CHANNEL_HALTED = "channel-halted"
    CIRCUIT_OPEN = "circuit-open"
    CHANNEL_THROTTLED = "channel-throttled"
    CHANNEL_PAUSED = "channel-paused"
    DEAD_LETTERS = "dead-letters"
    NO_ORDER_READ = "no-order-read"
    STORE_FAILING = "store-failing"
    DISK_NEARLY_FULL = "disk-nearly-full"
    BACKLOG_LIMIT = "backlog-limit"
    STOREFRONT_REFUSED = "storefront-refused"
    SIGNATURE_FAILURES = "signature-failures"
    REPLAY_STUCK = "replay-stuck"
    UNEXPECTED_ERROR = "unexpected-error"
    RELAY_ABSENT = "relay-absent"
    NEW_ORDERS_LATE = "new-orders-late"
    DRAIN_SLOW = "drain-slow"
    ORDERS_BLOCKED = "orders-blocked"
    ORDERS_STRANDED = "orders-stranded"
    MANY_SUPERSEDED = "many-superseded"
    STOREFRONT_SILENT = "storefront-silent"
    INGEST_ERRORS = "ingest-errors"
    INGEST_SLOW = "ingest-slow"
    DELIVERY_FAILING = "delivery-failing"


ONLY_ALERTS = frozenset(
    {
        Page.RELAY_ABSENT, Page.NEW_ORDERS_LATE, Page.DRAIN_SLOW, Page.ORDERS_STRANDED, Page.STOREFRONT_SILENT,
        Page.INGEST_ERRORS, Page.INGEST_SLOW, Page.DELIVERY_FAILING, Page.ORDERS_BLOCKED, Page.MANY_SUPERSEDED,
    }
)  # fmt: skip
"""Those that no line names, because they are about many happenings together, or about none."""


_CIRCUITS = {Circuit.OPEN: Page.CIRCUIT_OPEN, Circuit.HALTED: Page.CHANNEL_HALTED}
_LIMITS = {"queue": Page.STOREFRONT_REFUSED, "disk": Page.DISK_NEARLY_FULL, "backlog": Page.BACKLOG_LIMIT}
_REFUSALS = {
    "bad-signature": Page.SIGNATURE_FAILURES,
    "store-failed": Page.STORE_FAILING,
    "busy": Page.STOREFRONT_REFUSED,
    "too-many-connections": Page.STOREFRONT_REFUSED,
    "disk-full": Page.DISK_NEARLY_FULL,
    "backlog-full": Page.BACKLOG_LIMIT,
    "internal": Page.UNEXPECTED_ERROR,
}


def page_of(happening: Happening) -> Page | None:  # noqa: C901, PLR0911 - one line each
    """The page about what happened; ``None`` where nobody has to do anything."""
    match happening:
        case CircuitMoved(after=circuit) | ProbeFailed(circuit=circuit):
            return _CIRCUITS.get(circuit)
        case ChannelThrottled():
            return Page.CHANNEL_THROTTLED
        case PersonActed(what="pause"):
            return Page.CHANNEL_PAUSED
        case AttemptMade(state=State.DEAD) | EventFound(disposition=Disposition.QUARANTINED):
            return Page.DEAD_LETTERS
        case EventAccepted(disposition=Disposition.QUARANTINED):
            return Page.NO_ORDER_READ
        case Unexpected():
            return Page.UNEXPECTED_ERROR
        case StoreTrouble():
            return Page.STORE_FAILING
        case DoorMoved(limit=limit, storefronts=[_, *_]):
            return _LIMITS.get(limit)
        case RequestRefused(type=refusal):
            return _REFUSALS.get(refusal)
        case ReplayAdvanced(ended=True, left=left) if left:
            return Page.REPLAY_STUCK
        case _:
            return None
