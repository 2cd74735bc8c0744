"""Every metric there is, in one file; the only module that knows the metrics library.

Names and units follow Prometheus' rules: base units, ``_total`` for counters, bounded labels. Collecting never scans:
gauges of the backlog are read from what the store keeps anyway.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import assert_never

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from relay.core import instant
from relay.core.breaker import Circuit
from relay.core.delivery import Lane, State
from relay.core.events import (
    DOINGS,
    AttemptMade,
    ChannelThrottled,
    CircuitMoved,
    Committed,
    DoorMoved,
    EventAccepted,
    EventFound,
    ExportMoved,
    Greeted,
    Happening,
    HeldWanted,
    Housekept,
    LoopLate,
    PermitTaken,
    PersonActed,
    ProbeFailed,
    ReplayAdvanced,
    RequestRefused,
    SaleMade,
    Started,
    Stopped,
    Stopping,
    StoreTrouble,
    Unexpected,
    Warned,
)
from relay.core.instant import Instant
from relay.core.order import Disposition
from relay.core.outcome import NAMES as OUTCOMES
from relay.store import DeadTally, HeldGroup, Size, Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs is not typed; a second series for every counter, which nobody reads

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAIT_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
_KINDS = ("events", "bodies", "attempts", "orders", "sales")
_LIMITS = ("queue", "disk", "backlog")
_TO_SEND = (State.WAITING, State.SLEEPING)
_WITHOUT_REQUEST = frozenset({"unchanged", "cannot_map", "held", "ignored"})
_ATTEMPTED = (*sorted(set(OUTCOMES) - _WITHOUT_REQUEST), "handed_back")
_FOUND = (Disposition.UNCHANGED, Disposition.HELD, Disposition.IGNORED, Disposition.QUARANTINED)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
UNKNOWN = "unknown"
"""The storefront of a request whose path or secret names none."""
REFUSED = (
    ("400", "broken-body"), ("400", "malformed-json"), ("401", "bad-signature"), ("408", "body-too-slow"),
    ("413", "body-too-large"), ("413", "too-many-items"), ("415", "encoded-body"), ("415", "not-json"),
    ("422", "invalid-sale"), ("422", "no-sales"), ("503", "backlog-full"), ("503", "busy"), ("503", "disk-full"),
    ("503", "internal"), ("503", "store-failed"),
)  # fmt: skip
"""Statuses and types of what a known storefront can be refused for."""
REFUSED_UNKNOWN = (
    ("400", "malformed-request"), ("401", "bad-credential"), ("404", "unknown-path"), ("404", "unknown-storefront"),
    ("405", "only-post"), ("503", "internal"), ("503", "too-many-connections"),
)  # fmt: skip
_BLOCKING = ("paused", "halted", "open", "resting")
"""Words for a channel that is not sent to."""
_CAUSES = ("unreadable", "unmappable", "refused", "gave_up", "other")
_CAUSE_OF = {"refused": "refused", "failed": "gave_up"}
"""Why an order became a dead letter, by the outcome of its last attempt."""
_UNMAPPABLE = frozenset({"unmappable", "body_gone", "defect", "not_understood", "never_seen", "other_order"})
_UNANSWERED = frozenset({"timeout", "connect", "connection", "not_json", "lookup_unreadable", "sale_not_found"})
_REFUSED = frozenset({"order_gone", "order_too_large", "sale_unknown", "several_sales"})
_WELL = frozenset({"sent", "fetched", "cancelled"})
UNCONFIGURED, NO_CHANNEL = "unconfigured", "none"
"""In the place of a channel: that of orders whose channel is not configured (any more), and of no order at all."""


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """What a channel says of itself when it is asked."""

    in_flight: int
    rate: float
    """Requests per second it is allowed at present."""
    configured_rate: float
    circuit: Circuit = Circuit.CLOSED
    allowed_rate: float | None = None
    """Requests per second at the most, where a person said that it is less for now than what is configured."""
    paused: bool = False
    """By a person."""
    resting_s: float = 0.0
    """For how many more seconds nothing is sent, because a throttle said so."""
    state: str = "sending"
    """In one word: ``paused``, ``halted``, ``open``, ``resting`` or ``sending``."""
    drain_s: float | None = 0.0
    """When its backlog will be gone; ``None``: nobody knows, because nothing gets through."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is asked for when the metrics are."""

    tally: Tally
    oldest_due: Mapping[tuple[str, Lane], Instant]
    channels: Mapping[str, ChannelFigures]
    size: Size | None
    """Of the store; ``None`` if it has no disk."""
    now: Instant
    ready: bool = True
    """Whether an event would be accepted."""
    held: Iterable[HeldGroup] = ()
    dead: DeadTally = field(default_factory=dict)


