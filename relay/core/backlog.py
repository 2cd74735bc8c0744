"""The in-memory priority queue: a bounded window on the head of the store's backlog.

The store is the queue; this is its most urgent part. What holds at any time: every delivery that waits in the store
and is more urgent than the horizon is in the window (or in flight). So the window's head is the backlog's head, and a
million waiting orders cost disk, not memory.
"""

from bisect import insort
from collections.abc import Container, Iterable
from dataclasses import dataclass

from relay.core.instant import Instant


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A delivery's place in the backlog. The smallest goes first."""

    urgency: Instant
    order_id: int


class Backlog:
    """The window of one channel. Not more than ``limit`` places long."""

    __slots__ = ("_arrived", "_horizon", "_known", "_limit", "_refilling", "_window")

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._window: list[Waiting] = []
        self._known: dict[int, Waiting] = {}
        # Nothing beyond the window is known to exist until the store has been asked for the first time.
        self._horizon: Waiting | None = Waiting(-(2**63), 0)
        self._refilling = False
        self._arrived: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._window)

    def __repr__(self) -> str:
        return f"<Backlog {len(self._window)} of {self._limit}, horizon {self._horizon}>"

    @property
    def needs_refill(self) -> bool:
        """Whether the store holds, or may hold, deliveries that the window should be showing by now."""
        return self._horizon is not None and not self._refilling and len(self._window) <= self._limit // 4

    def offer(self, waiting: Waiting) -> None:
        """A delivery began to wait. Beyond the horizon it is left to the store."""
        if self._refilling:
            self._arrived.append(waiting)
        known = self._known.get(waiting.order_id)
        if known == waiting:
            return
        if known is not None:  # it left the backlog behind our back, and came back to another place
            self._window.remove(known)
            del self._known[waiting.order_id]
        if self._horizon is not None and waiting > self._horizon:
            return
        insort(self._window, waiting)
        self._known[waiting.order_id] = waiting
        if len(self._window) > self._limit:
            self._horizon = dropped = self._window.pop()
            del self._known[dropped.order_id]

    def most_urgent(self) -> Waiting | None:
        """Take the head out of the window; ``None`` if the window is empty."""
        if not self._window:
            return None
        head = self._window.pop(0)
        del self._known[head.order_id]
        return head

    def most_urgent_but(self, tried: Container[int]) -> Waiting | None:
        """Take out the most urgent whose order was not tried; the head, if all in the window were."""
        untried = next((at for at, waiting in enumerate(self._window) if waiting.order_id not in tried), 0)
        if not self._window:
            return None
        chosen = self._window.pop(untried)
        del self._known[chosen.order_id]
        return chosen

    def begin_refill(self) -> int:
        """The store is about to be asked for its head; how many places to ask for."""
        self._refilling = True
        self._arrived.clear()
        return self._limit

    def refill(self, head: Iterable[Waiting], *, asked: int) -> None:
        """What the store answered, most urgent first. Fewer than were asked for means that this is all there is."""
        self._refilling = False
        answered = list(head)
        # The horizon moves first, so that offers which arrived while the store was read are judged by the new one.
        self._horizon = answered[-1] if len(answered) >= asked else None
        # The answer replaces the window. What it does not name has left the backlog, or lies beyond the new horizon:
        # kept, it would push the horizon past deliveries that the window has never seen.
        self._window.clear()
        self._known.clear()
        for waiting in (*answered, *self._arrived):
            self.offer(waiting)
        self._arrived.clear()

    def abandon_refill(self) -> None:
        """The store could not be read; ask again later."""
        self._refilling = False
        self._arrived.clear()
