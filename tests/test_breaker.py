"""The design, 5.2: when a channel is sent to as usual, and when it is only tried now and then."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import instant
from relay.core.breaker import MOVES, Breaker, BreakerPolicy, Circuit, Signal
from relay.core.outcome import ChannelWrong, Failed, NotYet, Outcome, Refused, Throttled
from tests.builders import (
    CANNOT_MAP,
    CHANNEL_WRONG,
    FAILED,
    NOW,
    OUTCOMES,
    REFUSED,
    SENT,
    THROTTLED,
    UNCHANGED,
    at,
    cause,
)

POLICY = BreakerPolicy(failures=3, refusals=4)
TIMEOUT = Failed(cause("timeout", None))
OTHER_REFUSAL = Refused(cause("http_400", 400))
CLOSED = Breaker()
OPEN = Breaker(Circuit.OPEN, NOW, FAILED.cause, (1, 2, 3), waits_from=NOW, probe_at=at(1))
HALTED = Breaker(Circuit.HALTED, NOW, CHANNEL_WRONG.cause, waits_from=NOW, probe_at=at(10))
REFUSING = Breaker(
    Circuit.HALTED, NOW, REFUSED.cause, refused=(1, 2, 3, 4), refusal="http_422", waits_from=NOW, probe_at=at(10)
)


def after(breaker: Breaker, *attempts: tuple[Outcome, int], own_fault: bool = False) -> Breaker:
    """After attempts, each an outcome and an order's id."""
    for outcome, order_id in attempts:
        breaker = breaker.after(outcome, order_id=order_id, own_fault=own_fault, now=NOW, policy=POLICY)
    return breaker


# -- a closed channel ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "circuit"),
    [
        ([(FAILED, 1), (FAILED, 2)], Circuit.CLOSED),
        ([(FAILED, 1), (FAILED, 2), (FAILED, 3)], Circuit.OPEN),
        ([(FAILED, 1), (TIMEOUT, 2), (FAILED, 3)], Circuit.OPEN),
        ([(FAILED, 1), (FAILED, 2), (SENT, 9), (FAILED, 3)], Circuit.CLOSED),
        ([(FAILED, 1), (FAILED, 2), (REFUSED, 9), (FAILED, 3)], Circuit.CLOSED),
        ([(FAILED, 1), (FAILED, 2), (THROTTLED, 9), (FAILED, 3)], Circuit.CLOSED),
        ([(FAILED, 1), (UNCHANGED, 9), (FAILED, 2), (CANNOT_MAP, 8), (FAILED, 3)], Circuit.OPEN),
        ([(REFUSED, 1), (REFUSED, 2), (REFUSED, 3)], Circuit.CLOSED),
        ([(REFUSED, 1), (REFUSED, 2), (REFUSED, 3), (REFUSED, 4)], Circuit.HALTED),
        ([(REFUSED, 1), (REFUSED, 2), (OTHER_REFUSAL, 3), (REFUSED, 4), (REFUSED, 5)], Circuit.CLOSED),
        ([(REFUSED, 1), (REFUSED, 2), (SENT, 9), (REFUSED, 3), (REFUSED, 4)], Circuit.CLOSED),
        ([(REFUSED, 1), (FAILED, 8), (REFUSED, 2), (THROTTLED, 9), (REFUSED, 3), (REFUSED, 4)], Circuit.HALTED),
        ([(CHANNEL_WRONG, 1)], Circuit.HALTED),
        ([(THROTTLED, number) for number in range(99)], Circuit.CLOSED),
    ],
)
def test_where_attempts_lead_a_closed_channel(attempts: list[tuple[Outcome, int]], circuit: Circuit) -> None:
    assert after(CLOSED, *attempts).circuit is circuit


@given(st.lists(st.sampled_from([FAILED, TIMEOUT, REFUSED, THROTTLED]), max_size=50))
def test_one_order_that_fails_and_is_refused_for_ever_never_opens_or_halts_the_channel(outcomes: list[Outcome]) -> None:
    assert not after(CLOSED, *((outcome, 1) for outcome in outcomes)).stands


