"""The subscriber that makes spans, and sends them over OTLP/HTTP. Needs the extra ``tracing``; nothing else knows
OpenTelemetry.

Ids are drawn when something begins, because they are kept with the event and sent along; the span itself is made when
it is over, of what is told then. So nothing of OpenTelemetry is in the way of a webhook or of a delivery, and what a
crash interrupts has no span, but its trace goes on.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from relay.core import instant
from relay.core.events import AttemptMade, EventAccepted, ExportMoved, Happening, Observer, RequestRefused, SaleMade
from relay.core.instant import Instant
from relay.core.order import is_cancelling, is_fetching
from relay.core.trace import Trace, read

_UNNAMED = "unknown_service"
"""What the SDK calls a service that nothing gives a name."""
_NAME = "order-relay"
_PATH = "/v1/traces"
_LIBRARY = "opentelemetry"
"""The root of its loggers."""
_WHY_MAX = 300
_FLUSH_S, _CLOSE_S = 2.0, 0.5
_WELL = frozenset({"sent", "fetched", "cancelled", "not_yet"})
"""Outcomes that are no failure of the other end."""

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator decides. What is ``None`` is decided by the variables that OpenTelemetry defines."""

    version: str
    endpoint: str | None = None
    """The collector's base address, or the one for traces, ending in ``/v1/traces``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sample_ratio: float | None = None
    service_name: str | None = None
    trust_parent: bool = False
    """Whether a storefront decides what is recorded, where it says so."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where each channel's requests go; complete, where that is always the same address."""


@asynccontextmanager
async def tracing(options: Options, now: Callable[[], Instant], observe: Observer) -> "AsyncIterator[Tracing]":
    """For the time of the block, spans are made and sent. What is not sent at its end has two seconds.

    Raises :class:`ValueError` for variables that cannot be used.
    """
    loop = asyncio.get_running_loop()

    def tell(happening: Happening) -> None:
        with suppress(RuntimeError):  # the loop has ended before the last batch did
            loop.call_soon_threadsafe(observe, happening)

    with _hushed(_collector(options.endpoint), tuple(options.headers.values())) as said:
        exporter = OTLPSpanExporter(endpoint=_endpoint(options.endpoint), headers=dict(options.headers))
        watched = _Watched(exporter, said, tell)
        processor = BatchSpanProcessor(watched)
        ending = Thread(target=processor.shutdown, name="traces-ending", daemon=True)
        try:
            yield Tracing(options, processor, now)
        finally:
            ending.start()
            await asyncio.to_thread(ending.join, _FLUSH_S)
            if ending.is_alive():
                watched.shutdown()  # it waits between two tries no longer
                await asyncio.to_thread(ending.join, _CLOSE_S)


def _endpoint(base: str | None) -> str | None:
    return base if base is None or base.endswith(_PATH) else f"{base}{_PATH}"


