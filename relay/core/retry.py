"""How long to wait before the next attempt: exponential backoff with full jitter.

Full jitter (a delay drawn evenly from zero to the bound) keeps orders that failed together from coming back together.
"""

from dataclasses import dataclass

from relay.core import instant
from relay.core.instant import Instant

_ATTEMPTS_MIN = 8
"""Before so many attempts no order is given up, whatever the clock says."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What the operator decides about attempts that may be repeated."""

    base_s: float = 1.0
    """Bound of the first delay, seconds."""
    factor: float = 2.0
    """By how much the bound grows with each attempt."""
    cap_s: float = 300.0
    """The bound never exceeds this, seconds."""
    max_age_s: float = 86_400.0
    """An order that has failed for so long, on its channel's stopwatch, becomes a dead letter, seconds."""

    def delay_max_s(self, attempts: int) -> float:
        """Upper bound of the delay after so many attempts (1 or more), seconds."""
        # The exponent is bounded first: 2.0 ** 2000 overflows, and the cap was reached long before.
        return min(self.cap_s, self.base_s * self.factor ** min(attempts - 1, 64))

    def next_due(self, now: Instant, attempts: int, *, jitter: float) -> Instant:
        """When to try again. ``jitter`` is a number from 0 to 1, drawn by the caller."""
        return instant.after(now, self.delay_max_s(attempts) * jitter)

    def exhausted(self, attempts: int, *, failing_us: int, running_us: int) -> bool:
        """Whether an order has failed for longer than it may, both times being on its channel's stopwatch.

        That runs only while the channel is known to work. So an order is given up only when others were taken all the
        time in which it failed.
        """
        return attempts >= _ATTEMPTS_MIN and running_us - failing_us >= self.max_age_s * instant.SECOND
