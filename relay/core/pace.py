"""How fast a channel may be sent to.

Jetti documents 1 write a second for the synchronous API and "assume a 10x increase" for the asynchronous endpoint.
"""

from dataclasses import dataclass
from enum import StrEnum


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

    def ceiling(self, mode: Mode) -> float:
        """Requests per second, at the most."""
        return self.sync_rate * (self.multiplier if mode is Mode.ASYNC else 1.0)

    def spacing_s(self, mode: Mode) -> float:
        """Seconds from one request to the next at the ceiling."""
        return 1.0 / self.ceiling(mode)
