"""What the private API is given of the running relay: what it may look at, and what it may do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.api.pulse import Pulse
from relay.core.breaker import Circuit
from relay.core.condition import Condition
from relay.core.delivery import HeadStarts
from relay.core.instant import Instant
from relay.core.outcome import Trouble
from relay.core.pace import drained_s
from relay.core.preview import Previewer
from relay.core.whereabouts import Road
from relay.store import Deed, LostEvent, Receipt, Revived


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What is shown of a channel besides its backlog."""

    mode: str
    rate: float
    """Requests per second it is allowed at present."""
    configured_rate: float
    in_flight: int
    condition: Condition
    resting_s: float = 0.0
    """For how many more seconds a throttle keeps it silent."""
    probe_in_s: float | None = None
    """Seconds until the next probe; ``None`` while the circuit is closed."""
    trouble: Trouble | None = None
    """What the latest attempts came to, if none of them got through."""
    rate_for_s: float | None = None
    """For how many more seconds its rate for now holds; ``None`` without one, or until it is taken back."""

    flights: Mapping[int, Instant] = field(default_factory=dict)
    """When the request of each order began whose answer has yet to come, by the order's id."""

    def road(self, order_id: int) -> Road:
        """The channel as one of its orders meets it."""
        return Road(self.condition, self.rate, self.trouble, self.flights.get(order_id), self._then)

    @property
    def latest_order_id(self) -> int | None:
        """The newest of the orders whose failures opened the circuit, or whose refusals halted the channel."""
        breaker = self.condition.breaker
        met = {Circuit.CLOSED: (), Circuit.OPEN: breaker.failed, Circuit.HALTED: breaker.refused}[breaker.circuit]
        return met[-1] if met else None

    @property
    def state(self) -> str:
        """The one word: ``paused``, ``halted``, ``open``, ``resting`` or ``sending``; the first that is true."""
        if self.condition.pause is not None:
            return "paused"
        if self.condition.breaker.circuit is not Circuit.CLOSED:
            return self.condition.breaker.circuit.value
        return "resting" if self.resting_s > 0 else "sending"

    @property
    def allowed_rate(self) -> float:
        """Requests per second at the most at present: what is configured, or less where a person said so."""
        said = self.condition.rate_for_now
        return self.configured_rate if said is None else min(self.configured_rate, said.rate)

    def drain_s(self, orders: int) -> float | None:
        """When so many will be gone if nothing more arrives, seconds; unknown while nothing gets through."""
        if not orders:
            return 0.0
        if Road(self.condition, self.rate, self.trouble).stands:
            return None
        for_s = None if self.rate_for_s is None else max(0.0, self.rate_for_s - self.resting_s)
        return round(self.resting_s + drained_s(orders, self.rate, for_s=for_s, then=self._then), 1)

    @property
    def _then(self) -> float:
        """Requests per second once its rate for now is over."""
        return self.condition.tempo.share * self.configured_rate


@dataclass(frozen=True, slots=True)
class LimitView:
    """How near a limit is beyond which new events are refused."""

    limit: str
    """``queue``, ``disk`` or ``backlog``."""
    channel: str | None
    """Whose backlog it is."""
    level: float
    """0: far away; 1: reached."""
    words: str
    """How much there is, and how much there may be."""
    refused: Sequence[str] = ()
    """Storefronts whose events are refused for it at present."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the API may do to the running relay, besides what it asks of the store."""

    pause: Callable[[str, str, str, str | None], Awaitable[None]]
    """A channel, by whom, why, and the name of the token that was shown."""
    resume: Callable[[str, str, str, str | None], Awaitable[None]]
    """The same; raises ``ValueError`` saying what is wrong with the channel's secrets."""
    set_rate: Callable[[str, float | None, float | None, str, str, str | None], Awaitable[None]]
    """A channel, a rate for now or ``None``, for how many seconds, by whom, why, by which token; raises ``ValueError``
    saying what is wrong with the rate."""
    offer: Callable[[Revived], None]
    """An order waits again."""
    read_again: Callable[[LostEvent, Deed], Awaitable[Receipt | None]]
    """Try once more to read an order from an event, and keep who did it; ``None`` if there still is none in it."""
    replay_begun: Callable[[], None]
    """A bulk replay is to be carried out."""
    head_starts: Mapping[str, HeadStarts]
    """By channel."""


@dataclass(frozen=True, slots=True)
class View:
    """What the API is shown of the running relay."""

    version: str
    started_at: Instant
    store_url: str
    storefronts: Mapping[str, Mapping[str, str | None]]
    """Kind, channel and ``accept_when`` of each."""
    channels: Callable[[], Mapping[str, ChannelView]]
    not_ready: Callable[[], Sequence[str]]
    """Why the relay is not ready; empty when it is."""
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    """The text that Prometheus scrapes, and its content type."""
    hands: Hands
    pulse: Pulse
    limits: Callable[[], Sequence[LimitView]] = tuple
    previewers: Mapping[str, Previewer] = field(default_factory=dict)
    """By storefront."""
    body_max_bytes: int = 5 * 1024 * 1024
    """Of a webhook that is previewed."""
    host: str = "localhost"
    """Where it listens. Without a token, requests must be addressed to it or to loopback."""
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name. None: nobody needs one."""
