"""The design, 5.2 and 5.3: how an attempt moves a delivery, and which delivery goes first."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.delivery import TRANSITIONS, ChannelNow, Delivery, HeadStarts, Lane, State
from relay.core.instant import SECOND, Instant
from relay.core.order import Lease, discarded, fetched, newer, revived, settled, woken
from relay.core.outcome import ChannelWrong, Failed, Outcome, Throttled
from relay.core.retry import RetryPolicy
from relay.core.sources import Fetch
from tests.builders import (
    CANNOT_MAP,
    CHANNEL_WRONG,
    DAY_S,
    FAILED,
    NOW,
    OUTCOMES,
    REFUSED,
    SENT,
    STARTS,
    THROTTLED,
    UNCHANGED,
    arrival,
    at,
    cancel,
    cause,
    delivery,
    garbled,
    ignored,
    order,
    upsert,
)

POLICY = RetryPolicy()
LATER = at(7)


RAN_US = 3600 * SECOND
RUNS = ChannelNow(running_us=RAN_US)
"""A channel that has been known to work for an hour."""
STANDS = replace(RUNS, park_s=17.0)
"""The same channel, open or halted."""


def after(
    before: Delivery, outcome: Outcome, *, now: Instant = LATER, jitter: float = 1.0, channel: ChannelNow = RUNS
) -> Delivery:
    return before.after(outcome, now=now, policy=POLICY, jitter=jitter, channel=channel)


def days(number: float) -> int:
    """So many on the stopwatch."""
    return round(number * DAY_S * SECOND)


# -- what an attempt comes to ----------------------------------------------------------------------------------------


def test_what_was_sent_is_sent_and_its_old_cause_forgotten() -> None:
    before = delivery(attempts=2, failing_us=5, cause=cause())
    assert after(before, SENT) == replace(before, state=State.SENT, attempts=3, cause=None)


def test_what_is_unchanged_is_sent_without_an_attempt() -> None:
    before = delivery(cause=cause())
    assert after(before, UNCHANGED) == replace(before, state=State.SENT, cause=None)


def test_what_is_refused_is_dead_and_says_why() -> None:
    assert after(delivery(), REFUSED) == replace(
        delivery(), state=State.DEAD, attempts=1, failing_us=RAN_US, cause=REFUSED.cause
    )


def test_what_cannot_be_mapped_is_dead_without_an_attempt() -> None:
    assert after(delivery(), CANNOT_MAP) == replace(delivery(), state=State.DEAD, cause=CANNOT_MAP.cause)


@pytest.mark.parametrize(
    ("outcome", "channel", "park_s"),
    [
        (THROTTLED, STANDS, 17.0),
        (CHANNEL_WRONG, RUNS, 30.0),
        (CHANNEL_WRONG, STANDS, 17.0),
        (FAILED, STANDS, 17.0),
    ],
)
def test_a_troubled_channel_uses_up_no_attempt_and_the_order_waits_with_it(
    outcome: Throttled | ChannelWrong | Failed, channel: ChannelNow, park_s: float
) -> None:
    old = replace(channel, running_us=days(50))
    before = delivery(attempts=30, failing_us=0)
    expected = replace(before, state=State.SLEEPING, due_at=at(50 * DAY_S + park_s), cause=outcome.cause)
    assert expected == after(before, outcome, now=at(50 * DAY_S), channel=old)


def test_what_is_throttled_keeps_its_place_while_its_channel_rests() -> None:
    before = delivery(attempts=30, failing_us=0)
    assert after(before, THROTTLED) == replace(before, cause=THROTTLED.cause)


def test_what_failed_is_tried_again_after_the_backoff() -> None:
    once = after(delivery(), FAILED)
    assert once == replace(
        delivery(), state=State.SLEEPING, attempts=1, failing_us=RAN_US, due_at=at(8), cause=FAILED.cause
    )
    ran_on = replace(RUNS, running_us=RAN_US + SECOND)
    again = after(replace(once, state=State.WAITING), FAILED, now=at(8), channel=ran_on)
    assert (again.attempts, again.failing_us, again.due_at) == (2, RAN_US, at(10))


@given(st.integers(0, 100), st.floats(0, 1))
def test_a_retry_is_due_within_the_policys_bounds(attempts: int, jitter: float) -> None:
    retried = after(delivery(attempts=attempts, failing_us=0 if attempts else None), FAILED, jitter=jitter)
    assert 0 <= instant.seconds_between(LATER, retried.due_at) <= POLICY.delay_max_s(attempts + 1) <= POLICY.cap_s


def test_what_has_failed_for_too_long_while_the_channel_worked_is_dead_and_says_so() -> None:
    before = delivery(attempts=40, failing_us=days(2))
    taken = ChannelNow(running_us=days(3) - 1)
    assert after(before, FAILED, channel=taken).state is State.SLEEPING
    dead = after(before, FAILED, channel=replace(taken, running_us=days(3)))
    assert (dead.state, dead.attempts) == (State.DEAD, 41)
    assert dead.cause == replace(
        FAILED.cause, message=f"gave up after 41 attempts; the last one: {FAILED.cause.message}"
    )


def test_the_maximum_age_counts_from_the_first_attempt_and_not_from_the_webhook() -> None:
    waited_long = delivery(attempts=20)
    assert after(waited_long, FAILED, channel=ChannelNow(days(50))).state is State.SLEEPING


def test_the_maximum_age_is_measured_on_the_channels_stopwatch_and_not_on_the_wall_clock() -> None:
    before = delivery(attempts=40, failing_us=0)
    stood_still = ChannelNow(running_us=days(0.5))
    assert after(before, FAILED, now=at(50 * DAY_S), channel=stood_still).state is State.SLEEPING


@given(
    st.sampled_from(OUTCOMES),
    st.integers(0, 9),
    st.sampled_from([State.WAITING, State.SLEEPING]),
    st.sampled_from(Lane),
)
def test_an_attempt_never_changes_what_a_delivery_is_of(
    outcome: Outcome, attempts: int, state: State, lane: Lane
) -> None:
    before = delivery(lane=lane, state=state, attempts=attempts, failing_us=0 if attempts else None)
    later = after(before, outcome)
    assert (later.revision, later.lane) == (before.revision, before.lane)
    assert later.attempts - before.attempts in (0, 1)
    assert later.attempts == 0 or later.failing_us is not None
    assert later.due_at >= before.due_at


# -- the moves -------------------------------------------------------------------------------------------------------


def test_every_move_the_rules_make_is_in_the_table() -> None:
    moves = set()
    for outcome in OUTCOMES:
        for channel in (RUNS, STANDS, ChannelNow(days(2), days(1))):
            leased = order(State.WAITING, attempts=9, failing_us=0)
            done = after(leased.delivery, outcome, now=NOW, channel=channel)
            for revision in (leased.revision, leased.revision + 1):
                went_on = settled(
                    replace(leased, revision=revision), done, delivered_digest=None, now=NOW, head_starts=STARTS
                )
                moves.add((State.WAITING, went_on.state))
    for outcome in (UNCHANGED, CANNOT_MAP):  # what the inspector finds, also of what sleeps
        asleep = order(State.SLEEPING)
        found = settled(asleep, after(asleep.delivery, outcome), delivered_digest=None, now=NOW, head_starts=STARTS)
        moves.add((State.SLEEPING, found.state))
    for state in State:
        event, hook = upsert("1001"), Fetch("1001", None, "k", "changed")
        moves.add((state, newer(order(state), arrival(event), event, event_id=2).order.state))
        announced = replace(arrival(hook, channel="fetch:shop"), fetch_after_s=2.0)
        moves.add((state, newer(order(state), announced, hook, event_id=2).order.state))
    moves.add((State.SLEEPING, woken(order(State.SLEEPING), NOW).state))
    for state in (State.DEAD, State.DISCARDED):
        moves.add((state, revived(order(state), lane=Lane.REPLAY, now=NOW, head_starts=STARTS).state))
    for state in (State.DEAD, State.HELD, State.SLEEPING, State.WAITING):
        moves.add((state, discarded(order(state), by="ann", why="a test", now=NOW).state))
    for identified in (upsert(), cancel(), ignored(), garbled()):
        asked = replace(order(), channel="fetch:shop", lease=Lease(1, 1, "fetch:shop"))
        read = fetched(asked, arrival(identified), event_id=2)
        assert read is not None
        moves.add((State.WAITING, read.order.state))
    made = {(before, now) for before, now in moves if before is not now}
    assert made <= {(before, now) for before, nows in TRANSITIONS.items() for now in nows}
    assert {State.SLEEPING, State.SENT, State.DEAD} <= {now for before, now in made if before is State.WAITING}


def test_every_state_has_its_moves_and_every_one_but_waiting_leads_back_to_it() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(State.WAITING in nows for nows in TRANSITIONS.values())


def test_what_needs_a_person_is_never_called_sent_without_having_waited() -> None:
    assert not {State.SENT, State.HELD, State.IGNORED} & TRANSITIONS[State.DEAD]


def test_an_order_that_is_revived_has_a_fresh_budget_in_the_lane_that_is_named_or_in_its_own() -> None:
    dead = replace(order(State.DEAD, lane=Lane.UPDATE, attempts=9, failing_us=0), cause=cause())
    for lane, expected in ((Lane.REPLAY, Lane.REPLAY), (None, Lane.UPDATE)):
        again = revived(dead, lane=lane, now=LATER, head_starts=STARTS)
        assert (again.lane, again.due_at, again.urgency) == (expected, LATER, STARTS.urgency(expected, LATER))
        assert (again.attempts, again.failing_us, again.cause, again.since) == (0, None, None, LATER)


def test_a_sleeper_whose_time_has_come_keeps_the_place_it_slept_with() -> None:
    asleep = replace(order(State.SLEEPING), due_at=at(5), urgency=at(-3595))
    awake = woken(asleep, at(9))
    assert (awake.state, awake.due_at, awake.urgency, awake.since) == (State.WAITING, at(5), at(-3595), at(9))


def test_a_sleeper_that_outlived_a_clock_which_was_set_back_is_due_now() -> None:
    asleep = replace(order(State.SLEEPING), due_at=at(DAY_S), urgency=STARTS.urgency(Lane.NEW, at(DAY_S)))
    awake = woken(asleep, at(9))
    assert (awake.due_at, awake.urgency) == (at(9), STARTS.urgency(Lane.NEW, at(9)))


def test_a_newer_state_has_the_whole_age_that_an_order_may_have_in_its_old_place() -> None:
    event = upsert("1001")
    failing = order(State.SLEEPING, attempts=5, failing_us=7)
    merged = newer(failing, arrival(event), event, event_id=2).order
    assert (merged.failing_us, merged.attempts, merged.due_at) == (None, 5, failing.due_at)


# -- urgency ---------------------------------------------------------------------------------------------------------

SECONDS = st.integers(-(10**7), 10**7)


@given(SECONDS, SECONDS)
def test_a_new_order_goes_before_every_update_that_has_not_waited_an_hour_longer(new_s: int, update_s: int) -> None:
    new = STARTS.urgency(Lane.NEW, at(new_s))
    update = STARTS.urgency(Lane.UPDATE, at(update_s))
    assert (new < update) == (new_s - update_s < 3600)


@given(SECONDS, SECONDS)
def test_an_update_goes_before_every_replay_that_has_not_waited_an_hour_longer(update_s: int, replay_s: int) -> None:
    update = STARTS.urgency(Lane.UPDATE, at(update_s))
    replay = STARTS.urgency(Lane.REPLAY, at(replay_s))
    assert (update < replay) == (update_s - replay_s < 3600)


@given(st.sampled_from(Lane), st.lists(SECONDS, min_size=2), st.floats(0, 1e5))
def test_first_in_is_first_out_within_a_lane_whatever_its_head_start(
    lane: Lane, dues_s: list[int], head_start_s: float
) -> None:
    starts = HeadStarts(head_start_s, head_start_s, -head_start_s)
    places = sorted(Waiting(starts.urgency(lane, at(due_s)), number) for number, due_s in enumerate(sorted(dues_s)))
    assert [place.order_id for place in places] == list(range(len(dues_s)))


@given(st.sampled_from(Lane), st.sampled_from(Lane), SECONDS)
def test_nothing_starves_everything_is_once_more_urgent_than_what_comes(waits: Lane, comes: Lane, due_s: int) -> None:
    place = STARTS.urgency(waits, at(due_s))
    assert place < STARTS.urgency(comes, at(due_s + 2 * 3600 + 1))


@given(st.floats(0, 1e6), st.floats(0, 1e6), SECONDS)
def test_head_starts_are_the_operators_to_choose(new_s: float, replay_s: float, due_s: int) -> None:
    starts = HeadStarts(new_s, 0.0, -replay_s)
    lanes = [starts.urgency(lane, at(due_s)) for lane in (Lane.NEW, Lane.UPDATE, Lane.REPLAY)]
    assert all(before <= behind for before, behind in pairwise(lanes))
    assert lanes[1] == at(due_s)
    assert lanes[0] == instant.after(at(due_s), -new_s)
