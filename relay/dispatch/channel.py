"""What the operator decides about one channel, and the buckets that space its requests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import floor

from aiolimiter import AsyncLimiter

from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.outcome import PAUSE_MAX_S
from relay.core.pace import Mode, Pace
from relay.core.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Channel:
    """What the operator decides about one channel."""

    name: str
    mode: Mode = Mode.ASYNC
    pace: Pace = field(default_factory=Pace)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    head_starts: HeadStarts = field(default_factory=HeadStarts)
    in_flight_max: int = 32
    """Requests in flight at the most."""
    window: int = 1024
    """Deliveries of the backlog's head that are kept in memory at the most."""
    wait_s: float = 0.0
    """For how long an order sleeps before its turn comes at all."""

    @property
    def ceiling(self) -> float:
        """Requests per second, at the most."""
        return self.pace.ceiling(self.mode)

    @property
    def sleep_max_s(self) -> float:
        """No delivery sleeps longer than this, seconds: one that would has outlived a clock that was set back."""
        return max(self.wait_s, self.retry.cap_s, PAUSE_MAX_S, self.breaker.probe_cap_s, self.breaker.halt_probe_cap_s)


_NOTHING = 1e-9
"""Less of a permit than this is a rounding error."""


def _whole() -> float:
    return 1.0


class Permits:
    """The leaky bucket that spaces a channel's requests.

    A bucket of ``burst`` drops that leaks at the ceiling. Timers fire up to a millisecond late, and what is lost at
    every request would add up to one percent of the pace; so the bucket is a fraction larger than the burst, by less
    than one request in any second: ``rate + burst`` is still what no one-second window exceeds.
    """

    def __init__(self, pace: Pace, mode: Mode) -> None:
        rate = pace.ceiling(mode)
        whole = rate + pace.burst
        slack = min(0.25, 0.9 * (floor(whole) + 1 - whole))
        size = pace.burst + slack
        self._bucket = AsyncLimiter(size, size / rate)

    async def take(self, share: Callable[[], float] = _whole) -> None:
        """Wait for one permit. While only a share of the ceiling is used, a request takes as many drops more.

        The share is asked for with each drop: a change of it is felt at once, not after a permit at the old rate.
        """
        got = 0.0
        while (lacks := 1.0 - got) > _NOTHING:
            used = share()
            drop = min(1.0, lacks / used)
            await self._bucket.acquire(drop)
            got += drop * used

    async def begin_spent(self) -> None:
        """Whoever had the bucket before may have spent it this very second (a restart)."""
        await self._bucket.acquire(self._bucket.max_rate)
