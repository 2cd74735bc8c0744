"""What a channel's deliveries depend on besides its backlog, as one value that is kept with the orders."""

from dataclasses import dataclass, field, replace

import msgspec

from relay.core.breaker import Breaker
from relay.core.delivery import ChannelNow
from relay.core.instant import Instant
from relay.core.pace import Tempo


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator said that nothing is to be sent; accepting goes on."""

    by: str
    why: str
    since: Instant


RATE_MIN = 0.01
"""Requests per second: less is no rate but a pause."""
RATE_FOR_MAX_S = 30 * 86_400.0
"""A rate for now that is to last longer belongs in the configuration."""


@dataclass(frozen=True, slots=True)
class RateForNow:
    """An operator said that less is to be sent than the pace allows, for a while."""

    rate: float
    """Requests per second, at the most."""
    by: str
    why: str
    since: Instant
    until: Instant | None = None
    """``None``: until someone takes it back."""

    def is_over(self, now: Instant) -> bool:
        """Whether it has ended by itself."""
        return self.until is not None and now >= self.until


@dataclass(frozen=True, slots=True)
class Condition:
    """One channel's tempo, circuit, pause, stopwatch, and rate for now."""

    tempo: Tempo = field(default_factory=Tempo)
    breaker: Breaker = field(default_factory=Breaker)
    pause: Pause | None = None
    running_us: int = 0
    """The stopwatch, microseconds: for how long the channel has been known to work, ever. It stands still while the
    channel is paused, resting, open or halted, from a failure to the next success, and while the relay is not running;
    no wall clock moves it."""
    rate_for_now: RateForNow | None = None

    def share(self, ceiling: float, now: Instant) -> float:
        """Of the ceiling (requests per second) that may be used now. A throttle cuts from the rate for now, too."""
        said = self.rate_for_now
        if said is None or said.is_over(now):
            return self.tempo.share
        return self.tempo.share * min(1.0, max(RATE_MIN, said.rate) / ceiling)

    def without_what_is_over(self, now: Instant) -> "Condition":
        """As it is once its rate for now has ended by itself."""
        said = self.rate_for_now
        return replace(self, rate_for_now=None) if said is not None and said.is_over(now) else self

    def stands(self, now: Instant) -> bool:
        """Whether the channel is not sent to as usual, so that no order ages."""
        return self.pause is not None or self.breaker.stands or self.tempo.resting_s(now) > 0

    @property
    def runs(self) -> bool:
        """Whether the stopwatch runs, apart from a rest."""
        return self.pause is None and not self.breaker.stands and not self.breaker.failed

    def restarted(self) -> "Condition":
        """As it goes on in a new process."""
        return replace(self, breaker=self.breaker.restarted(), tempo=replace(self.tempo, cut_at=0))

    def around(self, park_s: float | None = None) -> ChannelNow:
        """What a delivery needs to know of it."""
        return ChannelNow(self.running_us, park_s)


UNREADABLE = "what was kept of this channel cannot be read (another version wrote it?): resume it if it may send"


def encode(condition: Condition) -> bytes:
    """As a store keeps it: JSON."""
    return msgspec.json.encode(condition)


def decode(kept: bytes | str) -> Condition:
    """What was kept, also by another version: unknown members are left out, missing ones have their defaults.

    What cannot be read at all may have been a pause: then it is one, and a person decides.
    """
    try:
        return msgspec.json.decode(kept, type=Condition)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Condition(pause=Pause("order-relay", UNREADABLE, 0))
