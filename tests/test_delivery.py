"""The design, 5.2 and 5.3: how an attempt moves a delivery, and which delivery goes first."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.delivery import TRANSITIONS, Delivery, HeadStarts, Lane, State
from relay.core.instant import Instant
from relay.core.order import newer, settled, woken
from relay.core.outcome import ChannelWrong, Outcome, Throttled
from relay.core.retry import RetryPolicy
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
    cause,
    delivery,
    order,
    upsert,
)

POLICY = RetryPolicy()
LATER = at(7)


def after(before: Delivery, outcome: Outcome, *, now: Instant = LATER, jitter: float = 1.0) -> Delivery:
    return before.after(outcome, now=now, policy=POLICY, jitter=jitter)


# -- what an attempt comes to ----------------------------------------------------------------------------------------


def test_what_was_sent_is_sent_and_its_old_cause_forgotten() -> None:
    before = delivery(attempts=2, first_attempt_at=NOW, cause=cause())
    assert after(before, SENT) == replace(before, state=State.SENT, attempts=3, cause=None)


def test_what_is_unchanged_is_sent_without_an_attempt() -> None:
    before = delivery(cause=cause())
    assert after(before, UNCHANGED) == replace(before, state=State.SENT, cause=None)


def test_what_is_refused_is_dead_and_says_why() -> None:
    assert after(delivery(), REFUSED) == replace(
        delivery(), state=State.DEAD, attempts=1, first_attempt_at=LATER, cause=REFUSED.cause
    )


def test_what_cannot_be_mapped_is_dead_without_an_attempt() -> None:
    assert after(delivery(), CANNOT_MAP) == replace(delivery(), state=State.DEAD, cause=CANNOT_MAP.cause)


@pytest.mark.parametrize(("outcome", "pause_s"), [(THROTTLED, 5.0), (CHANNEL_WRONG, 30.0)])
def test_a_troubled_channel_uses_up_no_attempt_and_the_order_waits_with_it(
    outcome: Throttled | ChannelWrong, pause_s: float
) -> None:
    before = delivery(attempts=3, first_attempt_at=NOW)
    due_at = at(50 * DAY_S + pause_s)
    expected = replace(before, state=State.SLEEPING, due_at=due_at, cause=outcome.cause)
    assert expected == after(before, outcome, now=at(50 * DAY_S))


def test_what_failed_is_tried_again_after_the_backoff() -> None:
    once = after(delivery(), FAILED)
    assert once == replace(
        delivery(), state=State.SLEEPING, attempts=1, first_attempt_at=LATER, due_at=at(8), cause=FAILED.cause
    )
    again = after(replace(once, state=State.WAITING), FAILED, now=at(8))
    assert (again.attempts, again.first_attempt_at, again.due_at) == (2, LATER, at(10))


@given(st.integers(0, 100), st.floats(0, 1))
def test_a_retry_is_due_within_the_policys_bounds(attempts: int, jitter: float) -> None:
    retried = after(delivery(attempts=attempts, first_attempt_at=NOW), FAILED, jitter=jitter)
    assert 0 <= instant.seconds_between(LATER, retried.due_at) <= POLICY.delay_max_s(attempts + 1) <= POLICY.cap_s


def test_what_has_failed_for_too_long_is_dead_and_says_so() -> None:
    before = delivery(attempts=40, first_attempt_at=NOW)
    assert after(before, FAILED, now=at(DAY_S - 1)).state is State.SLEEPING
    dead = after(before, FAILED, now=at(DAY_S))
    assert (dead.state, dead.attempts) == (State.DEAD, 41)
    assert dead.cause == replace(
        FAILED.cause, message=f"gave up after 41 attempts; the last one: {FAILED.cause.message}"
    )


def test_the_maximum_age_counts_from_the_first_attempt_and_not_from_the_webhook() -> None:
    waited_long = delivery()
    assert after(waited_long, FAILED, now=at(50 * DAY_S)).state is State.SLEEPING


@given(
    st.sampled_from(OUTCOMES),
    st.integers(0, 9),
    st.sampled_from([State.WAITING, State.SLEEPING]),
    st.sampled_from(Lane),
)
def test_an_attempt_never_changes_what_a_delivery_is_of(
    outcome: Outcome, attempts: int, state: State, lane: Lane
) -> None:
    before = delivery(lane=lane, state=state, attempts=attempts, first_attempt_at=NOW if attempts else None)
    later = after(before, outcome)
    assert (later.revision, later.lane) == (before.revision, before.lane)
    assert later.attempts - before.attempts in (0, 1)
    assert later.attempts == 0 or later.first_attempt_at is not None
    assert later.due_at >= before.due_at


# -- the moves -------------------------------------------------------------------------------------------------------


def test_every_move_the_rules_make_is_in_the_table() -> None:
    moves = set()
    for outcome in OUTCOMES:
        for age_s in (0.0, DAY_S):
            leased = order(State.WAITING, attempts=1, first_attempt_at=at(-age_s))
            done = after(leased.delivery, outcome, now=NOW)
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
        event = upsert("1001")
        moves.add((state, newer(order(state), arrival(event), event, event_id=2).order.state))
    moves.add((State.SLEEPING, woken(order(State.SLEEPING)).state))
    made = {(before, now) for before, now in moves if before is not now}
    assert made <= {(before, now) for before, nows in TRANSITIONS.items() for now in nows}
    assert {State.SLEEPING, State.SENT, State.DEAD} <= {now for before, now in made if before is State.WAITING}


def test_every_state_has_its_moves_and_every_one_but_waiting_leads_back_to_it() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(State.WAITING in nows for nows in TRANSITIONS.values())


def test_what_needs_a_person_is_never_called_sent_without_having_waited() -> None:
    assert not {State.SENT, State.SLEEPING, State.HELD} & TRANSITIONS[State.DEAD]


def test_nobody_discards_what_may_be_in_flight() -> None:
    assert State.DISCARDED not in TRANSITIONS[State.WAITING]


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