@given(st.lists(st.integers(1, 9), max_size=30))
def test_so_many_different_orders_in_a_row_without_an_answer_open_it_however_often_each_was_tried(
    order_ids: list[int],
) -> None:
    breaker, failed = CLOSED, set[int]()
    for order_id in order_ids:
        breaker, failed = after(breaker, (FAILED, order_id)), failed | {order_id}
        assert breaker.stands == (len(failed) >= POLICY.failures)
        if breaker.stands:
            assert (breaker.circuit, breaker.since, breaker.cause) == (Circuit.OPEN, NOW, FAILED.cause)
            break


def test_a_refusal_that_is_the_orders_own_fault_says_nothing_of_the_channel() -> None:
    assert after(CLOSED, *((REFUSED, number) for number in range(99)), own_fault=True) == CLOSED
    two_failed = after(CLOSED, (FAILED, 1), (FAILED, 2))
    assert after(two_failed, (REFUSED, 9), own_fault=True).failed == ()


def test_a_success_forgets_everything() -> None:
    assert after(CLOSED, (FAILED, 1), (REFUSED, 2), (FAILED, 3), (SENT, 4)) == CLOSED


def test_only_a_halt_by_one_refusal_for_order_after_order_names_that_refusal_and_its_orders() -> None:
    halted = after(CLOSED, (REFUSED, 1), (REFUSED, 2), (REFUSED, 3), (REFUSED, 4))
    assert halted.halted_by_refusals
    assert (halted.refused, halted.refusal) == ((1, 2, 3, 4), "http_422")
    for wrong in (
        after(CLOSED, (REFUSED, 1), (REFUSED, 2), (CHANNEL_WRONG, 3)),
        after(CLOSED, (REFUSED, 8), (FAILED, 1), (FAILED, 2), (FAILED, 3)).probed(
            CHANNEL_WRONG, now=NOW, policy=POLICY
        ),
    ):
        assert wrong.circuit is Circuit.HALTED
        assert not wrong.halted_by_refusals
        assert wrong.probed(REFUSED, now=NOW, policy=POLICY) == CLOSED, "who answers a probe closes the circuit"


# -- probes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaker", "outcome", "circuit"),
    [
        (OPEN, SENT, Circuit.CLOSED),
        (OPEN, REFUSED, Circuit.CLOSED),
        (OPEN, THROTTLED, Circuit.CLOSED),
        (OPEN, FAILED, Circuit.OPEN),
        (OPEN, CHANNEL_WRONG, Circuit.HALTED),
        (HALTED, SENT, Circuit.CLOSED),
        (HALTED, REFUSED, Circuit.CLOSED),
        (HALTED, THROTTLED, Circuit.HALTED),
        (HALTED, FAILED, Circuit.HALTED),
        (HALTED, CHANNEL_WRONG, Circuit.HALTED),
        (REFUSING, SENT, Circuit.CLOSED),
        (REFUSING, REFUSED, Circuit.HALTED),
        (REFUSING, FAILED, Circuit.HALTED),
        (REFUSING, THROTTLED, Circuit.HALTED),
    ],
)
def test_what_a_probe_comes_to(breaker: Breaker, outcome: Outcome, circuit: Circuit) -> None:
    later = breaker.probed(outcome, now=at(5), policy=POLICY)
    assert later.circuit is circuit
    assert circuit is not Circuit.CLOSED or later == CLOSED


@pytest.mark.parametrize(
    ("breaker", "outcome", "intervals"),
    [
        (OPEN, FAILED, [1, 2, 4, 8, 16, 32, 60, 60]),
        (HALTED, CHANNEL_WRONG, [10, 20, 40, 80, 160, 300, 300]),
        (REFUSING, REFUSED, [10, 20, 40, 80, 160, 300, 300]),
    ],
)
def test_probes_that_fail_are_further_and_further_apart(
    breaker: Breaker, outcome: Outcome, intervals: list[float]
) -> None:
    now, seen = NOW, list[float]()
    for _ in intervals:
        seen.append(breaker.probe_in_s(now))
        now = instant.after(now, seen[-1])
        breaker = breaker.probed(outcome, now=now, policy=POLICY)
    assert seen == intervals


