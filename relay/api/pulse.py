"""What just happened, second by second: the figures behind the console's plots, and its latest webhooks.

An observer that keeps a quarter of an hour in memory; metrics are for longer, and after a restart it begins anew.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.clock import Clock
from relay.core import instant
from relay.core.events import AttemptMade, EventAccepted, Happening, RequestRefused
from relay.core.instant import Instant

KEPT_S = 900
LATEST_MAX = 100
_SENT = "sent"
_WELL = frozenset({_SENT, "fetched", "cancelled", "handed_back"})
"""Outcomes of requests that came to what they were for."""


@dataclass(slots=True)
class Second:
    """One second's figures."""

    accepted: int = 0
    """Webhooks that were answered 2xx."""
    delivered: int = 0
    """Requests that Jetti took."""
    not_delivered: int = 0
    """Requests that came to nothing, for whatever cause; to a storefront's API, too."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A webhook, as it came in."""

    at: Instant
    what: EventAccepted


@dataclass(slots=True)
class Door:
    """What a storefront sent since the relay started."""

    accepted: int = 0
    refused: int = 0
    last_at: Instant | None = None
    """When its latest accepted webhook came."""


@dataclass(slots=True)
class Pulse:
    """Subscribe it to what happens."""

    clock: Clock
    names: Iterable[str] = ()
    """Of the storefronts."""
    latest: deque[Arrived] = field(default_factory=lambda: deque(maxlen=LATEST_MAX))
    """Newest last."""
    doors: dict[str, Door] = field(init=False)
    _seconds: dict[int, Second] = field(default_factory=dict)
    _begun: int = field(init=False)

    def __post_init__(self) -> None:
        self.doors = {name: Door() for name in self.names}
        self._begun = self._second_now()

    def __call__(self, happening: Happening) -> None:
        """Count it, if it is of interest."""
        match happening:
            case EventAccepted():
                at = self.clock.now()
                self._second().accepted += 1
                self.latest.append(Arrived(at, happening))
                if (door := self.doors.get(happening.storefront)) is not None:
                    door.accepted, door.last_at = door.accepted + 1, at
            case AttemptMade(outcome=outcome):
                second = self._second()
                if outcome == _SENT:
                    second.delivered += 1
                elif outcome not in _WELL:
                    second.not_delivered += 1
            case RequestRefused():
                if (door := self.doors.get(happening.storefront)) is not None:
                    door.refused += 1
            case _:
                pass

    def seconds(self, after: int | None = None) -> tuple[int, list[Second]]:
        """Every complete second there is after one (seconds since 1970), oldest first, and when the first one was."""
        now = self._second_now()
        first = max(self._begun, now - KEPT_S, 0 if after is None else after + 1)
        none = Second()
        return first, [self._seconds.get(second, none) for second in range(first, now)]

    def _second(self) -> Second:
        now = self._second_now()
        found = self._seconds.get(now)
        if found is None:
            found = self._seconds[now] = Second()
            for old in [second for second in self._seconds if second < now - KEPT_S]:
                del self._seconds[old]
        return found

    def _second_now(self) -> int:
        return self.clock.now() // instant.SECOND
