"""Is it the channel that is wrong, or this one order?

An order that is refused is suspected together with its channel. As soon as Jetti takes an order whose request was
begun after that refusal, the channel is cleared, and the next refusal is the order's own. Unless the order that was
taken had been refused itself: then the refusals were the channel's, and all of them are forgotten.
"""

_MOST = 1000


class Suspects:
    """The orders of one channel that were refused and not taken since. Requests are numbered as they are begun."""

    def __init__(self) -> None:
        self._refused_at: dict[int, int] = {}
        self._taken = 0

    def took(self, order_id: int, number: int) -> None:
        """Request ``number`` was taken."""
        if order_id in self._refused_at:
            self._refused_at.clear()
        self._taken = max(self._taken, number)

    def refused(self, order_id: int, newest: int) -> bool:
        """An order was refused when ``newest`` was the newest request begun; whether that is its own fault."""
        first_at = self._refused_at.setdefault(order_id, newest)
        if len(self._refused_at) > _MOST:
            self._refused_at.pop(next(iter(self._refused_at)))
        return self._taken > first_at

    def forget(self) -> None:
        """It was the channel: whoever was refused is suspected no more."""
        self._refused_at.clear()
