"""Simulated time: an event loop whose clock jumps to the next timer, so that hours of waiting take milliseconds.

Everything that waits through :mod:`relay.clock` or through the loop itself (aiolimiter does) follows this clock.
Nothing real may be waited for in such a loop: no sockets, no threads.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextlib import suppress
from heapq import heappop
from typing import Any, TypeVar

from relay.core.instant import SECOND, Instant
from tests.builders import NOW

T = TypeVar("T")


class _NothingReal(selectors.SelectSelector):
    """Never blocks: simulated time is not waited for."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class _Loop(asyncio.SelectorEventLoop):
    """Never sleeps: when nothing is ready, it is as late as the next timer (and ``lateness()`` seconds more)."""

    def __init__(self, lateness: Callable[[], float]) -> None:
        super().__init__(_NothingReal())
        self._now = 1000.0
        self._lateness = lateness

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:  # type: ignore[attr-defined] # asyncio has no other way
            # A little at least, as a real clock does: a timer due this very instant would be due for ever.
            self._now = max(self._now + 1e-6, self._next_timer() + self._lateness())
        super()._run_once()  # type: ignore[misc] # the same

    def _next_timer(self) -> float:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined] # the same
        while scheduled and scheduled[0].cancelled():
            heappop(scheduled)._scheduled = False  # type: ignore[attr-defined] # the same
            self._timer_cancelled_count: int = self._timer_cancelled_count - 1  # the same, as asyncio itself does it
        if not scheduled:
            raise RuntimeError("nothing is ready, and no timer runs: the simulation would wait for ever")
        return scheduled[0].when()


class LoopClock:
    """The clock of the running loop; its wall clock starts at :data:`tests.builders.NOW`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._shift = 0

    def now(self) -> Instant:
        return NOW + round((self._loop.time() - self._started) * SECOND) + self._shift

    def set_back(self, seconds: float) -> None:
        """The wall clock jumps back by so much (or forward, by a negative number); nothing else does."""
        self._shift -= round(seconds * SECOND)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251 - this is a clock

    async def until(self, event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


def simulate(main: Coroutine[Any, Any, T], lateness: Callable[[], float] = lambda: 0.0) -> T:
    """Run it in simulated time. ``lateness`` says by how many seconds each timer fires late."""
    loop = _Loop(lateness)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
