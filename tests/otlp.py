"""A collector, played by tests: takes OTLP over HTTP, as the protocol's own messages, and keeps the spans."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, slots=True)
class Span:
    """One span, as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: none."""
    kind: str
    is_error: bool
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    """Trace and span of each."""
    state: str
    service: str


@dataclass(slots=True)
class Collector:
    """What it got."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    status: int = 200
    """What it answers."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Take one export."""
        body = await request.read()
        self.headers.append(dict(request.headers))
        if self.status == 200:
            self.bodies.append(body)  # aiohttp has unpacked it
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        self._news.set()
        return web.Response(status=self.status, content_type="application/x-protobuf")

    async def until(self, is_there: Callable[[], bool], seconds: float = 15.0) -> None:
        """Return when that holds; it is asked again after every export. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds):
            while not is_there():
                self._news.clear()
                await self._news.wait()

    async def of(self, name: str, count: int = 1, seconds: float = 15.0) -> list[Span]:
        """The spans of this name, once there are so many, by their beginning."""
        await self.until(lambda: len(self._named(name)) >= count, seconds)
        return self._named(name)

    def _named(self, name: str) -> list[Span]:
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.began_ns)


@asynccontextmanager
async def collector(port: int = 0) -> AsyncIterator[Collector]:
    """A collector for the time of the block."""
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


def _spans(request: ExportTraceServiceRequest) -> Iterable[Span]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    span.status.code == trace_pb2.Status.STATUS_CODE_ERROR, span.start_time_unix_nano,
                    span.end_time_unix_nano, _values(span.attributes),
                    tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links), span.trace_state, service,
                )  # fmt: skip


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in attributes}
