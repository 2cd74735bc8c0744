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


@dataclass(frozen=True, slots=True)
class Condition:
    """One channel's tempo, circuit, pause, and stopwatch."""

    tempo: Tempo = field(default_factory=Tempo)
    breaker: Breaker = field(default_factory=Breaker)
    pause: Pause | None = None
    running_us: int = 0
    """The stopwatch, microseconds: for how long the channel has been known to work, ever. It stands still while the
    channel is paused, resting, open or halted, from a failure to the next success, and while the relay is not running;
    no wall clock moves it."""

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
