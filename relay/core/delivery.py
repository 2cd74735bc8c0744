"""The state of an order's one delivery, and the rules by which an attempt moves it.

An order has one delivery at a time; it carries the order's newest revision.

* ``waiting``: due, and as urgent as its place in the backlog says.
* ``sleeping``: not due yet (a retry, later a parked order); woken by its due time.
* ``held``: not wanted yet by the storefront's ``accept_when`` rule.
* ``sent``: Jetti has answered 2xx for the newest revision, or the newest revision says nothing new.
* ``dead``: a dead letter, an order that needs a person.
* ``discarded``: a named person decided that it needs nothing.

"In flight" is no state: a delivery is leased while it waits, and a lease that is lost (a crash) leaves it waiting.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from relay.core import instant
from relay.core.instant import Instant
from relay.core.outcome import (
    CannotMap,
    Cause,
    ChannelWrong,
    Failed,
    Outcome,
    Refused,
    Sent,
    Throttled,
    Unchanged,
    pause_s,
)
from relay.core.retry import RetryPolicy


class State(StrEnum):
    """Where a delivery is. The words are the same in code, tables, metrics, console and documents."""

    WAITING = "waiting"
    SLEEPING = "sleeping"
    HELD = "held"
    SENT = "sent"
    DEAD = "dead"
    DISCARDED = "discarded"


class Lane(StrEnum):
    """Which head start a delivery has."""

    NEW = "new"
    UPDATE = "update"
    REPLAY = "replay"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.WAITING, State.SLEEPING, State.HELD, State.SENT, State.DEAD}),
    State.SLEEPING: frozenset({State.WAITING, State.SENT, State.DEAD, State.DISCARDED}),
    State.HELD: frozenset({State.WAITING, State.DEAD, State.DISCARDED}),
    State.SENT: frozenset({State.WAITING}),
    State.DEAD: frozenset({State.WAITING, State.DISCARDED}),
    State.DISCARDED: frozenset({State.WAITING}),
}
"""Every move there is. Stores refuse any other; the diagram in the documents is drawn from this."""


@dataclass(frozen=True, slots=True)
class HeadStarts:
    """By how many seconds each lane goes before what became due at the same time."""

    new_s: float = 3600.0
    update_s: float = 0.0
    replay_s: float = -3600.0

    def seconds(self, lane: Lane) -> float:
        match lane:
            case Lane.NEW:
                return self.new_s
            case Lane.UPDATE:
                return self.update_s
            case Lane.REPLAY:
                return self.replay_s
            case _:
                assert_never(lane)

    def urgency(self, lane: Lane, due_at: Instant) -> Instant:
        """The one key deliveries are ordered by; the smallest goes first.

        A head start and not a class of its own: a new order goes before every update that has waited less than the
        difference, and an update that has waited longer goes first, so nothing starves.
        """
        return instant.after(due_at, -self.seconds(lane))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the rules need to know of one order's delivery while it is decided about."""

    revision: int
    """The revision this attempt carries."""
    lane: Lane
    state: State
    due_at: Instant
    attempts: int = 0
    """Attempts that counted: a throttled one, or one that met a halted channel, does not."""
    first_attempt_at: Instant | None = None
    """When the first attempt that counted ended."""
    cause: Cause | None = None
    """Of the latest attempt that did not succeed."""

    def after(self, outcome: Outcome, *, now: Instant, policy: RetryPolicy, jitter: float) -> "Delivery":
        """This delivery, one attempt later. ``jitter`` is a number from 0 to 1."""
        match outcome:
            case Sent():
                return replace(self._tried(now), state=State.SENT, cause=None)
            case Unchanged():
                return replace(self, state=State.SENT, cause=None)
            case CannotMap(cause):
                return replace(self, state=State.DEAD, cause=cause)
            case Refused(cause):
                return replace(self._tried(now), state=State.DEAD, cause=cause)
            case Throttled(_, cause) | ChannelWrong(cause):
                # The channel waits, and no attempt counts. The order waits with it, and so behind the others: were it
                # tried first again, an order that is refused for what it says would stop the channel for ever.
                due_at = instant.after(now, pause_s(outcome))
                return replace(self, state=State.SLEEPING, due_at=due_at, cause=cause)
            case Failed(cause):
                return _again(self._tried(now), cause, now, policy, jitter)
            case _:
                assert_never(outcome)

    def _tried(self, now: Instant) -> "Delivery":
        first = now if self.first_attempt_at is None else self.first_attempt_at
        return replace(self, attempts=self.attempts + 1, first_attempt_at=first)


def _again(tried: Delivery, cause: Cause, now: Instant, policy: RetryPolicy, jitter: float) -> Delivery:
    if tried.first_attempt_at is not None and policy.exhausted(tried.first_attempt_at, now, tried.attempts):
        return replace(tried, state=State.DEAD, cause=cause.exhausted(tried.attempts))
    due_at = policy.next_due(now, tried.attempts, jitter=jitter)
    return replace(tried, state=State.SLEEPING, due_at=due_at, cause=cause)