class _Registry:
    """Where metrics are declared: each with its description and its labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(name, description, labels, registry=self._registry)

    def histogram(self, name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, description, labels, buckets=buckets, registry=self._registry)


class _Asked:
    """The gauges that are what the store and the channels say when somebody asks."""

    def __init__(self, registry: _Registry, storefronts: Iterable[str]) -> None:
        self._storefronts = set(storefronts)
        gauge = self._gauge = registry.gauge
        self._orders = gauge("relay_orders", "Orders by state.", "channel", "state", "lane")
        self._oldest = gauge(
            "relay_oldest_due_age_seconds", "For how long the longest waiting delivery has been due; 0: none waits.",
            "channel", "lane",
        )  # fmt: skip
        self._drain_s = gauge(
            "relay_drain_seconds", "When the backlog will be gone if nothing more arrives; +Inf: nothing gets through.",
            "channel",
        )  # fmt: skip
        self._blocked = gauge(
            "relay_orders_blocked", "Orders that wait for a channel which is not sent to, by why.", "channel", "by"
        )
        self._stranded = gauge("relay_orders_stranded", "Orders that wait for channels which are not configured.")
        self._lost = gauge("relay_events_without_order", "Dead letters from which no order could be read.")
        self._dead = gauge(
            "relay_dead_letters_present", "Dead letters there are, by channel and class of cause.", "channel", "cause"
        )
        self._held = gauge("relay_held_orders", "Orders held by the storefront's accept_when rule.", "storefront")
        self._oldest_held = gauge(
            "relay_oldest_held_age_seconds", "For how long the longest held order has been held; 0: none is.",
            "storefront",
        )  # fmt: skip
        self._ready = gauge("relay_ready", "1 while events are accepted.")
        self._in_flight = gauge("relay_in_flight", "Requests in flight.", "channel")
        self._circuit = gauge("relay_circuit", "1 for what the channel's circuit is.", "channel", "circuit")
        self._paused = gauge("relay_channel_paused", "1 while a person has paused the channel.", "channel")
        self._resting_s = gauge(
            "relay_channel_resting_seconds", "For how much longer a throttle keeps it silent.", "channel"
        )
        self._rate = gauge("relay_channel_rate", "Requests per second allowed at present.", "channel")
        self._ceiling = gauge("relay_channel_configured_rate", "Requests per second configured.", "channel")
        self._allowed = gauge(
            "relay_channel_allowed_rate",
            "Requests per second configured, or fewer where a person said so for now.",
            "channel",
        )
        self._sizes: Mapping[str, Gauge] = {}

    def show(self, figures: Figures) -> None:
        """Say it."""
        self._show_dead(figures)
        self._ready.set(figures.ready)
        self._show_held(figures.held, figures.now)
        for channel, figure in figures.channels.items():
            self._show_backlog(channel, figure, figures)
            self._show_channel(channel, figure)
        self._stranded.set(
            sum(orders for (of, state, _), orders in figures.tally.items()
                if of not in figures.channels and state in _TO_SEND)
        )  # fmt: skip
        if figures.size is not None:
            self._show_size(figures.size)

    def _show_held(self, groups: Iterable[HeldGroup], now: Instant) -> None:
        held = {group.storefront: group for group in groups}
        self._storefronts |= held.keys()  # also of one that is not configured any more
        for storefront in self._storefronts:
            group = held.get(storefront)
            oldest_at = now if group is None else group.oldest_at
            self._held.labels(storefront).set(0 if group is None else group.count)
            self._oldest_held.labels(storefront).set(max(0.0, instant.seconds_between(oldest_at, now)))

    def _show_dead(self, figures: Figures) -> None:
        present = {(channel, cause): 0 for channel in (*figures.channels, UNCONFIGURED) for cause in _CAUSES[1:]}
        present[NO_CHANNEL, "unreadable"] = 0
        for (channel, code), letters in figures.dead.items():
            if channel is None:
                present[NO_CHANNEL, "unreadable"] += letters
            else:
                present[channel if channel in figures.channels else UNCONFIGURED, _cause_of(code)] += letters
        for (channel, cause), letters in present.items():
            self._dead.labels(channel, cause).set(letters)
        self._lost.set(present[NO_CHANNEL, "unreadable"])

    def _show_backlog(self, channel: str, figure: ChannelFigures, figures: Figures) -> None:
        waits = 0
        for lane in Lane:
            for state in State:
                orders = figures.tally.get((channel, state, lane), 0)
                waits += orders if state in _TO_SEND else 0
                self._orders.labels(channel, state, lane).set(orders)
            due_at = figures.oldest_due.get((channel, lane), figures.now)
            self._oldest.labels(channel, lane).set(max(0.0, instant.seconds_between(due_at, figures.now)))
        for by in _BLOCKING:
            self._blocked.labels(channel, by).set(waits if by == figure.state else 0)
        self._drain_s.labels(channel).set(inf if figure.drain_s is None else figure.drain_s)

    def _show_channel(self, channel: str, figure: ChannelFigures) -> None:
        self._in_flight.labels(channel).set(figure.in_flight)
        self._rate.labels(channel).set(round(figure.rate, 6))
        self._ceiling.labels(channel).set(figure.configured_rate)
        allowed = figure.configured_rate if figure.allowed_rate is None else figure.allowed_rate
        self._allowed.labels(channel).set(allowed)
        self._paused.labels(channel).set(figure.paused)
        self._resting_s.labels(channel).set(round(figure.resting_s, 3))
        for circuit in Circuit:
            self._circuit.labels(channel, circuit).set(circuit is figure.circuit)

    def _show_size(self, size: Size) -> None:
        """These exist only where there is a disk: a full one and none are not the same."""
        self._sizes = self._sizes or {
            "disk_free": self._gauge("relay_disk_free_bytes", "Free space on the store's disk."),
            "store": self._gauge("relay_store_bytes", "Size of the store's file."),
            "wal": self._gauge("relay_wal_bytes", "Size of the store's write-ahead log."),
            "unused": self._gauge("relay_store_unused_bytes", "Space inside the store's file that is not used."),
        }
        for name, gauge in self._sizes.items():
            gauge.set(getattr(size, name))


class Metrics:
    """The relay's registry, and the subscriber that feeds it."""

    def __init__(
        self, *, version: str, storefronts: Iterable[str], channels: Iterable[str], now: Callable[[], Instant]
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("relay_build", "What is running.", registry=self.registry).info({"version": version})
        declare = _Registry(self.registry)
        storefronts = tuple(storefronts)
        self._asked = _Asked(declare, storefronts)
        self._accepted = declare.counter(
            "relay_events", "Webhooks accepted (answered 2xx), by what became of them.", "storefront", "disposition"
        )
        self._superseded = declare.counter(
            "relay_revisions_superseded", "Revisions that a newer one replaced before they were sent.", "storefront"
        )
        self._found = declare.counter(
            "relay_events_amended", "Accepted webhooks of which mapping said more.", "storefront", "disposition"
        )
        self._refused = declare.counter(
            "relay_requests_refused",
            "Requests answered with something else than a 2xx.",
            "storefront",
            "status",
            "type",
        )
        self._request_s = declare.histogram(
            "relay_acknowledgement_seconds", "From a webhook's head to its commit.", _FAST_S, "storefront"
        )
        self._refusal_s = declare.histogram(
            "relay_refusal_seconds", "From a request's head to its refusal.", _FAST_S, "storefront"
        )
        self._last_event = declare.gauge(
            "relay_last_event_timestamp_seconds",
            "When a webhook was last accepted, also by the relay that ran before; 0: never.",
            "storefront",
        )
        self._last_sent = declare.gauge(
            "relay_last_success_timestamp_seconds",
            "When an order was last sent, fetched or cancelled there; 0: none since the start.",
            "channel",
        )
        self._dead = declare.counter(
            "relay_dead_letters", "Orders and events that became dead letters, by class of cause.",
            "storefront", "cause",
        )  # fmt: skip
        self._attempts = declare.counter(
            "relay_attempts", "Requests sent to Jetti or to a storefront's API, by outcome.", "channel", "outcome"
        )
        self._attempt_s = declare.histogram(
            "relay_attempt_duration_seconds", "How long Jetti or a storefront's API took to answer.", _SLOW_S, "channel"
        )
        self._waited_s = declare.histogram(
            "relay_accepted_to_sent_seconds", "From accepting an order's state to Jetti taking it.", _WAIT_S,
            "channel", "lane",
        )  # fmt: skip
        self._permit_s = declare.histogram(
            "relay_permit_wait_seconds", "How long sending waited for the pace.", _SLOW_S, "channel"
        )
        self._throttles = declare.counter(
            "relay_channel_throttles", "Times that Jetti or a storefront's API said it is too fast.", "channel"
        )
        self._circuit_moves = declare.counter(
            "relay_circuit_moves", "Times a channel's circuit came to be so.", "channel", "circuit"
        )
        self._probes_failed = declare.counter(
            "relay_channel_probes_failed", "Probes of an open or halted channel that failed.", "channel", "circuit"
        )
        self._deeds = declare.counter("relay_deeds", "Things that persons did.", "what")
        self._replayed = declare.counter(
            "relay_replayed", "Dead letters that bulk replays looked at, by what came of it.", "result"
        )
        self._wanted = declare.counter(
            "relay_held_wanted", "Held orders released after a start, because their rule wants them by now.",
            "storefront",
        )  # fmt: skip
        self._commit_s = declare.histogram(
            "relay_commit_seconds", "How long a transaction took, until it was on the disk.", _FAST_S
        )
        self._commit_requests = declare.histogram(
            "relay_commit_requests", "Requests that one transaction answered.", _BATCHES
        )
        self._loop_late_s = declare.histogram(
            "relay_event_loop_lag_seconds", "By how much a timer of the event loop fired too late.", _FAST_S
        )
        self._store_errors = declare.counter("relay_store_errors", "Things the store failed to do.")
        self._defects = declare.counter("relay_unexpected_errors", "Defects of the relay that were caught.")
        self._replays = declare.gauge("relay_replays_running", "Bulk replays that have not ended.")
        self._refusing = declare.gauge("relay_door_refusing", "Storefronts refused for want of room.", "limit")
        self._sweeps = declare.counter("relay_housekeeping_sweeps", "Sweeps of the store that were completed.")
        self._deleted = declare.counter("relay_housekeeping_deleted", "What housekeeping deleted.", "kind")
        self._returned = declare.counter(
            "relay_housekeeping_returned_bytes", "Space that was returned to the file system."
        )
        self._held_s = declare.gauge(
            "relay_housekeeping_held_seconds", "The longest that one step of the last sweep held the writer."
        )
        self._swept_at = declare.gauge(
            "relay_housekeeping_last_sweep_timestamp_seconds", "When a sweep was last completed; 0: none yet."
        )
        self._now = now
        # On the way of every webhook: the library takes longer to find a series than to count in it.
        self._accepted_of = cache(self._accepted.labels)
        self._request_s_of = cache(self._request_s.labels)
        self._storefronts = frozenset(storefronts)
        self._event_at: dict[str, Instant] = {}
        self._replay_counts: dict[int, tuple[int, int]] = {}
        self._start_at_zero()
        for storefront in storefronts:
            self._start_storefront_at_zero(storefront)
        for channel in channels:
            self._start_channel_at_zero(channel)

    def __call__(self, happening: Happening) -> None:
        """Count it."""
        match happening:
            case EventAccepted() | EventFound() | RequestRefused():
                self._came_in(happening)
            case AttemptMade():
                self._attempt(happening)
            case PermitTaken():
                self._permit_s.labels(happening.channel).observe(happening.waited_s)
            case ChannelThrottled() | CircuitMoved() | ProbeFailed():
                self._channel(happening)
            case PersonActed() | DoorMoved() | Housekept() | ReplayAdvanced() | HeldWanted():
                self._deed(happening)
            case Committed() | LoopLate() | StoreTrouble() | Unexpected():
                self._within(happening)
            case Started() | Warned() | Stopping() | Stopped() | Greeted() | SaleMade() | ExportMoved():
                pass  # relay_build_info and the process' own metrics say it
            case _:
                assert_never(happening)

    def _came_in(self, happening: EventAccepted | EventFound | RequestRefused) -> None:
        match happening:
            case EventAccepted():
                self._accepted_of(happening.storefront, happening.disposition).inc()
                self._request_s_of(happening.storefront).observe(happening.duration_s)
                self._event_at[happening.storefront] = self._now()
                if happening.disposition is Disposition.MERGED:
                    self._superseded.labels(happening.storefront).inc()
                if happening.disposition is Disposition.QUARANTINED:
                    self._dead.labels(happening.storefront, "unreadable").inc()
            case EventFound():
                self._found.labels(happening.storefront, happening.disposition).inc()
                if happening.disposition is Disposition.QUARANTINED:
                    self._dead.labels(happening.storefront, "unmappable").inc()
            case RequestRefused():
                self._refused.labels(happening.storefront, str(happening.status), happening.type).inc()
                self._refusal_s.labels(happening.storefront).observe(happening.duration_s)
            case _:
                assert_never(happening)

    def _channel(self, happening: ChannelThrottled | CircuitMoved | ProbeFailed) -> None:
        match happening:
            case ChannelThrottled():
                self._throttles.labels(happening.channel).inc()
            case CircuitMoved():
                self._circuit_moves.labels(happening.channel, happening.after).inc()
            case ProbeFailed():
                self._probes_failed.labels(happening.channel, happening.circuit).inc()
            case _:
                assert_never(happening)

    def _deed(self, happening: PersonActed | DoorMoved | Housekept | ReplayAdvanced | HeldWanted) -> None:
        match happening:
            case PersonActed():
                self._deeds.labels(happening.what).inc()
            case DoorMoved():
                self._refusing.labels(happening.limit).set(len(happening.storefronts))
            case Housekept():
                self._sweeps.inc()
                for kind in _KINDS:
                    self._deleted.labels(kind).inc(getattr(happening, kind))
                self._returned.inc(happening.returned_bytes)
                self._held_s.set(happening.held_max_s)
                self._swept_at.set(self._now() / instant.SECOND)
            case ReplayAdvanced():
                self._replay(happening)
            case HeldWanted():
                self._wanted.labels(happening.storefront).inc(happening.released)
            case _:
                assert_never(happening)

    def _within(self, happening: Committed | LoopLate | StoreTrouble | Unexpected) -> None:
        match happening:
            case Committed():
                self._commit_s.observe(happening.duration_s)
                self._commit_requests.observe(happening.requests)
            case LoopLate():
                self._loop_late_s.observe(happening.late_s)
            case StoreTrouble():
                self._store_errors.inc()
            case Unexpected():
                self._defects.inc()
            case _:
                assert_never(happening)

    def _replay(self, told: ReplayAdvanced) -> None:
        # What is told is how far it is; what it had come to before it was told of first, another process counted.
        revived, left = self._replay_counts.setdefault(told.replay, (told.revived, told.left))
        self._replayed.labels("revived").inc(told.revived - revived)
        self._replayed.labels("left").inc(told.left - left)
        self._replay_counts[told.replay] = (told.revived, told.left)
        if told.ended:
            del self._replay_counts[told.replay]
        self._replays.set(len(self._replay_counts))

    def _attempt(self, made: AttemptMade) -> None:
        self._attempts.labels(made.channel, made.outcome).inc()
        self._attempt_s.labels(made.channel).observe(made.duration_s)
        if made.accepted_to_sent_s is not None:
            self._waited_s.labels(made.channel, made.lane).observe(made.accepted_to_sent_s)
        if made.outcome in _WELL:
            self._last_sent.labels(made.channel).set(self._now() / instant.SECOND)
        if made.state is State.DEAD:
            self._dead.labels(made.storefront, _CAUSE_OF.get(made.outcome, "other")).inc()

    def remember(self, last_events: Mapping[str, Instant]) -> None:
        """When each storefront's last webhook was accepted before the relay started; of others than those that are
        configured there is no series."""
        for storefront in self._storefronts & last_events.keys():
            self._event_at.setdefault(storefront, last_events[storefront])

    def expose(self, figures: Figures) -> bytes:
        """The text that Prometheus scrapes."""
        self._asked.show(figures)
        for storefront, event_at in self._event_at.items():
            self._last_event.labels(storefront).set(event_at / instant.SECOND)
        return generate_latest(self.registry)

    def _start_at_zero(self) -> None:
        """Known label sets exist from the start, so that a rate can be taken of the first event."""
        for status, kind in REFUSED_UNKNOWN:
            self._refused.labels(UNKNOWN, status, kind)
        self._refusal_s.labels(UNKNOWN)
        for what in DOINGS:
            self._deeds.labels(what)
        for result in ("revived", "left"):
            self._replayed.labels(result)
        for limit in _LIMITS:
            self._refusing.labels(limit)
        for kind in _KINDS:
            self._deleted.labels(kind)

    def _start_storefront_at_zero(self, storefront: str) -> None:
        self._request_s.labels(storefront)
        self._refusal_s.labels(storefront)
        self._last_event.labels(storefront)
        self._superseded.labels(storefront)
        self._wanted.labels(storefront)
        for cause in _CAUSES:
            self._dead.labels(storefront, cause)
        for disposition in Disposition:
            self._accepted.labels(storefront, disposition)
        for disposition in _FOUND:
            self._found.labels(storefront, disposition)
        for status, kind in REFUSED:
            self._refused.labels(storefront, status, kind)

    def _start_channel_at_zero(self, channel: str) -> None:
        self._attempt_s.labels(channel)
        self._last_sent.labels(channel)
        self._permit_s.labels(channel)
        for lane in Lane:
            self._waited_s.labels(channel, lane)
        for outcome in _ATTEMPTED:
            self._attempts.labels(channel, outcome)
        self._throttles.labels(channel)
        for circuit in Circuit:
            self._circuit_moves.labels(channel, circuit)
        for circuit in (Circuit.OPEN, Circuit.HALTED):
            self._probes_failed.labels(channel, circuit)


def _cause_of(code: str) -> str:
    """The class of a dead letter's cause. Which it was of a code of Jetti's own that came with a 5xx, nothing tells:
    it is what Jetti refused."""
    if code in _UNMAPPABLE:
        return "unmappable"
    if code in _UNANSWERED or code == "http_408" or code.startswith("http_5"):
        return "gave_up"
    return "refused" if code in _REFUSED or code.startswith(("api.", "http_")) else "other"
