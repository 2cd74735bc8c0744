"""Jetti's rate limits as leaky buckets that are told the time, in seconds of any clock that never jumps.

Documented: the synchronous API takes 2 GET or 1 non-GET per second per account and answers 429 beyond. Documented as
an assumption: the asynchronous endpoint takes ten times that. Inferred: that it is counted per channel (its hash
picks one), and that a call beyond is answered 429.
"""

JITTER_S = 0.05
"""How much too early a request may be. The network brings requests closer together than they were sent."""

WRITE_COST = 1.0
READ_COST = 0.5


class LeakyBucket:
    """Takes ``rate`` per second for good, and up to ``burst`` at once; a rate of ``None`` or 0 takes everything."""

    def __init__(self, rate: float | None, burst: float) -> None:
        self._rate = rate or 0.0
        self._capacity = burst + JITTER_S * self._rate + 1e-9
        self._level = 0.0
        self._at = 0.0

    def wait_s(self, at: float, cost: float = WRITE_COST) -> float:
        """0 when the request is let in (and counted), else the seconds until there is room for it."""
        if not self._rate:
            return 0.0
        if at > self._at:
            self._level = max(0.0, self._level - (at - self._at) * self._rate)
            self._at = at
        excess = self._level + cost - self._capacity
        if excess > 0:
            return excess / self._rate
        self._level += cost
        return 0.0
