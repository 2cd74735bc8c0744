"""HTTP out: one request to a channel's import endpoint, and what came of it. Foreign exceptions end here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from types import SimpleNamespace

import aiohttp

from relay.clock import Clock
from relay.core.masking import without_values
from relay.core.outcome import Answer, ChannelWrong, Failed, Refused, Result, Throttled, judge
from relay.core.trace import Trace
from relay.wire import TROUBLES, Leave, read, shown, trouble

_READ_MAX = 64 * 1024
"""Bytes of an answer that are read at the most; a problem body is a few hundred."""

_LARGE_BYTES = 512 * 1024
"""What is larger is written in steps, so that the loop does not stand still."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel's sales go, and with what credentials."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float = 35.0
    """Beyond the 30 s at which Jetti's load balancer cuts, so that its own answer is seen."""
    secret: bytes = field(default=b"", repr=False)
    """What the headers show, so that an answer that repeats it is not kept as it is."""
    permanent_codes: frozenset[str] = frozenset()
    """Problem codes that sending again cannot mend, besides those built in."""


class Destination:
    """One channel's import endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: aiohttp.ClientSession,
        clock: Clock,
        read_again: Callable[[], Endpoint] | None = None,
    ) -> None:
        """``read_again``: the endpoint with the secrets as they are now; raises :class:`ValueError` saying why it
        cannot."""
        self._endpoint = endpoint
        self._read_again = read_again
        self._session = session
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=endpoint.timeout_s)

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        if self._read_again is not None:
            self._endpoint = await asyncio.to_thread(self._read_again)

    async def send(self, sale: bytes, leave: Leave | None = None, trace: Trace | None = None) -> Result:
        """Send one sale: connect, await ``leave()``, write. ``trace``: the place that Jetti is shown. Never raises for
        anything the network or the other end does."""
        started = self._clock.monotonic()
        try:
            answer = await self._post(sale, leave, trace)
        except TROUBLES as error:
            timeout_s = self._endpoint.timeout_s
            unanswered = trouble(error, "Jetti", timeout_s=timeout_s, on_timeout="whether it worked is unknown")
            return Result(unanswered, self._clock.monotonic() - started)
        outcome = judge(answer, now=self._clock.now(), permanent_codes=self._endpoint.permanent_codes)
        if isinstance(outcome, Refused | Failed | Throttled | ChannelWrong):  # it is shown to whoever looks
            said, large = outcome.cause.message, len(sale) > _LARGE_BYTES
            bare = await asyncio.to_thread(without_values, said, sale) if large else without_values(said, sale)
            outcome = replace(outcome, cause=replace(outcome.cause, message=bare))
        return Result(outcome, self._clock.monotonic() - started, answer.status, answer.excerpt)

    async def _post(self, sale: bytes, leave: Leave | None, trace: Trace | None) -> Answer:
        request = self._session.post(
            self._endpoint.url,
            data=sale if len(sale) <= _LARGE_BYTES else BytesIO(sale),
            headers=shown(self._endpoint.headers, trace),
            timeout=self._timeout,
            trace_request_ctx=leave,
            allow_redirects=False,  # a credential must not follow a redirect, and Jetti documents none
        )
        async with request as response:
            body = await read(response.content, _READ_MAX)
            if self._endpoint.secret:
                body = body.replace(self._endpoint.secret, b"(secret)")  # whoever repeats it, it goes no further
            return Answer(response.status, body, response.headers.get("Retry-After"))


@asynccontextmanager
async def session(in_flight_max: int) -> AsyncIterator[aiohttp.ClientSession]:
    """The connections of one channel, kept open between requests."""
    connector = aiohttp.TCPConnector(limit=in_flight_max, ttl_dns_cache=60)
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(_leave)
    tracing.on_connection_reuseconn.append(_leave)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trace_configs=[tracing]
    ) as opened:
        yield opened


async def _leave(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    """There is a connection, and nothing is written yet. Connecting may have taken long, and for many at once: now is
    when the pace has to be kept."""
    leave: Leave | None = context.trace_request_ctx
    if leave is not None:
        await leave()


def async_headers(webhook_hash: str) -> dict[str, str]:
    """Jetti's documentation: the asynchronous endpoint is told the channel by its hash alone."""
    return {**_HEADERS, "jetti-webhook-hash": webhook_hash}


def sync_headers(token: str) -> dict[str, str]:
    """Jetti's documentation: the synchronous endpoint takes a bearer token."""
    return {**_HEADERS, "Authorization": f"Bearer {token}"}


_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "order-relay"}
