"""The only module that reads a clock or sleeps. Everything else is told the time, so that tests can tell it too."""

import asyncio
import time
from contextlib import suppress
from typing import Protocol

from relay.core.instant import Instant


class Clock(Protocol):
    """What may be asked of time."""

    def now(self) -> Instant:
        """Wall clock, for what is stored."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps, for what is measured."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return so many seconds later."""
        ...

    async def until(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or so many seconds later."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


def monotonic() -> float:
    """Seconds on a clock that never jumps: for whoever only measures how long its own work took."""
    return time.monotonic()
