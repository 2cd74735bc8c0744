"""The sequence of import requests, as a test wants to see it: when, for which order, answered what."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import islice

from relay.sandbox.faults import Endpoint


class Outcome(StrEnum):
    """What a request came to."""

    OPEN = "open"
    """Not answered yet."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """Answered with a problem of the request's own."""
    UNAUTHORIZED = "unauthorized"
    THROTTLED = "throttled"
    """Beyond the limit."""
    FAULT = "fault"
    """Answered by a fault on request."""
    DROPPED = "dropped"
    """Not answered: a fault closed the connection, or the client did."""


@dataclass(slots=True, eq=False)
class Received:
    """One import request. Times are seconds since the sandbox started."""

    seq: int
    endpoint: Endpoint
    at: float
    channel_id: int | None = None
    external_id: str = ""
    reference: str | None = None
    payload: bytes | None = None
    """The body as it came, until it is too old to be kept."""
    digest: bytes = b""
    status: int | None = None
    outcome: Outcome = Outcome.OPEN
    answered_at: float | None = None
    traceparent: str | None = None
    """As it came."""


class Journal:
    """Counts every request, and keeps the newest ones."""

    def __init__(self, max_requests: int, max_payload_bytes: int) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.statuses: Counter[int] = Counter()
        self.max_in_flight = 0
        self.max_in_flight_per_order = 0
        self.overlaps = 0
        """Requests that arrived while another one for the same order was in flight."""
        self._requests: deque[Received] = deque(maxlen=max_requests)
        self._last_seq = 0
        self._open = 0
        self._open_by_order: dict[tuple[int | None, str], int] = {}
        self._payloads: deque[Received] = deque()
        self._payload_bytes = 0
        self._max_payload_bytes = max_payload_bytes

    @property
    def first_seq(self) -> int:
        """The oldest request still kept; 0 before the first one."""
        return self._requests[0].seq if self._requests else 0

    @property
    def last_seq(self) -> int:
        """The newest request, and so the number of them."""
        return self._last_seq

    @property
    def in_flight(self) -> int:
        """Requests not answered yet."""
        return self._open

    def begin(self, endpoint: Endpoint, channel_id: int | None, at: float) -> Received:
        """A request has arrived."""
        self._last_seq += 1
        received = Received(self._last_seq, endpoint, at, channel_id)
        self._requests.append(received)
        self._open += 1
        self.max_in_flight = max(self.max_in_flight, self._open)
        return received

    def note(self, received: Received, body: bytes, external_id: str, reference: str | None) -> None:
        """Its body has been read: from here on it is in flight for its order."""
        received.digest = blake2b(body, digest_size=8).digest()
        received.external_id, received.reference = external_id, reference
        self._keep(received, body)
        if external_id:
            self.enter(received.channel_id, external_id)

    def finish(self, received: Received, at: float, outcome: Outcome, status: int | None) -> None:
        """It has been answered, or never will be (``status`` is then ``None``)."""
        received.answered_at, received.outcome, received.status = at, outcome, status
        self._open -= 1
        self.outcomes[outcome] += 1
        if status is not None:
            self.statuses[status] += 1
        self.leave(received.channel_id, received.external_id)

    def enter(self, channel_id: int | None, external_id: str) -> None:
        """A request is in flight for an order: an import, or a cancel call."""
        key = (channel_id, external_id)
        together = self._open_by_order.get(key, 0) + 1
        self._open_by_order[key] = together
        self.overlaps += together > 1
        self.max_in_flight_per_order = max(self.max_in_flight_per_order, together)

    def leave(self, channel_id: int | None, external_id: str) -> None:
        """It is no more, if it was."""
        key = (channel_id, external_id)
        together = self._open_by_order.get(key, 0)
        if together > 1:
            self._open_by_order[key] = together - 1
        elif together:
            del self._open_by_order[key]

    def after(self, seq: int, limit: int) -> Iterator[Received]:
        """The kept requests that came after this one, in their order."""
        skipped = max(0, seq + 1 - self.first_seq)
        return islice(self._requests, skipped, skipped + limit)

    def _keep(self, received: Received, body: bytes) -> None:
        received.payload = body
        self._payloads.append(received)
        self._payload_bytes += len(body)
        while self._payload_bytes > self._max_payload_bytes or len(self._payloads) > (self._requests.maxlen or 0):
            oldest = self._payloads.popleft()
            self._payload_bytes -= len(oldest.payload or b"")
            oldest.payload = None
