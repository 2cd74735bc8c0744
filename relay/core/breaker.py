"""Whether a channel is sent to as usual, or only tried now and then.

A channel's circuit is

* ``closed``: deliveries go out at the channel's pace;
* ``open``: the endpoint is down. So many *different* orders in a row came to no answer (timeouts, broken or refused
  connections, 5xx) that it cannot be the orders. Nobody is needed: it will come back.
* ``halted``: the channel itself is wrong (credentials, address, redirects, TLS), or one and the same refusal came for
  order after order. A person is needed: this is an alarm.

While it is open or halted, one order at a time is sent as a probe, at intervals that grow; whatever fails then costs
no order an attempt. Who answers a probe closes the circuit. An order that fails or is refused alone never gets a
circuit open: its failures count once, and any success between them starts the count again.

:data:`MOVES` is every move there is; the diagram in the documents is drawn from it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from relay.core import instant
from relay.core.instant import Instant
from relay.core.outcome import (
    Cancelled,
    CannotMap,
    Cause,
    ChannelWrong,
    Failed,
    Ignored,
    NotWanted,
    NotYet,
    Obtained,
    Outcome,
    Refused,
    Sent,
    Throttled,
    Unchanged,
)


class Circuit(StrEnum):
    """How a channel is sent to."""

    CLOSED = "closed"
    OPEN = "open"
    HALTED = "halted"


class Signal(StrEnum):
    """What attempts, taken together, say of the channel."""

    WORKS = "works"
    """A probe was answered."""
    DOWN = "down"
    """So many different orders in a row came to no answer."""
    WRONG = "wrong"
    """Credentials, address, redirect, TLS; or the same refusal for order after order."""
    RESUMED = "resumed"
    """A person says: try again."""


MOVES: dict[tuple[Circuit, Signal], Circuit] = {
    (Circuit.CLOSED, Signal.DOWN): Circuit.OPEN,
    (Circuit.CLOSED, Signal.WRONG): Circuit.HALTED,
    (Circuit.OPEN, Signal.WORKS): Circuit.CLOSED,
    (Circuit.OPEN, Signal.WRONG): Circuit.HALTED,
    (Circuit.OPEN, Signal.RESUMED): Circuit.CLOSED,
    (Circuit.HALTED, Signal.WORKS): Circuit.CLOSED,
    (Circuit.HALTED, Signal.RESUMED): Circuit.CLOSED,
}
"""Where a signal leads; what is not named stays where it is."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """What the operator decides about the circuit."""

    failures: int = 5
    """Different orders in a row without an answer that open it."""
    refusals: int = 10
    """Different orders in a row with the same refusal that halt it."""
    probe_s: float = 1.0
    """From opening to the first probe, seconds; doubled by every probe that fails."""
    probe_cap_s: float = 60.0
    """The longest interval between probes of an open channel, seconds."""
    halt_probe_s: float = 10.0
    """From halting to the first probe, seconds; doubled by every probe that fails."""
    halt_probe_cap_s: float = 300.0
    """The longest interval between probes of a halted channel, seconds."""

    def interval_s(self, circuit: Circuit, probes: int) -> float:
        """From one probe to the next, after so many that failed."""
        halted = circuit is Circuit.HALTED
        first_s, cap_s = (self.halt_probe_s, self.halt_probe_cap_s) if halted else (self.probe_s, self.probe_cap_s)
        return min(cap_s, first_s * 2.0 ** min(probes, 64))


@dataclass(frozen=True, slots=True)
class Breaker:
    """One channel's circuit, and what led to it."""

    circuit: Circuit = Circuit.CLOSED
    since: Instant | None = None
    """When it came to be open or halted; ``None`` while closed."""
    cause: Cause | None = None
    """Why it is open or halted."""
    failed: tuple[int, ...] = ()
    """Ids of the orders that came to no answer, in a row, each once."""
    refused: tuple[int, ...] = ()
    """Ids of the orders that were refused with :attr:`refusal`, in a row, each once."""
    refusal: str = ""
    """The code they share."""
    probes: int = 0
    """Probes in a row that failed."""
    waits_from: Instant | None = None
    probe_at: Instant | None = None
    """When the next probe is due."""

    @property
    def stands(self) -> bool:
        """Whether only probes are sent."""
        return self.circuit is not Circuit.CLOSED

    @property
    def halted_by_refusals(self) -> bool:
        """Whether it was one refusal for order after order, so that another refusal proves nothing."""
        return self.circuit is Circuit.HALTED and self.refusal != ""

    def probe_in_s(self, now: Instant) -> float:
        """Seconds until the next probe; 0 when it is due. A clock that was set back makes it due."""
        if self.probe_at is None or self.waits_from is None or now < self.waits_from:
            return 0.0
        return max(0.0, instant.seconds_between(now, self.probe_at))

    def after(
        self, outcome: Outcome, *, order_id: int, own_fault: bool, now: Instant, policy: BreakerPolicy
    ) -> "Breaker":
        """After one more attempt of a closed channel. ``own_fault``: others were taken since the order was refused
        first, so it says nothing of the channel."""
        match outcome:
            case Sent() | Obtained() | Cancelled():
                return Breaker()
            case ChannelWrong(cause):
                return _moved(replace(self, failed=(), refused=(), refusal=""), Signal.WRONG, cause, now, policy)
            case Refused(cause) if not own_fault:
                run = _with(self.refused if cause.code == self.refusal else (), order_id)
                counted = replace(self, failed=(), refused=run, refusal=cause.code)
                return _moved(counted, Signal.WRONG, cause, now, policy) if len(run) >= policy.refusals else counted
            case Failed(cause):
                counted = replace(self, failed=_with(self.failed, order_id))
                down = len(counted.failed) >= policy.failures
                return _moved(counted, Signal.DOWN, cause, now, policy) if down else counted
            case Refused() | Throttled() | NotYet():
                return replace(self, failed=())
            case Unchanged() | CannotMap() | NotWanted() | Ignored():
                return self
            case _:
                assert_never(outcome)

    def probed(self, outcome: Outcome, *, now: Instant, policy: BreakerPolicy) -> "Breaker":
        """After a probe of a channel that is open or halted."""
        match outcome:
            case Sent() | Obtained() | Cancelled() | NotYet():
                return _moved(self, Signal.WORKS, None, now, policy)
            case Refused() if not self.halted_by_refusals:
                return _moved(self, Signal.WORKS, None, now, policy)
            case Throttled() if self.circuit is Circuit.OPEN:
                return _moved(self, Signal.WORKS, None, now, policy)
            case ChannelWrong(cause) if self.circuit is Circuit.OPEN:
                return _moved(replace(self, failed=(), refused=(), refusal=""), Signal.WRONG, cause, now, policy)
            case ChannelWrong() | Refused() | Failed() | Throttled():
                return _waiting(replace(self, probes=self.probes + 1), now, policy)
            case Unchanged() | CannotMap() | NotWanted() | Ignored():
                return self
            case _:
                assert_never(outcome)

    def resumed(self, *, now: Instant) -> "Breaker":
        """A person says: try again."""
        return _moved(self, Signal.RESUMED, None, now, BreakerPolicy())

    def restarted(self) -> "Breaker":
        """The relay was started again: perhaps something was mended, so a probe is due."""
        return replace(self, waits_from=None, probe_at=None)


def _moved(breaker: Breaker, signal: Signal, cause: Cause | None, now: Instant, policy: BreakerPolicy) -> Breaker:
    to = MOVES.get((breaker.circuit, signal), breaker.circuit)
    if to is breaker.circuit:
        return breaker
    if to is Circuit.CLOSED:
        return Breaker()
    return _waiting(replace(breaker, circuit=to, since=now, cause=cause, probes=0), now, policy)


def _waiting(breaker: Breaker, now: Instant, policy: BreakerPolicy) -> Breaker:
    probe_at = instant.after(now, policy.interval_s(breaker.circuit, breaker.probes))
    return replace(breaker, waits_from=now, probe_at=probe_at)


def _with(run: tuple[int, ...], order_id: int) -> tuple[int, ...]:
    return run if order_id in run else (*run, order_id)