def _collector(base: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Host and port, for people."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    named = (environ[name] for name in variables if environ.get(name))
    parts = urlsplit(base or next(named, "http://localhost:4318"))
    return parts.netloc.rpartition("@")[2]


class Tracing:
    """Draws places (:class:`relay.core.trace.Tracer`), and makes the spans of what is told."""

    def __init__(self, options: Options, processor: BatchSpanProcessor, now: Callable[[], Instant]) -> None:
        self._sampler = _sampler(options.sample_ratio)
        self._trust = options.trust_parent
        self._draw = RandomIdGenerator()
        self._ids = _Given()
        provider = TracerProvider(ALWAYS_ON, _resource(options), shutdown_on_exit=False, id_generator=self._ids)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("order-relay", options.version)
        self._now = now
        self._addresses = {channel: _address(url) for channel, url in options.addresses.items()}

    # -- places ----------------------------------------------------------------------------------------------------

    def received(self, parents: Sequence[str], states: Sequence[str]) -> Trace:
        """See :class:`relay.core.trace.Tracer`."""
        above = read(parents, states)
        if above is None:
            return self.begun(None)
        context = _context(above, remote=True) if self._trust else Context()
        span_id = self._span_id()
        return Trace(above.trace_id, span_id, self._samples(above.trace_id, context), above.state, above.span_id)

    def begun(self, above: Trace | None) -> Trace:
        """See :class:`relay.core.trace.Tracer`."""
        if above is not None:
            return above.below(self._span_id())
        trace_id = f"{self._draw.generate_trace_id():032x}"
        return Trace(trace_id, self._span_id(), self._samples(trace_id, Context()))

    def _span_id(self) -> str:
        return f"{self._draw.generate_span_id():016x}"

    def _samples(self, trace_id: str, context: Context) -> bool:
        return self._sampler.should_sample(context, int(trace_id, 16), "webhook").decision is Decision.RECORD_AND_SAMPLE

    # -- spans -----------------------------------------------------------------------------------------------------

    def __call__(self, happening: Happening) -> None:
        """Make its span, if it is one's end."""
        match happening:
            case EventAccepted(trace=Trace(sampled=True) as trace):
                self._accepted(happening, trace)
            case RequestRefused(trace=Trace(sampled=True) as trace):
                self._refused(happening, trace)
            case SaleMade(trace=Trace(sampled=True) as trace):
                self._sale(happening, trace)
            case AttemptMade(trace=Trace(sampled=True) as trace):
                self._attempt(happening, trace)
            case _:
                pass

    def _accepted(self, event: EventAccepted, trace: Trace) -> None:
        ended_at = self._now()
        status = 202 if event.path == "/orders" else 200
        attributes: dict[str, str | int | float | bool | None] = {
            **_request(event.path, status),
            "order_relay.storefront": event.storefront,
            "order_relay.topic": event.topic,
            "order_relay.disposition": event.disposition.value,
            "order_relay.event.id": event.event_id,
            "order_relay.event.duplicate_of": event.duplicate_of,
            "order_relay.event.bytes": event.bytes,
            "order_relay.order": event.order,
            "order_relay.revision": event.revision,
        }
        began_at = instant.after(ended_at, -event.duration_s)
        self._make("webhook", SpanKind.SERVER, trace, (began_at, ended_at), _given(attributes))
        commit = self.begun(trace)
        committing_at = instant.after(ended_at, -event.commit_s)
        self._make("commit", SpanKind.INTERNAL, commit, (committing_at, ended_at), {})

    def _refused(self, refused: RequestRefused, trace: Trace) -> None:
        ended_at = self._now()
        attributes = {
            **_request(refused.path, refused.status),
            "order_relay.storefront": refused.storefront,
            "error.type": refused.type,
        }
        began_at = instant.after(ended_at, -refused.duration_s)
        error = refused.type if refused.status >= 500 else ""  # else it is the other end's
        self._make("webhook", SpanKind.SERVER, trace, (began_at, ended_at), attributes, error)

    def _sale(self, made: SaleMade, trace: Trace) -> None:
        if is_fetching(made.channel) or is_cancelling(made.channel):
            return  # there nothing is mapped
        attributes: Attributes = {
            "order_relay.channel": made.channel,
            "order_relay.storefront": made.storefront,
            "order_relay.order": made.order,
            "order_relay.revision": made.revision,
            "order_relay.to_be_sent": made.to_be_sent,
        }
        ended_at = instant.after(made.began_at, made.duration_s)
        self._make("sale", SpanKind.INTERNAL, trace, (made.began_at, ended_at), attributes)

    def _attempt(self, made: AttemptMade, trace: Trace) -> None:
        name = "fetch" if is_fetching(made.channel) else "cancel" if is_cancelling(made.channel) else "deliver"
        well = made.outcome in _WELL
        error = "" if well else made.code or made.outcome
        attributes: dict[str, str | int | float | bool | None] = {
            **self._addresses.get(made.channel, {}),
            "http.request.method": {"fetch": "GET", "deliver": "POST"}.get(name),
            "http.response.status_code": made.status,
            "error.type": None if well else error,
            "order_relay.channel": made.channel,
            "order_relay.storefront": made.storefront,
            "order_relay.order": made.order,
            "order_relay.revision": made.revision,
            "order_relay.lane": made.lane.value,
            "order_relay.outcome": made.outcome,
            "order_relay.attempts": made.attempts,
            "order_relay.state": made.state.value,
        }
        ended_at = instant.after(made.started_at, made.duration_s)
        span = (made.started_at, ended_at)
        self._make(name, SpanKind.CLIENT, trace, span, _given(attributes), error, made.links)

    def _make(
        self, name: str, kind: SpanKind, trace: Trace, span: tuple[Instant, Instant], attributes: Attributes,
        error: str = "", links: Sequence[Trace] = (),
    ) -> None:  # fmt: skip
        """A span, of which everything is known. ``span``: when it began and ended."""
        context = Context()
        if trace.above_id:
            above = Trace(trace.trace_id, trace.above_id, trace.sampled, trace.state)
            context = _context(above, remote=kind is SpanKind.SERVER)
        self._ids.next(trace)
        made = self._tracer.start_span(
            name, context, kind, attributes, [Link(_span_context(link, remote=False)) for link in links],
            start_time=_ns(span[0]),
        )  # fmt: skip
        if error:
            made.set_status(Status(StatusCode.ERROR, error))
        made.end(_ns(span[1]))


class _Given(IdGenerator):
    """The ids that the next span is to have."""

    def __init__(self) -> None:
        self._trace_id = self._span_id = 0

    def next(self, trace: Trace) -> None:
        self._trace_id, self._span_id = int(trace.trace_id, 16), int(trace.span_id, 16)

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._span_id


class _Watched(SpanExporter):
    """An exporter whose failing is told once, and its end once. On the thread of the batch."""

    def __init__(self, exporter: SpanExporter, said: "_Said", tell: Observer) -> None:
        self._exporter = exporter
        self._said = said
        self._tell = tell
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                self._tell(ExportMoved(True, self._said.why, len(spans)))
            self._lost += len(spans)
        elif self._lost:
            self._tell(ExportMoved(False, "", self._lost))
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """See the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See the exporter."""
        return self._exporter.force_flush(timeout_millis)


class _Said(logging.Handler):
    """Keeps what the library says instead of writing it: a collector that is not there would be lines for ever."""

    def __init__(self, collector: str, secrets: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._collector = collector
        self._secrets = secrets
        self._said = ""

    @property
    def why(self) -> str:
        """Whom it was about, and what it said last."""
        return f"{self._collector}: {self._said}"

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, without what must not be shown: a collector may repeat what it was sent."""
        said = record.getMessage()
        for secret in self._secrets:
            said = said.replace(secret, "(secret)")
        if "max retries or shutdown" not in said or not self._said:  # why was said when it was tried before
            self._said = said[:_WHY_MAX]


@contextmanager
def _hushed(collector: str, secrets: Sequence[str]) -> "Iterator[_Said]":
    said, log = _Said(collector, secrets), logging.getLogger(_LIBRARY)
    before, log.propagate = log.propagate, False
    log.addHandler(said)
    try:
        yield said
    finally:
        log.removeHandler(said)
        log.propagate = before


def _sampler(ratio: float | None) -> Sampler:
    if ratio is None:
        return TracerProvider(shutdown_on_exit=False).sampler  # as OTEL_TRACES_SAMPLER says
    return ParentBased(TraceIdRatioBased(ratio))


def _resource(options: Options) -> Resource:
    found = Resource.create({SERVICE_VERSION: options.version})
    name = options.service_name
    if name is None and str(found.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
        name = _NAME
    return found if name is None else found.merge(Resource({SERVICE_NAME: name}))


def _context(above: Trace, *, remote: bool) -> Context:
    return set_span_in_context(NonRecordingSpan(_span_context(above, remote=remote)), Context())


def _span_context(trace: Trace, *, remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([trace.state]) if trace.state else TraceState()
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), remote, flags, state)


def _request(path: str, status: int) -> dict[str, str | int]:
    return {
        "http.request.method": "POST",
        "http.route": _route(path),
        "http.response.status_code": status,
        "url.scheme": "http",
        "url.path": path,
    }


def _route(path: str) -> str:
    match path.split("/"):
        case ["", "webhooks", _]:
            return "/webhooks/{storefront}"
        case ["", "api", "channels", _, "manual-sale.json"]:
            return "/api/channels/{id}/manual-sale.json"
        case _:
            return path


def _address(url: str) -> dict[str, str | int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: dict[str, str | int] = {"server.address": parts.hostname or "", "server.port": port}
    return found | {"url.full": url} if parts.path else found


def _given(attributes: Mapping[str, str | int | float | bool | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _ns(at: Instant) -> int:
    return at * 1000


def is_disabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's own variable says that nothing is to be made."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
