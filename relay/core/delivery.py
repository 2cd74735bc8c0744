"""The state of an order's one delivery, and the rules by which an attempt moves it.

An order has one delivery at a time; it carries the order's newest revision.

* ``waiting``: due, and as urgent as its place in the backlog says.
* ``sleeping``: not due yet (a retry, an order parked with its channel); woken by its due time.
* ``held``: not wanted yet by the storefront's ``accept_when`` rule.
* ``sent``: Jetti has answered 2xx for the newest revision, or the newest revision says nothing new.
* ``dead``: a dead letter, an order that needs a person.
* ``discarded``: a named person decided that it needs nothing.
* ``ignored``: the storefront's rules do not want its newest state; its next event makes it live again.

"In flight" is no state: a delivery is leased while it waits, and a lease that is lost (a crash) leaves it waiting.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from relay.core import instant
from relay.core.instant import Instant
from relay.core.outcome import (
    WRONG_PAUSE_S,
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
from relay.core.retry import RetryPolicy


class State(StrEnum):
    """Where a delivery is. The words are the same in code, tables, metrics, console and documents."""

    WAITING = "waiting"
    SLEEPING = "sleeping"
    HELD = "held"
    SENT = "sent"
    DEAD = "dead"
    DISCARDED = "discarded"
    IGNORED = "ignored"


FINISHED = frozenset({State.SENT, State.DISCARDED, State.IGNORED})
"""The states in which an order needs nothing more."""


class Lane(StrEnum):
    """Which head start a delivery has."""

    NEW = "new"
    UPDATE = "update"
    REPLAY = "replay"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset(State),
    State.SLEEPING: frozenset(State) - {State.SLEEPING},
    State.HELD: frozenset({State.WAITING, State.SLEEPING, State.DEAD, State.DISCARDED}),
    State.SENT: frozenset({State.WAITING, State.SLEEPING}),
    State.DEAD: frozenset({State.WAITING, State.SLEEPING, State.DISCARDED}),
    State.DISCARDED: frozenset({State.WAITING, State.SLEEPING}),
    State.IGNORED: frozenset({State.WAITING, State.SLEEPING}),
}
"""Every move there is. Stores refuse any other; the diagram in the documents is drawn from this."""


_UNSENT: dict[type[Outcome], State] = {
    CannotMap: State.DEAD, NotWanted: State.HELD, Ignored: State.IGNORED,
}  # fmt: skip
"""Where an order ends of which nothing was sent."""


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
class ChannelNow:
    """What the rules need to know of a delivery's channel."""

    running_us: int = 0
    """Its stopwatch, microseconds: it runs only while the channel is known to work."""
    park_s: float | None = None
    """While the channel is open or halted, or where it is not the order's fault: what fails now is parked for so many
    seconds, and no attempt counts."""


_AS_USUAL = ChannelNow()


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
    failing_us: int | None = None
    """What the channel's stopwatch said at the end of the first attempt that counted, microseconds."""
    cause: Cause | None = None
    """Of the latest attempt that did not succeed."""

    def after(
        self, outcome: Outcome, *, now: Instant, policy: RetryPolicy, jitter: float, channel: ChannelNow = _AS_USUAL
    ) -> "Delivery":
        """This delivery, one attempt later. ``jitter`` is a number from 0 to 1."""
        match outcome:
            case Sent() | Cancelled() | Unchanged() | Obtained():
                tried = self._tried(channel) if isinstance(outcome, Sent | Cancelled) else self
                return replace(tried, state=State.WAITING if isinstance(outcome, Obtained) else State.SENT, cause=None)
            case CannotMap(cause) | NotWanted(cause) | Ignored(cause):
                return replace(self, state=_UNSENT[type(outcome)], cause=cause)
            case Refused(cause):
                return replace(self._tried(channel), state=State.DEAD, cause=cause)
            case Throttled(_, cause):
                return self._throttled(cause, now, channel.park_s)
            case ChannelWrong(cause):
                return self._parked(cause, now, WRONG_PAUSE_S if channel.park_s is None else channel.park_s)
            case Failed(cause) | NotYet(cause):
                return self._again(cause, now, policy, jitter, channel)
            case _:
                assert_never(outcome)

    def _throttled(self, cause: Cause, now: Instant, park_s: float | None) -> "Delivery":
        """The channel rests, and the order keeps its place; unless it is the order that is always throttled."""
        return replace(self, cause=cause) if park_s is None else self._parked(cause, now, park_s)

    def _parked(self, cause: Cause, now: Instant, seconds: float) -> "Delivery":
        """The channel waits, and no attempt counts. The order waits with it, and so behind the others: were it tried
        first again, an order that is refused for what it says would stop the channel for ever."""
        return replace(self, state=State.SLEEPING, due_at=instant.after(now, seconds), cause=cause)

    def _again(self, cause: Cause, now: Instant, policy: RetryPolicy, jitter: float, channel: ChannelNow) -> "Delivery":
        if channel.park_s is not None:
            return self._parked(cause, now, channel.park_s)
        tried = self._tried(channel)
        if tried.failing_us is not None and policy.exhausted(
            tried.attempts, failing_us=tried.failing_us, running_us=channel.running_us
        ):
            return replace(tried, state=State.DEAD, cause=cause.exhausted(tried.attempts))
        due_at = policy.next_due(now, tried.attempts, jitter=jitter)
        return replace(tried, state=State.SLEEPING, due_at=due_at, cause=cause)

    def _tried(self, channel: ChannelNow) -> "Delivery":
        first = channel.running_us if self.failing_us is None else self.failing_us
        return replace(self, attempts=self.attempts + 1, failing_us=first)
