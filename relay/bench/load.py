"""The client that makes the load: a process of its own, lean enough never to be what is measured.

Closed loop: so many connections, each sends the next webhook when the last is answered. With ``rate`` it is open:
webhooks are due at fixed times, and a late answer does not make the next one late (latencies count from when it was
due). Reads one JSON object of options from standard input, prints one JSON object of results.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import cast

import uvloop

from relay.bench import orders
from relay.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Options:
    """What to do."""

    host: str
    port: int
    path: str
    seconds: float
    connections: int = 64
    first: int = 0
    """Number of the first order; no two runs against one relay may share numbers."""
    rate: float | None = None
    """Webhooks per second; ``None``: as many as are answered."""


@dataclass(slots=True)
class Tally:
    """What came of it."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    """Connections that ended before their answer."""


class _Connection(asyncio.Protocol):
    """Sends one request at a time, and finds the end of its answer."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock
        self._received = b""
        self._asked_at = 0.0
        self._answered: asyncio.Future[None] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._tally.broken += 1
            self._answered.set_exception(ConnectionError("the connection ended before its answer"))

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.lower().find(b"content-length:", 0, end)
        size = int(received[at + 15 : received.index(b"\r\n", at)]) if at >= 0 else 0
        if len(received) < end + 4 + size:
            return
        self._received = b""
        self._tally.statuses[int(received[9:12])] += 1
        self._tally.latencies_s.append(self._clock.monotonic() - self._asked_at)
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def ask(self, request: bytes, due_at: float) -> "asyncio.Future[None]":
        """Send a request; done when it is answered."""
        self._asked_at = due_at
        self._answered = asyncio.get_running_loop().create_future()
        if self._transport is not None:
            self._transport.write(request)
        return self._answered

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def load(options: Options, clock: Clock) -> dict[str, object]:
    """Make the load; what came of it."""
    tally, numbers = Tally(), count(options.first)
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: _Connection(tally, clock), options.host, options.port))[1]
        for _ in range(options.connections)
    ]
    started = clock.monotonic()
    due = None if options.rate is None else (started + n / options.rate for n in count())
    await asyncio.gather(*(_drive(c, options, numbers, started + options.seconds, clock, due) for c in connections))
    took_s = clock.monotonic() - started
    for connection in connections:
        connection.close()
    ordered = sorted(tally.latencies_s)
    return {
        "answered": len(ordered),
        "per_s": len(ordered) / took_s,
        "p50_ms": _percentile_ms(ordered, 0.50),
        "p99_ms": _percentile_ms(ordered, 0.99),
        "statuses": dict(tally.statuses),
        "broken": tally.broken,
        "next": next(numbers),
    }


async def _drive(
    connection: _Connection,
    options: Options,
    numbers: Iterator[int],
    until: float,
    clock: Clock,
    due: Iterator[float] | None,
) -> None:
    while True:
        due_at = clock.monotonic() if due is None else next(due)
        if due_at >= until:
            return
        request = orders.request(options.path, next(numbers))
        early_s = due_at - clock.monotonic()
        if early_s > 0:
            await clock.sleep(early_s)
        await connection.ask(request, due_at if due is not None else clock.monotonic())


def _percentile_ms(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")


if __name__ == "__main__":
    print(json.dumps(uvloop.run(load(Options(**json.load(sys.stdin)), SystemClock()))))
