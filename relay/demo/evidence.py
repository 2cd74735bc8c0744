"""What the demo saw for itself: its own record of what it sent, and the imitated Jetti's of what arrived."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.clock import Clock
from relay.demo.driver import Answer
from relay.demo.orders import Content, content_of
from relay.demo.story import Plan
from relay.sandbox import Received, RunningSandbox

_BEAT_S = 0.005
_ALL = 10**9


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the imitated Jetti received it. Times are seconds since the demo began."""

    external_id: str
    at: float
    """When it was looked at."""
    earliest_at: float
    """The earliest moment at which it can have arrived, see :class:`Pulse`."""
    status: int | None
    content: Content | None
    """``None``: it said nothing that an order of the demo says."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All there is to judge by. What the relay says of itself is in ``counters`` and ``dead`` only."""

    plan: Plan
    answers: Sequence[Answer] = field(repr=False)
    requests: Sequence[Request] = field(repr=False)
    """In the order of their arrival."""
    sales: Mapping[str, Content | None] = field(repr=False)
    """What Jetti has in the end, by external id."""
    overlaps: int
    """Requests that arrived while another one for the same order was in flight."""
    counters: Counter[str] = field(repr=False)
    dead: Mapping[str, str]
    """Why orders are dead letters, by external id."""
    exit_code: int | None = None
    """The relay's, after SIGTERM."""


class Pulse:
    """Notes when this process' event loop turned, because it dates the requests that the imitated Jetti receives.

    A loop that is busy, or a machine that is, dates several requests late and at once, and an even pace would look
    like a burst. A request cannot have arrived before the last but one turn that was noted before it was dated: the
    last one may have found it unread, the one before it would have dated it.
    """

    def __init__(self, clock: Clock, elapsed: Callable[[], float]) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._beats: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._beats.append(self._elapsed())
            await self._clock.sleep(_BEAT_S)

    def earliest(self, at: float) -> float:
        """The earliest moment at which what was dated ``at`` can have arrived."""
        before = bisect_left(self._beats, at)
        return self._beats[max(0, before - 2)] if before else at


def gathered(
    plan: Plan,
    answers: Iterable[Answer],
    jetti: RunningSandbox,
    pulse: Pulse,
    counters: Counter[str],
    dead: Mapping[str, str],
) -> Evidence:
    """The evidence, once the backlog is gone."""
    known = tuple(answers)
    orders = {answer.webhook.state.order.external_id for answer in known}
    sales = {order: jetti.account.sale(order) for order in orders}
    return Evidence(
        plan=plan,
        answers=known,
        requests=tuple(_request(received, pulse) for received in jetti.journal.after(0, _ALL)),
        sales={order: content_of(sale.newest.payload or b"") for order, sale in sales.items() if sale is not None},
        overlaps=jetti.journal.overlaps,
        counters=counters,
        dead=dead,
    )


def _request(received: Received, pulse: Pulse) -> Request:
    content = content_of(received.payload or b"")
    return Request(received.external_id, received.at, pulse.earliest(received.at), received.status, content)
