"""Every metric there is, in one file; the only module that knows the metrics library.

Names and units follow Prometheus' rules: base units, ``_total`` for counters, bounded labels. Collecting never scans:
gauges of the backlog are read from what the store keeps anyway.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
from relay.core.delivery import Lane, State
from relay.core.events import (
    AttemptMade,
    ChannelPaused,
    EventAccepted,
    EventFound,
    Happening,
    PermitTaken,
    RequestRefused,
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
from relay.store import Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs is not typed; a second series for every counter, which nobody reads

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAIT_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
_WITHOUT_REQUEST = frozenset({"unchanged", "cannot_map"})
_FOUND = (Disposition.UNCHANGED, Disposition.QUARANTINED)
_ALARMING = (("401", "bad-signature"), ("503", "busy"), ("503", "store-failed"))
"""Refusals of a known storefront that someone should hear of, the first one included."""


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """What a channel says of itself when it is asked."""

    in_flight: int
    paused_s: float
    rate: float
    """Requests per second it is allowed at present."""
    configured_rate: float


class Metrics:
    """The relay's registry, and the subscriber that feeds it."""

    def __init__(self, *, version: str, storefronts: Iterable[str], channels: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("relay_build", "What is running.", registry=self.registry).info({"version": version})
        self._accepted = self._counter(
            "relay_events", "Webhooks accepted (answered 2xx), by what became of them.", "storefront", "disposition"
        )
        self._found = self._counter(
            "relay_events_amended", "Accepted webhooks of which mapping said more.", "storefront", "disposition"
        )
        self._refused = self._counter(
            "relay_requests_refused",
            "Requests answered with something else than a 2xx.",
            "storefront",
            "status",
            "type",
        )
        self._request_s = self._histogram(
            "relay_acknowledgement_seconds", "From a webhook's head to its commit.", _FAST_S, "storefront"
        )
        self._attempts = self._counter("relay_attempts", "Requests sent to Jetti, by outcome.", "channel", "outcome")
        self._attempt_s = self._histogram(
            "relay_attempt_duration_seconds", "How long Jetti took to answer.", _SLOW_S, "channel"
        )
        self._waited_s = self._histogram(
            "relay_accepted_to_sent_seconds", "From accepting an order's state to Jetti taking it.", _WAIT_S,
            "channel", "lane",
        )  # fmt: skip
        self._permit_s = self._histogram(
            "relay_permit_wait_seconds", "How long sending waited for the pace.", _SLOW_S, "channel"
        )
        self._pauses = self._counter("relay_channel_pauses", "Times a channel stopped for a while.", "channel", "cause")
        self._store_errors = self._counter("relay_store_errors", "Things the store failed to do.")
        self._defects = self._counter("relay_unexpected_errors", "Defects of the relay that were caught.")
        self._orders = self._gauge("relay_orders", "Orders by state.", "channel", "state", "lane")
        self._oldest = self._gauge(
            "relay_oldest_due_age_seconds", "For how long the longest waiting delivery has been due; 0: none waits.",
            "channel", "lane",
        )  # fmt: skip
        self._in_flight = self._gauge("relay_in_flight", "Requests in flight.", "channel")
        self._paused_s = self._gauge("relay_channel_paused_seconds", "For how much longer nothing is sent.", "channel")
        self._rate = self._gauge("relay_channel_rate", "Requests per second allowed at present.", "channel")
        self._ceiling = self._gauge("relay_channel_configured_rate", "Requests per second configured.", "channel")
        self._channels = tuple(channels)
        self._start_at_zero(tuple(storefronts))

    def __call__(self, happening: Happening) -> None:
        """Count it."""
        match happening:
            case EventAccepted():
                self._accepted.labels(happening.storefront, happening.disposition).inc()
                self._request_s.labels(happening.storefront).observe(happening.duration_s)
            case EventFound():
                self._found.labels(happening.storefront, happening.disposition).inc()
            case RequestRefused():
                self._refused.labels(happening.storefront, str(happening.status), happening.type).inc()
            case AttemptMade():
                self._attempt(happening)
            case PermitTaken():
                self._permit_s.labels(happening.channel).observe(happening.waited_s)
            case ChannelPaused():
                self._pauses.labels(happening.channel, "wrong" if happening.is_wrong else "throttled").inc()
            case StoreTrouble():
                self._store_errors.inc()
            case Unexpected():
                self._defects.inc()
            case Started() | Warned() | Stopping() | Stopped():
                pass  # relay_build_info and the process' own metrics say it
            case _:
                assert_never(happening)

    def _attempt(self, made: AttemptMade) -> None:
        self._attempts.labels(made.channel, made.outcome).inc()
        self._attempt_s.labels(made.channel).observe(made.duration_s)
        if made.accepted_to_sent_s is not None:
            self._waited_s.labels(made.channel, made.lane).observe(made.accepted_to_sent_s)

    def expose(
        self,
        *,
        tally: Tally,
        oldest_due: Mapping[tuple[str, Lane], Instant],
        figures: Mapping[str, ChannelFigures],
        now: Instant,
    ) -> bytes:
        """The text that Prometheus scrapes."""
        for channel in self._channels:
            for lane in Lane:
                for state in State:
                    self._orders.labels(channel, state, lane).set(tally.get((channel, state, lane), 0))
                due_at = oldest_due.get((channel, lane), now)
                self._oldest.labels(channel, lane).set(max(0.0, instant.seconds_between(due_at, now)))
            figure = figures[channel]
            self._in_flight.labels(channel).set(figure.in_flight)
            self._paused_s.labels(channel).set(figure.paused_s)
            self._rate.labels(channel).set(figure.rate)
            self._ceiling.labels(channel).set(figure.configured_rate)
        return generate_latest(self.registry)

    def _start_at_zero(self, storefronts: Iterable[str]) -> None:
        """Known label sets exist from the start, so that a rate can be taken of the first event."""
        for storefront in storefronts:
            self._request_s.labels(storefront)
            for disposition in Disposition:
                self._accepted.labels(storefront, disposition)
            for disposition in _FOUND:
                self._found.labels(storefront, disposition)
            for status, kind in _ALARMING:
                self._refused.labels(storefront, status, kind)
        for channel in self._channels:
            self._attempt_s.labels(channel)
            self._permit_s.labels(channel)
            for lane in Lane:
                self._waited_s.labels(channel, lane)
            for outcome in sorted(set(OUTCOMES) - _WITHOUT_REQUEST):
                self._attempts.labels(channel, outcome)
            for cause in ("wrong", "throttled"):
                self._pauses.labels(channel, cause)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(name, description, labels, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, description, labels, buckets=buckets, registry=self.registry)