@pytest.mark.parametrize("breaker", [OPEN, HALTED])
@pytest.mark.parametrize("outcome", [UNCHANGED, CANNOT_MAP])
def test_a_probe_that_needed_no_request_proves_nothing(breaker: Breaker, outcome: Outcome) -> None:
    assert breaker.probed(outcome, now=at(5), policy=POLICY) == breaker


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_intervals_never_shrink_and_never_exceed_their_cap(first_s: float, cap_s: float) -> None:
    policy = BreakerPolicy(probe_s=first_s, probe_cap_s=cap_s, halt_probe_s=first_s, halt_probe_cap_s=cap_s)
    for circuit in (Circuit.OPEN, Circuit.HALTED):
        intervals = [policy.interval_s(circuit, probes) for probes in (*range(70), 10_000)]
        assert all(before <= behind for before, behind in pairwise(intervals))
        assert max(intervals) <= cap_s


# -- clocks, restarts, persons ---------------------------------------------------------------------------------------


@given(st.floats(0.001, 1e7))
def test_a_clock_that_was_set_back_makes_a_probe_due(back_s: float) -> None:
    assert HALTED.probe_in_s(NOW) == 10.0
    assert HALTED.probe_in_s(at(-back_s)) == 0.0


@pytest.mark.parametrize("breaker", [OPEN, HALTED, REFUSING])
def test_a_restart_forgets_no_halt_and_makes_a_probe_due(breaker: Breaker) -> None:
    again = breaker.restarted()
    assert again.probe_in_s(NOW) == 0.0
    assert replace(again, waits_from=breaker.waits_from, probe_at=breaker.probe_at) == breaker


@pytest.mark.parametrize("breaker", [OPEN, HALTED, REFUSING, CLOSED])
def test_a_person_who_says_try_again_closes_it(breaker: Breaker) -> None:
    assert breaker.resumed(now=NOW) == CLOSED


# -- the moves -------------------------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from([*OUTCOMES, TIMEOUT, OTHER_REFUSAL, None]), st.integers(1, 9), st.booleans(), st.floats(-50, 50)
)


@given(st.lists(STEP, max_size=80))
def test_the_circuit_moves_as_the_table_says_whatever_happens(
    steps: list[tuple[Outcome | None, int, bool, float]],
) -> None:
    breaker, now = CLOSED, NOW
    for outcome, order_id, own_fault, passed_s in steps:
        now = instant.after(now, passed_s)
        before = breaker
        if outcome is None:
            breaker = breaker.resumed(now=now)
        elif breaker.stands:
            breaker = breaker.probed(outcome, now=now, policy=POLICY)
        else:
            breaker = breaker.after(outcome, order_id=order_id, own_fault=own_fault, now=now, policy=POLICY)
        allowed = {before.circuit} | {to for (was, _), to in MOVES.items() if was is before.circuit}
        assert breaker.circuit in allowed
        assert breaker.stands == (breaker.since is not None) == (breaker.cause is not None)
        assert breaker.stands == (breaker.probe_at is not None)
        assert 0 <= breaker.probe_in_s(now) <= max(POLICY.probe_cap_s, POLICY.halt_probe_cap_s)
        assert len(set(breaker.failed)) == len(breaker.failed) <= POLICY.failures
        assert len(set(breaker.refused)) == len(breaker.refused) <= POLICY.refusals
        assert (
            breaker.stands
            or isinstance(outcome, Throttled | Refused | Failed | NotYet | None)
            or breaker in (before, CLOSED)
        )


def test_every_circuit_but_closed_can_be_closed_by_a_probe_and_by_a_person() -> None:
    for circuit in (Circuit.OPEN, Circuit.HALTED):
        assert MOVES[circuit, Signal.WORKS] is Circuit.CLOSED
        assert MOVES[circuit, Signal.RESUMED] is Circuit.CLOSED
    assert not any(to is Circuit.OPEN for (was, _), to in MOVES.items() if was is Circuit.HALTED)


def test_a_cause_is_kept_that_was_known_when_the_channel_stood_still_first() -> None:
    again = HALTED.probed(ChannelWrong(cause("http_403", 403)), now=at(10), policy=POLICY)
    assert (again.cause, again.since) == (HALTED.cause, HALTED.since)
