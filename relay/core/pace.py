"""How fast a channel may be sent to, and how that gives way to a throttle and comes back.

Jetti documents 1 write a second for the synchronous API and "assume a 10x increase" for the asynchronous endpoint.
Beyond it the synchronous API answers 429; what the asynchronous one will answer is not documented (429 is assumed).

Additive increase, multiplicative decrease: a throttle halves the rate, every success gives a hundredth of the ceiling
back. So from the floor the whole rate is reached again in about 230 requests, and never exceeded.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from relay.core import instant
from relay.core.instant import Instant
from relay.core.outcome import Cause

CUT = 0.5
"""What is left of the rate after a throttle."""
STEP = 0.01
"""What a success gives back, as a share of the ceiling."""


class Mode(StrEnum):
    """Which of Jetti's two import endpoints a channel uses."""

    ASYNC = "async"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Pace:
    """Requests per second a channel is allowed, evenly spaced unless ``burst`` says otherwise."""

    sync_rate: float = 1.0
    """What the synchronous API takes, requests per second."""
    multiplier: float = 10.0
    """How many times that the asynchronous endpoint takes."""
    burst: int = 1
    """How many requests may leave at once after a quiet time; 1 means evenly spaced."""
    floor: float = 0.1
    """The share of the ceiling that no throttle goes below."""

    def ceiling(self, mode: Mode) -> float:
        """Requests per second, at the most."""
        return self.sync_rate * (self.multiplier if mode is Mode.ASYNC else 1.0)

    def spacing_s(self, mode: Mode) -> float:
        """Seconds from one request to the next at the ceiling."""
        return 1.0 / self.ceiling(mode)


def drained_s(orders: int, rate: float, *, for_s: float | None = None, then: float = 0.0) -> float:
    """When so many orders will have left, seconds: at this rate, and after ``for_s`` seconds at the one that
    follows."""
    if for_s is None or orders <= rate * for_s:
        return orders / rate
    return for_s + (orders - rate * for_s) / then


@dataclass(frozen=True, slots=True)
class Tempo:
    """How much of its pace a channel uses at present."""

    share: float = 1.0
    """Of the ceiling."""
    rests_from: Instant | None = None
    rests_until: Instant | None = None
    """Until then nothing is sent: a throttle said so."""
    cause: Cause | None = None
    """Of the latest rest."""
    cut_at: int = 0
    """Number of the newest request when the rate was cut last. What the ones before it come to says nothing new."""

    def throttled(
        self, seconds: float, cause: Cause, *, number: int, newest: int, now: Instant, floor: float
    ) -> "Tempo":
        """Request ``number`` was throttled when ``newest`` had been begun; the channel rests, and slows down once."""
        until = instant.after(now, seconds)
        if self.resting_s(now) > 0 and self.rests_until is not None:
            until = max(until, self.rests_until)  # a shorter rest does not end a longer one
        rested = replace(self, rests_from=now, rests_until=until, cause=cause)
        if number <= self.cut_at:
            return rested
        return replace(rested, share=max(floor, self.share * CUT), cut_at=newest)

    def took(self, *, number: int) -> "Tempo":
        """Request ``number`` was taken."""
        if self.share >= 1.0 or number <= self.cut_at:
            return self
        return replace(self, share=min(1.0, self.share + STEP))

    def resting_s(self, now: Instant) -> float:
        """For how many more seconds nothing is sent. A clock that was set back ends the rest."""
        if self.rests_from is None or self.rests_until is None or now < self.rests_from:
            return 0.0
        return max(0.0, instant.seconds_between(now, self.rests_until))

    def rested(self) -> "Tempo":
        """Someone wants it to go on at once."""
        return replace(self, rests_from=None, rests_until=None)
